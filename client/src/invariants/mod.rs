//! Checks the invariants of `docs/invariants.md` that show in a market's accounts, for tests, the demo and operators.

mod board;
mod lease;
mod market;
mod progress;
#[cfg(test)]
mod tests;

use std::fmt;

use leasehold::state::{Keeper, Lease, Market, Supplier};
use solana_pubkey::Pubkey;

use crate::board::{BoardData, BoardView};

pub use progress::check_progress;

/// All accounts of a market at one moment.
#[derive(Debug)]
pub struct Snapshot {
    pub address: Pubkey,
    pub market: Market,
    /// Balance of the stake vault, in stake units.
    pub stake_vault: u64,
    /// The part of it that is known to have been sent there without an instruction.
    pub unasked_stake: u64,
    /// Accounts with their addresses.
    pub suppliers: Vec<(Pubkey, Supplier)>,
    pub keepers: Vec<(Pubkey, Keeper)>,
    pub boards: Vec<BoardState>,
}

/// A board with its vault and leases.
#[derive(Debug)]
pub struct BoardState {
    pub address: Pubkey,
    pub data: BoardData,
    /// Balance of the payment vault, in payment units.
    pub payment_vault: u64,
    /// The part of it that is known to have been sent there without an instruction.
    pub unasked_payments: u64,
    /// Every lease of this board whose account exists, with its address.
    pub leases: Vec<(Pubkey, Lease)>,
}

/// A board that is being checked.
struct BoardCheck<'a> {
    /// Name of the board in sentences.
    name: String,
    state: &'a BoardState,
    view: BoardView<'a>,
}

/// Result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Number of conditions that were checked.
    pub checked: u64,
    /// Violations: a sentence each, with the number of the invariant.
    pub violated: Vec<String>,
}

impl Report {
    pub fn is_ok(&self) -> bool {
        self.violated.is_empty()
    }

    /// Adds the result of another check.
    pub fn extend(&mut self, other: Report) {
        self.checked = self.checked.saturating_add(other.checked);
        self.violated.extend(other.violated);
    }

    fn require(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        self.checked = self.checked.saturating_add(1);
        if !holds {
            self.violated.push(violation());
        }
    }

    fn require_eq<T: PartialEq + fmt::Display>(
        &mut self,
        found: T,
        expected: T,
        what: impl FnOnce() -> (String, &'static str),
    ) {
        let holds = found == expected;
        self.require(holds, || {
            let (what, source) = what();
            format!("{what} is {found}, {source} {expected}")
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} checked, {} violated", self.checked, self.violated.len())?;
        self.violated.iter().try_for_each(|violation| write!(f, "\n{violation}"))
    }
}

/// Checks everything that one snapshot shows: [`check_progress`] compares two.
pub fn check(snapshot: &Snapshot) -> Report {
    let mut report = Report::default();
    market::check(snapshot, &mut report);
    for board in &snapshot.boards {
        board::check(snapshot, board, &mut report);
    }
    report
}

/// Sums amounts; the sum may exceed 64 bits if accounts are corrupt.
fn sum(amounts: impl IntoIterator<Item = u64>) -> u128 {
    amounts.into_iter().map(u128::from).sum()
}
