//! Invariant 19: counting a round that was not paid as not served, nobody, and no coalition of wallets, ends with more
//! because a machine was called down or unseen, but for what leaving a lease costs, which shrinks by a round for each one
//! down beyond the allowance.
//!
//! A story is played three times: as it happened, with the machines of some rounds drowned or slandered, or keepers kept
//! from voting on them, and as it happened without contests (an owner that contests never does better than one that does not, so a contest is no
//! yardstick). An instruction takes place in all three or in none. In the end everything is settled, and each wallet is worth its
//! tokens and claims, and to owners the rounds that they paid for, at their price. Whoever gives a lease away is in a coalition with
//! whoever gets it.

mod story;
mod world;

use std::{cell::RefCell, collections::BTreeSet};

use leasehold_tests::{
    PAYMENTS, STAKES, START,
    model::{Chain, Native, Program, Who},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestCaseResult, TestRng, TestRunner},
};

use story::{Frame, Story};
use world::{Verdicts, World};

/// Stories that are played natively, and on the compiled program.
const NATIVE: u32 = 2_000;
const COMPILED: u32 = 24;

/// Three tellings of one story.
struct Telling<P> {
    honest: World<P>,
    framed: World<P>,
    peaceful: World<P>,
    /// Names of the deeds that took place.
    done: BTreeSet<String>,
}

impl<P: Program> Telling<P> {
    fn begin(program: P, story: &Story) -> Self {
        let honest = World::begin(program, story);
        Telling { framed: honest.fork(), peaceful: honest.fork(), honest, done: BTreeSet::new() }
    }

    fn tell(mut self, story: &Story) -> Self {
        for scene in &story.scenes {
            for deed in &scene.deeds {
                self.act(deed);
            }
            let Frame { absent, knocked, liars, drowned, partly } = scene.frame;
            let truth = Verdicts { absent, down: scene.down, ..Verdicts::default() };
            self.honest.end_round(&truth);
            self.peaceful.end_round(&truth);
            self.framed.end_round(&Verdicts { drowned, partly, liars, absent: absent | knocked, ..truth });
        }
        for world in [&mut self.honest, &mut self.framed, &mut self.peaceful] {
            world.settle_everything();
        }
        self
    }

    /// Performs an instruction in all tellings, if all allow it.
    fn act(&mut self, deed: &story::Deed) {
        let Some(action) = deed.action(&self.honest) else { return };
        let mut after = [self.honest.fork(), self.framed.fork(), self.peaceful.fork()];
        let [honest, framed, peaceful] = &mut after;
        let done = honest.act(&action).is_ok()
            && framed.act(&action).is_ok()
            && peaceful.act(&deed.without_contest(&action)).is_ok();
        // A replacement must be the same machine everywhere.
        if done && honest.places() == framed.places() && honest.places() == peaceful.places() {
            [self.honest, self.framed, self.peaceful] = after;
            self.done.insert(deed.name());
        }
    }

    /// The first coalition that gains, if any.
    fn check(&self) -> Result<(), String> {
        let allowed = self.honest.exits_saved(&self.framed);
        let worths = [&self.framed, &self.honest, &self.peaceful].map(|world| world.worths());
        let [framed, honest, peaceful] = &worths;
        // Suppliers and buyers come first, by their numbers.
        let has = |members: u32, who: &Who| members >> who.0 & 1 == 1;
        let is_whole = |members: &u32| {
            self.honest.given.iter().all(|[from, to]| has(*members, from) == has(*members, to))
        };
        for members in (1u32..1 << framed.len()).filter(is_whole) {
            let sum = |worths: &[i128]| -> i128 {
                worths
                    .iter()
                    .enumerate()
                    .filter(|(who, _)| members >> who & 1 == 1)
                    .map(|(_, worth)| worth)
                    .sum()
            };
            let (gained, could_have) = (sum(framed), sum(honest).max(sum(peaceful)));
            if gained > could_have + allowed {
                return Err(format!(
                    "coalition {members:#b} ends with {} more; {allowed} would be allowed\n  framed {framed:?}\n  honest \
                     {honest:?}\n  peaceful {peaceful:?}\n  stints framed {:#?}\n  honest {:#?}",
                    gained - could_have,
                    self.framed.ended,
                    self.honest.ended,
                ));
            }
        }
        let richer = |framed: Vec<u64>, honest: Vec<u64>, what: &str| {
            let who = framed.iter().zip(&honest).position(|(framed, honest)| framed > honest);
            who.map_or(Ok(()), |who| {
                Err(format!("{what} {who} ends with more: {framed:?}, honest {honest:?}"))
            })
        };
        richer(self.framed.stakes(), self.honest.stakes(), "the stake of supplier")?;
        richer(self.framed.earned(), self.honest.earned(), "seat")
    }
}

/// The program's rules, called natively.
fn native(story: &Story) -> Native {
    let (rules, params) = world::market(story);
    Native::new(rules, params, START, (PAYMENTS, STAKES))
}

fn compiled(story: &Story) -> Chain {
    let (rules, params) = world::market(story);
    Chain::new(rules, params, false)
}

fn play(cases: u32, stories: impl Strategy<Value = Story>, check: impl Fn(Story) -> TestCaseResult) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 8_192, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[19; 32]);
    let result = TestRunner::new_with_rng(config, rng).run(&stories, check);
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// Returns the deeds that took place.
fn nobody_gains<P: Program>(program: P, story: &Story) -> Result<BTreeSet<String>, TestCaseError> {
    let told = Telling::begin(program, story).tell(story);
    told.check().map_err(TestCaseError::fail)?;
    Ok(told.done)
}

#[test]
fn attack_nobody_gains_by_drowning_or_slandering_a_machine() {
    let done = RefCell::new(BTreeSet::new());
    play(NATIVE, story::stories(false), |story| {
        done.borrow_mut().extend(nobody_gains(native(&story), &story)?);
        Ok(())
    });
    let missing: Vec<_> = story::DEEDS.into_iter().filter(|deed| !done.borrow().contains(*deed)).collect();
    assert_eq!(missing, [""; 0], "deeds that never took place");
}

#[test]
fn attack_nobody_gains_by_drowning_or_slandering_a_machine_of_the_compiled_program() {
    play(COMPILED, story::stories(false), |story| nobody_gains(compiled(&story), &story).map(drop));
}

/// Fewer seats than it takes to call a machine down, with the absent, change no verdict and no balance.
#[test]
fn attack_too_few_keepers_change_nothing() {
    play(NATIVE / 4, story::stories(true), |story| {
        let told = Telling::begin(native(&story), &story).tell(&story);
        prop_assert_eq!(told.framed.worths(), told.honest.worths());
        prop_assert_eq!(told.framed.stakes(), told.honest.stakes());
        Ok(())
    });
}
