//! How often instructions succeeded and were refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use leasehold_client::error::from_code;
use leasehold_tests::model::Action;

/// Name of an error of the program, or the number of another.
pub fn error(code: u32) -> String {
    from_code(code).map_or(format!("error {code}"), |error| error.name())
}

/// How often each kind of instruction succeeded, and with which errors it was refused.
#[derive(Default)]
pub struct Coverage {
    done: BTreeMap<String, u32>,
    refused: BTreeMap<(String, u32), u32>,
}

impl Coverage {
    pub fn note(&mut self, action: &Action, refusal: Option<u32>) {
        let name = format!("{action:?}");
        let name: String = name.chars().take_while(char::is_ascii_alphanumeric).collect();
        match refusal {
            None => *self.done.entry(name).or_default() += 1,
            Some(code) => *self.refused.entry((name, code)).or_default() += 1,
        }
    }

    pub fn add(&mut self, other: &Coverage) {
        for (name, count) in &other.done {
            *self.done.entry(name.clone()).or_default() += count;
        }
        for (key, count) in &other.refused {
            *self.refused.entry(key.clone()).or_default() += count;
        }
    }
}

/// Kinds of instruction that must succeed at least once in a long run.
const KINDS: [&str; 49] = [
    "ProposeParams",
    "ApplyParams",
    "ProposeAuthority",
    "AcceptAuthority",
    "SetPaused",
    "WithdrawFees",
    "BurnSlashed",
    "BurnPayments",
    "CloseMarket",
    "RegisterSupplier",
    "DepositStake",
    "RequestUnstake",
    "WithdrawStake",
    "ClaimEarnings",
    "ReclaimRent",
    "CloseSupplier",
    "CreateBoard",
    "ListMachines",
    "RepriceMachines",
    "WithholdMachines",
    "MoveMachines",
    "RetireMachines",
    "ForfeitMachines",
    "TrimBoard",
    "CloseBoard",
    "RegisterKeeper",
    "DepositBond",
    "RequestUnbond",
    "WithdrawBond",
    "TakeSeat",
    "LeaveSeat",
    "FundKeepers",
    "SubmitRound",
    "CloseRound",
    "ClaimKeeperFees",
    "CloseKeeper",
    "OpenLease",
    "ExtendLease",
    "CancelLease",
    "TransferLease",
    "SetAccess",
    "ReplaceNode",
    "TopUpLease",
    "GiveNotice",
    "RedeemVoucher",
    "ProveEquivocation",
    "SettleLease",
    "ClaimRefund",
    "CloseLease",
];

impl Coverage {
    /// Asserts that every kind of instruction succeeded, except those in `never`, which the market's rules exclude, and
    /// that most errors occurred.
    pub fn assert_complete(&self, never: &[&str]) {
        for kind in KINDS {
            let done = self.done.get(kind).copied().unwrap_or_default();
            assert!(done > 0 || never.contains(&kind), "{kind} never succeeded\n{self}");
        }
        let codes: BTreeSet<u32> = self.refused.keys().map(|(_, code)| *code).collect();
        assert!(codes.len() >= 50, "only {} errors occurred\n{self}", codes.len());
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for kind in KINDS {
            write!(f, "{kind:<20} {:>7} done", self.done.get(kind).copied().unwrap_or_default())?;
            for ((_, code), count) in self.refused.iter().filter(|((name, _), _)| name == kind) {
                write!(f, ", {count} {}", error(*code))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
