//! Votes, and whole rounds.

use leasehold_tests::model::{Action, KEEPERS, Model, Program};

use crate::{
    picks::{board_of, holder, seat_of, someone},
    play::Play,
    steps::Pick,
};

pub fn bitmap(machines: usize, is_up: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut bytes = vec![0; machines.div_ceil(8)];
    for machine in (0..machines).filter(|machine| is_up(*machine)) {
        bytes[machine / 8] |= 1 << (machine % 8);
    }
    bytes
}

pub fn vote(
    model: &Model,
    board: Pick,
    seat: Pick,
    by: Pick,
    when: Pick,
    down: u32,
    flaw: Pick,
) -> Option<Action> {
    let (board, seat) = (board_of(model, board), seat_of(model, seat));
    let keeper = holder(model, board, seat).unwrap_or(KEEPERS[0]);
    let running = model.round(board);
    let round = match when {
        0 => running - 1,
        1..80 => running,
        _ => running - 2,
    };
    let machines = model.boards.get(&board).map_or(0, |state| state.size_at(running));
    let mut bitmap = bitmap(machines, |machine| down >> (machine % 32) & 1 == 0);
    match flaw % 3 {
        _ if flaw == 0 => {}
        0 => drop(bitmap.pop()),
        1 => bitmap.push(0),
        _ => {
            if let Some(last) = bitmap.last_mut() {
                *last |= 0x80;
            }
        }
    }
    Some(Action::SubmitRound { by: someone(by, keeper), board, seat, round, bitmap })
}

/// Ends rounds, votes on each as the step says, and closes them.
pub fn attest(
    play: &mut Play<impl Program>,
    board: Pick,
    rounds: u8,
    absent: u8,
    down: u32,
    dissent: u8,
) -> Result<(), String> {
    let board = board_of(&play.model, board);
    for _ in 0..rounds {
        let Some(state) = play.model.boards.get(&board) else { return Ok(()) };
        let seats = state.seats.clone();
        play.pass_to(play.model.round_end(board, play.model.round(board)));
        if play.model.boards[&board].voting.is_some() {
            // An earlier round with a vote must be closed first.
            play.act(Action::CloseRound { board })?.ok();
        }
        let running = play.model.round(board);
        let (round, size) = (running - 1, play.model.boards[&board].size_at(running));
        for (seat, held) in (0u8..).zip(seats) {
            let Some(held) = held.filter(|_| absent >> seat & 1 == 0) else { continue };
            let inverts = dissent >> seat & 1 == 1;
            let bitmap = bitmap(size, |machine| (down >> (machine % 32) & 1 == 0) != inverts);
            play.act(Action::SubmitRound { by: held.keeper, board, seat, round, bitmap })?.ok();
        }
        if absent > 0 {
            play.pass_to(play.model.submit_end(board, round) + 1);
        }
        play.act(Action::CloseRound { board })?.ok();
    }
    Ok(())
}

/// Ends a round of the first board; all keepers see the machines up but for those in the slots `down`, and it is closed.
pub fn attest_slots(play: &mut Play<impl Program>, down: &[u32]) {
    let down = down.iter().fold(0, |down, slot| down | 1 << slot);
    attest(play, 0, 1, 0, down, 0).expect("the model agrees");
}
