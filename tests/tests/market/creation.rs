//! Creating a market.

use leasehold::{
    constants::MAX_CLASSES, error::LeaseholdError, instructions::CreateMarketArgs, math::slashing::SlashSplit,
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

use crate::classes;

fn create(world: &World, args: CreateMarketArgs) -> Instruction {
    let CreateMarketArgs { timelock_secs, rules, params, .. } = args;
    instruction::create_market(&world.market, world.authority.pubkey(), timelock_secs, rules, params)
}

fn args() -> CreateMarketArgs {
    CreateMarketArgs { id: 1, timelock_secs: 86_400, rules: rules(), params: params() }
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
