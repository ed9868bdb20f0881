//! Random sequences of all instructions by all wallets, on the real program and on a plain model of it at once.
//!
//! After each instruction both must agree on success or on the reason for the refusal, and on every balance and field.
//! At the end everybody withdraws their tokens, until nothing is left. The program is the compiled one in a virtual machine,
//! and, for many more sequences, its rules called natively.
//!
//! Sequences are the same in every run. `LEASEHOLD_CASES` is their number in the virtual machine (1,024 by default; natively
//! twice as many), `LEASEHOLD_SEED` selects others.
//!
//! - `steps`: the steps of a sequence; `specs`: machines and criteria in them; `strategies`: how often each step is drawn.
//! - `perform`, `leasing`, `picks`, `voting`: the meaning of a step in the current state.
//! - `corners`: states that random sequences hardly reach.
//! - `adversaries`: nobody gains by what is said of a machine (invariant 19).
//! - `play`: sends to both and compares; `coverage` counts; `drain`: everybody leaves.
//!
//! A new instruction gets a [`steps::Step`], a place in `strategies`, an arm in `perform` or `leasing`, and its name in
//! `coverage::KINDS`.

mod adversaries;
mod corners;
mod coverage;
mod drain;
mod leasing;
mod perform;
mod picks;
mod play;
mod specs;
mod steps;
mod strategies;
mod voting;

use leasehold::state::{Params, RoundRules};
use leasehold_tests::{
    PAYMENTS, STAKES, START,
    model::{Chain, Native, Program},
    params, rules,
};
use proptest::{
    collection::vec,
    option,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

use play::Play;

/// Number of markets, each with its own rules, which share the cases and run in parallel.
const MARKETS: u32 = 4;
/// Native sequences for each one in the virtual machine.
const NATIVE: u32 = 2;
/// Maximum number of steps of a sequence; some steps are several instructions.
const STEPS: usize = 100;

/// Rules of a market, and what they exclude.
struct Setting {
    number: u8,
    rules: RoundRules,
    params: Params,
    pays_in_2022: bool,
    /// Instructions that never succeed.
    never: &'static [&'static str],
}

fn from_environment(name: &str, default: u32) -> u32 {
    match std::env::var(name) {
        Ok(number) => number.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {number:?}")),
        Err(_) => default,
    }
}

impl Setting {
    fn run_compiled(self) {
        let chain = Chain::new(self.rules, self.params.clone(), self.pays_in_2022);
        self.run(chain, 1, &[]);
    }

    fn run_native(self) {
        let native = Native::new(self.rules, self.params.clone(), START, (PAYMENTS, STAKES));
        self.run(native, NATIVE, &["ReclaimRent"]);
    }

    fn run(self, program: impl Program, times: u32, never: &[&str]) {
        let cases = from_environment("LEASEHOLD_CASES", 1_024).div_ceil(MARKETS) * times;
        let mut seed = [self.number; 32];
        seed[..4].copy_from_slice(&from_environment("LEASEHOLD_SEED", 0).to_le_bytes());
        let config =
            Config { cases, failure_persistence: None, max_shrink_iters: 4_096, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));

        let beginning = Play::begin(program, self.rules, self.params);
        let mut coverage = coverage::Coverage::default();
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
            let steps = steps.join("\n");
            panic!("{reason}\n  absent at the end: {absent:?}\n  the shortest sequence:\n{steps}");
        }
        result.expect("sequences are generated");
        println!("{coverage}");
        if cases >= 256 {
            coverage.assert_complete(&[self.never, never].concat());
        }
    }
}

/// Rules of a usual market.
fn usual() -> Setting {
    Setting { number: 1, rules: rules(), params: params(), pays_in_2022: false, never: &[] }
}

/// The shortest rounds, a window as long as the round, hardly a round down allowed, the highest fee, all of it for keepers,
/// half of the pay kept to the end.
fn strict() -> Setting {
    let rules = RoundRules {
        round_secs: 10,
        submit_secs: 10,
        seats: 4,
        threshold: 3,
        abandon_rounds: 2,
        sla_bps: 10_000,
    };
    let params = Params {
        bond_unit: 7_777_777_777,
        keeper_bond: 1,
        keeper_fee: 1,
        unbonding_secs: 86_400,
        min_rounds: 2,
        max_rounds: 20,
        fee_bps: 3_000,
        keeper_share_bps: 10_000,
        hold_bps: 5_000,
        standby_bps: 10_000,
        slash_multiplier_bps: 10_000,
        up_votes: 2,
        ..params()
    };
    // The fee is the keepers', unless parameters change and what was set aside by then is left. A lease is over before a notice
    // takes effect, unless its supplier gives it before a voucher was redeemed.
    Setting { number: 2, rules, params, pays_in_2022: false, never: &["WithdrawFees", "GiveNotice"] }
}

/// One keeper decides, every round down is allowed, no fee, bonds of fractions, the longest rounds.
fn lax() -> Setting {
    let rules = RoundRules {
        round_secs: 3_600,
        submit_secs: 1,
        seats: 1,
        threshold: 1,
        abandon_rounds: 1,
        sla_bps: 0,
    };
    let mut params = Params {
        bond_unit: 1,
        keeper_bond: 1,
        keeper_fee: 0,
        keeper_fee_max: 0,
        max_rounds: 8_784,
        fee_bps: 0,
        keeper_share_bps: 0,
        hold_bps: 1_000,
        standby_bps: 100,
        slash_multiplier_bps: 100_000,
        up_votes: 1,
        ..params()
    };
    params.classes.iter_mut().for_each(|class| class.weight_bps = 3_333);
    Setting { number: 3, rules, params, pays_in_2022: false, never: &["WithdrawFees", "ClaimKeeperFees"] }
}

/// All keepers must agree that a machine is down, hardly anything is bonded, keepers are paid what there is, machines are
/// abandoned within a day, and payments are in a Token-2022 mint.
fn loose() -> Setting {
    let rules = RoundRules {
        round_secs: 3_600,
        submit_secs: 599,
        seats: 4,
        threshold: 4,
        abandon_rounds: 20,
        sla_bps: 9_500,
    };
    let params = Params {
        bond_unit: 1,
        keeper_fee: u64::MAX,
        keeper_fee_max: u64::MAX,
        max_rounds: 8_784,
        min_rounds: 3,
        up_votes: 1,
        ..params()
    };
    Setting { number: 4, rules, params, pays_in_2022: true, never: &[] }
}

#[test]
fn program_does_what_the_model_does_under_usual_rules() {
    usual().run_compiled();
}

#[test]
fn program_does_what_the_model_does_under_strict_rules() {
    strict().run_compiled();
}

#[test]
fn program_does_what_the_model_does_under_lax_rules() {
    lax().run_compiled();
}

#[test]
fn program_does_what_the_model_does_under_loose_rules() {
    loose().run_compiled();
}

#[test]
fn native_rules_do_what_the_model_does_under_usual_rules() {
    usual().run_native();
}

#[test]
fn native_rules_do_what_the_model_does_under_strict_rules() {
    strict().run_native();
}

#[test]
fn native_rules_do_what_the_model_does_under_lax_rules() {
    lax().run_native();
}

#[test]
fn native_rules_do_what_the_model_does_under_loose_rules() {
    loose().run_native();
}
