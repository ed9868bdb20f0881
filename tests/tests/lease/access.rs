//! Whose SSH key is let into the machines of a lease.

use leasehold::{
    error::LeaseholdError,
    events::{AccessSet, LeaseTransferred},
    instructions::OpenLeaseArgs,
    state::{Lease, LeaseState},
};
use leasehold_client::instruction;
use leasehold_tests::{record::events, *};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{cancel, cost, lease_address};

/// Fingerprints of two keys.
const ONE: Option<[u8; 32]> = Some([1; 32]);
const TWO: Option<[u8; 32]> = Some([2; 32]);

/// Key, access epoch and data epoch of lease 1.
fn rights(world: &World) -> (Option<[u8; 32]>, u32, u32) {
    let Lease { access, access_epoch, data_epoch, .. } = world.lease(1);
    (access, access_epoch, data_epoch)
}

fn set(world: &World, owner: &Keypair, access: Option<[u8; 32]>, wipe: bool) -> Instruction {
    instruction::set_access(owner.pubkey(), lease_address(world), access, wipe)
}

fn transfer(world: &World, owner: &Keypair, to: &Keypair) -> Instruction {
    instruction::transfer_lease(owner.pubkey(), lease_address(world), to.pubkey())
}

/// A lease of a machine for two rounds whose first runs, opened with the first key.
fn leased() -> Scene {
    let mut scene = Scene::listed(2);
    let args = OpenLeaseArgs { access: ONE, ..scene.world.lease_args(&scene.buyer, anything(), 1, 2) };
    let open = scene.world.open_instruction(&scene.buyer, args);
    scene.world.ok(&[open], &[&scene.buyer]);
    scene.world.end_round();
    scene
}

#[test]
fn open_lease_ok_with_a_key_and_without() {
    let scene = leased();
    assert_eq!(rights(&scene.world), (ONE, 0, 0));
    assert_eq!(rights(&Scene::leased(1, 1, 2).world), (None, 0, 0));
    scene.world.assert_invariants();
}

#[test]
fn set_access_ok() {
    let Scene { mut world, buyer, .. } = leased();
    let steps = [
        (TWO, false, (TWO, 1, 0)),
        // The same key again cuts all sessions too.
        (TWO, false, (TWO, 2, 0)),
        (None, true, (None, 3, 3)),
        (ONE, false, (ONE, 4, 3)),
        (TWO, true, (TWO, 5, 5)),
    ];
    for (access, wipe, expected) in steps {
        let before = world.lease(1);
        let set = set(&world, &buyer, access, wipe);
        let meta = world.ok(&[set], &[&buyer]);
        assert_eq!(rights(&world), expected);
        let (_, access_epoch, data_epoch) = expected;
        let event = AccessSet { lease: lease_address(&world), access, access_epoch, data_epoch };
        assert_eq!(events(&meta), [event.into()]);
        let after = world.lease(1);
        let restored = Lease {
            access: before.access,
            access_epoch: before.access_epoch,
            data_epoch: before.data_epoch,
            ..after
        };
        assert_eq!(format!("{restored:?}"), format!("{before:?}"), "nothing else changes");
        world.assert_invariants();
    }
}

/// From the moment the lease is opened to the last second of its last round, whatever else was done with it.
#[test]
fn set_access_ok_before_the_lease_begins_and_until_its_last_second() {
    let Scene { mut world, buyer, .. } = Scene::listed(1);
    world.open(&buyer, anything(), 1, 2);
    let early = set(&world, &buyer, ONE, false);
    world.ok(&[early], &[&buyer]);
    let ends = world.with_board(|board, _| board.round_end(world.lease(1).until - 1));
    world.set_time(ends - 1);
    let last = set(&world, &buyer, TWO, true);
    world.ok(&[last], &[&buyer]);
    assert_eq!(rights(&world), (TWO, 2, 2));
    world.assert_invariants();
}

#[test]
fn set_access_ok_in_the_last_round_of_a_cancelled_lease_and_while_the_market_is_paused() {
    let Scene { mut world, buyer, .. } = leased();
    let authority = world.authority.insecure_clone();
    let pause = instruction::set_paused(&world.market, authority.pubkey(), true);
    world.ok(&[pause], &[&authority]);
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    assert_eq!(world.lease(1).state, LeaseState::Cancelled);
    let set_two = set(&world, &buyer, TWO, false);
    world.ok(core::slice::from_ref(&set_two), &[&buyer]);
    world.end_round();
    world.fails(set_two, &[&buyer], LeaseholdError::LeaseOver);
    world.assert_invariants();
}

#[test]
fn set_access_ok_after_an_extension_and_a_replacement() {
    let Scene { mut world, buyer, .. } = leased();
    let allowed = leasehold::rules::extend::Allowance { max_deposit: u64::MAX, max_leaving: 0 };
    let extend = world.extend_instruction(&buyer, 1, 1, allowed);
    let replace = world.replace_instruction(&buyer, 1, replacement(0));
    world.ok(&[extend, replace], &[&buyer]);
    assert_eq!(rights(&world), (ONE, 0, 0), "whoever was let in still is");
    world.end_round();
    world.end_round();
    let set_two = set(&world, &buyer, TWO, false);
    world.ok(&[set_two], &[&buyer]);
    let lease = world.lease(1);
    assert_eq!((rights(&world), lease.replaced.len()), ((TWO, 1, 0), 1));
    world.assert_invariants();
}

#[test]
fn set_access_ok_in_a_metered_lease_by_its_owner_and_not_its_spender() {
    let mut scene = Scene::listed(0);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(0)]);
    let args = OpenLeaseArgs { access: ONE, ..scene.world.metered_args(&scene.buyer, 5 * USD, 10) };
    let open = scene.world.open_instruction(&scene.buyer, args);
    scene.world.ok(&[open], &[&scene.buyer]);
    let Scene { mut world, buyer, .. } = scene;
    let owners = set(&world, &buyer, TWO, true);
    world.ok(&[owners], &[&buyer]);
    assert_eq!(rights(&world), (TWO, 1, 1));
    let spender = Keypair::new_from_array(spender().to_bytes());
    assert_eq!(world.lease(1).meter.map(|meter| meter.spender), Some(spender.pubkey()));
    world.fund(&spender.pubkey());
    let spenders = set(&world, &spender, ONE, false);
    world.fails(spenders, &[&spender], LeaseholdError::WrongAuthority);
    world.assert_invariants();
}

#[test]
fn set_access_fails_when_the_signer_is_not_the_owner() {
    let Scene { mut world, supplier, buyer, .. } = leased();
    let stranger = world.wallet();
    for signer in [&stranger, &supplier.wallet] {
        let set = set(&world, signer, TWO, false);
        world.fails(set, &[signer], LeaseholdError::WrongAuthority);
    }
    let mut unsigned = set(&world, &buyer, TWO, false);
    unsigned.accounts[0].is_signer = false;
    world.fails(unsigned, &[&stranger], anchor_lang::error::ErrorCode::AccountNotSigner);
    assert_eq!(rights(&world), (ONE, 0, 0));
}

/// Its machines serve others by then: the key would look like a right to them.
#[test]
fn set_access_fails_when_the_lease_is_over_or_settled() {
    let Scene { mut world, keepers, buyer, .. } = leased();
    let again = set(&world, &buyer, TWO, true);
    for _ in 0..2 {
        world.attest(&keepers, |_| true);
    }
    world.fails(again.clone(), &[&buyer], LeaseholdError::LeaseOver);
    world.settle(&buyer, 1);
    world.fails(again, &[&buyer], LeaseholdError::LeaseSettled);
    assert_eq!(rights(&world), (ONE, 0, 0));
    world.assert_invariants();
}

#[test]
fn transfer_lease_lets_nobody_in_until_the_new_owner_sets_a_key() {
    let Scene { mut world, buyer, .. } = leased();
    let heir = world.wallet();
    let wipe = set(&world, &buyer, TWO, true);
    let given = transfer(&world, &buyer, &heir);
    world.ok(&[wipe], &[&buyer]);
    let meta = world.ok(&[given], &[&buyer]);
    assert_eq!((world.lease(1).owner, rights(&world)), (heir.pubkey(), (None, 2, 1)));
    let event = LeaseTransferred { lease: lease_address(&world), owner: heir.pubkey(), access_epoch: 2 };
    assert_eq!(events(&meta), [event.into()]);

    // The data are the former owner's until the new one decides.
    let mut other = world.clone();
    let (kept, wiped) = (set(&world, &heir, ONE, false), set(&world, &heir, ONE, true));
    world.ok(&[kept], &[&heir]);
    assert_eq!(rights(&world), (ONE, 3, 1));
    other.ok(&[wiped], &[&heir]);
    assert_eq!(rights(&other), (ONE, 3, 3));
    for world in [world, other] {
        world.assert_invariants();
    }
}

/// The refund of a lease that is over can be given away, and its account remembers no key.
#[test]
fn transfer_lease_ok_when_the_lease_is_settled() {
    let Scene { mut world, keepers, buyer, .. } = leased();
    let heir = world.wallet();
    for _ in 0..2 {
        world.attest(&keepers, |_| false);
    }
    world.settle(&buyer, 1);
    let given = transfer(&world, &buyer, &heir);
    world.ok(&[given], &[&buyer]);
    assert_eq!(rights(&world), (None, 1, 0));
    let late = set(&world, &heir, TWO, false);
    world.fails(late, &[&heir], LeaseholdError::LeaseSettled);
    assert_eq!(world.lease(1).refund_due, cost(2));
    world.assert_invariants();
}

/// An epoch that can't be raised refuses what it would stand for: no key is set without one.
#[test]
fn set_access_and_transfer_lease_fail_when_the_epochs_are_used_up() {
    let Scene { mut world, buyer, .. } = leased();
    let address: Pubkey = lease_address(&world);
    let mut account = world.svm.get_account(&address).expect("the lease");
    let mut data = vec![];
    anchor_lang::AccountSerialize::try_serialize(
        &Lease { access_epoch: u32::MAX, ..world.lease(1) },
        &mut data,
    )
    .expect("a vector takes every byte");
    account.data[..data.len()].copy_from_slice(&data);
    world.svm.set_account(address, account).expect("an account");
    let heir = world.wallet();
    let (set, given) = (set(&world, &buyer, TWO, true), transfer(&world, &buyer, &heir));
    for instruction in [set, given] {
        world.fails(instruction, &[&buyer], LeaseholdError::MathOverflow);
    }
    assert_eq!((world.lease(1).owner, rights(&world)), (buyer.pubkey(), (ONE, u32::MAX, 0)));
}
