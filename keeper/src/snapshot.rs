//! The chain as the keeper plans by it; everything is read by [`Reader`].

mod fleet;
mod leases;
mod limits;
mod reader;
mod slots;

pub use fleet::{DemandSnapshot, Fleet, LeaseAccount, LeaseSnapshot};
pub use limits::Limits;
pub use reader::{ReadError, Reader};

use std::sync::Arc;

use leasehold::{
    rules::round::fee_per_vote,
    state::{Board, Keeper, Params},
};
use leasehold_client::{BoardRef, MarketRef, board::BoardView};
use solana_pubkey::Pubkey;

/// Seconds of a day.
pub(crate) const DAY_SECS: u32 = 86_400;

/// A keeper's view of the chain, read at one time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Unix time of the cluster in milliseconds, never ahead of it.
    pub now_ms: i64,
    /// The keeper's wallet.
    pub me: Pubkey,
    pub market: MarketRef,
    /// Governs the market.
    pub authority: Pubkey,
    /// Length of the market's rounds in seconds; it never changes.
    pub round_secs: u32,
    /// Parameters in force.
    pub params: Params,
    /// The keeper's account; `None` if it has none.
    pub keeper: Option<Keeper>,
    /// Lamports of the keeper's wallet.
    pub lamports: u64,
    /// Stake units in the wallet's associated token account.
    pub stake: u64,
    /// Number of the market's next board.
    pub next_board: u32,
    pub boards: Vec<BoardSnapshot>,
    /// Numbers of boards that were asked for and don't exist.
    pub missing: Vec<u32>,
}

/// A board.
#[derive(Clone, Debug)]
pub struct BoardSnapshot {
    pub board: BoardRef,
    pub header: Box<Board>,
    /// Its slots; `None` if the keeper does not work on the board or they could not be read.
    pub fleet: Option<Arc<Fleet>>,
}

impl BoardSnapshot {
    /// The header, without slots.
    pub fn view(&self) -> BoardView<'_> {
        BoardView { header: &self.header, slots: &[] }
    }

    /// The round that runs at Unix time `now`; 0 before the first.
    pub fn round_at(&self, now: i64) -> u32 {
        round_at(&self.header, now)
    }

    /// True if the keeper pool does not hold a day's pay of all seats, or pays nothing although the market's parameters
    /// allow a fee.
    pub fn is_poor(&self, params: &Params) -> bool {
        let header = &self.header;
        let fee = fee_per_vote(header, params);
        let votes = u64::from(header.seat_count).saturating_mul(u64::from(header.rounds_in(DAY_SECS)));
        // A pool that is nearly empty pays less than the least fee.
        let day = fee.max(params.keeper_fee).saturating_mul(votes);
        header.ledger.keeper_pool < day || (fee == 0 && params.keeper_fee_max > 0)
    }

    /// The seat that a wallet holds.
    pub fn seat_of(&self, keeper: &Pubkey) -> Option<u8> {
        self.view().seat_of(keeper).map(|(index, _)| index)
    }
}

/// The round that runs on a board at Unix time `now`; 0 before the first.
pub(crate) fn round_at(board: &Board, now: i64) -> u32 {
    board.round_at(now).unwrap_or_default()
}

/// A board's slots are read again when this changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FleetKey {
    round: u32,
    /// First round not closed, and serial of the next lease; `None` while there are no leases.
    leases: Option<(u32, u32)>,
    /// Payment units that machines earned and did not claim; `None` unless running leases are settled.
    accrued: Option<u64>,
}

impl FleetKey {
    /// `is_poor`: running leases are settled to fill the keeper pool.
    fn of(header: &Board, round: u32, is_poor: bool) -> Self {
        let leases = (header.leases > 0).then_some((header.next_round, header.next_serial));
        let accrued = is_poor.then_some(header.ledger.accrued).filter(|_| leases.is_some());
        Self { round, leases, accrued }
    }
}
