//! Vouchers of metered leases.

use leasehold::{
    error::LeaseholdError,
    state::{Receipt, Voucher},
};
use leasehold_client::{
    event::Event,
    instruction,
    packet::{self, PACKET_BYTES},
    record::{SignedVoucher, signatures, voucher},
};
use leasehold_tests::*;
use proptest::{
    collection::vec,
    prop_assert_eq,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use solana_signer::Signer;

use crate::metered::{DEPOSIT, metered, net, redeem, settle, standby, top_up};
use crate::{gross, payments};

#[track_caller]
fn refuses_voucher(scene: &mut Scene, voucher: &SignedVoucher, error: LeaseholdError) {
    let redeem = scene.world.redeem_instructions(1, voucher);
    scene.world.fails_last(&redeem, &[&scene.supplier.wallet], error);
}

#[test]
fn redeem_voucher_ok() {
    let mut scene = metered(50);
    let voucher = scene.world.voucher(1, USD);
    let redeem = scene.world.redeem_instructions(1, &voucher);
    let bytes = packet::len(&scene.buyer.pubkey(), &redeem);
    // Anybody may send it.
    let meta = scene.world.ok(&redeem, &[&scene.keepers[0].wallet]);
    println!("redeem_voucher: {} CU, {bytes} bytes", meta.compute_units_consumed);
    assert!(bytes <= PACKET_BYTES);
    let lease = scene.world.lease(1);
    assert_eq!((lease.paid, lease.fees, lease.refunded), (net(USD), USD - net(USD), 0));
    assert_eq!(scene.world.slot(0).accrued, net(USD));
    let meter = lease.meter.expect("it is metered");
    assert_eq!((meter.seq, meter.units), (voucher.voucher.seq, voucher.voucher.units));
    let reported = events(&meta);
    let is_it = matches!(&reported[..], [Event::VoucherRedeemed(event)]
        if event.paid == net(USD) && event.fees == USD - net(USD) && event.seq == voucher.voucher.seq);
    assert!(is_it, "{reported:?}");
    scene.world.assert_invariants();

    // The next pays the difference; the fee is computed on the whole.
    let more = USD + 33;
    let voucher = scene.world.voucher(1, more);
    let redeem = scene.world.redeem_instructions(1, &voucher);
    scene.world.ok(&redeem, &[&scene.supplier.wallet]);
    let lease = scene.world.lease(1);
    assert_eq!((lease.paid, lease.fees), (net(more), more - net(more)));
    scene.world.assert_invariants();
    let claim = {
        let (board, key) = (scene.world.board(), scene.supplier.wallet.pubkey());
        let wallet = payments(&scene.world, &scene.supplier.wallet);
        instruction::claim_earnings(&board, key, scene.supplier.account, wallet)
    };
    let before = scene.world.payments_of(&scene.supplier.wallet.pubkey());
    scene.world.ok(&[claim], &[&scene.supplier.wallet]);
    assert_eq!(scene.world.payments_of(&scene.supplier.wallet.pubkey()) - before, net(more));
    scene.world.assert_invariants();
}

/// Payment units that vouchers can take in the first round: the deposit, but for the standby price until an hour from then.
fn limit() -> u64 {
    DEPOSIT - standby(7)
}

/// Whichever vouchers are redeemed, in any order and repetition: the largest is paid, once, as far as the deposit reaches.
#[test]
fn redeem_voucher_pays_the_largest_once_in_any_order_and_repetition() {
    let beginning = metered(50);
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
    // Some beyond the deposit.
    let prices = vec(0..DEPOSIT + DEPOSIT / 4, 1..8);
    let orders = vec(0..8usize, 1..20);
    let outcome = TestRunner::new_with_rng(config, rng).run(&(prices, orders), |(prices, order)| {
        let mut world = beginning.world.clone();
        let (mut owed, mut units, mut seq) = (0, 0, 0);
        for index in order {
            let price = prices[index % prices.len()];
            let voucher = world.voucher(1, price);
            let redeem = world.redeem_instructions(1, &voucher);
            let capped = price.min(limit());
            let found = world.send(&redeem, &[&beginning.buyer]);
            prop_assert_eq!(found.is_ok(), capped > owed);
            if capped > owed {
                owed = capped;
                (units, seq) = (voucher.voucher.units.max(units), voucher.voucher.seq.max(seq));
            }
            let lease = world.lease(1);
            prop_assert_eq!((lease.paid, lease.fees), (net(owed), owed - net(owed)));
            prop_assert_eq!(world.slot(0).accrued, net(owed));
            prop_assert_eq!(lease.meter.map(|meter| (meter.seq, meter.units)), Some((seq, units)));
        }
        world.assert_invariants();
        Ok(())
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn redeem_voucher_fails_when_it_adds_nothing() {
    let mut scene = metered(50);
    let none = scene.world.voucher(1, 0);
    refuses_voucher(&mut scene, &none, LeaseholdError::VoucherRedeemed);
    redeem(&mut scene, USD);
    for price in [USD, USD - 1] {
        let old = scene.world.voucher(1, price);
        refuses_voucher(&mut scene, &old, LeaseholdError::VoucherRedeemed);
    }
    scene.world.assert_invariants();
}

#[test]
fn redeem_voucher_leaves_the_next_hours_standby_price_in_the_deposit_until_it_is_topped_up() {
    let mut scene = metered(50);
    redeem(&mut scene, u64::MAX);
    let lease = scene.world.lease(1);
    assert_eq!((lease.paid + lease.fees, lease.paid), (limit(), net(limit())));
    assert_eq!(lease.meter.map(|meter| meter.paid), Some(limit()));
    assert_eq!(scene.world.with_board(|board, _| board.ledger.escrow), standby(7));
    let beyond = scene.world.voucher(1, u64::MAX);
    refuses_voucher(&mut scene, &beyond, LeaseholdError::VoucherRedeemed);
    scene.world.assert_invariants();

    // Anybody may add to it, and the same voucher pays the missing part.
    let friend = scene.world.wallet();
    let before = scene.world.payments_of(&friend.pubkey());
    let none = top_up(&scene.world, &friend, 0);
    scene.world.fails(none, &[&friend], LeaseholdError::AmountIsZero);
    let more = top_up(&scene.world, &friend, 7 * USD);
    let meta = scene.world.ok(&[more], &[&friend]);
    assert!(matches!(&events(&meta)[..], [Event::LeaseExtended(event)] if event.deposit == 7 * USD));
    assert_eq!(before - scene.world.payments_of(&friend.pubkey()), 7 * USD);
    assert_eq!(scene.world.lease(1).deposit, DEPOSIT + 7 * USD);
    scene.world.assert_invariants();
    redeem(&mut scene, DEPOSIT + 3 * USD);
    let lease = scene.world.lease(1);
    assert_eq!(lease.paid + lease.fees, DEPOSIT + 3 * USD);
    // The unspent rest goes to the owner, whoever paid it.
    settle(&mut scene);
    assert_eq!(scene.world.lease(1).refund_due, 4 * USD);
    scene.world.assert_invariants();
}

/// What vouchers can take shrinks with time, and all of it is standby at the lease's end.
#[test]
fn redeem_voucher_sets_aside_the_standby_price_of_every_round_until_an_hour_from_now() {
    let mut scene = metered(20);
    let from = scene.world.lease(1).from;
    for (round, reserved) in [(0, 7), (5, 12), (13, 20), (15, 20), (20, 20)] {
        scene.world.go_to_round(from + round);
        let mut world = scene.world.clone();
        let all = world.redeem_instructions(1, &world.voucher(1, u64::MAX));
        world.ok(&all, &[&scene.buyer]);
        assert_eq!(world.lease(1).paid + world.lease(1).fees, DEPOSIT - standby(reserved), "{round}");
        world.assert_invariants();
    }
}

/// Metered and hourly leases share their fees in the same way.
#[test]
fn redeem_voucher_shares_the_fee_as_an_hourly_lease_does() {
    let parts = |world: &World| {
        let lease = world.lease(1);
        let ledger = world.with_board(|board, _| board.ledger);
        (lease.paid, lease.fees, ledger.accrued, ledger.fees, ledger.keeper_pool)
    };
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 7);
    for _ in 0..7 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    let by_the_hour = parts(&world);
    assert_eq!(by_the_hour.0 + by_the_hour.1, gross(7));
    assert!(by_the_hour.3 > 0 && by_the_hour.4 > 0);

    for steps in [vec![7], vec![1, 2, 3, 4, 5, 6, 7], vec![3, 7]] {
        let mut scene = metered(50);
        for rounds in steps {
            redeem(&mut scene, gross(rounds));
        }
        assert_eq!(parts(&scene.world), by_the_hour);
        scene.world.assert_invariants();
    }
}

#[test]
fn redeem_voucher_fails_when_it_is_for_another_lease() {
    let mut scene = metered(50);
    assert_eq!(scene.world.open_metered(&scene.buyer, DEPOSIT, 50), 2);
    let good = scene.world.unsigned_voucher(1, USD);
    let sign = |voucher| SignedVoucher::sign(&spender(), voucher);
    let second = sign(scene.world.unsigned_voucher(2, USD));
    refuses_voucher(&mut scene, &second, LeaseholdError::WrongVoucher);
    // A former lease at the same address.
    for from in [good.from - 1, good.from + 1, 0] {
        let former = sign(Voucher { from, ..good });
        refuses_voucher(&mut scene, &former, LeaseholdError::WrongVoucher);
    }
    // Signed by another key: the owner's wallet, the machine.
    for key in [node_key(0), node_key(9)] {
        let other = SignedVoucher::sign(&key, good);
        let ed25519 = other.instruction(&public(&key));
        let redeem = scene.world.redeem_instructions(1, &other)[1].clone();
        scene.world.fails_last(&[ed25519, redeem], &[&scene.buyer], LeaseholdError::WrongVoucher);
    }
    // Another cluster, machine of the slot, supplier, key, slot, or no slot of the board.
    let neighbour = Voucher { lease: good.lease, from: good.from, ..second.voucher };
    for (voucher, error) in [
        (Voucher { cluster: *b"mainnet!", ..good }, LeaseholdError::WrongVoucher),
        (Voucher { generation: good.generation + 1, ..good }, LeaseholdError::WrongVoucher),
        (Voucher { supplier: [1; 8], ..good }, LeaseholdError::WrongVoucher),
        (Voucher { node_key: second.voucher.node_key, ..good }, LeaseholdError::WrongVoucher),
        (Voucher { slot: second.voucher.slot, ..good }, LeaseholdError::WrongVoucher),
        (neighbour, LeaseholdError::NotInLease),
        (Voucher { slot: 2, ..good }, LeaseholdError::NoSuchSlot),
    ] {
        refuses_voucher(&mut scene, &sign(voucher), error);
    }
    redeem(&mut scene, USD);
    scene.world.assert_invariants();
}

#[test]
fn redeem_voucher_fails_when_the_signed_message_is_malformed() {
    let mut scene = metered(50);
    let good = scene.world.unsigned_voucher(1, USD);
    let bad = [
        Voucher { tag: *b"LEASEHOLD:VCHR:1", ..good },
        Voucher { tag: Receipt::TAG, ..good },
        Voucher { program: [4; 32], ..good },
        Voucher { reserved: [0, 0, 0, 0, 0, 1], ..good },
    ];
    for voucher in bad {
        let signed = SignedVoucher::sign(&spender(), voucher);
        refuses_voucher(&mut scene, &signed, LeaseholdError::VoucherMalformed);
    }
    assert_eq!(voucher::blank().tag, Voucher::TAG);
    scene.world.assert_invariants();
}

#[test]
fn redeem_voucher_fails_when_the_spender_has_not_signed() {
    let mut scene = metered(50);
    let voucher = scene.world.voucher(1, USD);
    let [ed25519, redeem] = scene.world.redeem_instructions(1, &voucher);
    let buyer = scene.buyer.insecure_clone();
    scene.world.fails(redeem.clone(), &[&buyer], LeaseholdError::SignatureMissing);
    let twice = (&voucher.signature, voucher.voucher.bytes());
    let both = signatures::verify_instruction(&public(&spender()).to_bytes(), &[twice, twice]);
    scene.world.fails_last(&[both, redeem.clone()], &[&buyer], LeaseholdError::SignatureMissing);
    scene.world.ok(&[ed25519, redeem], &[&buyer]);
    scene.world.assert_invariants();
}

#[test]
fn redeem_voucher_fails_when_the_lease_is_settled() {
    let mut scene = metered(10);
    redeem(&mut scene, USD);
    let late = scene.world.voucher(1, 2 * USD);
    // After the lease's end, as long as it is not settled.
    let until = scene.world.lease(1).until;
    scene.world.go_to_round(until + 1);
    let half = scene.world.voucher(1, USD + USD / 2);
    let redeem = scene.world.redeem_instructions(1, &half);
    scene.world.ok(&redeem, &[&scene.buyer]);
    settle(&mut scene);
    refuses_voucher(&mut scene, &late, LeaseholdError::LeaseSettled);
    assert_eq!(scene.world.lease(1).refunded, DEPOSIT - USD - USD / 2);
    scene.world.assert_invariants();
}

#[test]
fn top_up_lease_fails_when_the_vault_or_the_mint_is_another() {
    let mut scene = metered(50);
    let buyer = scene.buyer.insecure_clone();
    let market = scene.world.market;
    let good = top_up(&scene.world, &buyer, USD);
    let mut stake = good.clone();
    swap(market.payment_mint, market.stake_mint)(&mut stake);
    scene.world.fails(stake, &[&buyer], LeaseholdError::WrongMint);
    let mut vault = good.clone();
    swap(scene.world.board().payment_vault(), payments(&scene.world, &scene.supplier.wallet))(&mut vault);
    scene.world.fails(vault, &[&buyer], LeaseholdError::WrongVault);
    scene.world.ok(&[good], &[&buyer]);
    scene.world.assert_invariants();
}
