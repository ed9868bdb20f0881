//! Machines that fit a request.

use leasehold::{rules::open, state::Slot};

use super::request::Request;
use crate::{board::BoardView, error::Refusal, quote::fits};

/// First round after a lease of so many rounds that is opened at `now`: `until` is exclusive.
pub fn until(board: &BoardView, now: i64, rounds: u32) -> Result<u32, Refusal> {
    Ok(open::until(board.header, now, rounds)?)
}

/// Number of machines of all boards that fit.
pub fn count(boards: &[BoardView], now: i64, request: &Request) -> u32 {
    u32::try_from(fitting(boards, now, request).count()).unwrap_or(u32::MAX)
}

/// Machines of all boards that fit.
pub fn fitting<'a>(
    boards: &'a [BoardView<'a>],
    now: i64,
    request: &'a Request,
) -> impl Iterator<Item = &'a Slot> {
    let until = move |board: &BoardView| {
        let rounds = request.length.rounds(board.header.round_secs).ok()?;
        until(board, now, rounds).ok()
    };
    let boards = boards.iter().filter_map(move |board| Some((board, until(board)?)));
    boards.flat_map(move |(board, until)| {
        board.slots.iter().filter(move |slot| fits(slot, &request.criteria, until))
    })
}
