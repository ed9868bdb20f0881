//! Creating a market.

use leasehold::{
    constants::MAX_CLASSES,
    error::LeaseholdError,
    instructions::CreateMarketArgs,
    state::{HardwareClass, Params, RoundRules},
};
use leasehold_client::{MarketRef, instruction};
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

use crate::classes;

fn create(world: &World, args: CreateMarketArgs) -> Instruction {
    let CreateMarketArgs { genesis, timelock_secs, rules, params, .. } = args;
    let authority = world.authority.pubkey();
    instruction::create_market(&world.market, authority, genesis, timelock_secs, rules, params)
}

fn args() -> CreateMarketArgs {
    CreateMarketArgs { id: 1, genesis: GENESIS, timelock_secs: 2 * 86_400, rules: rules(), params: params() }
}

#[test]
fn create_market_ok() {
    let world = World::new();
    let market = world.market_account();
    assert_eq!((market.id, market.authority), (1, world.authority.pubkey()));
    assert_eq!(market.genesis, GENESIS);
    assert_eq!(
        (market.payment_mint, market.stake_mint),
        (world.market.payment_mint, world.market.stake_mint)
    );
    assert_eq!((market.rules, market.params), (rules(), params()));
    assert_eq!((market.timelock_secs, market.boards, market.next_board), (2 * 86_400, 1, 1));
    assert_eq!((market.paused, market.pending_authority, market.members), (false, None, 0));
    world.assert_invariants();
}

#[test]
fn create_market_ok_at_every_limit() {
    let least: fn(&mut CreateMarketArgs) = |args| {
        args.timelock_secs = 2 * 86_400;
        let rules = &mut args.rules;
        (rules.round_secs, rules.submit_secs, rules.sla_bps) = (10, 1, 0);
        (rules.seats, rules.threshold, rules.abandon_rounds) = (1, 1, 1);
        let params = &mut args.params;
        (params.bond_unit, params.keeper_bond) = (1, 1);
        (params.keeper_fee, params.keeper_fee_max, params.ask_fee) = (0, 0, 100_000);
        params.unbonding_secs = 86_400;
        (params.min_rounds, params.max_rounds, params.up_votes) = (1, 1, 1);
        (params.fee_bps, params.keeper_share_bps) = (0, 0);
        (params.hold_bps, params.standby_bps, params.slash_multiplier_bps) = (1_000, 100, 1_000);
        params.classes = vec![HardwareClass { weight_bps: 1, ..classes(1)[0] }];
    };
    let most: fn(&mut CreateMarketArgs) = |args| {
        args.timelock_secs = 30 * 86_400;
        let rules = &mut args.rules;
        (rules.round_secs, rules.submit_secs, rules.sla_bps) = (3_600, 3_600, 10_000);
        (rules.seats, rules.threshold, rules.abandon_rounds) = (15, 15, 64);
        let params = &mut args.params;
        (params.bond_unit, params.keeper_bond) = (u64::MAX, u64::MAX);
        (params.keeper_fee, params.keeper_fee_max, params.ask_fee) = (u64::MAX, u64::MAX, 1_000_000_000);
        params.unbonding_secs = 90 * 86_400;
        (params.min_rounds, params.max_rounds, params.up_votes) = (366 * 24, 366 * 24, 8);
        (params.fee_bps, params.keeper_share_bps) = (3_000, 10_000);
        (params.hold_bps, params.standby_bps, params.slash_multiplier_bps) = (5_000, 10_000, 100_000);
        params.classes = classes(MAX_CLASSES);
        params.classes[0].weight_bps = 10_000_000;
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
fn create_market_fails_when_a_rule_of_rounds_is_out_of_range() {
    let mut world = World::without_market();
    let authority = world.authority.insecure_clone();
    let mut refuses = |change: fn(&mut RoundRules), error: LeaseholdError| {
        let mut args = args();
        change(&mut args.rules);
        let create = create(&world, args);
        world.fails(create, &[&authority], error);
    };
    refuses(|rules| rules.round_secs = 9, LeaseholdError::RoundSecsOutOfRange);
    refuses(|rules| rules.round_secs = 3_601, LeaseholdError::RoundSecsOutOfRange);
    refuses(|rules| rules.submit_secs = 0, LeaseholdError::SubmitWindowOutOfRange);
    refuses(|rules| rules.submit_secs = 601, LeaseholdError::SubmitWindowOutOfRange);
    refuses(|rules| rules.seats = 0, LeaseholdError::SeatsOutOfRange);
    refuses(|rules| rules.seats = 16, LeaseholdError::SeatsOutOfRange);
    refuses(|rules| rules.threshold = 1, LeaseholdError::ThresholdOutOfRange);
    refuses(|rules| rules.threshold = 4, LeaseholdError::ThresholdOutOfRange);
    refuses(|rules| (rules.seats, rules.threshold) = (4, 2), LeaseholdError::ThresholdOutOfRange);
    refuses(|rules| rules.abandon_rounds = 0, LeaseholdError::AbandonRoundsOutOfRange);
    refuses(|rules| rules.abandon_rounds = 65, LeaseholdError::AbandonRoundsOutOfRange);
    refuses(|rules| rules.sla_bps = 10_001, LeaseholdError::RateAboveWhole);
}

#[test]
fn create_market_fails_when_a_parameter_is_out_of_range() {
    let mut world = World::without_market();
    let authority = world.authority.insecure_clone();
    for timelock_secs in [0, 2 * 86_400 - 1, 30 * 86_400 + 1] {
        let create = create(&world, CreateMarketArgs { timelock_secs, ..args() });
        world.fails(create, &[&authority], LeaseholdError::TimelockOutOfRange);
    }
    let mut refuses = |change: fn(&mut Params), error: LeaseholdError| {
        let mut args = args();
        change(&mut args.params);
        let create = create(&world, args);
        world.fails(create, &[&authority], error);
    };
    refuses(|params| params.bond_unit = 0, LeaseholdError::BondIsZero);
    refuses(|params| params.keeper_bond = 0, LeaseholdError::BondIsZero);
    refuses(|params| params.keeper_fee = params.keeper_fee_max + 1, LeaseholdError::KeeperFeeOutOfRange);
    refuses(|params| params.ask_fee = 99_999, LeaseholdError::AskFeeOutOfRange);
    refuses(|params| params.ask_fee = 1_000_000_001, LeaseholdError::AskFeeOutOfRange);
    refuses(|params| params.unbonding_secs = 86_399, LeaseholdError::UnbondingOutOfRange);
    refuses(|params| params.unbonding_secs = 90 * 86_400 + 1, LeaseholdError::UnbondingOutOfRange);
    refuses(|params| params.min_rounds = 0, LeaseholdError::LeaseRoundsOutOfRange);
    refuses(|params| params.max_rounds = 0, LeaseholdError::LeaseRoundsOutOfRange);
    refuses(|params| params.min_rounds = params.max_rounds + 1, LeaseholdError::LeaseRoundsOutOfRange);
    refuses(|params| params.max_rounds = 366 * 144 + 1, LeaseholdError::LeaseTooLong);
    refuses(|params| params.max_rounds = u32::MAX, LeaseholdError::LeaseTooLong);
    refuses(|params| params.fee_bps = 3_001, LeaseholdError::FeeTooHigh);
    refuses(|params| params.keeper_share_bps = 10_001, LeaseholdError::RateAboveWhole);
    refuses(|params| params.hold_bps = 999, LeaseholdError::HoldOutOfRange);
    refuses(|params| params.hold_bps = 5_001, LeaseholdError::HoldOutOfRange);
    refuses(|params| params.standby_bps = 99, LeaseholdError::StandbyOutOfRange);
    refuses(|params| params.standby_bps = 10_001, LeaseholdError::StandbyOutOfRange);
    refuses(|params| params.slash_multiplier_bps = 999, LeaseholdError::MultiplierOutOfRange);
    refuses(|params| params.slash_multiplier_bps = 100_001, LeaseholdError::MultiplierOutOfRange);
    refuses(|params| params.up_votes = 1, LeaseholdError::UpVotesOutOfRange);
    refuses(|params| params.up_votes = 3, LeaseholdError::UpVotesOutOfRange);
    refuses(|params| params.classes = vec![], LeaseholdError::ClassesOutOfRange);
    refuses(|params| params.classes = classes(MAX_CLASSES + 1), LeaseholdError::ClassesOutOfRange);
    refuses(|params| params.classes[1].weight_bps = 0, LeaseholdError::WeightOutOfRange);
    refuses(|params| params.classes[1].weight_bps = 10_000_001, LeaseholdError::WeightOutOfRange);
}

/// The votes that make a machine up: as many as can keep it from being down, and no more than half of the seats.
#[test]
fn create_market_fails_when_too_few_or_too_many_votes_make_a_machine_up() {
    let mut world = World::without_market();
    let authority = world.authority.insecure_clone();
    for (seats, threshold, least, most) in
        [(1, 1, 1, 1), (3, 2, 2, 2), (5, 3, 3, 3), (6, 6, 1, 3), (7, 7, 3, 4), (13, 9, 5, 7), (15, 11, 5, 8)]
    {
        let rules = RoundRules { seats, threshold, ..rules() };
        let (payments, stakes) = (world.market.payment_mint, world.market.stake_mint);
        world.market = MarketRef::new(u64::from(seats), payments, stakes);
        for up_votes in [0, least - 1, most + 1, u8::MAX] {
            let params = Params { up_votes, ..params() };
            let create = create(&world, CreateMarketArgs { rules, params, ..args() });
            world.fails(create, &[&authority], LeaseholdError::UpVotesOutOfRange);
        }
        for (id, up_votes) in [(u64::from(seats), least), (u64::from(seats) + 100, most)] {
            world.market = MarketRef::new(id, payments, stakes);
            let params = Params { up_votes, ..params() };
            let create = create(&world, CreateMarketArgs { rules, params, ..args() });
            world.ok(&[create], &[&authority]);
        }
    }
}

#[test]
fn create_market_fails_when_both_mints_are_the_same() {
    let mut world = World::without_market();
    world.market.payment_mint = world.market.stake_mint;
    let (create, authority) = (create(&world, args()), world.authority.insecure_clone());
    world.fails(create, &[&authority], LeaseholdError::SameMint);
}
