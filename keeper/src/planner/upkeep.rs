//! Plans what a board needs once a day or less: demands that nobody answered, days of price indexes, and what is to be
//! burned.

use leasehold::rules::board::burnable;

use super::{Action, Planner};
use crate::snapshot::{BoardSnapshot, DAY_SECS, DemandSnapshot};

/// Demands enforced on one board at a time: each writes the board, so that more would only queue.
const ENFORCING: usize = 4;
/// Burning is worth a transaction once there has been something to burn for a day.
const BURN_AFTER_MS: i64 = DAY_SECS as i64 * 1_000;

/// Demands that can be enforced at Unix time `now`.
pub(super) fn due_demands(board: &BoardSnapshot, now: i64) -> impl Iterator<Item = DemandSnapshot> {
    let demands = board.fleet.iter().flat_map(|fleet| &fleet.demands);
    demands.filter(move |demand| now >= demand.account.due).cloned()
}

/// Hardware classes whose price index can be recorded at Unix time `now`.
pub(super) fn due_indexes(board: &BoardSnapshot, now: i64) -> impl Iterator<Item = u16> {
    let indexes = board.fleet.iter().flat_map(|fleet| &fleet.indexes);
    indexes.filter(move |(_, from)| now >= *from).map(|(class, _)| *class)
}

/// Steps that burn what a board has set aside for it.
pub(super) fn to_burn(board: &BoardSnapshot) -> impl Iterator<Item = Action> {
    let (reference, header) = (board.board, &board.header);
    let payments = burnable(header, false).ok().filter(|amount| *amount > 0);
    let slashed = Some(header.ledger.slashed).filter(|amount| *amount > 0);
    let payments = payments.map(|amount| Action::BurnPayments { board: reference, amount });
    let slashed = slashed.map(|amount| Action::BurnSlashed { board: reference, amount });
    payments.into_iter().chain(slashed)
}

impl Planner<'_> {
    /// Plans to enforce demands past their end, which pays their fee.
    pub(super) fn enforce_demands(&mut self, board: &BoardSnapshot, seat: Option<u8>) {
        let now = self.now();
        for demand in board.fleet.iter().flat_map(|fleet| &fleet.demands) {
            self.wake_at(demand.account.due);
        }
        for demand in due_demands(board, now).take(ENFORCING) {
            let [first, second, ..] = demand.address.to_bytes();
            let number = u32::from(u16::from_le_bytes([first, second]));
            self.propose_in_turn(Action::EnforceDemand { board: board.board, demand }, board, seat, number);
        }
    }

    /// Plans to record the day before in price indexes.
    pub(super) fn record_days(&mut self, board: &BoardSnapshot, seat: Option<u8>) {
        for class in due_indexes(board, self.now()) {
            let action = Action::RecordDay { board: board.board, class };
            self.propose_in_turn(action, board, seat, class.into());
        }
    }

    pub(super) fn burn(&mut self, board: &BoardSnapshot, seat: Option<u8>) {
        for action in to_burn(board) {
            self.propose_later(action, board, seat, board.board.index, BURN_AFTER_MS);
        }
    }
}
