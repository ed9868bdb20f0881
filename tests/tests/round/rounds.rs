//! Votes and the closing of rounds.

use leasehold::{
    error::LeaseholdError,
    state::{Params, RoundRules, Verdict},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{close, leave, seat, vote};

fn next_round(world: &World) -> u32 {
    world.with_board(|board, _| board.next_round)
}

#[test]
fn submit_round_ok() {
    let Scene { mut world, keepers, .. } = Scene::listed(9);
    let round = world.end_round();
    world.vote(&keepers[1], |machine| machine % 2 == 0);
    world.with_board(|board, _| {
        assert_eq!((board.tally.round, board.tally.submitted), (round, 0b10));
        assert_eq!(board.tally.planes[0][0], 0b1_0101_0101);
        assert_eq!(board.tally.planes[1][0], 0);
    });
    let voter = seat(&world, 1);
    assert_eq!((voter.last_round, voter.submissions, voter.pong_root), (round, 1, [9; 32]));
    world.vote(&keepers[0], |machine| machine == 0);
    world.with_board(|board, _| {
        assert_eq!(board.tally.submitted, 0b11);
        assert_eq!((board.tally.planes[0][0], board.tally.planes[1][0]), (0b1_0101_0100, 1));
    });
    world.assert_invariants();
}

#[test]
fn submit_round_fails_when_the_seat_is_not_the_signers() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    let round = world.end_round();
    let first = keepers[0].wallet.insecure_clone();
    let forged = KeeperActor { wallet: first.insecure_clone(), account: keepers[0].account, seat: 1 };
    let others = vote(&world, &forged, round);
    world.fails(others, &[&first], LeaseholdError::WrongKeeper);
    let leave = leave(&world, &keepers[0]);
    world.ok(&[leave], &[&first]);
    let vacated = vote(&world, &keepers[0], round);
    world.fails(vacated, &[&first], LeaseholdError::WrongKeeper);
}

#[test]
fn submit_round_fails_when_the_seat_does_not_exist() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    let round = world.end_round();
    let KeeperActor { wallet, account, .. } = &keepers[0];
    let beyond = KeeperActor { wallet: wallet.insecure_clone(), account: *account, seat: 3 };
    let vote = vote(&world, &beyond, round);
    world.fails(vote, &[wallet], LeaseholdError::NoSuchSeat);
}

#[test]
fn submit_round_fails_when_the_round_is_not_the_one_that_ended_last() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    let wallet = &keepers[0].wallet;
    let running = world.round();
    for round in [running, running + 1, running - 2, u32::MAX] {
        let vote = vote(&world, &keepers[0], round);
        world.fails(vote, &[wallet], LeaseholdError::OutsideSubmitWindow);
    }
}

#[test]
fn submit_round_fails_when_an_earlier_round_is_not_closed() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    world.end_round();
    world.vote(&keepers[0], |_| true);
    let round = world.end_round();
    let (vote, close) = (vote(&world, &keepers[1], round), close(&world));
    world.fails(vote.clone(), &[&keepers[1].wallet], LeaseholdError::EarlierRoundOpen);
    world.ok(&[close, vote], &[&keepers[1].wallet]);
    world.assert_invariants();
}

#[test]
fn submit_round_fails_when_the_round_is_closed() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    let round = world.round();
    world.attest(&keepers, |_| true);
    let vote = vote(&world, &keepers[0], round);
    world.fails(vote, &[&keepers[0].wallet], LeaseholdError::RoundClosed);
}

#[test]
fn submit_round_fails_when_the_bitmap_has_the_wrong_length_or_padding() {
    let Scene { mut world, keepers, .. } = Scene::listed(9);
    let round = world.end_round();
    let mut refuses = |bitmap: Vec<u8>, error: LeaseholdError| {
        let vote = submit(&world.board(), &keepers[0], round, bitmap);
        world.fails(vote, &[&keepers[0].wallet], error);
    };
    refuses(vec![], LeaseholdError::BitmapLength);
    refuses(vec![0xff], LeaseholdError::BitmapLength);
    refuses(vec![0xff, 1, 0], LeaseholdError::BitmapLength);
    refuses(vec![0xff, 0b11], LeaseholdError::BitmapPadding);
    refuses(vec![0, 0x80], LeaseholdError::BitmapPadding);
    let full = submit(&world.board(), &keepers[0], round, vec![0xff, 1]);
    world.ok(&[full], &[&keepers[0].wallet]);
}

#[test]
fn submit_round_fails_when_the_seat_has_voted() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    let round = world.end_round();
    let vote = vote(&world, &keepers[0], round);
    world.ok(core::slice::from_ref(&vote), &[&keepers[0].wallet]);
    world.fails(vote, &[&keepers[0].wallet], LeaseholdError::AlreadySubmitted);
}

/// Keepers keep their seats on an empty board by voting with an empty bitmap.
#[test]
fn submit_round_ok_on_a_board_without_machines() {
    let Scene { mut world, keepers, .. } = Scene::listed(0);
    for _ in 0..3 {
        let round = world.end_round();
        for keeper in &keepers {
            let empty = submit(&world.board(), keeper, round, vec![]);
            world.ok(&[empty], &[&keeper.wallet]);
            assert_eq!(seat(&world, keeper.seat).last_round, round);
        }
        let close = close(&world);
        world.ok(&[close], &[&keepers[0].wallet]);
        assert_eq!(next_round(&world), round + 1);
    }
    world.assert_invariants();
}

#[test]
fn close_round_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(3, 2, 5);
    let before = world.with_board(|board, _| board.next_round);
    let round = world.end_round();
    // Machine 0 up by all, 1 down by two of three, 2, which is not leased, up by two of three.
    for (keeper, up) in keepers.iter().zip([0b101, 0b111, 0b001]) {
        world.vote(keeper, |machine| up >> machine & 1 == 1);
    }
    let close = close(&world);
    world.ok(core::slice::from_ref(&close), &[&buyer]);
    assert!(before < round);
    assert_eq!(next_round(&world), round + 1);
    let counters = |slot: u16| {
        let slot = world.slot(slot);
        (slot.up, slot.down, slot.lease_up, slot.lease_down)
    };
    assert_eq!([counters(0), counters(1), counters(2)], [(1, 0, 1, 0), (0, 1, 0, 1), (1, 0, 0, 0)]);
    world.with_board(|board, _| {
        assert_eq!(board.votes[(round % 64) as usize], 0b111);
        assert_eq!(board.tally.submitted, 0);
    });
    world.assert_invariants();
    world.fails(close, &[&buyer], LeaseholdError::NothingToClose);
}

#[test]
fn close_round_gives_no_verdict_where_keepers_disagree_or_stay_away() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 2, 5);
    // One voter of three: no verdict, whatever it says.
    world.end_round();
    world.vote(&keepers[0], |machine| machine == 0);
    world.pass(300);
    let close = close(&world);
    world.ok(core::slice::from_ref(&close), &[&buyer]);
    // Two voters who disagree.
    world.end_round();
    world.vote(&keepers[0], |_| true);
    world.vote(&keepers[1], |_| false);
    world.pass(300);
    world.ok(&[close], &[&buyer]);
    for slot in [0, 1] {
        let slot = world.slot(slot);
        assert_eq!((slot.lease_up, slot.lease_down, slot.lease_unseen), (0, 0, 1));
        let verdicts = world.with_board(|board, _| {
            [2, 1].map(|past| board.verdict(&slot, board.next_round - past).expect("remembered"))
        });
        assert_eq!(verdicts, [Verdict::Void, Verdict::Unseen]);
    }
    world.assert_invariants();
}

#[test]
fn close_round_steps_over_rounds_that_nobody_voted_on() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 200);
    world.attest(&keepers, |_| true);
    world.pass(100 * 600);
    let (running, close) = (world.round(), close(&world));
    world.ok(core::slice::from_ref(&close), &[&buyer]);
    // The window of the last round is still open.
    assert_eq!(next_round(&world), running - 1);
    let known = world.with_board(|board, _| (board.quorate, board.votes));
    assert_eq!(known, (0, [0; 64]), "all rounds in the history were skipped");
    assert_eq!((world.slot(0).lease_up, world.slot(0).lease_down), (1, 0));
    world.assert_invariants();
    world.fails(close, &[&buyer], LeaseholdError::NothingToClose);
}

#[test]
fn close_round_fails_while_somebody_can_still_vote() {
    let Scene { mut world, keepers, buyer, .. } = Scene::listed(1);
    world.end_round();
    for keeper in &keepers[..2] {
        world.vote(keeper, |_| true);
    }
    let close = close(&world);
    world.fails(close.clone(), &[&buyer], LeaseholdError::NothingToClose);
    world.vote(&keepers[2], |_| true);
    world.ok(&[close], &[&buyer]);
}

/// Up takes as many votes as can keep a machine from being down, down takes the threshold, and silence is neither.
#[test]
fn close_round_needs_fewer_votes_for_up_than_for_down() {
    let rules = RoundRules { seats: 13, threshold: 9, ..rules() };
    let mut world = World::with(rules, Params { up_votes: 5, ..params() });
    let (supplier, keepers) = (world.supplier(), world.keepers(13));
    world.list(&supplier, COMMITTED, &(0..5).map(machine).collect::<Vec<_>>());
    world.end_round();
    world.end_round();
    // Eleven vote. Machines 0 to 4 have 4, 5, 2, 3 and 0 votes of them.
    for (voter, keeper) in (0..).zip(&keepers[..11]) {
        world.vote(keeper, |machine| voter < [4, 5, 2, 3, 0][machine as usize]);
    }
    world.pass(300);
    let close = close(&world);
    world.ok(&[close], &[&keepers[0].wallet]);
    let found: Vec<_> = (0..5).map(|slot| world.slot(slot)).map(|s| (s.up, s.down, s.unseen)).collect();
    assert_eq!(found, [(0, 0, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 0)]);
    world.assert_invariants();
}

/// Whoever applies a new number of votes can't choose the verdict of a round that was voted on.
#[test]
fn close_round_counts_by_the_up_votes_that_the_last_closing_left() {
    let rules = RoundRules { seats: 7, threshold: 5, ..rules() };
    let mut world = World::with(rules, Params { up_votes: 3, ..params() });
    let (supplier, keepers) = (world.supplier(), world.keepers(7));
    world.list(&supplier, COMMITTED, &[machine(0)]);
    let authority = world.authority.insecure_clone();
    let next = Params { up_votes: 4, ..params() };
    let propose = instruction::propose_params(&world.market, authority.pubkey(), Some(next));
    world.ok(&[propose], &[&authority]);
    world.pass(i64::from(TIMELOCK));
    let apply = instruction::apply_params(&world.market);
    for (round, up) in [(0, 1), (1, 1)] {
        world.end_round();
        for (voter, keeper) in (0..).zip(&keepers) {
            world.vote(keeper, |_| voter < 3);
        }
        if round == 0 {
            world.ok(core::slice::from_ref(&apply), &[&authority]);
        }
        let close = close(&world);
        world.ok(&[close], &[&authority]);
        assert_eq!(world.slot(0).up, up, "three votes are enough in the first round alone");
    }
    assert_eq!((world.slot(0).unseen, world.slot(0).down), (1, 0));
    world.assert_invariants();
}
