//! `view_lease`: a lease as other programs read it.

use anchor_lang::AnchorDeserialize;
use leasehold::{
    error::LeaseholdError,
    rules::view::{LeaseView, NextSettlement},
    state::LeaseState,
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_signer::Signer;

/// Most bytes that an instruction can return.
const MAX_RETURN_DATA: usize = 1_024;

/// What `view_lease` returns of a lease. It changes neither board nor lease.
fn view(world: &mut World, serial: u32) -> LeaseView {
    let (board, lease) = (world.board(), world.lease_address(serial));
    let before = (world.data(&board.address), world.data(&lease));
    let anybody = world.wallet();
    let meta = world.ok(&[instruction::view_lease(&board, lease)], &[&anybody]);
    assert_eq!((world.data(&board.address), world.data(&lease)), before);
    assert_eq!(meta.return_data.program_id, leasehold::ID);
    assert!(meta.return_data.data.len() <= MAX_RETURN_DATA);
    LeaseView::try_from_slice(&meta.return_data.data).expect("a view")
}

/// Payment units of one machine for so many rounds up.
fn gross(rounds: u64) -> u64 {
    350_000 * 600 * rounds / 3_600
}

fn fee(gross: u64) -> u64 {
    gross * 300 / 10_000
}

#[test]
fn view_lease_ok_in_mid_term() {
    let mut scene = Scene::leased(2, 2, 30);
    for _ in 0..20 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    let stored = scene.world.lease(1);
    // Two hours are kept, which is more than a fifth.
    let each = gross(20) - 2 * 350_000;
    let expected = LeaseView {
        board: scene.world.board().address,
        serial: 1,
        owner: scene.buyer.pubkey(),
        state: LeaseState::Open,
        from: stored.from,
        until: stored.from + 30,
        is_over: false,
        machines: 2,
        unsettled: 2,
        deposit: 2 * gross(30),
        paid: 0,
        fees: 0,
        refunded: 0,
        burned: 0,
        refund_due: 0,
        slashed: 0,
        up: 40,
        down: 0,
        unseen: 0,
        next: Some(NextSettlement {
            machines: 0,
            is_final: false,
            paid: 2 * (each - fee(each)),
            fees: 2 * fee(each),
            refunded: 0,
            burned: 0,
            slashed: 0,
        }),
    };
    assert_eq!(view(&mut scene.world, 1), expected);
    // The settlement does what the view says, and then there is nothing to do.
    scene.world.settle(&scene.buyer, 1);
    let settled = view(&mut scene.world, 1);
    let nothing = NextSettlement { paid: 0, fees: 0, ..expected.next.expect("it is open") };
    let (paid, fees) = (2 * (each - fee(each)), 2 * fee(each));
    assert_eq!(settled, LeaseView { paid, fees, next: Some(nothing), ..expected });
}

#[test]
fn view_lease_ok_at_the_end_says_what_the_last_settlement_does() {
    let mut scene = Scene::leased(2, 2, 20);
    for round in 0..20 {
        // Machine 1 is down in three rounds, one of them allowed.
        scene.world.attest(&scene.keepers, |machine| machine == 0 || !(5..8).contains(&round));
    }
    let before = view(&mut scene.world, 1);
    assert!(before.is_over);
    assert_eq!((before.up, before.down, before.unseen, before.unsettled), (37, 3, 0, 2));
    let next = before.next.expect("it is not settled");
    // Two rounds' price is burned, of what is kept.
    let damages = gross(2);
    let owed = gross(17) - damages;
    assert_eq!((next.machines, next.is_final, next.burned), (2, true, damages));
    assert_eq!(next.fees, fee(gross(20)) + fee(owed));
    assert_eq!(next.paid + next.fees, gross(20) + owed);
    assert_eq!(next.refunded, before.deposit - gross(20) - gross(17));
    assert!(next.slashed > 0);

    scene.world.settle(&scene.buyer, 1);
    let after = view(&mut scene.world, 1);
    let expected = LeaseView {
        state: LeaseState::Settled,
        unsettled: 0,
        paid: next.paid,
        fees: next.fees,
        refunded: next.refunded,
        refund_due: next.refunded,
        burned: next.burned,
        slashed: next.slashed,
        up: 0,
        down: 0,
        next: None,
        ..before
    };
    assert_eq!(after, expected);
    scene.world.assert_invariants();
}

#[test]
fn view_lease_ok_of_a_metered_lease() {
    let mut scene = Scene::listed(0);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(0)]);
    scene.world.open_metered(&scene.buyer, 50 * USD, 100);
    scene.world.end_round();
    for _ in 0..30 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    let view = view(&mut scene.world, 1);
    // A tenth of the price, less what is kept.
    let earned = 35_000 * 600 * 30 / 3_600;
    let owed = earned - (earned / 5).max(2 * 35_000);
    let next = view.next.expect("it is open");
    assert_eq!((view.up, view.deposit, view.is_over), (30, 50 * USD, false));
    assert_eq!((next.paid, next.fees), (owed - fee(owed), fee(owed)));
}

#[test]
fn view_lease_fails_when_the_board_is_another() {
    let mut scene = Scene::leased(1, 1, 30);
    let authority = scene.world.authority.insecure_clone();
    let second = scene.world.market.board(1);
    scene.world.ok(&[instruction::create_board(&second, authority.pubkey())], &[&authority]);
    let lease = scene.world.lease_address(1);
    let view = instruction::view_lease(&second, lease);
    scene.world.fails(view, &[&authority], LeaseholdError::WrongBoard);
}
