//! Machines that fit a request.

use leasehold::state::Slot;

use super::request::{Request, avoided};
use crate::{board::BoardView, quote::Moment};

/// Number of GPUs of all machines that fit, on all boards.
pub fn gpus(boards: &[BoardView], now: i64, request: &Request) -> u32 {
    let gpus = fitting(boards, now, request).map(|slot| u64::from(slot.traits.gpus)).sum::<u64>();
    u32::try_from(gpus).unwrap_or(u32::MAX)
}

/// Machines of all boards that fit.
pub fn fitting<'a>(
    boards: &'a [BoardView<'a>],
    now: i64,
    request: &'a Request,
) -> impl Iterator<Item = &'a Slot> {
    let moment = move |board: &BoardView| {
        let rounds = request.length.rounds(board.header.round_secs).ok()?;
        Moment::new(board, now, rounds).ok()
    };
    let boards = boards.iter().filter_map(move |board| Some((board, moment(board)?)));
    boards.flat_map(move |(board, moment)| {
        of_board(board, moment, request).map(|(_, slot)| slot).collect::<Vec<_>>()
    })
}

/// Machines of a board that fit, with their slots.
pub fn of_board<'a>(
    board: &BoardView<'a>,
    moment: Moment,
    request: &'a Request,
) -> impl Iterator<Item = (u16, &'a Slot)> {
    let avoid = avoided(board, &request.avoid);
    let wanted = board.indexed().filter(move |(index, _)| !avoid.contains(index));
    wanted.filter(move |(_, slot)| moment.fits(slot, &request.criteria))
}
