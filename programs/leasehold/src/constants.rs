//! Constants of the protocol. Rates are in basis points, times in seconds.

use core::num::NonZeroU64;

use anchor_lang::prelude::*;

/// Address seed of a [`Market`](crate::state::Market).
#[constant]
pub const MARKET_SEED: &[u8] = b"market";
/// Address seed of a market's stake vault.
#[constant]
pub const STAKE_VAULT_SEED: &[u8] = b"stake_vault";
/// Address seed of a [`Supplier`](crate::state::Supplier).
#[constant]
pub const SUPPLIER_SEED: &[u8] = b"supplier";
/// Address seed of a [`Board`](crate::state::Board).
#[constant]
pub const BOARD_SEED: &[u8] = b"board";
/// Address seed of a board's payment vault.
#[constant]
pub const PAYMENT_VAULT_SEED: &[u8] = b"payment_vault";
/// Address seed of a [`Keeper`](crate::state::Keeper).
#[constant]
pub const KEEPER_SEED: &[u8] = b"keeper";
/// Address seed of a [`Lease`](crate::state::Lease).
#[constant]
pub const LEASE_SEED: &[u8] = b"lease";

/// Address seed of a [`ComputeLog`](crate::state::ComputeLog).
#[constant]
pub const LOG_SEED: &[u8] = b"log";
/// Address seed of a [`Demand`](crate::state::Demand).
#[constant]
pub const DEMAND_SEED: &[u8] = b"demand";

/// Most slots of a board: as many bits as fit a transaction besides the rest of a vote.
pub const MAX_SLOTS: usize = 6_144;
/// 64-bit words with one bit for each slot of a full board.
pub const WORDS: usize = MAX_SLOTS / 64;
/// Most keeper seats of a board: as many as four bit planes can count.
pub const MAX_SEATS: usize = 15;
/// Bit planes of the tally: ⌈log2(MAX_SEATS + 1)⌉.
pub const PLANES: usize = 4;
/// Closed rounds whose verdicts a board remembers.
pub const HISTORY_ROUNDS: usize = 64;
/// Hardware classes of a market.
pub const MAX_CLASSES: usize = 32;

/// Basis points of a whole.
pub const BPS: u16 = 10_000;
/// The same, to divide by.
pub const WHOLE: NonZeroU64 = NonZeroU64::new(BPS as u64).unwrap();
/// Prices are per machine and hour.
pub const SECS_PER_HOUR: u64 = 3_600;
/// The same, to divide by.
pub const HOUR: NonZeroU64 = NonZeroU64::new(SECS_PER_HOUR).unwrap();
/// Shortest round: a shorter one leaves keepers no time to probe.
pub const MIN_ROUND_SECS: u32 = 10;
/// Highest score of a machine.
pub const MAX_SCORE: u16 = 10_000;
/// Score of a newly listed machine, out of [`MAX_SCORE`].
pub const INITIAL_SCORE: u16 = 5_000;
/// Highest fee of a market, as part of what suppliers earn.
pub const MAX_FEE_BPS: u16 = 3_000;
/// Longest unbonding time of a market: 90 days.
pub const MAX_UNBONDING_SECS: u32 = 90 * 86_400;
/// Shortest and longest timelock of a market: a minute and 30 days.
pub const TIMELOCK_SECS: core::ops::RangeInclusive<u32> = 60..=30 * 86_400;

/// Most seconds of machine time that cancelling a lease costs.
pub const CANCEL_MAX_SECS: u64 = 3_600;
/// Part of the time left that cancelling a lease costs, if that is less.
pub const CANCEL_REST_BPS: u64 = 500;

/// Longest commitment of a machine, unless the market allows longer leases: 366 days.
pub const MAX_COMMITMENT_SECS: u32 = 366 * 86_400;
/// Time after a commitment's end from which anybody may retire the machine, if it is in no lease: 30 days.
pub const EVICT_AFTER_SECS: i64 = 30 * 86_400;
/// Time without a submission after which anybody may vacate a seat, two rounds at least: one day.
pub const SEAT_IDLE_SECS: i64 = 86_400;

// Deadlines in rounds; in parentheses their time if a round has ten minutes.

/// From a receipt to the round by which it must be in the log (2 h).
pub const RECORD_ROUNDS: u32 = 12;
/// From the end of a lease to the last round in which its receipts can be demanded (12 h).
pub const DEMAND_ROUNDS: u32 = 72;
/// From a demand to the round from which it can be enforced (6 h).
pub const ANSWER_ROUNDS: u32 = 36;
/// The dispute window: from the end of a lease to the round from which its machines can retire (24 h).
pub const DISPUTE_ROUNDS: u32 = 144;
/// From the round after a notice to the end of a metered lease (1 h).
pub const NOTICE_ROUNDS: u32 = 6;
/// From the end of a metered lease to its final settlement: time to redeem the last voucher (20 min).
pub const VOUCHER_ROUNDS: u32 = 2;
/// Milliseconds by which a machine's clock may be ahead of the cluster's.
pub const CLOCK_SKEW_MS: u64 = 60_000;
/// Longest URL of receipts, in bytes.
pub const MAX_SOURCE: usize = 128;
