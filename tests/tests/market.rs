//! Every instruction of a market: that it works, and everything it refuses.

use leasehold::{
    constants::MAX_CLASSES,
    error::LeaseholdError,
    instructions::CreateMarketArgs,
    math::slashing::SlashSplit,
    state::{HardwareClass, Params},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

/// Notice of the harness's markets, in seconds.
const TIMELOCK: i64 = 86_400;

fn create(world: &World, args: CreateMarketArgs) -> Instruction {
    let CreateMarketArgs { timelock_secs, rules, params, .. } = args;
    instruction::create_market(&world.market, world.authority.pubkey(), timelock_secs, rules, params)
}

fn args() -> CreateMarketArgs {
    CreateMarketArgs { id: 1, timelock_secs: 86_400, rules: rules(), params: params() }
}

fn classes(count: usize) -> Vec<HardwareClass> {
    vec![HardwareClass { name: [b'x'; 16], weight_bps: 10_000 }; count]
}

fn propose(world: &World, params: Params) -> Instruction {
    instruction::propose_params(&world.market, world.authority.pubkey(), Some(params))
}

/// A world and its authority, who signs.
fn governed() -> (World, Keypair) {
    let world = World::new();
    let authority = world.authority.insecure_clone();
    (world, authority)
}

#[test]
fn create_market_ok() {
    let world = World::new();
    let market = world.market_account();
    assert_eq!((market.id, market.authority), (1, world.authority.pubkey()));
    assert_eq!(
        (market.payment_mint, market.stake_mint),
        (world.market.payment_mint, world.market.stake_mint)
    );
    assert_eq!((market.rules, market.params), (rules(), params()));
    assert_eq!((market.timelock_secs, market.boards, market.next_board), (86_400, 1, 1));
    assert_eq!((market.paused, market.pending_authority, market.members), (false, None, 0));
    world.assert_invariants();
}

#[test]
fn create_market_ok_at_every_limit() {
    let least: fn(&mut CreateMarketArgs) = |args| {
        args.timelock_secs = 60;
        (args.rules.round_secs, args.rules.submit_secs) = (10, 10);
        (args.rules.seats, args.rules.threshold, args.rules.abandon_rounds) = (1, 1, 1);
        (args.params.min_rounds, args.params.max_rounds) = (1, 1);
        (args.params.fee_bps, args.params.keeper_share_bps, args.params.sla_bps) = (0, 0, 0);
        args.params.classes = classes(1);
    };
    let most: fn(&mut CreateMarketArgs) = |args| {
        args.timelock_secs = 30 * 86_400;
        args.rules.submit_secs = args.rules.round_secs;
        (args.rules.seats, args.rules.threshold, args.rules.abandon_rounds) = (15, 15, 64);
        args.params.unbonding_secs = 90 * 86_400;
        (args.params.fee_bps, args.params.keeper_share_bps, args.params.sla_bps) = (3_000, 10_000, 10_000);
        args.params.split = SlashSplit { buyer_bps: 0, burn_bps: 1_000, market_bps: 0, caller_bps: 9_000 };
        args.params.classes = classes(MAX_CLASSES);
    };
    for change in [least, most] {
        let mut world = World::without_market();
        let mut args = args();
        change(&mut args);
        let (create, authority) = (create(&world, args.clone()), world.authority.insecure_clone());
        world.ok(&[create], &[&authority]);
        let market = world.market_account();
        assert_eq!(
            (market.timelock_secs, market.rules, market.params),
            (args.timelock_secs, args.rules, args.params)
        );
    }
}

#[test]
fn create_market_fails_when_a_rule_is_out_of_range() {
    let mut world = World::without_market();
    let authority = world.authority.insecure_clone();
    let mut refuses = |change: fn(&mut CreateMarketArgs), error: LeaseholdError| {
        let mut args = args();
        change(&mut args);
        let create = create(&world, args);
        world.fails(create, &[&authority], error);
    };
    refuses(|args| args.rules.round_secs = 9, LeaseholdError::RoundTooShort);
    refuses(|args| args.rules.submit_secs = 0, LeaseholdError::SubmitWindowOutOfRange);
    refuses(|args| args.rules.submit_secs = 601, LeaseholdError::SubmitWindowOutOfRange);
    refuses(|args| args.rules.seats = 0, LeaseholdError::SeatsOutOfRange);
    refuses(|args| args.rules.seats = 16, LeaseholdError::SeatsOutOfRange);
    refuses(|args| args.rules.threshold = 1, LeaseholdError::ThresholdOutOfRange);
    refuses(|args| args.rules.threshold = 4, LeaseholdError::ThresholdOutOfRange);
    refuses(|args| (args.rules.seats, args.rules.threshold) = (4, 2), LeaseholdError::ThresholdOutOfRange);
    refuses(|args| args.rules.abandon_rounds = 0, LeaseholdError::AbandonRoundsOutOfRange);
    refuses(|args| args.rules.abandon_rounds = 65, LeaseholdError::AbandonRoundsOutOfRange);
    refuses(|args| args.timelock_secs = 59, LeaseholdError::TimelockOutOfRange);
    refuses(|args| args.timelock_secs = 30 * 86_400 + 1, LeaseholdError::TimelockOutOfRange);
    refuses(|args| args.params.unbonding_secs = 90 * 86_400 + 1, LeaseholdError::UnbondingTooLong);
    refuses(|args| args.params.min_rounds = 0, LeaseholdError::LeaseRoundsOutOfRange);
    refuses(|args| args.params.max_rounds = 0, LeaseholdError::LeaseRoundsOutOfRange);
    refuses(|args| args.params.fee_bps = 3_001, LeaseholdError::FeeTooHigh);
    refuses(|args| args.params.keeper_share_bps = 10_001, LeaseholdError::RateAboveWhole);
    refuses(|args| args.params.sla_bps = 10_001, LeaseholdError::RateAboveWhole);
    refuses(|args| args.params.split.buyer_bps += 1, LeaseholdError::SplitNotWhole);
    refuses(|args| args.params.split.caller_bps -= 1, LeaseholdError::SplitNotWhole);
    refuses(
        |args| (args.params.split.buyer_bps, args.params.split.burn_bps) = (7_001, 999),
        LeaseholdError::SplitNotWhole,
    );
    refuses(|args| args.params.classes = vec![], LeaseholdError::ClassesOutOfRange);
    refuses(|args| args.params.classes = classes(MAX_CLASSES + 1), LeaseholdError::ClassesOutOfRange);
}

#[test]
fn create_market_fails_when_both_mints_are_the_same() {
    let mut world = World::without_market();
    world.market.payment_mint = world.market.stake_mint;
    let (create, authority) = (create(&world, args()), world.authority.insecure_clone());
    world.fails(create, &[&authority], LeaseholdError::SameMint);
}

#[test]
fn propose_params_and_apply_params_ok() {
    let (mut world, authority) = governed();
    let next = Params { fee_bps: 500, classes: classes(4), ..params() };
    let propose = propose(&world, next.clone());
    world.ok(&[propose], &[&authority]);
    let pending = world.market_account().pending_params.expect("proposed");
    assert_eq!((pending.params, pending.effective_at), (next.clone(), START + TIMELOCK));
    assert_eq!(world.market_account().params, params(), "nothing applies before its time");

    world.pass(TIMELOCK);
    let anybody = world.wallet();
    world.ok(&[instruction::apply_params(&world.market)], &[&anybody]);
    let market = world.market_account();
    assert_eq!((market.params, market.pending_params), (next, None));
}

#[test]
fn propose_params_waits_anew_when_it_is_changed() {
    let (mut world, authority) = governed();
    let first = propose(&world, Params { fee_bps: 1, ..params() });
    world.ok(&[first], &[&authority]);
    world.pass(TIMELOCK - 1);
    let second = propose(&world, Params { fee_bps: 2, ..params() });
    world.ok(&[second], &[&authority]);
    world.pass(TIMELOCK - 1);
    let apply = instruction::apply_params(&world.market);
    world.fails(apply.clone(), &[&authority], LeaseholdError::TimelockRunning);
    world.pass(1);
    world.ok(&[apply], &[&authority]);
    assert_eq!(world.market_account().params.fee_bps, 2);
}

#[test]
fn propose_params_fails_when_the_new_ones_are_not_allowed() {
    let (mut world, authority) = governed();
    let dropped = propose(&world, Params { classes: classes(2), ..params() });
    world.fails(dropped, &[&authority], LeaseholdError::ClassDropped);
    let greedy = propose(&world, Params { fee_bps: 3_001, ..params() });
    world.fails(greedy, &[&authority], LeaseholdError::FeeTooHigh);
}

#[test]
fn apply_params_fails_when_nothing_is_proposed() {
    let (mut world, authority) = governed();
    let apply = instruction::apply_params(&world.market);
    world.fails(apply.clone(), &[&authority], LeaseholdError::NothingProposed);
    let propose = propose(&world, params());
    let take_back = instruction::propose_params(&world.market, authority.pubkey(), None);
    world.ok(&[propose, take_back], &[&authority]);
    world.pass(TIMELOCK);
    world.fails(apply, &[&authority], LeaseholdError::NothingProposed);
}

#[test]
fn apply_params_fails_when_the_timelock_runs() {
    let (mut world, authority) = governed();
    let propose = propose(&world, params());
    world.ok(&[propose], &[&authority]);
    world.pass(TIMELOCK - 1);
    let apply = instruction::apply_params(&world.market);
    world.fails(apply, &[&authority], LeaseholdError::TimelockRunning);
}

#[test]
fn apply_params_never_touches_an_open_lease() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 2, 200);
    let authority = world.authority.insecure_clone();
    let terms = world.lease(1).terms;
    let harsh = Params { fee_bps: 3_000, sla_bps: 10_000, slash_multiplier_bps: u32::MAX, ..params() };
    let propose = propose(&world, harsh);
    world.ok(&[propose], &[&authority]);
    world.pass(TIMELOCK);
    let apply = instruction::apply_params(&world.market);
    world.ok(&[apply], &[&authority]);
    world.attest(&keepers, |machine| machine == 0);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.terms, terms);
    assert_eq!(lease.paid + lease.fees, 58_333, "one round of one machine");
    assert_eq!(lease.fees, 58_333 * 300 / 10_000, "at the fee it was opened with");
    world.assert_invariants();
}

#[test]
fn propose_authority_and_accept_authority_ok() {
    let (mut world, authority) = governed();
    let heir = world.wallet();
    let offer = instruction::propose_authority(&world.market, authority.pubkey(), Some(heir.pubkey()));
    world.ok(&[offer], &[&authority]);
    assert_eq!(world.market_account().authority, authority.pubkey(), "until it is accepted");
    let accept = instruction::accept_authority(&world.market, heir.pubkey());
    world.ok(core::slice::from_ref(&accept), &[&heir]);
    let market = world.market_account();
    assert_eq!((market.authority, market.pending_authority), (heir.pubkey(), None));
    let pause = instruction::set_paused(&world.market, authority.pubkey(), true);
    world.fails(pause, &[&authority], LeaseholdError::WrongAuthority);
    world.fails(accept, &[&heir], LeaseholdError::WrongAuthority);
}

#[test]
fn accept_authority_fails_when_the_offer_was_taken_back_or_is_for_somebody_else() {
    let (mut world, authority) = governed();
    let (heir, stranger) = (world.wallet(), world.wallet());
    let offer = |world: &World, to| instruction::propose_authority(&world.market, authority.pubkey(), to);
    let accept = |world: &World, who: &Keypair| instruction::accept_authority(&world.market, who.pubkey());
    let to_heir = offer(&world, Some(heir.pubkey()));
    world.ok(&[to_heir], &[&authority]);
    let by_stranger = accept(&world, &stranger);
    world.fails(by_stranger, &[&stranger], LeaseholdError::WrongAuthority);
    let take_back = offer(&world, None);
    world.ok(&[take_back], &[&authority]);
    let by_heir = accept(&world, &heir);
    world.fails(by_heir, &[&heir], LeaseholdError::WrongAuthority);
}

#[test]
fn set_paused_stops_listing_opening_and_extending_and_nothing_else() {
    let mut catalogue = Catalogue::new();
    let (market, authority) = (catalogue.world.market, catalogue.world.authority.insecure_clone());
    let pause = instruction::set_paused(&market, authority.pubkey(), true);
    catalogue.world.ok(&[pause], &[&authority]);
    assert!(catalogue.world.market_account().paused);
    let paused = u32::from(LeaseholdError::MarketPaused);
    for case in &catalogue.cases {
        let signers: Vec<_> = case.signers.iter().collect();
        let stopped = ["list_machines", "open_lease", "extend_lease"].contains(&case.name);
        let expected = if stopped { Err(custom(paused)) } else { Ok(()) };
        assert_eq!(catalogue.run(&case.instruction, &signers), expected, "{}", case.name);
    }
    let resume = instruction::set_paused(&market, authority.pubkey(), false);
    catalogue.world.ok(&[resume], &[&authority]);
    let (open, buyer) = (catalogue.case("open_lease").instruction.clone(), catalogue.buyer.insecure_clone());
    catalogue.world.ok(&[open], &[&buyer]);
}

#[test]
fn list_machines_fails_when_the_market_is_paused() {
    let Scene { mut world, supplier, .. } = Scene::listed(1);
    let authority = world.authority.insecure_clone();
    let pause = instruction::set_paused(&world.market, authority.pubkey(), true);
    world.ok(&[pause], &[&authority]);
    let list = world.list_instruction(&supplier, world.round() + 10, &[machine(1)]);
    world.fails(list, &[&supplier.wallet], LeaseholdError::MarketPaused);
}

#[test]
fn withdraw_fees_ok() {
    let Scene { mut world, .. } = Scene::slashed();
    let authority = world.authority.insecure_clone();
    let board = world.board();
    // 3 percent of three machines' two rounds, of which the keepers' part is 40 percent.
    let gross = 116_666;
    let fees: u64 = 3 * (gross * 300 / 10_000);
    let (before, ledger) =
        (world.payments_of(&authority.pubkey()), world.with_board(|board, _| board.ledger));
    assert_eq!((ledger.fees, ledger.keeper_pool), (fees - fees * 4_000 / 10_000, fees * 4_000 / 10_000));
    let wallet = world.market.payment_account(&authority.pubkey());
    let withdraw = instruction::withdraw_fees(&board, authority.pubkey(), wallet);
    world.ok(core::slice::from_ref(&withdraw), &[&authority]);
    assert_eq!(world.payments_of(&authority.pubkey()) - before, ledger.fees);
    assert_eq!(world.with_board(|board, _| board.ledger.keeper_pool), ledger.keeper_pool);
    world.assert_invariants();
    world.fails(withdraw, &[&authority], LeaseholdError::NothingToWithdraw);
}

#[test]
fn withdraw_fees_takes_the_keepers_pool_once_the_board_is_empty() {
    let Scene { mut world, supplier, buyer, .. } = Scene::slashed();
    let authority = world.authority.insecure_clone();
    let ledger = world.with_board(|board, _| board.ledger);
    world.pay_owner(&buyer);
    world.pay_supplier(&supplier);
    let board = world.board();
    world.ok(&[instruction::close_lease(&board, buyer.pubkey(), board.lease(1))], &[&buyer]);
    let before = world.payments_of(&authority.pubkey());
    let wallet = world.market.payment_account(&authority.pubkey());
    let withdraw = instruction::withdraw_fees(&board, authority.pubkey(), wallet);
    world.ok(&[withdraw], &[&authority]);
    assert_eq!(world.payments_of(&authority.pubkey()) - before, ledger.fees + ledger.keeper_pool);
    world.assert_invariants();
}

#[test]
fn withdraw_market_stake_ok() {
    let Scene { mut world, .. } = Scene::slashed();
    let authority = world.authority.insecure_clone();
    let before = world.stake_of(&authority.pubkey());
    let wallet = world.market.stake_account(&authority.pubkey());
    let withdraw = instruction::withdraw_market_stake(&world.board(), authority.pubkey(), wallet);
    world.ok(core::slice::from_ref(&withdraw), &[&authority]);
    assert_eq!(world.stake_of(&authority.pubkey()) - before, 15 * STAKE, "15 percent of a bond of 100");
    world.assert_invariants();
    world.fails(withdraw, &[&authority], LeaseholdError::NothingToWithdraw);
}

#[test]
fn burn_slashed_ok() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let supply = |world: &World| {
        let data = world.data(&world.market.stake_mint);
        u64::from_le_bytes(data[36..44].try_into().expect("eight bytes"))
    };
    let before = supply(&world);
    let burn = instruction::burn_slashed(&world.board());
    world.ok(core::slice::from_ref(&burn), &[&buyer]);
    assert_eq!(before - supply(&world), 25 * STAKE, "20 percent, and the 5 of a caller without account");
    world.assert_invariants();
    world.fails(burn, &[&buyer], LeaseholdError::NothingToWithdraw);
}

#[test]
fn close_market_ok() {
    let (mut world, authority) = governed();
    let (key, board) = (authority.pubkey(), world.board());
    let (payments, stakes) = (world.market.payment_account(&key), world.market.stake_account(&key));
    let lamports = world.lamports(&key);
    let close_board = instruction::close_board(&board, key, payments);
    let close_market = instruction::close_market(&world.market, key, stakes);
    world.ok(&[close_board, close_market], &[&authority]);
    for account in [world.market.address, world.market.stake_vault(), board.address, board.payment_vault()] {
        assert_eq!(world.lamports(&account), 0);
    }
    assert!(world.lamports(&key) > lamports, "all rent came back");
}

#[test]
fn close_market_fails_while_somebody_is_in_it() {
    let (mut world, authority) = governed();
    let key = authority.pubkey();
    let market = world.market;
    let close = instruction::close_market(&market, key, market.stake_account(&key));
    world.fails(close.clone(), &[&authority], LeaseholdError::MarketInUse);

    let close_board = instruction::close_board(&world.board(), key, market.payment_account(&key));
    let supplier = instruction::register_supplier(&market, key);
    world.ok(&[close_board, supplier], &[&authority]);
    world.fails(close.clone(), &[&authority], LeaseholdError::MarketInUse);

    let leave = instruction::close_supplier(&market, key);
    let keeper = instruction::register_keeper(&market, key);
    world.ok(&[leave, keeper], &[&authority]);
    world.fails(close.clone(), &[&authority], LeaseholdError::MarketInUse);

    let leave = instruction::close_keeper(&market, key);
    world.ok(&[leave, close], &[&authority]);
}
