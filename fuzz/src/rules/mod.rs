//! Target `rules`: people act on a small board, and every invariant holds after each step.

mod actions;
mod checks;
mod drain;
mod world;

use crate::input::Input;
use checks::Memory;
use drain::Totals;
use world::World;

/// Most actions of one run.
const ACTIONS: usize = 200;

/// Plays the actions that the bytes stand for twice: once with settlements where they stand, and once with more of them
/// before each step. Both come to the same.
pub fn run(data: &[u8]) {
    let lazy = play(data, false);
    let eager = play(data, true);
    assert_eq!(lazy, eager, "invariant 4: more settlements in mid-term changed what people end with");
}

fn play(data: &[u8], eager: bool) -> Totals {
    let input = &mut Input::new(data);
    let mut world = World::new(input);
    let vacant = input.u8();
    for seat in (0..world.board.seat_count).filter(|seat| vacant & 7 != 1 || *seat > 0) {
        world.seat(seat.into(), seat).expect("a free seat");
    }
    for _ in 0..input.u8() % 7 {
        // A refused one is none.
        let before = world.clone();
        if world.list(input).is_err() {
            world = before;
        }
    }
    let mut memory = Memory::default();
    for _ in 0..ACTIONS {
        if input.is_empty() {
            break;
        }
        if eager {
            world.settle_what_runs();
        }
        world.act(input);
        world.check(&mut memory);
    }
    world.drain(&mut memory)
}
