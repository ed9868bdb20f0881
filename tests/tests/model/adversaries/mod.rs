//! Invariant 19: counting a round that was not paid as not served, nobody, and no coalition of wallets, ends with more
//! because a machine was called down or unseen, but for what leaving a lease costs, which shrinks by a round for each one
//! down beyond the allowance.
//!
//! A story is played three times, on the program's rules: as it happened, with the machines of some rounds drowned or slandered,
//! and as it happened without contests (an owner that contests never does better than one that does not, so a contest is no
//! yardstick). An instruction takes place in all three or in none. In the end everything is settled, and each wallet is worth its
//! tokens and claims, and to owners the rounds that they paid for, at their price.

mod story;
mod world;

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};

use story::{Frame, Story};
use world::{Verdicts, World};

/// Stories; natively a few hundred take a second.
const CASES: u32 = 3_000;

/// Three tellings of one story.
struct Telling {
    honest: World,
    framed: World,
    peaceful: World,
}

impl Telling {
    fn begin(story: &Story) -> Self {
        let honest = World::begin(story);
        Telling { framed: honest.fork(), peaceful: honest.fork(), honest }
    }

    fn tell(mut self, story: &Story) -> Self {
        for scene in &story.scenes {
            for deed in &scene.deeds {
                self.act(deed);
            }
            let Frame { absent, liars, drowned, partly } = scene.frame;
            let truth = Verdicts { absent, down: scene.down, ..Verdicts::default() };
            self.honest.end_round(&truth);
            self.peaceful.end_round(&truth);
            self.framed.end_round(&Verdicts { drowned, partly, liars, ..truth });
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
        }
    }

    /// The first coalition that gains, if any.
    fn check(&self) -> Result<(), String> {
        let allowed = self.honest.exits_saved(&self.framed);
        let worths = [&self.framed, &self.honest, &self.peaceful].map(World::worths);
        let [framed, honest, peaceful] = &worths;
        for members in 1u32..1 << framed.len() {
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

fn play(name: u8, stories: impl Strategy<Value = Story>) {
    let config =
        Config { cases: CASES, failure_persistence: None, max_shrink_iters: 8_192, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[name; 32]);
    let result = TestRunner::new_with_rng(config, rng)
        .run(&stories, |story| Telling::begin(&story).tell(&story).check().map_err(TestCaseError::fail));
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn attack_nobody_gains_by_drowning_or_slandering_a_machine() {
    play(1, story::stories(false));
}

/// Fewer seats than it takes to call a machine down, with the absent, change no verdict and no balance.
#[test]
fn attack_too_few_keepers_change_nothing() {
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[2; 32]);
    let result = TestRunner::new_with_rng(config, rng).run(&story::stories(true), |story| {
        let told = Telling::begin(&story).tell(&story);
        prop_assert_eq!(told.framed.worths(), told.honest.worths());
        prop_assert_eq!(told.framed.stakes(), told.honest.stakes());
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
