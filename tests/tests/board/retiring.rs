//! Retiring machines.

use leasehold::{
    error::LeaseholdError,
    state::{SlotState, board_len},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{free_stake, rent_of_slot, retire};

/// Seconds after the end of its commitment from which on anybody may evict a machine.
const EVICTION: i64 = 30 * 86_400;

#[test]
fn retire_machines_ok() {
    let Scene { mut world, supplier, .. } = Scene::listed(3);
    let (board, rent) = (world.board(), world.lamports(&supplier.account));
    let middle = retire(&world, &supplier, &[1]);
    world.ok(&[middle], &[&supplier.wallet]);
    assert!(world.slot(1).is(SlotState::Vacant));
    assert_eq!(world.with_board(|board, slots| (slots.len(), board.machines)), (3, 2));
    assert_eq!(free_stake(&world, &supplier), STAKED - 200 * STAKE);
    assert_eq!(
        world.lamports(&supplier.account),
        rent,
        "the rent stays on the board until the slot is cut off"
    );

    let back = rent_of_slot(&world, 1) + rent_of_slot(&world, 2);
    let last = retire(&world, &supplier, &[2]);
    world.ok(&[last], &[&supplier.wallet]);
    assert_eq!(world.data(&board.address).len(), board_len(1), "both vacant slots are cut off");
    assert_eq!(world.lamports(&supplier.account) - rent, back);
    assert_eq!(world.with_board(|board, _| (board.machines, board.ledger.bonds)), (1, 100 * STAKE));
    world.assert_invariants();
}

#[test]
fn retire_machines_fails_when_the_slot_is_empty_or_another_suppliers() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let other = world.supplier();
    let mut refuses = |who: &SupplierActor, machines: &[u16], error: LeaseholdError| {
        let retire = retire(&world, who, machines);
        world.fails(retire, &[&who.wallet], error);
    };
    refuses(&supplier, &[], LeaseholdError::NoMachines);
    refuses(&supplier, &[2], LeaseholdError::NoSuchSlot);
    refuses(&supplier, &[0, 0], LeaseholdError::SlotVacant);
    refuses(&other, &[0], LeaseholdError::WrongSupplier);
}

#[test]
fn retire_machines_fails_while_the_lease_is_not_settled() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(1, 1, 1);
    let retire = retire(&world, &supplier, &[0]);
    world.fails(retire.clone(), &[&supplier.wallet], LeaseholdError::MachineLeased);
    world.attest(&keepers, |_| true);
    world.fails(retire.clone(), &[&supplier.wallet], LeaseholdError::MachineLeased);
    // It kept its promise: after the settlement it leaves with its bond.
    world.settle(&buyer, 1);
    world.pay_supplier(&supplier);
    assert_eq!(free_stake(&world, &supplier), STAKED);
    world.assert_invariants();
}

#[test]
fn retire_machines_fails_when_earnings_are_not_claimed() {
    let Scene { mut world, supplier, .. } = Scene::slashed();
    let retire = retire(&world, &supplier, &[0]);
    world.fails(retire, &[&supplier.wallet], LeaseholdError::EarningsLeft);
}

#[test]
fn retire_machines_lets_anybody_evict_a_machine_30_days_after_its_commitment() {
    let Scene { mut world, supplier, .. } = Scene::listed(1);
    let stranger = world.wallet();
    let end = i64::from(world.slot(0).committed_until) * 600;
    let evict = instruction::retire_machines(&world.board(), stranger.pubkey(), supplier.account, vec![0]);
    world.fails(evict.clone(), &[&stranger], LeaseholdError::EvictionTooEarly);
    world.set_time(end + EVICTION);
    world.fails(evict.clone(), &[&stranger], LeaseholdError::EvictionTooEarly);
    world.pass(1);
    world.ok(&[evict], &[&stranger]);
    assert_eq!(free_stake(&world, &supplier), STAKED, "with its whole bond");
    world.assert_invariants();
}

#[test]
fn retire_machines_never_lets_a_stranger_take_a_leased_machine() {
    let Scene { mut world, supplier, .. } = Scene::leased(1, 1, 2);
    let stranger = world.wallet();
    let evict = instruction::retire_machines(&world.board(), stranger.pubkey(), supplier.account, vec![0]);
    let end = i64::from(world.slot(0).committed_until) * 600;
    world.fails(evict.clone(), &[&stranger], LeaseholdError::EvictionTooEarly);
    world.set_time(end + 2 * EVICTION);
    world.fails(evict, &[&stranger], LeaseholdError::MachineLeased);
}

#[test]
fn retire_machines_fails_in_the_dispute_window_of_the_last_lease() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(4, 4, 2);
    world.forfeit(&supplier, &[3]);
    for _ in 0..2 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    let key = supplier.wallet.pubkey();
    let wallet = world.market.payment_account(&key);
    let claim = instruction::claim_earnings(&world.board(), key, supplier.account, wallet);
    world.ok(&[claim], &[&supplier.wallet]);
    let disputable = i64::from(world.slot(0).lease_until + 144) * 600;
    let retire = |world: &World, machine| retire(world, &supplier, &[machine]);
    let early = retire(&world, 0);
    world.fails(early, &[&supplier.wallet], LeaseholdError::DisputesOpen);
    // A machine without a bond has nothing to lose.
    let bare = retire(&world, 3);
    world.ok(&[bare], &[&supplier.wallet]);
    world.set_time(disputable - 1);
    let early = retire(&world, 1);
    world.fails(early, &[&supplier.wallet], LeaseholdError::DisputesOpen);
    // Every lease has a dispute window of its own.
    world.open(&buyer, anything(), 1, 1);
    world.set_time(disputable);
    let late = retire(&world, 1);
    world.ok(&[late], &[&supplier.wallet]);
    world.assert_invariants();
    world.end_round();
    world.end_round();
    world.pass(301);
    world.ok(&[instruction::close_round(&world.board())], &[&buyer]);
    world.settle(&buyer, 2);
    let again = retire(&world, 0);
    world.fails(again, &[&supplier.wallet], LeaseholdError::DisputesOpen);
    world.end_disputes();
    let again = retire(&world, 0);
    world.ok(&[again], &[&supplier.wallet]);
    world.assert_invariants();
}
