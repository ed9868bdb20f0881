//! What an authority, or a buyer of long leases, could do to suppliers.

use leasehold::{
    error::LeaseholdError,
    instructions::Offer,
    state::{Params, SlotState, Supplier},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{Before, gross, less, net};

/// Puts parameters in force, after their timelock.
fn enforce(world: &mut World, params: Params) {
    let authority = world.authority.insecure_clone();
    let propose = instruction::propose_params(&world.market, authority.pubkey(), Some(params));
    world.ok(&[propose], &[&authority]);
    world.pass(i64::from(TIMELOCK));
    world.ok(&[instruction::apply_params(&world.market)], &[&authority]);
}

#[test]
fn attack_raised_bond_traps_idle_machines() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(3, 1, 900);
    let wallet = supplier.wallet.insecure_clone();
    let before = Before::new(&world, &[&wallet]);
    enforce(&mut world, Params { bond_unit: 1_000_000 * STAKE, ..params() });
    let (board, key) = (world.board(), wallet.pubkey());
    // An idle machine keeps its bond; whoever can't bond more withholds it, at once, and leaves with all of it.
    let offer = Offer { slot: 1, price: 1, committed_until: world.round() + 9, bond: 0 };
    let offer = instruction::reprice_machines(&board, key, vec![offer]);
    world.ok(&[instruction::withhold_machines(&board, key, vec![1, 2])], &[&wallet]);
    let retire = |machines| instruction::retire_machines(&board, key, supplier.account, machines);
    world.ok(&[retire(vec![2])], &[&wallet]);
    assert_eq!(world.slot(1).bond, 100 * STAKE);
    let unstake = {
        let free = world.account::<Supplier>(&supplier.account).stake.free;
        instruction::request_unstake(&world.market, key, free)
    };
    world.ok(&[unstake], &[&wallet]);
    world.fails(offer, &[&wallet], LeaseholdError::InsufficientStake);
    // The leased one serves its lease on the old bond, and is free after it.
    let cancel = world.cancel_instruction(&buyer, 1, &[]);
    world.ok(&[cancel], &[&buyer]);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    world.ok(&[instruction::withhold_machines(&board, key, vec![0])], &[&wallet]);
    assert!(world.slot(0).is(SlotState::Suspended));
    world.end_disputes();
    let claim = {
        let payments = world.market.payment_account(&key);
        instruction::claim_earnings(&board, key, supplier.account, payments)
    };
    world.ok(&[claim, retire(vec![0, 1])], &[&wallet]);
    // One round up of a lease of six days, most of which was void, and an hour for being left.
    assert_eq!(before.gains(&world), [(net(gross(1) + 350_000), 0)]);
    assert_eq!(world.with_board(|board, slots| (board.machines, slots.len())), (0, 0));
}

/// Machines name their class by its index: another name would turn a cheap machine into a dear one.
#[test]
fn attack_class_renamed() {
    let Scene { mut world, supplier, .. } = Scene::listed(1);
    let authority = world.authority.insecure_clone();
    let before = Before::new(&world, &[&supplier.wallet]);
    let refuses = |world: &mut World, change: fn(&mut Params), error: LeaseholdError| {
        let mut params = params();
        change(&mut params);
        let propose = instruction::propose_params(&world.market, authority.pubkey(), Some(params));
        world.fails(propose, &[&authority], error);
    };
    refuses(&mut world, |params| params.classes[0].name[0] = b'S', LeaseholdError::ClassRenamed);
    refuses(&mut world, |params| params.classes[2].name[15] = b' ', LeaseholdError::ClassRenamed);
    refuses(&mut world, |params| params.classes.swap(0, 2), LeaseholdError::ClassRenamed);
    refuses(&mut world, |params| params.classes.truncate(2), LeaseholdError::ClassDropped);
    // Another weight is allowed, and changes no bond that is there.
    let mut heavier = params();
    heavier.classes[0].weight_bps *= 10;
    enforce(&mut world, heavier);
    assert_eq!((world.slot(0).bond, before.gains(&world)), (100 * STAKE, vec![(0, 0)]));
}

/// A deposit of an hour's standby price for a lease of the longest term takes a machine off the market for an hour, not for
/// weeks.
#[test]
fn attack_deposit_that_blocks_a_machine_for_weeks() {
    let mut scene = Scene::listed(0);
    scene.world.list(&scene.supplier, 10_000, &[signing_machine(0)]);
    let (supplier, mallory) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &mallory]);
    scene.world.open_metered(&mallory, 35_000, params().max_rounds);
    scene.world.end_round();
    scene.world.attest(&scene.keepers, |_| true);
    // The deposit does not cover the next hour: anybody ends the lease with its first hour.
    let (board, lease) = (scene.world.board(), scene.world.lease_address(1));
    let notice = instruction::give_notice(&board, supplier.pubkey(), lease, None);
    scene.world.ok(&[notice], &[&supplier]);
    assert_eq!(scene.world.lease(1).until, scene.world.lease(1).from + 6);
    for _ in 0..7 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    scene.world.settle(&supplier, 1);
    assert!(scene.world.slot(0).is(SlotState::Idle));
    // Whoever opened it pays for the hour, and the machine serves it.
    assert_eq!(before.gains(&scene.world), [(net(35_000), 0), (less(35_000), 0)]);
}

/// However large the deposit: while no voucher comes, the supplier ends the lease with the running round.
#[test]
fn attack_large_deposit_that_is_never_used() {
    let mut scene = Scene::listed(0);
    scene.world.list(&scene.supplier, 10_000, &[signing_machine(0)]);
    let (supplier, mallory) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &mallory]);
    scene.world.open_metered(&mallory, 1_000 * USD, params().max_rounds);
    scene.world.end_round();
    for _ in 0..2 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    let (board, lease) = (scene.world.board(), scene.world.lease_address(1));
    let notice = instruction::give_notice(&board, supplier.pubkey(), lease, Some(scene.supplier.account));
    scene.world.ok(&[notice], &[&supplier]);
    for _ in 0..3 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    scene.world.settle(&supplier, 1);
    let paid = 35_000 * 1_800 / 3_600;
    assert_eq!(before.gains(&scene.world), [(net(paid), 0), (less(paid), 0)]);
}
