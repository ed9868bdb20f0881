//! Requests for machines, on the command line.

use clap::Args;
use leasehold_client::search::{Length, Request};
use leasehold_operate::{chain::MarketArgs, failure::Failure, market::MarketView};

use crate::criteria::CriteriaArgs;

/// A request for machines.
#[derive(Args)]
pub struct RequestArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Number of machines: of one board if one has enough, else the cheapest of all boards. One with --metered.
    #[arg(long, value_name = "COUNT", required_unless_present = "metered")]
    #[arg(default_value_t = 1, hide_default_value = true)]
    pub machines: u32,
    /// Length from the next round on: rounds or time, for example 144r, 90m, 24h or 7d.
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Length,
    /// Take them from this board only [default: the cheapest that has enough, or several]
    #[arg(long, value_name = "NUMBER")]
    pub board: Option<u32>,
    #[command(flatten)]
    pub criteria: CriteriaArgs,
    #[command(flatten)]
    pub meter: MeterFlags,
}

impl RequestArgs {
    pub fn request(&self, market: &MarketView) -> Result<Request, Failure> {
        let criteria = self.criteria.criteria(market)?;
        Ok(Request { criteria, machines: self.machines, length: self.length })
    }
}

/// How the lease is paid.
#[derive(Args, Clone, Debug, Default)]
pub struct MeterFlags {
    /// Lease one machine by use instead of by the hour: vouchers pay it.
    #[arg(long, requires = "deposit")]
    pub metered: bool,
    /// Deposit with --metered, in the market's payment mint. Vouchers can take no more; the rest comes back.
    #[arg(long, value_name = "AMOUNT", requires = "metered")]
    pub deposit: Option<String>,
}
