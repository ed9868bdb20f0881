//! Votes and the closing of rounds.

use leasehold::{
    error::LeaseholdError,
    state::{LeaseState, Params, SlotState},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

fn close(world: &World) -> Instruction {
    instruction::close_round(&world.board())
}

fn settle(world: &World) -> Instruction {
    instruction::settle_lease(&world.board(), world.lease_address(1))
}

#[test]
fn attack_vote_at_the_edges_of_the_window() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    let round = world.round();
    let (end, wallet) = (i64::from(round + 1) * 600, &keepers[0].wallet);
    let vote = submit(&world.board(), &keepers[0], round, vec![1]);
    world.set_time(end - 1);
    world.fails(vote.clone(), &[wallet], LeaseholdError::OutsideSubmitWindow);
    world.set_time(end + 301);
    world.fails(vote.clone(), &[wallet], LeaseholdError::OutsideSubmitWindow);
    world.set_time(end + 300);
    world.ok(core::slice::from_ref(&vote), &[wallet]);
    world.set_time(end);
    let first_second = submit(&world.board(), &keepers[1], round, vec![1]);
    world.ok(&[first_second], &[&keepers[1].wallet]);
    world.assert_invariants();
}

#[test]
fn attack_vote_in_the_last_second_of_a_window_as_long_as_a_round() {
    let mut world = World::with(leasehold::state::RoundRules { submit_secs: 600, ..rules() }, params());
    let (supplier, keepers) = (world.supplier(), world.keepers(3));
    world.list(&supplier, COMMITTED, &[machine(0)]);
    let round = world.round();
    let next_end = i64::from(round + 2) * 600;
    let vote = submit(&world.board(), &keepers[0], round, vec![1]);
    let close = close(&world);
    world.set_time(next_end - 1);
    world.ok(&[vote], &[&keepers[0].wallet]);
    // The next round has ended too: votes on it need this round closed first, which is possible.
    world.set_time(next_end);
    let late = submit(&world.board(), &keepers[1], round, vec![1]);
    world.fails(late, &[&keepers[1].wallet], LeaseholdError::OutsideSubmitWindow);
    let next = submit(&world.board(), &keepers[1], round + 1, vec![1]);
    world.fails(next.clone(), &[&keepers[1].wallet], LeaseholdError::EarlierRoundOpen);
    world.set_time(next_end + 1);
    world.ok(&[close, next], &[&keepers[1].wallet]);
    world.assert_invariants();
}

#[test]
fn attack_close_round_at_the_edges_of_the_window() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    let round = world.end_round();
    world.vote(&keepers[0], |_| true);
    let (end, close) = (i64::from(round + 1) * 600, close(&world));
    world.set_time(end + 300);
    world.fails(close.clone(), &[&keepers[0].wallet], LeaseholdError::NothingToClose);
    world.set_time(end + 301);
    world.ok(core::slice::from_ref(&close), &[&keepers[0].wallet]);
    // Nobody votes on the next round: it can be skipped from the same second of its own window on.
    world.set_time(end + 600 + 300);
    world.fails(close.clone(), &[&keepers[0].wallet], LeaseholdError::NothingToClose);
    world.set_time(end + 600 + 301);
    world.ok(&[close], &[&keepers[0].wallet]);
    assert_eq!(world.with_board(|board, _| board.next_round), round + 2);
}

#[test]
fn attack_round_closed_again_or_voted_on_after_it_was_closed() {
    let Scene { mut world, keepers, .. } = Scene::leased(1, 1, 9);
    let round = world.round();
    world.attest(&keepers, |_| true);
    assert_eq!(world.slot(0).lease_up, 1);
    let (close, vote) = (close(&world), submit(&world.board(), &keepers[0], round, vec![0]));
    world.fails(close, &[&keepers[0].wallet], LeaseholdError::NothingToClose);
    world.fails(vote, &[&keepers[0].wallet], LeaseholdError::RoundClosed);
    assert_eq!((world.slot(0).lease_up, world.slot(0).lease_down), (1, 0));
}

#[test]
fn attack_settle_before_the_round_is_closed() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 2);
    world.attest(&keepers, |_| true);
    world.end_round();
    for keeper in &keepers[..2] {
        world.vote(keeper, |_| false);
    }
    // The lease has ended, but its last round has no verdict yet: nothing is final.
    world.set_time(i64::from(world.lease(1).until) * 600 + 100);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.state, lease.refunded, lease.slashed), (LeaseState::Open, 0, 0));
    assert_eq!((lease.paid, lease.fees), (0, 0), "what its first hours earn is kept until the end");
    assert!(world.slot(0).is(SlotState::Leased));
    world.pass(300);
    let close = close(&world);
    world.ok(&[close], &[&buyer]);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.state, lease.paid + lease.fees), (LeaseState::Settled, 58_333));
    world.assert_invariants();
}

#[test]
fn attack_round_skipped_to_dodge_a_verdict() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 9);
    let round = world.end_round();
    let next = |world: &World| world.with_board(|board, _| board.next_round);
    // Before anybody voted, while they still can.
    let close = close(&world);
    world.ok(core::slice::from_ref(&close), &[&buyer]);
    assert_eq!(next(&world), round, "only earlier rounds are skipped");
    world.fails(close.clone(), &[&buyer], LeaseholdError::NothingToClose);
    // After a vote of an accomplice: not before the window ends.
    world.vote(&keepers[2], |_| true);
    world.fails(close.clone(), &[&buyer], LeaseholdError::NothingToClose);
    // After the honest votes, however late: the votes are counted, not skipped.
    world.vote(&keepers[0], |_| false);
    world.vote(&keepers[1], |_| false);
    world.pass(5 * 600);
    world.ok(core::slice::from_ref(&close), &[&buyer]);
    assert_eq!((world.slot(0).lease_down, next(&world)), (1, round + 1));
    world.ok(&[close], &[&buyer]);
    assert_eq!((world.slot(0).lease_down, world.slot(0).lease_up), (1, 0));
    world.assert_invariants();
}

#[test]
fn attack_bitmap_too_short_too_long_or_padded() {
    for slots in [1u16, 8, 63, 64, 65] {
        let Scene { mut world, keepers, .. } = Scene::listed(slots);
        let round = world.end_round();
        let exact = bitmap(u32::from(slots), |_| true);
        let mut refuses = |bitmap: Vec<u8>, error: LeaseholdError| {
            let vote = submit(&world.board(), &keepers[0], round, bitmap);
            world.fails(vote, &[&keepers[0].wallet], error);
        };
        refuses(exact[1..].to_vec(), LeaseholdError::BitmapLength);
        refuses([&exact[..], &[0]].concat(), LeaseholdError::BitmapLength);
        if slots % 8 != 0 {
            let mut padded = exact.clone();
            *padded.last_mut().expect("a byte") |= 0x80;
            refuses(padded, LeaseholdError::BitmapPadding);
        }
        let vote = submit(&world.board(), &keepers[0], round, exact);
        world.ok(&[vote], &[&keepers[0].wallet]);
        world.assert_invariants();
    }
}

#[test]
fn attack_keeper_votes_twice() {
    let Scene { mut world, keepers, .. } = Scene::listed(2);
    let round = world.end_round();
    world.vote(&keepers[0], |_| true);
    for bits in [0b11, 0b00] {
        let again = submit(&world.board(), &keepers[0], round, vec![bits]);
        world.fails(again, &[&keepers[0].wallet], LeaseholdError::AlreadySubmitted);
    }
    assert_eq!(world.with_board(|board, _| board.tally.planes[0][0]), 0b11);
}

#[test]
fn attack_keeper_votes_for_two_seats() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    let KeeperActor { wallet, account, .. } = &keepers[0];
    let leave =
        instruction::leave_seat(&world.board(), keepers[2].wallet.pubkey(), keepers[2].account, 2, false);
    world.ok(&[leave], &[&keepers[2].wallet]);
    let second = instruction::take_seat(&world.board(), wallet.pubkey(), 2);
    world.fails(second, &[wallet], LeaseholdError::SecondSeat);
    let round = world.end_round();
    for seat in [1, 2] {
        let other = KeeperActor { wallet: wallet.insecure_clone(), account: *account, seat };
        let vote = submit(&world.board(), &other, round, vec![1]);
        world.fails(vote, &[wallet], LeaseholdError::WrongKeeper);
    }
}

#[test]
fn attack_seat_left_after_voting_and_taken_by_another_to_vote_again() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    let (board, voter) = (world.board(), &keepers[0]);
    let friend = world.keeper_with_bond();
    let round = world.end_round();
    world.vote(voter, |_| true);
    let leave = instruction::leave_seat(&board, voter.wallet.pubkey(), voter.account, 0, false);
    world.fails(leave.clone(), &[&voter.wallet], LeaseholdError::VoteNotCounted);
    for keeper in &keepers[1..] {
        world.vote(keeper, |_| true);
    }
    // All have voted, so the round can be closed and the seat left within the window.
    let take = instruction::take_seat(&board, friend.pubkey(), 0);
    world.ok(&[close(&world), leave], &[&voter.wallet]);
    world.ok(&[take], &[&friend]);
    let friend = KeeperActor { account: world.market.keeper(&friend.pubkey()), wallet: friend, seat: 0 };
    let vote = submit(&board, &friend, round, vec![1]);
    world.fails(vote, &[&friend.wallet], LeaseholdError::RoundClosed);
    world.assert_invariants();
}

#[test]
fn attack_seat_taken_or_left_to_close_a_round_early() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 9);
    let (board, absent) = (world.board(), &keepers[2]);
    world.end_round();
    for keeper in &keepers[..2] {
        world.vote(keeper, |_| false);
    }
    let close = close(&world);
    world.fails(close.clone(), &[&buyer], LeaseholdError::NothingToClose);
    // Without the third seat all have voted, and the verdict is the same.
    let leave = instruction::leave_seat(&board, absent.wallet.pubkey(), absent.account, 2, false);
    world.ok(&[leave, close], &[&absent.wallet]);
    assert_eq!(world.slot(0).lease_down, 1);
    world.assert_invariants();
}

#[test]
fn attack_machine_listed_between_votes() {
    let Scene { mut world, keepers, .. } = Scene::listed(8);
    let griefer = world.supplier();
    world.end_round(); // the round in which the machines were listed
    let round = world.end_round();
    let slots = |world: &World| world.with_board(|board, slots| (board.slots_at(round + 1), slots.len()));
    world.vote(&keepers[0], |_| true);
    // One slot more than the bitmaps in flight cover.
    world.list(&griefer, 50, &[machine(8)]);
    assert_eq!(slots(&world), (8, 9));
    world.vote(&keepers[1], |_| true);
    // And one slot less.
    let retire =
        instruction::retire_machines(&world.board(), griefer.wallet.pubkey(), griefer.account, vec![8]);
    world.ok(&[retire], &[&griefer.wallet]);
    assert_eq!(slots(&world), (8, 8));
    let vote = submit(&world.board(), &keepers[2], round, vec![0xff]);
    world.ok(&[vote, close(&world)], &[&keepers[2].wallet]);
    world.list(&griefer, 50, &[machine(8)]);
    assert_eq!((world.slot(7).up, world.slot(8).up, world.slot(8).attested_from), (1, 0, round + 2));
    world.assert_invariants();
    // Votes cover the slot from the next round on.
    world.end_round();
    assert_eq!(world.with_board(|board, _| board.slots_at(round + 2)), 9);
    world.vote(&keepers[0], |_| true);
}

#[test]
fn attack_machine_retired_and_listed_again_to_inherit_a_verdict() {
    let Scene { mut world, supplier, keepers, .. } = Scene::listed(2);
    world.end_round(); // the round in which the machines were listed
    let round = world.end_round();
    world.vote(&keepers[0], |_| true);
    let signer = supplier.wallet.pubkey();
    let retire = instruction::retire_machines(&world.board(), signer, supplier.account, vec![0]);
    let again = leasehold::instructions::Machine { slot: Some(0), ..machine(7) };
    let list = instruction::list_machines(&world.board(), signer, round + 100, vec![again], &[]);
    world.ok(&[retire, list], &[&supplier.wallet]);
    for keeper in &keepers[1..] {
        world.vote(keeper, |_| true);
    }
    let close = close(&world);
    world.ok(&[close], &[&supplier.wallet]);
    assert_eq!(
        (world.slot(0).up, world.slot(0).generation),
        (0, 1),
        "the round belonged to the former machine"
    );
    assert_eq!(world.slot(1).up, 1);
    world.assert_invariants();
}

#[test]
fn attack_settle_long_after_the_history_is_gone() {
    let outcome = |late: bool| {
        let Scene { mut world, keepers, buyer, .. } = Scene::leased(3, 3, 10);
        for round in 0..10 {
            world.attest(&keepers, |machine| machine == 0 || round % 2 == 0 && machine == 1);
        }
        if late {
            // Two hundred rounds, some with votes: the history of 64 rounds is overwritten three times.
            for _ in 0..20 {
                world.pass(9 * 600);
                world.attest(&keepers, |_| true);
            }
        }
        world.settle(&buyer, 1);
        world.assert_invariants();
        let lease = world.lease(1);
        assert_eq!(lease.state, LeaseState::Settled);
        (
            lease.paid,
            lease.fees,
            lease.refunded,
            lease.slashed,
            lease.burned,
            [0, 1, 2].map(|slot| world.slot(slot).bond),
        )
    };
    assert_eq!(outcome(true), outcome(false));
}

#[test]
fn attack_settle_twice() {
    let Scene { mut world, keepers, .. } = Scene::leased(1, 1, 14);
    for _ in 0..13 {
        world.attest(&keepers, |_| true);
    }
    let settle = settle(&world);
    world.ok(&[settle.clone(), settle.clone()], &[&keepers[0].wallet]);
    assert_eq!(world.lease(1).paid + world.lease(1).fees, 58_333, "but for two hours, a round is paid once");
    world.attest(&keepers, |_| true);
    world.ok(core::slice::from_ref(&settle), &[&keepers[0].wallet]);
    assert_eq!(world.lease(1).paid + world.lease(1).fees, 816_666);
    world.fails(settle, &[&keepers[0].wallet], LeaseholdError::LeaseSettled);
    world.assert_invariants();
}

#[test]
fn attack_draining_of_the_keepers_pool() {
    // The largest fee for a vote that a market can set.
    let mut world =
        World::with(rules(), Params { keeper_fee: u64::MAX, keeper_fee_max: u64::MAX, ..params() });
    let (supplier, keepers, buyer) = (world.supplier(), world.keepers(3), world.wallet());
    world.list(&supplier, COMMITTED, &[machine(0), machine(1)]);
    world.open(&buyer, anything(), 2, 20);
    world.end_round();
    for _ in 0..14 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    let pool = world.with_board(|board, _| board.ledger.keeper_pool);
    let escrow = world.with_board(|board, _| board.ledger.escrow);
    assert!(pool > 3);
    for _ in 0..3 {
        world.attest(&keepers, |_| true);
    }
    world.with_board(|board, _| {
        assert_eq!(board.ledger.keeper_fees, pool / 3 * 3, "the whole pool, and no more");
        assert_eq!((board.ledger.keeper_pool, board.ledger.escrow), (pool % 3, escrow));
    });
    world.assert_invariants();
}
