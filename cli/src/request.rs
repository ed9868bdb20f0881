//! What a buyer asks for, on the command line.

use clap::Args;
use leasehold_client::search::{Length, Request};
use leasehold_operate::{chain::MarketArgs, failure::Failure, market::MarketView};

use crate::criteria::CriteriaArgs;

/// What is to be leased.
#[derive(Args)]
pub struct RequestArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// How many machines: of one board where one has enough, else the cheapest of all boards. One, with
    /// --metered, where it can be left out.
    #[arg(long, value_name = "COUNT", required_unless_present = "metered")]
    #[arg(default_value_t = 1, hide_default_value = true)]
    pub machines: u32,
    /// How long from the next round on: rounds or time, as 144r, 90m, 24h or 7d.
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Length,
    /// Number of the one board to take them from [default: the cheapest that has enough, or several]
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

/// How the lease is to be paid.
#[derive(Args, Clone, Debug, Default)]
pub struct MeterFlags {
    /// Lease one machine by use and not by the hour: it is paid what vouchers are signed for.
    #[arg(long, requires = "deposit")]
    pub metered: bool,
    /// What to deposit with --metered, in the market's payment mint. Vouchers can take no more; what they leave comes
    /// back.
    #[arg(long, value_name = "AMOUNT", requires = "metered")]
    pub deposit: Option<String>,
}
