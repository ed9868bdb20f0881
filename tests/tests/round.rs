//! Every instruction of keepers and rounds: that it works, and everything it refuses.

use leasehold::{
    error::LeaseholdError,
    state::{Keeper, Params, Seat, StakeLedger},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

/// Seconds that stake takes to unbond, and without a submission until a seat can be taken away.
const UNBONDING: i64 = 14 * 86_400;
const IDLE: i64 = 86_400;

fn keeper(world: &World, wallet: &Keypair) -> Keeper {
    world.account(&world.market.keeper(&wallet.pubkey()))
}

fn seat(world: &World, index: u8) -> Seat {
    world.with_board(|board, _| board.seats[usize::from(index)])
}

fn take(world: &World, wallet: &Keypair, seat: u8) -> Instruction {
    instruction::take_seat(&world.board(), wallet.pubkey(), seat)
}

fn leave(world: &World, keeper: &KeeperActor) -> Instruction {
    instruction::leave_seat(&world.board(), keeper.wallet.pubkey(), keeper.account, keeper.seat)
}

fn claim(world: &World, keeper: &KeeperActor) -> Instruction {
    let key = keeper.wallet.pubkey();
    let wallet = world.market.payment_account(&key);
    instruction::claim_keeper_fees(&world.board(), key, wallet, keeper.seat)
}

/// A keeper's vote for a round, with every machine up.
fn vote(world: &World, keeper: &KeeperActor, round: u32) -> Instruction {
    let machines = world.with_board(|board, _| board.slots_at(world.round()));
    submit(&world.board(), keeper, round, bitmap(machines, |_| true))
}

fn close(world: &World) -> Instruction {
    instruction::close_round(&world.board())
}

fn next_round(world: &World) -> u32 {
    world.with_board(|board, _| board.next_round)
}

/// Three keepers who have earned fees of four machines' lease of four rounds.
fn paid() -> Scene {
    let mut scene = Scene::leased(4, 4, 4);
    scene.world.attest(&scene.keepers, |_| true);
    scene.world.settle(&scene.buyer, 1);
    scene.world.attest(&scene.keepers, |_| true);
    scene
}

#[test]
fn register_keeper_ok() {
    let mut world = World::new();
    let wallet = world.wallet();
    let register = instruction::register_keeper(&world.market, wallet.pubkey());
    world.ok(core::slice::from_ref(&register), &[&wallet]);
    let found = keeper(&world, &wallet);
    assert_eq!((found.market, found.authority), (world.market.address, wallet.pubkey()));
    assert_eq!((found.stake, found.locked, found.seats), (StakeLedger::default(), 0, 0));
    assert_eq!(world.market_account().members, 1);
    world.assert_invariants();
    world.fails(register, &[&wallet], SYSTEM_ACCOUNT_IN_USE);
}

#[test]
fn deposit_bond_ok() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    assert_eq!(keeper(&world, &wallet).stake.free, 1_000 * STAKE);
    assert_eq!(world.stake_of(&wallet.pubkey()), STAKES - 1_000 * STAKE);
    world.assert_invariants();
}

#[test]
fn deposit_bond_fails_when_the_amount_is_zero_or_too_large() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    let from = world.market.stake_account(&wallet.pubkey());
    let deposit =
        |world: &World, amount| instruction::deposit_bond(&world.market, wallet.pubkey(), from, amount);
    let nothing = deposit(&world, 0);
    world.fails(nothing, &[&wallet], LeaseholdError::AmountIsZero);
    let too_much = deposit(&world, u64::MAX);
    world.fails(too_much, &[&wallet], LeaseholdError::MathOverflow);
    let more_than_it_has = deposit(&world, STAKES);
    world.fails(more_than_it_has, &[&wallet], TOKEN_INSUFFICIENT_FUNDS);
}

#[test]
fn request_unbond_and_withdraw_bond_ok() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    let (key, market) = (wallet.pubkey(), world.market);
    let withdraw = instruction::withdraw_bond(&market, key, market.stake_account(&key));
    world.fails(withdraw.clone(), &[&wallet], LeaseholdError::NothingToWithdraw);
    world.ok(&[instruction::request_unbond(&market, key, STAKE)], &[&wallet]);
    world.pass(UNBONDING - 1);
    world.fails(withdraw.clone(), &[&wallet], LeaseholdError::StakeStillUnbonding);
    world.pass(1);
    let before = world.stake_of(&key);
    world.ok(&[withdraw], &[&wallet]);
    assert_eq!(world.stake_of(&key) - before, STAKE);
    assert_eq!(keeper(&world, &wallet).stake.free, 999 * STAKE);
    world.assert_invariants();
}

#[test]
fn request_unbond_fails_when_the_amount_is_zero_or_a_seat_holds_it() {
    let mut world = World::new();
    let keeper = world.keeper(0);
    let request =
        |world: &World, amount| instruction::request_unbond(&world.market, keeper.wallet.pubkey(), amount);
    let nothing = request(&world, 0);
    world.fails(nothing, &[&keeper.wallet], LeaseholdError::AmountIsZero);
    let held = request(&world, 1);
    world.fails(held, &[&keeper.wallet], LeaseholdError::InsufficientStake);
}

#[test]
fn take_seat_and_leave_seat_ok() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    let take = take(&world, &wallet, 2);
    world.ok(&[take], &[&wallet]);
    let held = seat(&world, 2);
    assert_eq!((held.keeper, held.bond, held.earned), (wallet.pubkey(), 1_000 * STAKE, 0));
    assert_eq!((held.last_round, held.submissions), (world.round(), 0));
    let found = keeper(&world, &wallet);
    assert_eq!((found.stake.free, found.locked, found.seats), (0, 1_000 * STAKE, 1));
    world.assert_invariants();

    let account = world.market.keeper(&wallet.pubkey());
    let leave = instruction::leave_seat(&world.board(), wallet.pubkey(), account, 2);
    world.ok(&[leave], &[&wallet]);
    assert!(seat(&world, 2).is_vacant());
    let found = keeper(&world, &wallet);
    assert_eq!((found.stake.free, found.locked, found.seats), (1_000 * STAKE, 0, 0));
    world.assert_invariants();
}

#[test]
fn take_seat_fails_when_the_seat_is_not_to_be_had() {
    let mut world = World::new();
    let seated = world.keeper(0);
    let wallet = world.keeper_with_bond();
    let none = take(&world, &wallet, 3);
    world.fails(none, &[&wallet], LeaseholdError::NoSuchSeat);
    let taken = take(&world, &wallet, 0);
    world.fails(taken, &[&wallet], LeaseholdError::SeatTaken);
    let second = take(&world, &seated.wallet, 1);
    world.fails(second, &[&seated.wallet], LeaseholdError::SecondSeat);
}

#[test]
fn take_seat_fails_when_stake_is_missing() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    let request = instruction::request_unbond(&world.market, wallet.pubkey(), 1);
    world.ok(&[request], &[&wallet]);
    let take = take(&world, &wallet, 0);
    world.fails(take, &[&wallet], LeaseholdError::InsufficientStake);
}

#[test]
fn leave_seat_fails_when_the_seat_is_another_keepers_or_nobodys() {
    let mut world = World::new();
    let (first, second) = (world.keeper(0), world.keeper(1));
    let leave = |world: &World, seat| {
        instruction::leave_seat(&world.board(), first.wallet.pubkey(), first.account, seat)
    };
    let vacant = leave(&world, 2);
    world.fails(vacant, &[&first.wallet], LeaseholdError::SeatVacant);
    let beyond = leave(&world, 3);
    world.fails(beyond, &[&first.wallet], LeaseholdError::NoSuchSeat);
    let others = leave(&world, second.seat);
    world.fails(others, &[&first.wallet], LeaseholdError::WrongKeeper);
}

#[test]
fn leave_seat_fails_when_its_vote_is_not_counted() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    world.end_round();
    world.vote(&keepers[0], |_| true);
    let leave = leave(&world, &keepers[0]);
    world.fails(leave.clone(), &[&keepers[0].wallet], LeaseholdError::VoteNotCounted);
    world.pass(300);
    let close = close(&world);
    world.ok(&[close, leave], &[&keepers[0].wallet]);
    world.assert_invariants();
}

#[test]
fn leave_seat_fails_when_its_fees_are_not_claimed() {
    let Scene { mut world, keepers, .. } = paid();
    let leave = leave(&world, &keepers[1]);
    world.fails(leave.clone(), &[&keepers[1].wallet], LeaseholdError::FeesLeft);
    let claim = claim(&world, &keepers[1]);
    world.ok(&[claim, leave], &[&keepers[1].wallet]);
    world.assert_invariants();
}

#[test]
fn leave_seat_lets_anybody_vacate_a_seat_that_has_not_submitted_for_a_day() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    let stranger = world.wallet();
    world.attest(&keepers, |_| true);
    let absent = &keepers[2];
    let evict = instruction::leave_seat(&world.board(), stranger.pubkey(), absent.account, 2);
    world.fails(evict.clone(), &[&stranger], LeaseholdError::SeatInUse);
    let submitted = seat(&world, 2).last_round;
    world.set_time(i64::from(submitted + 1) * 600 + IDLE);
    world.fails(evict.clone(), &[&stranger], LeaseholdError::SeatInUse);
    world.pass(1);
    world.ok(&[evict], &[&stranger]);
    assert_eq!(keeper(&world, &absent.wallet).stake.free, 1_000 * STAKE, "with its whole bond");
    world.assert_invariants();
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
fn submit_round_fails_when_an_earlier_round_waits_to_be_closed() {
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
fn submit_round_fails_when_the_bitmap_has_not_a_bit_for_each_slot() {
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
    assert_eq!([counters(0), counters(1), counters(2)], [(0, 0, 1, 0), (0, 0, 0, 1), (1, 0, 0, 0)]);
    world.with_board(|board, _| {
        assert_eq!(board.votes[(round % 64) as usize], 0b111);
        assert_eq!(board.tally.submitted, 0);
    });
    world.assert_invariants();
    world.fails(close, &[&buyer], LeaseholdError::NothingToClose);
}

#[test]
fn close_round_finds_nothing_where_keepers_disagree_or_stay_away() {
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
        assert_eq!((world.slot(slot).lease_up, world.slot(slot).lease_down), (0, 0));
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
    // The last round's time to submit runs.
    assert_eq!(next_round(&world), running - 1);
    assert_eq!(
        world.with_board(|board, _| board.voted_rounds()),
        0,
        "all that is remembered was passed over"
    );
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

#[test]
fn close_round_pays_keepers_only_where_a_quorum_voted_and_whatever_they_voted() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(4, 4, 100);
    for _ in 0..20 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    let pool = world.with_board(|board, _| board.ledger.keeper_pool);
    assert!(pool > 3 * params().keeper_fee);

    world.end_round();
    world.vote(&keepers[0], |_| true);
    world.pass(300);
    let close = close(&world);
    world.ok(core::slice::from_ref(&close), &[&buyer]);
    assert_eq!(seat(&world, 0).earned, 0, "one vote is no quorum");

    world.end_round();
    world.vote(&keepers[0], |_| true);
    world.vote(&keepers[1], |_| false);
    world.pass(300);
    world.ok(&[close], &[&buyer]);
    let earned = [0, 1, 2].map(|index| seat(&world, index).earned);
    assert_eq!(earned, [params().keeper_fee, params().keeper_fee, 0]);
    assert_eq!(world.with_board(|board, _| board.ledger.keeper_pool), pool - 2 * params().keeper_fee);
    world.assert_invariants();
}

#[test]
fn claim_keeper_fees_ok() {
    let Scene { mut world, keepers, .. } = paid();
    let key = keepers[0].wallet.pubkey();
    let (earned, before) = (seat(&world, 0).earned, world.payments_of(&key));
    let claim = claim(&world, &keepers[0]);
    world.ok(core::slice::from_ref(&claim), &[&keepers[0].wallet]);
    assert!(earned > 0);
    assert_eq!(world.payments_of(&key) - before, earned);
    world.assert_invariants();
    world.fails(claim, &[&keepers[0].wallet], LeaseholdError::NothingToWithdraw);
}

#[test]
fn claim_keeper_fees_fails_when_the_seat_does_not_exist() {
    let Scene { mut world, keepers, .. } = paid();
    let KeeperActor { wallet, account, .. } = &keepers[0];
    let beyond = KeeperActor { wallet: wallet.insecure_clone(), account: *account, seat: 3 };
    let claim = claim(&world, &beyond);
    world.fails(claim, &[wallet], LeaseholdError::NoSuchSeat);
}

#[test]
fn close_keeper_ok() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    let (key, market) = (wallet.pubkey(), world.market);
    world.ok(&[instruction::request_unbond(&market, key, 1_000 * STAKE)], &[&wallet]);
    world.pass(UNBONDING);
    let withdraw = instruction::withdraw_bond(&market, key, market.stake_account(&key));
    let (payer, rent) = (world.wallet(), world.lamports(&market.keeper(&key)));
    let before = world.lamports(&key);
    world.ok(&[withdraw, instruction::close_keeper(&market, key)], &[&payer, &wallet]);
    assert_eq!(world.lamports(&key) - before, rent);
    assert_eq!(world.market_account().members, 0);
    world.assert_invariants();
}

#[test]
fn close_keeper_fails_when_it_has_seats_or_stake() {
    let mut world = World::new();
    let keeper = world.keeper(0);
    let close = instruction::close_keeper(&world.market, keeper.wallet.pubkey());
    world.fails(close.clone(), &[&keeper.wallet], LeaseholdError::SeatsLeft);
    let leave = leave(&world, &keeper);
    world.ok(&[leave], &[&keeper.wallet]);
    world.fails(close.clone(), &[&keeper.wallet], LeaseholdError::StakeLeft);
    let key = keeper.wallet.pubkey();
    let request = instruction::request_unbond(&world.market, key, 1_000 * STAKE);
    world.ok(&[request], &[&keeper.wallet]);
    world.fails(close, &[&keeper.wallet], LeaseholdError::StakeLeft);
}

#[test]
fn close_keeper_fails_when_a_seat_without_bond_is_left() {
    let mut world = World::with(rules(), Params { keeper_bond: 0, ..params() });
    let wallet = world.wallet();
    let key = wallet.pubkey();
    let register = instruction::register_keeper(&world.market, key);
    let take = take(&world, &wallet, 0);
    world.ok(&[register, take], &[&wallet]);
    let close = instruction::close_keeper(&world.market, key);
    world.fails(close, &[&wallet], LeaseholdError::SeatsLeft);
}
