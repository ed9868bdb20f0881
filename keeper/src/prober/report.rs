//! The result of a round of probes.

use super::{Fault, Target};
use leasehold_client::probe::{Pubkey, SignedPong, pong_root};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one round, for logs and metrics; votes do not depend on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeStats {
    /// Machines to probe.
    pub targets: u64,
    /// Datagrams sent, retries included.
    pub sent: u64,
    /// Datagrams that this host could not send.
    pub send_failed: u64,
    /// Not an answer: wrong length or tag.
    pub malformed: u64,
    /// Answers to no challenge of this round.
    pub stray: u64,
    /// Answers from another address than the one that was probed.
    pub wrong_source: u64,
    /// Answers of machines that had answered before, or had sent too many wrong answers.
    pub surplus: u64,
    /// Answers with a signature that isn't the machine's.
    pub bad_signature: u64,
    /// Challenges sent to this host's own [controls](super::Fault::Busy), and those that were not answered in time.
    pub control_attempts: u64,
    pub control_missed: u64,
}

/// [`ProbeStats`] while the round is under way.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) send_failed: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) stray: AtomicU64,
    pub(super) wrong_source: AtomicU64,
    pub(super) surplus: AtomicU64,
    pub(super) bad_signature: AtomicU64,
}

impl Counters {
    pub(super) fn stats(&self, targets: usize) -> ProbeStats {
        ProbeStats {
            targets: targets as u64,
            sent: self.sent.load(Relaxed),
            send_failed: self.send_failed.load(Relaxed),
            malformed: self.malformed.load(Relaxed),
            stray: self.stray.load(Relaxed),
            wrong_source: self.wrong_source.load(Relaxed),
            surplus: self.surplus.load(Relaxed),
            bad_signature: self.bad_signature.load(Relaxed),
            ..ProbeStats::default()
        }
    }
}

/// The answers of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeReport {
    /// The round, as the board counts rounds.
    pub round: u32,
    /// Verified answers by slot; of several with the same key, only that of the lowest slot.
    pub answers: BTreeMap<u32, SignedPong>,
    /// Slots that answered with the key of a lower slot that answered, too: they get no bit.
    pub repeated: Vec<u32>,
    /// Slots whose endpoint must not be probed: port 0, multicast, or a private address if those are not allowed.
    pub refused: Vec<u32>,
    /// Slots to which this host could send no challenge, for instance because it has no IPv6.
    pub unsent: Vec<u32>,
    /// Machines that answered with another key than their slot's, and never with that.
    pub other_key: Vec<Target>,
    /// Why the silence of machines says nothing about them; `None` if the round can be voted on.
    pub fault: Option<Fault>,
    pub stats: ProbeStats,
}

/// Arguments of `submit_round`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Bit `i % 8` of byte `i / 8` is set where machine i answered.
    pub bitmap: Vec<u8>,
    /// Root of the tree over the answers of the machines whose bits are set.
    pub pong_root: [u8; 32],
}

impl ProbeReport {
    /// The vote on a board that had `slots` slots when the round ended. Answers of later slots are left out.
    pub fn submission(&self, slots: u32) -> Submission {
        let mut bitmap = vec![0u8; slots.div_ceil(8) as usize];
        let mut answers = self.answers.clone();
        drop(answers.split_off(&slots));
        for slot in answers.keys() {
            bitmap[(slot / 8) as usize] |= 1 << (slot % 8);
        }
        Submission { bitmap, pong_root: pong_root(&answers) }
    }

    /// Leaves the answer of the lowest slot of each key, and moves the other slots to `repeated`. `key_of`: the key that a
    /// slot answers with.
    pub(super) fn count_keys_once(&mut self, key_of: impl Fn(u32) -> Pubkey) {
        let mut seen = HashSet::with_capacity(self.answers.len());
        let repeated = &mut self.repeated;
        self.answers.retain(|slot, _| {
            let first = seen.insert(key_of(*slot));
            if !first {
                repeated.push(*slot);
            }
            first
        });
    }

    /// True if every machine that was asked has answered.
    pub fn is_complete(&self) -> bool {
        let heard = self.answers.len().saturating_add(self.repeated.len());
        heard.saturating_add(self.refused.len()) as u64 >= self.stats.targets
    }

    /// True if there were machines to probe and no machine answered. This keeper's own network is the likelier cause
    /// then.
    pub fn is_blind(&self) -> bool {
        self.answers.is_empty() && self.stats.targets > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_client::probe::Challenge;

    fn report(slots: &[u32]) -> ProbeReport {
        let zero = Pubkey::from([0; 32]);
        let answer = |&slot: &u32| {
            let challenge = Challenge {
                program: zero,
                market: zero,
                board: zero,
                slot,
                generation: 1,
                round: 1,
                cluster: [0; 4],
                keeper: zero,
                seed: [0; 32],
            };
            (slot, SignedPong { challenge, signature: [0; 64] })
        };
        ProbeReport {
            round: 1,
            answers: slots.iter().map(answer).collect(),
            stats: ProbeStats { targets: 9, ..ProbeStats::default() },
            ..ProbeReport::default()
        }
    }

    #[test]
    fn bits_are_in_order_and_bits_beyond_the_slots_are_clear() {
        let report = report(&[0, 3, 8, 9, 10]);
        assert_eq!(report.submission(10).bitmap, [0b0000_1001, 0b0000_0011]);
        assert_eq!(report.submission(11).bitmap, [0b0000_1001, 0b0000_0111]);
        assert_eq!(report.submission(17).bitmap, [0b0000_1001, 0b0000_0111, 0]);
        assert!(report.submission(0).bitmap.is_empty());
    }

    #[test]
    fn the_root_is_over_the_bits_that_are_set() {
        assert_eq!(report(&[0, 3, 8]).submission(8).pong_root, report(&[0, 3]).submission(8).pong_root);
        assert_ne!(report(&[0, 3, 8]).submission(9).pong_root, report(&[0, 3]).submission(9).pong_root);
    }

    #[test]
    fn only_the_lowest_slot_that_answered_with_a_key_counts() {
        // Slots 3 and 9 have one key, 8 and 10 another; slot 2 has the key of 3 and 9 as well, and did not answer.
        let key = |slot| Pubkey::from([if matches!(slot, 2 | 3 | 9) { 1 } else { 2 }; 32]);
        let mut report = report(&[3, 8, 9, 10]);
        report.count_keys_once(key);
        assert_eq!(report.answers.keys().copied().collect::<Vec<_>>(), [3, 8]);
        assert_eq!(report.repeated, [9, 10]);
        assert_eq!(report.submission(11).bitmap, [0b0000_1000, 0b0000_0001]);
    }

    #[test]
    fn a_keeper_that_hears_nothing_is_blind() {
        assert!(report(&[]).is_blind());
        assert!(!report(&[5]).is_blind());
        let nobody = ProbeReport { stats: ProbeStats::default(), ..report(&[]) };
        assert!(!nobody.is_blind());
    }
}
