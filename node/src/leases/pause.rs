//! Decides when a node pauses its tenant: what isn't paid isn't served.
//!
//! A machine that was not up in two quorate rounds in a row is not paid for, whether it answered or not: a tenant or a
//! stranger can drown it, and must not compute on for nothing. A node that reaches no RPC node does not know its verdicts;
//! if it heard too few keepers in two rounds besides, it is cut off and takes itself for down. A void round says nothing
//! about the machine, and while the cluster stands still there are no verdicts at all: neither pauses anybody.
//!
//! A pause ends when the machine is up again, or the RPC node is back. Nothing is wiped before the lease is over.

use leasehold::state::Verdict;

/// Rounds in a row that pause a tenant.
pub const ROUNDS: u32 = 2;

/// Why a tenant is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The machine was not up in the last two quorate rounds.
    NotUp,
    /// The node reached no RPC node, and too few keepers reached it, in the last two rounds.
    CutOff,
}

impl Cause {
    /// Every cause, in the order of the enum.
    pub const ALL: [Cause; 2] = [Cause::NotUp, Cause::CutOff];

    /// The cause's name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Cause::NotUp => "not_up",
            Cause::CutOff => "cut_off",
        }
    }
}

/// Whom a node was in contact with, by its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The round that runs.
    pub running: u32,
    /// The round in which an RPC node answered last.
    pub read: u32,
    /// Keepers with a seat that were heard in each of the two rounds before the running one.
    pub heard: [usize; ROUNDS as usize],
    /// Votes that make a machine up.
    pub up_votes: u8,
    /// True if the cluster's clock stood still when an RPC node answered last.
    pub is_halted: bool,
}

/// A machine in one lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// First round of the lease on this machine: earlier ones don't count.
    from: u32,
    /// First round whose verdict was not noted.
    next: u32,
    /// Quorate rounds in a row, up to the last one that was noted, in which the machine was not up.
    missed: u32,
    is_cut_off: bool,
}

impl Watched {
    /// A machine in a lease that begins with round `from`.
    pub fn new(from: u32) -> Self {
        Self { from, next: from, missed: 0, is_cut_off: false }
    }

    /// Notes verdicts of closed rounds, the oldest first; those that were noted before are left out.
    pub fn note(&mut self, verdicts: impl IntoIterator<Item = (u32, Verdict)>) {
        for (round, verdict) in verdicts {
            if round < self.next {
                continue;
            }
            self.next = round.saturating_add(1);
            match verdict {
                Verdict::Up => self.missed = 0,
                Verdict::Down | Verdict::Unseen => self.missed = self.missed.saturating_add(1),
                Verdict::Void => {}
            }
        }
    }

    /// Notes whom the node was in contact with.
    pub fn look(&mut self, contact: &Contact) {
        let first = contact.running.saturating_sub(ROUNDS);
        let too_few = contact.heard.iter().all(|heard| *heard < usize::from(contact.up_votes));
        self.is_cut_off = contact.read < first && self.from <= first && too_few && !contact.is_halted;
    }

    /// Why the tenant is paused; `None` if it is served.
    pub fn cause(&self) -> Option<Cause> {
        if self.missed >= ROUNDS { Some(Cause::NotUp) } else { self.is_cut_off.then_some(Cause::CutOff) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: u32 = 100;
    const VERDICTS: [Verdict; 4] = [Verdict::Up, Verdict::Down, Verdict::Unseen, Verdict::Void];

    fn noted(verdicts: &[Verdict]) -> Watched {
        let mut watched = Watched::new(FROM);
        watched.note((FROM..).zip(verdicts.iter().copied()));
        watched
    }

    /// A node that has reached nobody since round `read`, in round `running`.
    fn alone(read: u32, running: u32) -> Contact {
        Contact { running, read, heard: [0, 0], up_votes: 5, is_halted: false }
    }

    /// All sequences of verdicts of up to six rounds.
    fn sequences() -> impl Iterator<Item = Vec<Verdict>> {
        (0..=6u32).flat_map(|length| {
            (0..4usize.pow(length)).map(move |number| {
                (0..length).map(|place| VERDICTS[number / 4usize.pow(place) % 4]).collect()
            })
        })
    }

    #[test]
    fn a_tenant_is_paused_while_the_last_two_quorate_rounds_were_not_up() {
        for verdicts in sequences() {
            let mut quorate = verdicts.iter().rev().filter(|verdict| **verdict != Verdict::Void);
            let not_up = |verdict: Option<&Verdict>| matches!(verdict, Some(Verdict::Down | Verdict::Unseen));
            let expected = not_up(quorate.next()) && not_up(quorate.next());
            assert_eq!(noted(&verdicts).cause(), expected.then_some(Cause::NotUp), "{verdicts:?}");
        }
    }

    #[test]
    fn verdicts_are_the_same_noted_at_once_or_one_by_one_or_twice() {
        for verdicts in sequences() {
            let rounds: Vec<_> = (FROM..).zip(verdicts.iter().copied()).collect();
            let mut stepwise = Watched::new(FROM);
            for known in 1..=rounds.len() {
                stepwise.note(rounds[..known].iter().copied());
            }
            assert_eq!(stepwise, noted(&verdicts), "{verdicts:?}");
        }
    }

    #[test]
    fn a_drowned_machine_whose_tenant_computes_on_is_paused_after_two_rounds_and_resumes_when_up() {
        let mut watched = noted(&[Verdict::Up, Verdict::Down]);
        assert_eq!(watched.cause(), None);
        watched.note([(FROM + 2, Verdict::Unseen)]);
        assert_eq!(watched.cause(), Some(Cause::NotUp));
        watched.note([(FROM + 3, Verdict::Down)]);
        assert_eq!(watched.cause(), Some(Cause::NotUp));
        watched.note([(FROM + 4, Verdict::Up)]);
        assert_eq!(watched.cause(), None);
    }

    #[test]
    fn void_rounds_pause_nobody_and_end_no_pause() {
        assert_eq!(noted(&[Verdict::Void; 100]).cause(), None);
        let mut watched = noted(&[Verdict::Down, Verdict::Void, Verdict::Down]);
        // The board forgets the rounds down long before the pause ends.
        for round in FROM + 3..FROM + 200 {
            assert_eq!(watched.cause(), Some(Cause::NotUp));
            watched.note([(round, Verdict::Void)]);
        }
        watched.note([(FROM + 200, Verdict::Up)]);
        assert_eq!(watched.cause(), None);
    }

    #[test]
    fn rounds_before_the_lease_do_not_count() {
        let mut watched = Watched::new(FROM);
        watched.note((FROM - 5..FROM).map(|round| (round, Verdict::Down)));
        assert_eq!(watched, Watched::new(FROM));
        watched.note([(FROM, Verdict::Down)]);
        assert_eq!(watched.cause(), None);
    }

    #[test]
    fn a_node_that_reaches_no_rpc_node_and_hears_too_few_keepers_in_two_rounds_is_cut_off() {
        let mut watched = Watched::new(FROM);
        // The RPC node answered in round 110 for the last time.
        for (running, expected) in [(111, None), (112, None), (113, Some(Cause::CutOff))] {
            watched.look(&alone(110, running));
            assert_eq!(watched.cause(), expected, "in round {running}");
        }
        for heard in [[5, 0], [0, 5], [13, 13]] {
            watched.look(&Contact { heard, ..alone(110, 120) });
            assert_eq!(watched.cause(), None, "as many keepers as call it up heard it: {heard:?}");
        }
        watched.look(&Contact { heard: [4, 4], ..alone(110, 120) });
        assert_eq!(watched.cause(), Some(Cause::CutOff));
        // The RPC node is back, the keepers are not: what their silence means, the verdicts will say.
        watched.look(&alone(121, 121));
        assert_eq!(watched.cause(), None);
    }

    #[test]
    fn a_node_that_hears_nobody_serves_on_while_it_reaches_an_rpc_node() {
        let mut watched = Watched::new(FROM);
        for running in FROM..FROM + 50 {
            watched.look(&alone(running, running));
            assert_eq!(watched.cause(), None);
        }
    }

    #[test]
    fn a_halted_cluster_pauses_nobody() {
        let mut watched = noted(&[Verdict::Up, Verdict::Down]);
        for running in FROM..FROM + 50 {
            // No round closes, and no keeper probes; then the RPC nodes are restarted.
            watched.note([(FROM, Verdict::Up), (FROM + 1, Verdict::Down)]);
            watched.look(&Contact { is_halted: true, ..alone(FROM, running) });
            assert_eq!(watched.cause(), None);
        }
    }

    #[test]
    fn an_outage_before_the_lease_does_not_count() {
        let mut watched = Watched::new(FROM);
        watched.look(&alone(FROM - 50, FROM + 1));
        assert_eq!(watched.cause(), None, "only one round of the lease is over");
        watched.look(&alone(FROM - 50, FROM + 2));
        assert_eq!(watched.cause(), Some(Cause::CutOff));
    }

    #[test]
    fn a_machine_that_was_not_up_stays_paused_through_an_outage() {
        let mut watched = noted(&[Verdict::Down, Verdict::Down]);
        watched.look(&alone(FROM + 2, FROM + 9));
        assert_eq!(watched.cause(), Some(Cause::NotUp));
        watched.look(&alone(FROM + 9, FROM + 9));
        assert_eq!(
            watched.cause(),
            Some(Cause::NotUp),
            "the RPC node is back, and the machine is not up yet"
        );
        watched.note([(FROM + 2, Verdict::Up)]);
        assert_eq!(watched.cause(), None);
    }
}
