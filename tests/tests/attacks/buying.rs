//! Opening leases: baits, absurd prices, many buyers at once, owners that are programs.

use leasehold::{
    constants::MAX_SLOTS,
    error::LeaseholdError,
    instructions::{Machine, Offer, OpenLeaseArgs, ReplaceNodeArgs},
    math::matching::{Criteria, CutOff},
    state::{LeaseState, Params},
};
use leasehold_client::{
    instruction,
    packet::{self, PACKET_BYTES},
    quote,
};
use leasehold_tests::*;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{Before, gross, less, net};

/// Slots of a lease.
fn leased(world: &World, serial: u32) -> Vec<u16> {
    world.with_board(|_, slots| {
        (0..).zip(slots).filter(|(_, slot)| slot.lease == serial).map(|(index, _)| index).collect()
    })
}

/// A machine with many GPUs, each a little cheaper than anywhere else.
#[test]
fn attack_bait_of_255_gpus() {
    let Scene { mut world, supplier, buyer, .. } = Scene::listed(10);
    let mut bait = Machine { price: 349_999, ..machine(10) };
    bait.traits.gpus = 255;
    world.list(&supplier, COMMITTED, &[bait]);
    let before = Before::new(&world, &[&buyer]);
    // A client's default: no machine has more GPUs than were asked for.
    let criteria = Criteria { max_gpus: quote::max_gpus(8), ..anything() };
    let serial = world.open(&buyer, criteria, 8, 6);
    assert_eq!(leased(&world, serial), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(before.gains(&world), [(less(8 * 350_000), 0)]);
    // A buyer that allows any size bounds the price.
    let args = OpenLeaseArgs { max_deposit: 700_000, ..world.lease_args(&buyer, anything(), 2, 6) };
    let open = world.open_instruction(&buyer, args);
    world.fails(open, &[&buyer], LeaseholdError::CostsTooMuch);
    // As the last machine, it is taken only if none that completes the number costs less in all.
    let mut pair = machine(11);
    pair.traits.gpus = 2;
    world.list(&supplier, COMMITTED, &[pair]);
    let serial = world.open(&buyer, anything(), 2, 6);
    assert_eq!(leased(&world, serial), [11]);
    assert_eq!(before.gains(&world), [(less(10 * 350_000), 0)]);
}

/// Formerly, one machine at an absurd price made `open_lease` and `replace_node` exceed a transaction on a full board.
#[test]
fn attack_one_absurd_price_on_a_full_board() {
    let mut world = World::with(rules(), Params { bond_unit: 1, ..params() });
    let (supplier, mallory, buyer) = (world.supplier(), world.supplier(), world.wallet());
    let price = |number: u16| 350_000 + u64::from(number.wrapping_mul(40_503)) % 1_000;
    let machines: Vec<_> =
        (1..MAX_SLOTS as u16).map(|number| Machine { price: price(number), ..machine(number) }).collect();
    world.list(&mallory, COMMITTED, &[Machine { price: u64::MAX, ..machine(0) }]);
    world.list(&supplier, COMMITTED, &machines);
    let keepers = world.keepers(3);
    let before = Before::new(&world, &[&mallory.wallet, &supplier.wallet, &buyer]);
    let hints = [
        None,
        Some(CutOff { price: 0, score: 0, slot: 0 }),
        Some(CutOff { price: u64::MAX, score: 0, slot: 0 }),
    ];
    for gpus in [1, 40, 1_000, 6_000] {
        let mut found = vec![];
        for hint in hints {
            let mut world = world.clone();
            let args = OpenLeaseArgs { hint, ..world.lease_args(&buyer, anything(), gpus, 6) };
            let open = world.open_instruction(&buyer, args);
            let units = world.ok(&[open], &[&buyer]).compute_units_consumed;
            assert!(units <= 1_200_000, "{units} units for {gpus} GPUs");
            found.push(leased(&world, 1));
            world.end_round();
            let old_slot = *found[0].last().expect("a machine");
            let args = ReplaceNodeArgs { hint, ..replacement(old_slot) };
            let replace = world.replace_instruction(&buyer, 1, args);
            let units = world.ok(&[replace], &[&buyer]).compute_units_consumed;
            assert!(units <= 1_200_000, "{units} units for a replacement");
            for _ in 0..6 {
                world.attest(&keepers, |_| true);
            }
            // Each machine serves an hour, but for the one that is replaced and leaves after the first of six rounds.
            let price = |slot: u16| world.slot(slot).price;
            let stays = found[found.len() - 1].iter().filter(|slot| **slot != old_slot);
            let new = leased(&world, 1).into_iter().find(|slot| !found[found.len() - 1].contains(slot));
            let parts = [price(old_slot) * 600 / 3_600, price(new.expect("a machine")) * 3_000 / 3_600];
            let paid: Vec<u64> = stays.map(|slot| price(*slot)).chain(parts).collect();
            while world.lease(1).state != LeaseState::Settled {
                world.settle(&buyer, 1);
            }
            let earned = paid.iter().map(|gross| net(*gross)).sum();
            assert_eq!(before.gains(&world), [(0, 0), (earned, 0), (less(paid.iter().sum()), 0)]);
        }
        assert!(found.iter().all(|slots| *slots == found[0]), "the hint changes nothing else");
        assert_eq!((found[0].len(), found[0].contains(&0)), (gpus as usize, false));
    }
}

/// A supplier in the middle of a selection reprices one machine after every quote: the buyer's transaction succeeds all the same.
#[test]
fn attack_hint_made_stale_by_one_reprice() {
    let mut scene = Scene::listed(0);
    let machines: Vec<_> = (0..200)
        .map(|number| Machine { price: 100_000 + u64::from(number) * 7, ..machine(number) })
        .collect();
    scene.world.list(&scene.supplier, COMMITTED, &machines);
    let before = Before::new(&scene.world, &[&scene.buyer]);
    let hint = scene.world.hint(&anything(), 100, 6);
    let args = OpenLeaseArgs { hint, ..scene.world.lease_args(&scene.buyer, anything(), 100, 6) };
    let open = scene.world.open_instruction(&scene.buyer, args);
    let committed_until = scene.world.round() + 500;
    let offer = Offer { slot: 50, price: 2_000_000, committed_until, bond: 0 };
    let key = scene.supplier.wallet.pubkey();
    let reprice = instruction::reprice_machines(&scene.world.board(), key, vec![offer]);
    scene.world.ok(&[reprice], &[&scene.supplier.wallet]);
    scene.world.ok(&[open], &[&scene.buyer]);
    let expected: Vec<u16> = (0..=100).filter(|slot| *slot != 50).collect();
    assert_eq!(leased(&scene.world, 1), expected);
    let cost = expected.iter().map(|slot| 100_000 + u64::from(*slot) * 7).sum();
    assert_eq!(before.gains(&scene.world), [(less(cost), 0)]);
}

/// Sixteen buyers who read the same board and sign at the same moment: each with one signature, and no hint gets wrong.
#[test]
fn attack_sixteen_buyers_at_the_same_moment() {
    let mut scene = Scene::listed(0);
    let machines: Vec<_> =
        (0..64).map(|number| Machine { price: 100_000 + u64::from(number) * 7, ..machine(number) }).collect();
    scene.world.list(&scene.supplier, COMMITTED, &machines);
    let buyers: Vec<Keypair> = (0..16).map(|_| scene.world.wallet()).collect();
    let wallets: Vec<_> = buyers.iter().collect();
    let before = Before::new(&scene.world, &wallets);
    let hint = scene.world.hint(&anything(), 3, 6);
    let opens: Vec<_> = buyers
        .iter()
        .map(|buyer| {
            let args = OpenLeaseArgs { hint, ..scene.world.lease_args(buyer, anything(), 3, 6) };
            scene.world.open_instruction(buyer, args)
        })
        .collect();
    for (open, buyer) in opens.iter().zip(&buyers) {
        assert!(packet::len(&buyer.pubkey(), std::slice::from_ref(open)) <= PACKET_BYTES);
        scene.world.ok(std::slice::from_ref(open), &[buyer]);
    }
    let gains = before.gains(&scene.world);
    for (index, gain) in (0u16..).zip(gains) {
        let slots = [0, 1, 2].map(|place| 3 * index + place);
        assert_eq!(leased(&scene.world, u32::from(index) + 1), slots, "the cheapest of those left");
        let cost: u64 = slots.iter().map(|slot| 100_000 + u64::from(*slot) * 7).sum();
        assert_eq!(gain, (less(cost), 0));
    }
    scene.world.assert_invariants();
}

/// A lease that belongs to a program: somebody else pays for it, and nobody but its owner ends it or gets its money.
#[test]
fn attack_payer_takes_the_lease_of_an_owner_that_is_a_program() {
    let Scene { mut world, keepers, buyer, .. } = Scene::listed(1);
    let (owner, _) = Pubkey::find_program_address(&[b"treasury"], &spl_token_interface::ID);
    world.fund(&owner);
    let payer_owned = world.payments_of(&buyer.pubkey());
    let owned = world.payments_of(&owner);
    let args = OpenLeaseArgs { owner, ..world.lease_args(&buyer, anything(), 1, 100) };
    let open = world.open_instruction(&buyer, args);
    world.ok(&[open], &[&buyer]);
    world.end_round();
    let lease = world.lease_address(1);
    let cancel = world.cancel_instruction(&buyer, 1, &[]);
    world.fails(cancel, &[&buyer], LeaseholdError::WrongAuthority);
    let transfer = instruction::transfer_lease(buyer.pubkey(), lease, buyer.pubkey());
    world.fails(transfer, &[&buyer], LeaseholdError::WrongAuthority);
    let replace = world.replace_instruction(&buyer, 1, replacement(0));
    world.fails(replace, &[&buyer], LeaseholdError::WrongAuthority);
    for round in 0..100 {
        world.attest(&keepers, |_| round < 60);
    }
    world.settle(&buyer, 1);
    // The payer may claim for the owner, but not into its own account.
    let claim = |wallet: &Pubkey| {
        let account = world.market.payment_account(wallet);
        instruction::claim_refund(&world.board(), buyer.pubkey(), lease, account)
    };
    let [steal, claim] = [claim(&buyer.pubkey()), claim(&owner)];
    world.fails(steal, &[&buyer], LeaseholdError::WrongDestination);
    world.ok(&[claim], &[&buyer]);
    let deposit = world.lease(1).deposit;
    assert_eq!(payer_owned - world.payments_of(&buyer.pubkey()), deposit);
    assert_eq!(world.payments_of(&owner) - owned, deposit - gross(60));
    world.assert_invariants();
}

/// A slot's generations never come back, however often a board is emptied and filled.
#[test]
fn attack_generations_turned_around() {
    let Scene { mut world, .. } = Scene::listed(0);
    let mallory = world.supplier();
    let before = Before::new(&world, &[&mallory.wallet]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        world.list(&mallory, COMMITTED, &[machine(0), machine(1)]);
        let key = mallory.wallet.pubkey();
        assert!(seen.insert((0, world.slot(0).generation)) && seen.insert((1, world.slot(1).generation)));
        // One after the other, and both at once: the board is cut off each time.
        let retire = instruction::retire_machines(&world.board(), key, mallory.account, vec![0, 1]);
        world.ok(&[retire], &[&mallory.wallet]);
        assert_eq!(world.with_board(|_, slots| slots.len()), 0);
    }
    assert_eq!(world.with_board(|board, _| board.fresh_generation), 10);
    assert_eq!(before.gains(&world), [(0, 0)]);
}
