//! A lease with its board and its market.

use leasehold::{error::LeaseholdError, state::Lease};
use leasehold_client::{BoardRef, board::BoardView, fetch::FetchedBoard};
use leasehold_operate::{failure::Failure, market::MarketView, plan::Plan, table::count, text::print_stderr};
use solana_pubkey::Pubkey;

/// One plan for all leases of a group. Leases that a rule refuses are printed and left out.
pub fn plan_each(
    leases: &[Leased],
    verb: &str,
    plan: impl Fn(&Leased) -> Result<Plan, Failure>,
) -> Result<Plan, Failure> {
    if let [one] = leases {
        return plan(one);
    }
    let (mut plans, mut refused) = (Vec::new(), None);
    for leased in leases {
        match plan(leased) {
            Ok(plan) => plans.push(plan),
            Err(error) if error.refusal().is_some() => {
                print_stderr(format!("Left out: {}: {error}", leased.name()));
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match refused {
        Some(error) if plans.is_empty() => Err(error),
        _ => Ok(Plan::join(format!("{verb} {}", count(plans.len(), "lease")), plans)),
    }
}

/// A number of rounds in words.
pub fn rounds(number: u32) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "round")
}

/// A lease with its board and its market.
pub struct Leased {
    pub address: Pubkey,
    pub lease: Lease,
    pub board: BoardRef,
    pub data: FetchedBoard,
    pub market: MarketView,
}

impl Leased {
    pub fn view(&self) -> Result<BoardView<'_>, Failure> {
        Ok(self.data.view()?)
    }

    /// Its name in a sentence.
    pub fn name(&self) -> String {
        format!("lease {}:{}", self.board.index, self.lease.serial)
    }

    /// Refuses any wallet but the owner.
    pub fn require_owner(&self, wallet: &Pubkey) -> Result<(), Failure> {
        if *wallet != self.lease.owner {
            return Err(Failure::rule(
                LeaseholdError::WrongAuthority,
                format!("its owner is {}, and {wallet} signs", self.lease.owner),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use leasehold_client::{
        error::Refusal,
        fetch::Fetched,
        sample::{self, snapshot},
    };
    use leasehold_operate::sample::view;

    use super::*;

    /// Lease 1 of the sample: of wallet 9, from round 990 to 1,009, with slots 0 and 1.
    pub fn sample(serial: u32) -> Leased {
        let mut snapshot = snapshot();
        let state = snapshot.boards.remove(0);
        let (address, lease) = state.leases.into_iter().find(|(_, lease)| lease.serial == serial).unwrap();
        let data = Fetched { address: state.address, lamports: 1, account: state.data };
        Leased { address, lease, board: sample::market().board(0), data, market: view() }
    }

    #[test]
    fn a_group_has_one_plan_without_the_leases_that_refuse_it() {
        let plan = |leased: &Leased| {
            leased.lease.require_open().map_err(Refusal::from)?;
            Ok(Plan::new(leased.name()).step("cancel lease", vec![]))
        };
        let both = [sample(1), sample(2)];
        let joined = plan_each(&both, "Cancel", plan).unwrap();
        assert_eq!((joined.title.as_str(), joined.steps.len()), ("Cancel 1 lease", 1));
        assert_eq!(joined.facts[0].text, "lease 0:1");
        assert_eq!(plan_each(&both[..1], "Cancel", plan).unwrap().title, "lease 0:1");
        assert_eq!(plan_each(&both[1..], "Cancel", plan).unwrap_err().code(), 3);
        let none = plan_each(&[sample(2), sample(2)], "Cancel", plan).unwrap_err();
        assert_eq!(none.code(), 3, "no lease is left");
        let broken = |_: &Leased| Err(Failure::Declined);
        assert_eq!(plan_each(&both, "Cancel", broken).unwrap_err().code(), 4);
    }

    #[test]
    fn a_rule_with_values_leaves_a_lease_out_as_one_without_does() {
        let plan = |leased: &Leased| match leased.lease.serial {
            1 => Ok(Plan::new(leased.name()).step("cancel lease", vec![])),
            _ => Err(Failure::rule(LeaseholdError::LeaseOver, "its last round runs")),
        };
        let joined = plan_each(&[sample(1), sample(2)], "Cancel", plan).unwrap();
        assert_eq!((joined.title.as_str(), joined.steps.len()), ("Cancel 1 lease", 1));
    }

    #[test]
    fn only_the_owner_may_do_what_is_the_owners() {
        let lease = sample(1);
        assert!(lease.require_owner(&sample::wallet(9)).is_ok());
        assert_eq!(lease.require_owner(&sample::wallet(8)).unwrap_err().code(), 3);
        assert_eq!(lease.name(), "lease 0:1");
    }
}
