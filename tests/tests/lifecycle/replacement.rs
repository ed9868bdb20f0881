//! Machines that fail in mid-lease, and their replacements.

use leasehold::{error::LeaseholdError, state::SlotState};
use leasehold_client::{board::BoardData, instruction, quote};
use leasehold_tests::{STAKE, Scene};
use solana_instruction::Instruction;
use solana_signer::Signer;

use crate::{attest, deposit, finish, gross, is_up, net};

const BOND: u64 = 100 * STAKE;

fn replace_instruction(scene: &Scene, slot: u16, max_deposit: u64) -> Instruction {
    let (board, key) = (scene.world.board(), scene.buyer.pubkey());
    let wallet = scene.world.market.payment_account(&key);
    instruction::replace_node(&board, key, world.lease_address(1), wallet, slot, max_deposit, None)
}

/// Replaces a machine as a quote says. Returns the deposit.
fn replace(scene: &mut Scene, slot: u16) -> u64 {
    let data = BoardData::new(&scene.world.data(&scene.world.board().address)).expect("a board");
    let view = data.view().expect("a board");
    let quote =
        quote::replacement(&view, scene.world.now(), &scene.world.lease(1), slot).expect("a replacement");
    let before = scene.world.payments_of(&scene.buyer.pubkey());
    let replace = replace_instruction(scene, slot, quote.deposit);
    scene.world.ok(&[replace], &[&scene.buyer]);
    let cost = before - scene.world.payments_of(&scene.buyer.pubkey());
    assert_eq!(cost, quote.deposit);
    assert_eq!(scene.world.slot(quote.slot).lease, 1);
    cost
}

fn forfeit(scene: &mut Scene, slot: u16) {
    crate::forfeit(&mut scene.world, &scene.supplier, &[slot]);
}

#[test]
fn a_machine_that_is_down_is_replaced_from_the_next_round_on() {
    let mut scene = Scene::leased(3, 2, 100);
    for _ in 0..9 {
        attest(&mut scene, is_up);
    }
    let early = replace_instruction(&scene, 1, u64::MAX);
    scene.world.fails(early, &[&scene.buyer], LeaseholdError::MachineNotDown);
    attest(&mut scene, |machine| machine != 1);

    // The eleventh round runs; machine 2 serves 89 of the 90 that machine 1 leaves.
    let cost = replace(&mut scene, 1);
    assert_eq!(cost, 0);
    let old = scene.world.slot(1);
    // Ten rounds were closed, nine of them up: paid for, and one down of 100 is allowed.
    assert_eq!((old.accrued, old.bond, old.lease), (net(gross(9)), BOND, 0));
    assert!(old.is(SlotState::Idle));
    let new = scene.world.slot(2);
    assert_eq!(new.lease_until - new.lease_from, 89);

    for _ in 0..90 {
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.slot(0).accrued, net(gross(100)));
    assert_eq!(scene.world.slot(1).accrued, net(gross(9)));
    assert_eq!(scene.world.slot(2).accrued, net(gross(89)));
    let lease = scene.world.lease(1);
    assert_eq!(lease.deposit, 2 * deposit(100));
    assert_eq!(lease.paid + lease.fees, gross(100) + gross(9) + gross(89));
    finish(scene, &[]);
}

#[test]
fn an_abandoned_machine_loses_its_bond_when_it_is_replaced() {
    let mut scene = Scene::leased(3, 2, 20);
    for _ in 0..4 {
        attest(&mut scene, |machine| machine != 0);
    }
    // It is up again, but stays abandoned.
    attest(&mut scene, is_up);
    replace(&mut scene, 0);
    let old = scene.world.slot(0);
    assert_eq!((old.bond, old.accrued), (0, net(gross(1))));
    assert!(old.is(SlotState::Suspended));
    assert_eq!(scene.world.lease(1).slashed, BOND);
    for _ in 0..15 {
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.lease(1).slashed, BOND);
    // Suspended until its bond is whole: no lease takes it, though it is up.
    let args = scene.world.lease_args(leasehold_tests::anything(), 3, 1);
    let open = scene.world.open_instruction(&scene.buyer, args);
    scene.world.fails(open, &[&scene.buyer], LeaseholdError::NotEnoughGpus);
    finish(scene, &[]);
}

#[test]
fn a_forfeited_machine_is_replaced_and_loses_its_bond() {
    let mut scene = Scene::leased(3, 1, 10);
    attest(&mut scene, is_up);
    forfeit(&mut scene, 0);
    replace(&mut scene, 0);
    let old = scene.world.slot(0);
    assert_eq!((old.bond, old.accrued), (0, net(gross(1))));
    for _ in 0..9 {
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    // Machine 1 served all but the first round and the round of the replacement.
    assert_eq!(scene.world.slot(1).accrued, net(gross(8)));
    finish(scene, &[]);
}

#[test]
fn a_machine_forfeited_in_mid_lease_earns_nothing_more_and_loses_its_bond_at_the_end() {
    let mut scene = Scene::leased(2, 2, 6);
    attest(&mut scene, is_up);
    attest(&mut scene, is_up);
    forfeit(&mut scene, 1);
    assert!(scene.world.slot(1).is(SlotState::Suspended));
    for _ in 0..4 {
        // It still answers, but is not paid.
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    let slot = scene.world.slot(1);
    assert_eq!((slot.accrued, slot.bond), (net(gross(2)), 0));
    assert_eq!((slot.up, slot.down), (2, 0));
    assert_eq!(scene.world.lease(1).slashed, BOND);
    finish(scene, &[]);
}

#[test]
fn a_more_expensive_machine_costs_the_owner_the_difference() {
    let mut scene = Scene::leased(2, 1, 30);
    let committed_until = scene.world.round() + 100;
    let offer = leasehold::instructions::Offer { slot: 1, price: 3 * crate::PRICE, committed_until };
    let key = scene.supplier.wallet.pubkey();
    let reprice = instruction::reprice_machines(&scene.world.board(), key, vec![offer]);
    scene.world.ok(&[reprice], &[&scene.supplier.wallet]);
    attest(&mut scene, |_| false);

    // 28 rounds at three times the price, of which 30 rounds of the old machine pay a part.
    let cost = 3 * crate::PRICE * 600 * 28 / 3_600 - deposit(30);
    let stingy = replace_instruction(&scene, 0, cost - 1);
    scene.world.fails(stingy, &[&scene.buyer], LeaseholdError::CostsTooMuch);
    assert_eq!(replace(&mut scene, 0), cost);
    assert_eq!(scene.world.lease(1).deposit, deposit(30) + cost);
    finish(scene, &[]);
}

#[test]
fn a_machine_can_come_back_into_the_lease_that_it_left() {
    let mut scene = Scene::leased(2, 1, 40);
    attest(&mut scene, |_| false);
    replace(&mut scene, 0);
    attest(&mut scene, is_up);
    attest(&mut scene, |machine| machine == 0);
    replace(&mut scene, 1);
    let slot = scene.world.slot(0);
    assert_eq!((slot.lease, slot.lease_up, slot.lease_down), (1, 0, 0));
    assert_eq!((slot.up, slot.down), (2, 1));
    for _ in 0..37 {
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    // Brought back in the fourth round, it serves the last 36.
    assert_eq!(scene.world.slot(0).accrued, net(gross(36)));
    finish(scene, &[]);
}

#[test]
fn replacing_a_machine_fails_when_no_other_fits() {
    let mut scene = Scene::leased(2, 2, 10);
    attest(&mut scene, |machine| machine == 0);
    let replace = replace_instruction(&scene, 1, u64::MAX);
    scene.world.fails(replace, &[&scene.buyer], LeaseholdError::NotEnoughGpus);
    finish(scene, &[]);
}
