//! Plans settling leases, and ending those whose deposit is used up.

use leasehold::state::Params;
use solana_pubkey::Pubkey;

use super::{Action, Planner};
use crate::snapshot::{BoardSnapshot, LeaseSnapshot};

/// Leases settled on one board at a time: each writes the board, so that more would only queue.
const SETTLING: usize = 4;
/// A running lease is settled for the keeper pool once a machine has this much unpaid time up, in seconds: an hour.
const UNPAID_SECS: u32 = 3_600;

/// Leases with their serials.
fn leases(board: &BoardSnapshot) -> impl Iterator<Item = (u32, LeaseSnapshot)> {
    board.fleet.iter().flat_map(|fleet| &fleet.leases).map(|(serial, lease)| (*serial, *lease))
}

/// Leases that a settlement would pay or end: by serial, with their address and whether machines can be settled for good.
/// Those that run are settled only while the keeper pool is low, since each settlement pays a part of its fee into it.
pub(super) fn payable_leases(
    board: &BoardSnapshot,
    params: &Params,
) -> impl Iterator<Item = (u32, Pubkey, bool)> {
    let next_round = board.header.next_round;
    let (is_poor, hour) = (board.is_poor(params), board.header.rounds_in(UNPAID_SECS));
    leases(board).filter_map(move |(serial, lease)| {
        let is_due = next_round >= lease.due_from;
        let fills = is_poor && lease.keepers_part > 0 && lease.unpaid >= hour;
        (is_due || fills).then_some((serial, lease.address, is_due))
    })
}

/// True if a lease has machines that can be settled for good once the rounds before `next` are closed, and not before.
pub(super) fn waits_for(board: &BoardSnapshot, next: u32) -> bool {
    leases(board).any(|(_, lease)| (board.header.next_round + 1..=next).contains(&lease.due_from))
}

/// Metered leases that anybody may end, by serial, with their address.
pub(super) fn closing_leases(board: &BoardSnapshot) -> impl Iterator<Item = (u32, Pubkey)> {
    leases(board).filter(|(_, lease)| lease.is_short).map(|(serial, lease)| (serial, lease.address))
}

impl Planner<'_> {
    pub(super) fn settle_leases(&mut self, board: &BoardSnapshot, seat: Option<u8>) {
        let mut payable: Vec<_> = payable_leases(board, &self.snapshot.params).collect();
        payable.sort_by_key(|(serial, _, is_due)| (!is_due, *serial));
        for (serial, lease, is_due) in payable.into_iter().take(SETTLING) {
            let action = Action::SettleLease { board: board.board, serial, lease, is_due };
            self.propose_in_turn(action, board, seat, serial);
        }
    }

    /// Plans to end metered leases whose deposit does not cover the next hour's standby price.
    pub(super) fn end_leases(&mut self, board: &BoardSnapshot, seat: Option<u8>) {
        for (serial, lease) in closing_leases(board).take(SETTLING) {
            self.propose_in_turn(
                Action::GiveNotice { board: board.board, serial, lease },
                board,
                seat,
                serial,
            );
        }
    }
}
