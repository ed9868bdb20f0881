//! The attacks of `docs/threats.md`: one test for each idea, named `attack_...`. Attacks on receipts, logs and demands
//! are in `record/`.

mod access;
mod accounts;
mod buying;
mod claims;
mod coalitions;
mod creation;
mod downtime;
mod governance;
mod leases;
mod leaving;
mod mints;
mod rent;
mod rounds;
mod tokens;

use leasehold_tests::*;

/// Bond of a machine with one GPU, in stake units.
pub const BOND: u64 = 100 * STAKE;

/// Earnings of a machine at 0.35 an hour for so many rounds of ten minutes, fee included.
pub fn gross(rounds: u64) -> u64 {
    350_000 * 600 * rounds / 3_600
}

/// Earnings less the fee of 3 percent.
pub fn net(gross: u64) -> i64 {
    (gross - gross * 300 / 10_000) as i64
}

/// Stake units that a bond loses for so many rounds down beyond the allowance of a lease of up to three days.
pub fn slashed(bond: u64, over: u64) -> u64 {
    bond * over * 2 / 432
}
