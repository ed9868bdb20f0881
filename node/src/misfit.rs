//! What a keeper asks and the configuration, or this host's clock, doesn't fit. Challenges of that kind get no answer, so
//! that without a line in the log nothing would tell why the machine looks down.

use leasehold_client::probe::{Challenge, Pubkey};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::warn;

/// A misfit is told again after this time at the earliest.
const AGAIN: Duration = Duration::from_secs(3_600);
/// Machines of which misfits are told in that time.
const MACHINES: usize = 20;

/// In what a challenge and this node differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// The node has machines of the board, but none in the slot.
    Slot,
    Program {
        own: Pubkey,
    },
    Market {
        own: Pubkey,
    },
    Generation {
        own: u32,
    },
    /// By this host's clock, another round runs.
    Round {
        own: u64,
        round_secs: u32,
        unix_secs: u64,
    },
    /// The allow-list lacks the keeper.
    Keeper,
}

/// What is told once: of a machine, or of the machines of a board together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Subject {
    board: Pubkey,
    slot: Option<u32>,
    kind: std::mem::Discriminant<Misfit>,
}

impl Misfit {
    fn subject(&self, challenge: &Challenge) -> Subject {
        let of_machine = matches!(self, Self::Generation { .. });
        Subject {
            board: challenge.board,
            slot: of_machine.then_some(challenge.slot),
            kind: std::mem::discriminant(self),
        }
    }
}

/// A misfit as a sentence.
struct Sentence<'a>(&'a Misfit, &'a Challenge);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(misfit, Challenge { program, market, board, slot, generation, round, keeper, .. }) = self;
        write!(f, "no answer to keeper {keeper}, who asks for ")?;
        match misfit {
            Misfit::Slot => write!(
                f,
                "slot {slot} of board {board}: the configuration has other slots of that board, but not this one; add \
                 the machine, or change the address of whoever is listed there with yours"
            ),
            Misfit::Program { own } => write!(
                f,
                "slot {slot} of board {board} of program {program}: the configuration says `program = \"{own}\"`; \
                 correct it if that keeper is right"
            ),
            Misfit::Market { own } => write!(
                f,
                "slot {slot} of board {board} of market {market}: the configuration says `market = \"{own}\"`; correct \
                 it if that keeper is right"
            ),
            Misfit::Generation { own } => write!(
                f,
                "generation {generation} of slot {slot} of board {board}: the configuration says `generation = {own}`; \
                 if the machine was listed anew, set it to {generation} and check its key with `leasehold machine show \
                 --node-config`"
            ),
            Misfit::Keeper => write!(
                f,
                "slot {slot} of board {board}: `keepers` in the configuration lacks that keeper; remove `keepers`, as \
                 seats change"
            ),
            Misfit::Round { own, round_secs, unix_secs } => {
                let off = i64::from(*round).saturating_sub_unsigned(*own);
                write!(
                    f,
                    "round {round} of board {board}: by `round_secs = {round_secs}` and this host's clock, which says \
                     {unix_secs}, round {own} runs; "
                )?;
                match unix_secs.checked_div(u64::from(*round)) {
                    // A wrong clock is off by days; a wrong length moves the rounds by years.
                    Some(implied) if off.unsigned_abs() > own / 1_000 => {
                        write!(f, "set `round_secs` to that of the board, about {implied}, or set the clock")
                    }
                    _ => {
                        let secs = off.unsigned_abs().saturating_mul((*round_secs).into());
                        let side = if off < 0 { "ahead" } else { "behind" };
                        write!(
                            f,
                            "the clock is about {secs} s {side}: synchronise it (`timedatectl`), unless other keepers \
                             are answered, so that it is that keeper's"
                        )
                    }
                }
            }
        }
    }
}

/// Tells each misfit once.
#[derive(Debug, Default)]
pub(crate) struct Notices(Mutex<HashMap<Subject, Instant>>);

impl Notices {
    /// True if the misfit would be told now.
    pub(crate) fn is_due(&self, misfit: &Misfit, challenge: &Challenge, now: Instant) -> bool {
        let subject = misfit.subject(challenge);
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        let full = || told.keys().filter(|subject| subject.slot.is_some()).count() >= MACHINES;
        !told.contains_key(&subject) && (subject.slot.is_none() || !full())
    }

    /// Tells a misfit, unless it was told before. The challenge must be signed by its keeper.
    pub(crate) fn tell(&self, misfit: &Misfit, challenge: &Challenge, now: Instant) {
        if self.is_due(misfit, challenge, now) {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Two workers may come here at the same time.
            if told.insert(misfit.subject(challenge), now).is_none() {
                warn!("{}", Sentence(misfit, challenge));
            }
        }
    }

    /// Forgets what was told, after a change of the configuration.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_SECS: u32 = 600;

    fn challenge(slot: u32, round: u32) -> Challenge {
        Challenge {
            program: Pubkey::new_from_array([1; 32]),
            market: Pubkey::new_from_array([2; 32]),
            board: Pubkey::new_from_array([3; 32]),
            slot,
            generation: 7,
            round,
            cluster: [0; 4],
            keeper: Pubkey::new_from_array([4; 32]),
            seed: [0; 32],
        }
    }

    fn round(asked: u32, unix_secs: u64) -> String {
        let own = unix_secs / u64::from(ROUND_SECS);
        let misfit = Misfit::Round { own, round_secs: ROUND_SECS, unix_secs };
        Sentence(&misfit, &challenge(0, asked)).to_string()
    }

    #[test]
    fn a_clock_is_told_from_a_round_length_with_numbers() {
        let now = 1_900_000_000;
        let clock = round(3_166_660, now);
        assert!(clock.contains("round 3166666 runs; the clock is about 3600 s ahead"), "{clock}");
        let clock = round(3_166_676, now);
        assert!(clock.contains("the clock is about 6000 s behind"), "{clock}");
        let length = round(31_666_666, now);
        assert!(length.contains("`round_secs` to that of the board, about 60,"), "{length}");
        // A host without a battery for its clock.
        let length = round(3_166_666, 90);
        assert!(
            length.contains("which says 90, round 0 runs; ") && length.contains("set the clock"),
            "{length}"
        );
        assert!(round(0, now).contains("round 0 of"));
    }

    #[test]
    fn a_misfit_is_told_once_an_hour_and_after_a_reload() {
        let (notices, now, later) = (Notices::default(), Instant::now(), Duration::from_secs(1));
        let misfit = Misfit::Generation { own: 6 };
        assert!(Sentence(&misfit, &challenge(1, 5)).to_string().contains("`generation = 6`"));
        notices.tell(&misfit, &challenge(1, 5), now);
        assert!(!notices.is_due(&misfit, &challenge(1, 6), now + later));
        assert!(notices.is_due(&misfit, &challenge(2, 5), now + later));
        assert!(notices.is_due(&Misfit::Slot, &challenge(1, 5), now + later));
        assert!(notices.is_due(&misfit, &challenge(1, 5), now + AGAIN));
        notices.tell(&misfit, &challenge(1, 5), now);
        notices.forget();
        assert!(notices.is_due(&misfit, &challenge(1, 5), now + later));
    }

    #[test]
    fn strangers_that_name_many_slots_fill_no_log() {
        let (notices, now) = (Notices::default(), Instant::now());
        for slot in 0..100_000 {
            notices.tell(&Misfit::Generation { own: 1 }, &challenge(slot, 5), now);
            notices.tell(&Misfit::Slot, &challenge(slot, 5), now);
        }
        assert_eq!(notices.0.lock().unwrap().len(), MACHINES + 1);
        assert!(notices.is_due(&Misfit::Keeper, &challenge(0, 5), now), "other troubles are still told");
    }
}
