//! Random sequences of all instructions by all wallets, on the real program and on a plain model of it at once.
//!
//! After each instruction both must agree on success or on the reason for the refusal, and on every balance and field.
//! At the end everybody withdraws their tokens, until nothing is left.
//!
//! Sequences are the same in every run. `LEASEHOLD_CASES` is their number (1,024 by default), `LEASEHOLD_SEED` selects
//! others.
//!
//! - `steps`: the steps of a sequence; `strategies`: how often each step is drawn.
//! - `perform`, `picks`, `voting`: the meaning of a step in the current state.
//! - `play`: sends to both, compares, and counts coverage; `drain`: everybody leaves.
//!
//! A new instruction gets a [`steps::Step`], a place in `strategies`, an arm in `perform`, and its name in
//! `play::KINDS`.

mod drain;
mod perform;
mod picks;
mod play;
mod steps;
mod strategies;
mod voting;

use leasehold::{
    math::slashing::SlashSplit,
    state::{Params, RoundRules},
};
use leasehold_tests::{params, rules};
use proptest::{
    collection::vec,
    option,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

use play::Play;

/// Number of tests, which share the cases and run in parallel, each with its own rules.
const TESTS: u32 = 4;
/// Maximum number of steps of a sequence; some steps are several instructions.
const STEPS: usize = 100;

fn from_environment(name: &str, default: u32) -> u32 {
    match std::env::var(name) {
        Ok(number) => number.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {number:?}")),
        Err(_) => default,
    }
}

fn run(number: u8, rules: RoundRules, params: Params, pays_in_2022: bool, never: &[&str]) {
    let cases = from_environment("LEASEHOLD_CASES", 1_024).div_ceil(TESTS);
    let mut seed = [number; 32];
    seed[..4].copy_from_slice(&from_environment("LEASEHOLD_SEED", 0).to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4_096, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));

    let beginning = Play::begin(rules, params, pays_in_2022);
    let mut coverage = play::Coverage::default();
    let sequences = (vec(strategies::step(), 1..=STEPS), option::weighted(0.4, drain::absent()));
    let total = std::cell::RefCell::new(&mut coverage);
    let result = runner.run(&sequences, |(steps, absent)| {
        let mut play = beginning.fork();
        let outcome = play.perform(&steps, absent);
        total.borrow_mut().add(&play.coverage);
        outcome.map_err(TestCaseError::fail)
    });
    if let Err(TestError::Fail(reason, (steps, absent))) = result {
        let steps: Vec<_> = steps.iter().map(|step| format!("    {step:?}")).collect();
        panic!("{reason}\n  absent at the end: {absent:?}\n  the shortest sequence:\n{}", steps.join("\n"));
    }
    result.expect("sequences are generated");
    println!("{coverage}");
    if cases >= 256 {
        coverage.assert_complete(never);
    }
}

/// Rules of a usual market.
#[test]
fn program_does_what_the_model_does_under_usual_rules() {
    run(1, rules(), params(), false, &[]);
}

/// The shortest rounds, a window as long as the round, no round down allowed, the highest fee, all of it for keepers,
/// no unbonding time.
#[test]
fn program_does_what_the_model_does_under_strict_rules() {
    let rules = RoundRules { round_secs: 10, submit_secs: 10, seats: 4, threshold: 3, abandon_rounds: 2 };
    let split = SlashSplit { buyer_bps: 0, burn_bps: 1_000, market_bps: 9_000, caller_bps: 0 };
    let params = Params {
        bond_unit: 7_777_777_777,
        keeper_bond: 1,
        keeper_fee: 1,
        unbonding_secs: 0,
        min_rounds: 2,
        max_rounds: 20,
        fee_bps: 3_000,
        keeper_share_bps: 10_000,
        sla_bps: 10_000,
        slash_multiplier_bps: 10_000,
        split,
        ..params()
    };
    run(2, rules, params, false, &[]);
}

/// One keeper decides, every round down is allowed but abandons the machine, no fee, bonds of fractions.
#[test]
fn program_does_what_the_model_does_under_lax_rules() {
    let rules = RoundRules { round_secs: 3_601, submit_secs: 1, seats: 1, threshold: 1, abandon_rounds: 1 };
    let mut params = Params {
        bond_unit: 1,
        keeper_bond: 0,
        keeper_fee: 0,
        fee_bps: 0,
        keeper_share_bps: 0,
        sla_bps: 0,
        slash_multiplier_bps: u32::MAX,
        ..params()
    };
    params.classes.iter_mut().for_each(|class| class.weight_bps = 3_333);
    run(3, rules, params, false, &["WithdrawFees", "ClaimKeeperFees", "WithdrawMarketStake"]);
}

/// All keepers must agree, nothing is at stake, and payments are in a Token-2022 mint.
#[test]
fn program_does_what_the_model_does_without_bonds() {
    let rules = RoundRules { round_secs: 600, submit_secs: 599, seats: 4, threshold: 4, abandon_rounds: 64 };
    let split = SlashSplit { buyer_bps: 1, burn_bps: 9_998, market_bps: 0, caller_bps: 1 };
    let params = Params { bond_unit: 0, keeper_fee: u64::MAX, sla_bps: 9_000, split, ..params() };
    run(4, rules, params, true, &["WithdrawMarketStake", "BurnSlashed", "ClaimCompensation"]);
}
