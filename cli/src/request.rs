//! Requests for GPUs, on the command line.

use std::str::FromStr;

use clap::Args;
use leasehold_client::{
    quote::max_gpus,
    search::{Avoid, Length, Request},
};
use leasehold_operate::{chain::MarketArgs, failure::Failure, market::MarketView};

use crate::criteria::CriteriaArgs;

/// A request for GPUs.
#[derive(Args)]
pub struct RequestArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Number of GPUs, in machines of one board if one has enough, else of several. With --metered, the fewest GPUs of the one
    /// machine.
    #[arg(long, value_name = "COUNT", required_unless_present = "metered")]
    #[arg(default_value_t = 1, hide_default_value = true)]
    pub gpus: u32,
    /// Length from the next round on: rounds or time, for example 144r, 90m, 24h or 7d.
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Length,
    /// Take them from this board only [default: the cheapest that has enough, or several]
    #[arg(long, value_name = "NUMBER")]
    pub board: Option<u32>,
    #[command(flatten)]
    pub criteria: CriteriaArgs,
    /// Machines not to take, up to 16 of each board: BOARD:SLOT, or SLOT with --board.
    #[arg(long, value_name = "SLOT", value_delimiter = ',')]
    pub avoid: Vec<AvoidArg>,
    #[command(flatten)]
    pub meter: MeterFlags,
}

/// A machine not to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvoidArg {
    board: Option<u32>,
    slot: u16,
}

impl FromStr for AvoidArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "give BOARD:SLOT, for example 0:12, or SLOT with --board";
        let (board, slot) = match text.split_once(':') {
            Some((board, slot)) => (Some(board.parse().map_err(|_| wrong)?), slot),
            None => (None, text),
        };
        Ok(AvoidArg { board, slot: slot.parse().map_err(|_| wrong)? })
    }
}

impl RequestArgs {
    pub fn request(&self, market: &MarketView) -> Result<Request, Failure> {
        let mut criteria = self.criteria.criteria(market)?;
        if self.criteria.max_gpus.is_none() {
            criteria.max_gpus = max_gpus(self.gpus);
        }
        Ok(Request { criteria, gpus: self.gpus, length: self.length, avoid: self.avoided()? })
    }

    /// Machines not to take.
    pub fn avoided(&self) -> Result<Vec<Avoid>, Failure> {
        let named = |avoid: &AvoidArg| {
            let board = avoid.board.or(self.board);
            let unclear = || format!("--avoid {}: name its board, as BOARD:SLOT or with --board", avoid.slot);
            Ok(Avoid { board: board.ok_or_else(|| Failure::Input(unclear()))?, slot: avoid.slot })
        };
        self.avoid.iter().map(named).collect()
    }
}

/// How the lease is paid.
#[derive(Args, Clone, Debug, Default)]
pub struct MeterFlags {
    /// Lease one machine by use instead of by the hour: vouchers pay it, besides a standby price for rounds up.
    #[arg(long, requires = "deposit")]
    pub metered: bool,
    /// Deposit with --metered, in the market's payment mint. Vouchers and the standby price take no more; the rest comes back.
    #[arg(long, value_name = "AMOUNT", requires = "metered")]
    pub deposit: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use leasehold_operate::sample::view;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: RequestArgs,
    }

    fn request(flags: &str) -> Result<Request, Failure> {
        let args = format!("quote --market 7 --for 6r {flags}");
        Cli::try_parse_from(args.split_whitespace()).unwrap().args.request(&view())
    }

    #[test]
    fn no_machine_has_more_gpus_than_were_asked_for_unless_more_are_allowed() {
        let most = |flags| request(flags).unwrap().criteria.max_gpus;
        assert_eq!((most("--gpus 16"), most("--gpus 6000"), most("--gpus 4 --max-gpus 8")), (16, 255, 8));
    }

    #[test]
    fn machines_to_avoid_are_named_with_their_board() {
        let avoid = |board, slot| Avoid { board, slot };
        let found = request("--gpus 1 --avoid 0:12,3:7").unwrap().avoid;
        assert_eq!(found, [avoid(0, 12), avoid(3, 7)]);
        assert_eq!(request("--gpus 1 --board 2 --avoid 5").unwrap().avoid, [avoid(2, 5)]);
        let unclear = request("--gpus 1 --avoid 5").unwrap_err();
        assert!(unclear.code() == 2 && unclear.to_string().contains("name its board"), "{unclear}");
        for wrong in ["", "a", "0:", ":1", "0:1:2", "0:65536"] {
            assert!(wrong.parse::<AvoidArg>().is_err(), "{wrong}");
        }
    }
}
