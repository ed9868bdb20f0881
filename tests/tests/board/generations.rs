//! Generations, which tell the machines of a slot apart: what a node signed for one says nothing of another.

use bytemuck::Zeroable;
use leasehold::{
    instructions::Machine,
    state::{Board, Slot, split_mut},
};
use leasehold_tests::*;

use crate::{list, retire};

/// Lists machines, in new slots or in those named.
fn come(world: &mut World, supplier: &SupplierActor, slots: &[Option<u16>]) {
    let machines = slots.iter().map(|slot| Machine { slot: *slot, ..machine(9) }).collect();
    let list = list(world, supplier, machines, &[]);
    world.ok(&[list], &[&supplier.wallet]);
}

fn go(world: &mut World, supplier: &SupplierActor, slots: &[u16]) {
    let retire = retire(world, supplier, slots);
    world.ok(&[retire], &[&supplier.wallet]);
}

fn generations(world: &World) -> Vec<u16> {
    world.with_board(|_, slots| slots.iter().map(|slot| slot.generation).collect())
}

/// The board as tens of thousands of comings and goings would leave it.
fn age(world: &mut World, age: impl FnOnce(&mut Board, &mut [Slot])) {
    let address = world.board().address;
    let mut account = world.svm.get_account(&address).expect("a board");
    let (board, slots) = split_mut(&mut account.data).expect("a board");
    age(board, slots);
    world.svm.set_account(address, account).expect("any account can be changed");
}

#[test]
fn a_new_slot_is_younger_than_any_that_was_cut_off_and_a_used_one_has_its_own_age() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let mallory = world.supplier();
    for _ in 0..5 {
        come(&mut world, &mallory, &[None]);
        go(&mut world, &mallory, &[2]);
    }
    assert_eq!(world.with_board(|board, _| board.fresh_generation), 5);
    go(&mut world, &supplier, &[0]);
    come(&mut world, &supplier, &[Some(0), None]);
    assert_eq!(generations(&world), [1, 0, 5], "nobody ages the slots of others");
    // A slot that is cut off was used for the last time with its generation before.
    go(&mut world, &supplier, &[0, 1, 2]);
    assert_eq!(world.with_board(|board, slots| (board.fresh_generation, slots.len())), (6, 0));
    come(&mut world, &supplier, &[None, None]);
    assert_eq!(generations(&world), [6, 6]);
    world.assert_invariants();
}

#[test]
fn generations_that_are_used_up_begin_anew() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let mallory = world.supplier();
    age(&mut world, |board, slots| (board.fresh_generation, slots[0].generation) = (u16::MAX - 1, u16::MAX));
    for fresh in [u16::MAX - 1, u16::MAX, 0, 1] {
        come(&mut world, &mallory, &[None, None]);
        assert_eq!(generations(&world)[2..], [fresh; 2]);
        go(&mut world, &mallory, &[3, 2]);
        assert_eq!(
            world.with_board(|board, slots| (board.fresh_generation, slots.len())),
            (fresh.wrapping_add(1), 2)
        );
        world.assert_invariants();
    }
    go(&mut world, &supplier, &[0]);
    come(&mut world, &supplier, &[Some(0)]);
    assert_eq!(generations(&world), [0, 0]);
    world.assert_invariants();
}

/// Of two generations that one is the later which the other reaches in fewer steps.
#[test]
fn the_later_of_two_generations_counts() {
    let after = |fresh_generation, cut_off| {
        let mut board = Board { fresh_generation, ..Board::zeroed() };
        board.outgrow(cut_off);
        board.fresh_generation
    };
    for (fresh, cut_off, expected) in [
        (0, 0, 0),
        (3, 4, 4),
        (4, 3, 4),
        (0, 32_767, 32_767),
        (0, 32_768, 0),
        (u16::MAX, 0, 0),
        (u16::MAX, 5, 5),
        (5, u16::MAX, 5),
        (0, u16::MAX, 0),
    ] {
        assert_eq!(after(fresh, cut_off), expected, "{fresh}, {cut_off}");
    }
}
