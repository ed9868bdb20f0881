//! Access to leased machines: former owners and buyers who want to stay.

use std::collections::BTreeSet;

use leasehold::{
    error::LeaseholdError,
    instructions::OpenLeaseArgs,
    state::{Lease, LeaseState},
};
use leasehold_client::{access::host_alias, instruction};
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Fingerprints of the attacker's key and of the victim's.
const THIEF: Option<[u8; 32]> = Some([0xbd; 32]);
const VICTIM: Option<[u8; 32]> = Some([0x11; 32]);

fn set(owner: &Keypair, lease: Pubkey, access: Option<[u8; 32]>, wipe: bool) -> Instruction {
    instruction::set_access(owner.pubkey(), lease, access, wipe)
}

fn transfer(owner: &Keypair, lease: Pubkey, to: &Keypair) -> Instruction {
    instruction::transfer_lease(owner.pubkey(), lease, to.pubkey())
}

/// The key of a lease, and its epochs.
fn rights(world: &World) -> (Option<[u8; 32]>, u32, u32) {
    let Lease { access, access_epoch, data_epoch, .. } = world.lease(1);
    (access, access_epoch, data_epoch)
}

/// Lease 1, its owner, and whom it is sold to.
fn sale() -> (World, Pubkey, Keypair, Keypair) {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 9);
    let victim = world.wallet();
    let lease = world.lease_address(1);
    (world, lease, buyer, victim)
}

/// In one transaction, before and after.
#[test]
fn attack_former_owner_sets_its_key_with_the_transfer() {
    let (mut world, lease, thief, victim) = sale();
    let (set_own, sell) = (set(&thief, lease, THIEF, true), transfer(&thief, lease, &victim));
    let after = [sell.clone(), set_own.clone()];
    world.fails_last(&after, &[&thief], LeaseholdError::WrongAuthority);
    world.ok(&[set_own.clone(), sell], &[&thief]);
    // Its data were to be wiped in epoch 1: nothing that ran since is.
    assert_eq!((world.lease(1).owner, rights(&world)), (victim.pubkey(), (None, 2, 1)));
    world.fails(set_own, &[&thief], LeaseholdError::WrongAuthority);
    let clean = set(&victim, lease, VICTIM, true);
    world.ok(&[clean], &[&victim]);
    assert_eq!(rights(&world), (VICTIM, 3, 3));
    world.assert_invariants();
}

/// A key that was signed for in advance, with a durable nonce, and arrives after the sale.
#[test]
fn attack_former_owners_transaction_arrives_after_the_transfer() {
    let (mut world, lease, thief, victim) = sale();
    let sell = transfer(&thief, lease, &victim);
    let clean = set(&victim, lease, VICTIM, true);
    world.ok(&[sell, clean], &[&thief, &victim]);
    let late =
        [set(&thief, lease, THIEF, false), set(&thief, lease, None, true), transfer(&thief, lease, &thief)];
    for instruction in late {
        world.fails(instruction, &[&thief], LeaseholdError::WrongAuthority);
    }
    assert_eq!(rights(&world), (VICTIM, 2, 2));
    world.assert_invariants();
}

/// There and back in one transaction: its key is gone, and the epoch says that others owned it meanwhile.
#[test]
fn attack_lease_sold_and_bought_back_to_look_untouched() {
    let (mut world, lease, thief, friend) = sale();
    let own = set(&thief, lease, THIEF, false);
    world.ok(&[own], &[&thief]);
    let (there, back) = (transfer(&thief, lease, &friend), transfer(&friend, lease, &thief));
    world.ok(&[there, back], &[&thief, &friend]);
    assert_eq!((world.lease(1).owner, rights(&world)), (thief.pubkey(), (None, 3, 0)));
    // To oneself too.
    let same = transfer(&thief, lease, &thief);
    world.ok(&[same], &[&thief]);
    assert_eq!(rights(&world), (None, 4, 0));
    world.assert_invariants();
}

/// Whoever pays for another's lease may name a key in it once. The lease's account says so, and its owner ends it.
#[test]
fn attack_payer_keeps_a_key_in_the_lease_of_another() {
    let Scene { mut world, buyer: thief, .. } = Scene::listed(1);
    let victim = world.wallet();
    let args = world.lease_args(&thief, anything(), 1, 9);
    let open =
        world.open_instruction(&thief, OpenLeaseArgs { owner: victim.pubkey(), access: THIEF, ..args });
    world.ok(&[open], &[&thief]);
    let lease = world.lease_address(1);
    assert_eq!(rights(&world), (THIEF, 0, 0));
    world.end_round();
    let own = set(&victim, lease, VICTIM, true);
    world.ok(&[own], &[&victim]);
    let again = set(&thief, lease, THIEF, false);
    world.fails(again, &[&thief], LeaseholdError::WrongAuthority);
    assert_eq!(rights(&world), (VICTIM, 1, 1));
    world.assert_invariants();
}

/// A lease's address comes back with its nonce, and its epochs begin anew. Names of machines don't: a host key that was
/// certified in the first lease is none of the second.
#[test]
fn attack_nonce_used_again_to_get_the_same_host_names() {
    let Scene { mut world, keepers, buyer, .. } = Scene::listed(1);
    let first = OpenLeaseArgs { nonce: 7, access: THIEF, ..world.lease_args(&buyer, anything(), 1, 1) };
    let mut names = BTreeSet::new();
    for serial in 1..=3 {
        let open = world.open_instruction(&buyer, first.clone());
        world.ok(&[open], &[&buyer]);
        let lease = world.lease_address(serial);
        assert_eq!(lease, world.board().lease(&buyer.pubkey(), 7), "the address comes back");
        for epoch in 0..3 {
            let Lease { serial, access_epoch, .. } = world.lease(serial);
            assert_eq!(access_epoch, epoch);
            let slot = world.with_board(|_, slots| slots.iter().position(|slot| slot.lease == serial));
            assert_eq!(slot, Some(0), "the same machine");
            assert!(names.insert(host_alias(0, serial, epoch, 0, &lease)), "{names:?}");
            let set = set(&buyer, lease, THIEF, false);
            world.ok(&[set], &[&buyer]);
        }
        world.end_round();
        world.attest(&keepers, |_| true);
        world.settle(&buyer, serial);
        assert_eq!(world.lease(serial).state, LeaseState::Settled);
        world.end_disputes();
        let (board, key) = (world.board(), buyer.pubkey());
        let claim = instruction::claim_refund(&board, key, lease, world.market.payment_account(&key));
        // Nothing is due if the machine was up in every round.
        let claim = (world.lease(serial).refund_due > 0).then_some(claim);
        let close = instruction::close_lease(&board, key, lease);
        let all: Vec<_> = claim.into_iter().chain([close]).collect();
        world.ok(&all, &[&buyer]);
    }
    assert_eq!(names.len(), 9);
    world.assert_invariants();
}

/// A lease that was settled early, or whose last round is over, gets no key: its machine serves somebody else.
#[test]
fn attack_key_set_in_a_lease_whose_machine_is_anothers() {
    let Scene { mut world, keepers, buyer: thief, .. } = Scene::leased(1, 1, 1);
    let (victim, lease) = (world.wallet(), world.lease_address(1));
    world.attest(&keepers, |_| true);
    world.settle(&thief, 1);
    world.open(&victim, anything(), 1, 9);
    world.end_round();
    assert_eq!(world.slot(0).lease, 2);
    for access in [THIEF, None] {
        let set = set(&thief, lease, access, true);
        world.fails(set, &[&thief], LeaseholdError::LeaseSettled);
    }
    let other = set(&thief, world.lease_address(2), THIEF, false);
    world.fails(other, &[&thief], LeaseholdError::WrongAuthority);
    world.assert_invariants();
}
