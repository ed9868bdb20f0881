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
/// Address seed of the [`Profiles`](crate::state::Profiles) of a supplier.
#[constant]
pub const PROFILES_SEED: &[u8] = b"profiles";
/// Address seed of a [`PriceIndex`](crate::state::PriceIndex).
#[constant]
pub const INDEX_SEED: &[u8] = b"index";
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
/// Prices are per GPU and hour.
pub const SECS_PER_HOUR: u64 = 3_600;
/// The same, to divide by.
pub const HOUR: NonZeroU64 = NonZeroU64::new(SECS_PER_HOUR).unwrap();
/// Shortest and longest round: a shorter one leaves keepers no time to probe.
pub const ROUND_SECS: core::ops::RangeInclusive<u32> = 10..=3_600;
/// Rounds shorter than this are for test markets.
pub const TEST_ROUND_SECS: u32 = 60;
/// Highest score of a machine.
pub const MAX_SCORE: u16 = 10_000;
/// Score of a newly listed machine, out of [`MAX_SCORE`].
pub const INITIAL_SCORE: u16 = 5_000;
/// Highest fee of a market, as part of what suppliers earn.
pub const MAX_FEE_BPS: u16 = 3_000;
/// Shortest and longest unbonding time of a market: the dispute window and 90 days.
pub const UNBONDING_SECS: core::ops::RangeInclusive<u32> = DISPUTE_SECS..=90 * 86_400;
/// Shortest and longest timelock of a market: twice the dispute window and 30 days.
pub const TIMELOCK_SECS: core::ops::RangeInclusive<u32> = 2 * DISPUTE_SECS..=30 * 86_400;
/// Seconds after the end of its timelock until which proposed parameters can be applied: 14 days.
pub const PROPOSAL_SECS: i64 = 14 * 86_400;
/// Longest lease of a market, and longest commitment of a machine: 366 days.
pub const MAX_LEASE_SECS: u32 = 366 * 86_400;
/// Least and most of a payment that may be kept back until the end of a lease, in basis points.
pub const HOLD_BPS: core::ops::RangeInclusive<u16> = 1_000..=5_000;
/// Least and most standby price of a metered lease, as part of the hourly price, in basis points.
pub const STANDBY_BPS: core::ops::RangeInclusive<u16> = 100..=10_000;
/// Least and most slash multiplier, in basis points.
pub const MULTIPLIER_BPS: core::ops::RangeInclusive<u32> = 1_000..=100_000;
/// Least and most lamports that a demand costs its asker: at least ten times the fees of an answer's two transactions.
pub const ASK_FEE: core::ops::RangeInclusive<u64> = 100_000..=1_000_000_000;
/// Least and most weight of a hardware class, in basis points.
pub const WEIGHT_BPS: core::ops::RangeInclusive<u32> = 1..=10_000_000;

/// Pay for this time up, the first of a lease, is kept back until its end: two hours.
pub const GRACE_SECS: u64 = 7_200;
/// Shortest time that a slash is measured against: three days.
pub const SLASH_SECS: u32 = 3 * 86_400;
/// Time whose allowance a machine must exceed before it is abandoned, and the longest that one is bound: a week.
pub const WEEK_SECS: u32 = 7 * 86_400;
/// A machine is blameless only if it was not down in this time before it left: an hour.
pub const BLAME_SECS: u32 = 3_600;
/// Part of the time left that leaving a lease costs, in basis points.
pub const EXIT_REST_BPS: u64 = 500;
/// Least and most seconds of machine time that this part is capped at: the cap grows by an hour for each day that the lease
/// is longer than [`EXIT_FREE_SECS`].
pub const EXIT_CAP_SECS: (u64, u64) = (3_600, 86_400);
/// Length of a lease up to which leaving it costs an hour at most: 144 hours.
pub const EXIT_FREE_SECS: u64 = 144 * 3_600;
/// A machine can be leased if it was up in the last quorate round, and that ended at most three rounds or this time ago,
/// whichever is longer: two minutes.
pub const SEEN_SECS: i64 = 120;
/// Slots that a request may exclude.
pub const MAX_AVOID: usize = 16;
/// Profiles of a supplier.
pub const MAX_PROFILES: usize = 64;
/// Days that a price index remembers.
pub const INDEX_DAYS: usize = 64;
/// Seconds of a Unix day.
pub const DAY_SECS: i64 = 86_400;
/// Shortest time between two records of a price index: half a day. Without it, whoever records just before midnight and just
/// after it would have a day's average to itself.
pub const INDEX_REST_SECS: i64 = 43_200;
/// A keeper pool holds pay of the highest fee for this time at most; the rest is burned: four weeks.
pub const POOL_SECS: u32 = 28 * 86_400;
/// A seat whose keeper has not voted for this time can be vacated although its fees are not claimed; they go to the pool:
/// 30 days.
pub const SEAT_ABANDONED_SECS: i64 = 30 * 86_400;
/// Time after a commitment's end from which anybody may retire the machine, if it is in no lease: 30 days.
pub const EVICT_AFTER_SECS: i64 = 30 * 86_400;
/// Time without a submission after which anybody may vacate a seat, two rounds at least: one day.
pub const SEAT_IDLE_SECS: i64 = 86_400;

// Windows in seconds; turned into rounds, rounded up, when they are used.

/// From a receipt to the round by which it must be in the log: 2 hours.
pub const RECORD_SECS: u32 = 2 * 3_600;
/// From the end of a lease to the last round in which its receipts can be demanded: 12 hours.
pub const DEMAND_SECS: u32 = 12 * 3_600;
/// From a demand to its end, from which it can be enforced: 6 hours.
pub const ANSWER_SECS: u32 = 6 * 3_600;
/// The dispute window: from the end of a lease to the round from which its machines can retire: 24 hours.
pub const DISPUTE_SECS: u32 = 24 * 3_600;
/// From the round after a notice to the end of a metered lease, and the shortest time that its owner pays for: 1 hour.
pub const NOTICE_SECS: u32 = 3_600;
/// From the end of a metered lease to its final settlement, time to redeem the last voucher: 20 minutes.
pub const VOUCHER_SECS: u32 = 1_200;
/// Milliseconds by which a machine's clock may be ahead of the cluster's.
pub const CLOCK_SKEW_MS: u64 = 60_000;
/// Longest URL of receipts, in bytes.
pub const MAX_SOURCE: usize = 128;
