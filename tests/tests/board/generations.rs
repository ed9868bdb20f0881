//! Generations: they distinguish the machines that use a slot one after another.

use bytemuck::Zeroable;
use leasehold::{
    error::LeaseholdError,
    instructions::Machine,
    state::{Board, Slot, split_mut},
};
use leasehold_tests::*;

use crate::{list, retire};

/// Lists machines, in new slots or in those named.
fn list_in(world: &mut World, supplier: &SupplierActor, slots: &[Option<u16>]) {
    let machines = slots.iter().map(|slot| Machine { slot: *slot, ..machine(9) }).collect();
    let list = list(world, supplier, machines, &[]);
    world.ok(&[list], &[&supplier.wallet]);
}

fn leave(world: &mut World, supplier: &SupplierActor, slots: &[u16]) {
    let retire = retire(world, supplier, slots);
    world.ok(&[retire], &[&supplier.wallet]);
}

fn generations(world: &World) -> Vec<u32> {
    world.with_board(|_, slots| slots.iter().map(|slot| slot.generation).collect())
}

/// Changes the board to its state after billions of listings.
fn age(world: &mut World, age: impl FnOnce(&mut Board, &mut [Slot])) {
    let address = world.board().address;
    let mut account = world.svm.get_account(&address).expect("a board");
    let (board, slots) = split_mut(&mut account.data).expect("a board");
    age(board, slots);
    world.svm.set_account(address, account).expect("any account can be changed");
}

#[test]
fn a_new_slot_has_a_later_generation_than_any_cut_off_and_a_reused_one_its_own_next() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let mallory = world.supplier();
    for _ in 0..5 {
        list_in(&mut world, &mallory, &[None]);
        leave(&mut world, &mallory, &[2]);
    }
    assert_eq!(world.with_board(|board, _| board.fresh_generation), 5);
    leave(&mut world, &supplier, &[0]);
    list_in(&mut world, &supplier, &[Some(0), None]);
    assert_eq!(generations(&world), [1, 0, 5], "the slots of others keep their generations");
    // Retiring raises the generation; new slots take the highest that was cut off.
    leave(&mut world, &supplier, &[0, 1, 2]);
    assert_eq!(world.with_board(|board, slots| (board.fresh_generation, slots.len())), (6, 0));
    list_in(&mut world, &supplier, &[None, None]);
    assert_eq!(generations(&world), [6, 6]);
    world.assert_invariants();
}

#[test]
fn retire_machines_fails_when_the_slots_generations_are_used_up() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    age(&mut world, |board, slots| (board.fresh_generation, slots[0].generation) = (u32::MAX - 1, u32::MAX));
    let last = retire(&world, &supplier, &[0]);
    world.fails(last, &[&supplier.wallet], LeaseholdError::MathOverflow);
    // Another slot has generations of its own; one that is added begins with the latest that was cut off.
    list_in(&mut world, &supplier, &[None]);
    leave(&mut world, &supplier, &[2]);
    list_in(&mut world, &supplier, &[None]);
    assert_eq!(generations(&world), [u32::MAX, 0, u32::MAX]);
    leave(&mut world, &supplier, &[1]);
    list_in(&mut world, &supplier, &[Some(1)]);
    assert_eq!(generations(&world), [u32::MAX, 1, u32::MAX]);
    world.assert_invariants();
}

#[test]
fn the_later_of_two_generations_counts() {
    let after = |fresh_generation, cut_off| {
        let mut board = Board { fresh_generation, ..Board::zeroed() };
        board.outgrow(cut_off);
        board.fresh_generation
    };
    for (fresh, cut_off, expected) in
        [(0, 0, 0), (3, 4, 4), (4, 3, 4), (u32::MAX, 0, u32::MAX), (5, u32::MAX, u32::MAX)]
    {
        assert_eq!(after(fresh, cut_off), expected, "{fresh}, {cut_off}");
    }
}
