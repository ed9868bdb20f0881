//! Watches how a round is probed, and judges whether it can be voted on.

use super::challenges::Probe;
use super::{Fault, ProbeStats, ProbeTiming, hearing::Hearing};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Machines that a keeper may call down for faults of its own, by expectation: less than one in so many rounds.
const ROUNDS_FOR_ONE: f64 = 10.0;

/// How a machine was asked.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// Datagrams that left, and that could not be sent.
    sent: u32,
    failed: u32,
    /// When the first and the last left.
    span: Option<(Instant, Instant)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    start: Instant,
    wall: SystemTime,
    asked: Vec<Asked>,
    /// How much later than planned a challenge left, at most.
    late: Duration,
}

impl Watch {
    /// Begins to watch a round with so many probes, the controls' included.
    pub(super) fn new(start: Instant, probes: usize) -> Self {
        Self { start, wall: SystemTime::now(), asked: vec![Asked::default(); probes], late: Duration::ZERO }
    }

    /// Notes that the schedule is looked at, which has been due since `wake`.
    pub(super) fn look(&mut self, now: Instant, wake: Option<Instant>) {
        let late = wake.map_or(Duration::ZERO, |wake| now.saturating_duration_since(wake));
        self.late = self.late.max(late);
    }

    /// Notes a datagram that left or could not be sent.
    pub(super) fn sent(&mut self, index: usize, now: Instant, sent: bool) {
        let Some(asked) = self.asked.get_mut(index) else { return };
        if sent {
            asked.sent = asked.sent.saturating_add(1);
            asked.span = Some((asked.span.map_or(now, |(first, _)| first), now));
        } else {
            asked.failed = asked.failed.saturating_add(1);
        }
    }

    /// True if no datagram to the machine left.
    pub(super) fn is_unsent(&self, index: usize) -> bool {
        self.asked.get(index).is_none_or(|asked| asked.sent == 0)
    }

    /// Judges the round at its end. `answered`: by position of the probe. Counts the controls in `stats`.
    pub(super) fn judge(
        &self,
        probes: &[Probe],
        answered: impl Fn(usize) -> bool,
        timing: &ProbeTiming,
        hearing: &Hearing,
        stats: &mut ProbeStats,
    ) -> Option<Fault> {
        let all = || probes.iter().zip(&self.asked).enumerate();
        for (index, (_, asked)) in all().filter(|(_, (probe, _))| probe.is_control) {
            let attempts = asked.sent.saturating_add(asked.failed).max(1);
            let missed = attempts.saturating_sub(u32::from(answered(index)));
            stats.control_attempts = stats.control_attempts.saturating_add(attempts.into());
            stats.control_missed = stats.control_missed.saturating_add(missed.into());
        }
        let machines = || all().filter(|(_, (probe, _))| !probe.is_control);
        let silent: Vec<(IpAddr, Asked)> = machines()
            .filter(|(index, _)| !answered(*index))
            .map(|(_, (probe, asked))| (probe.endpoint.ip(), *asked))
            .collect();
        // Where some could be sent to, those to which none could in the rounds before count as down.
        let nobody_asked = machines().all(|(_, (_, asked))| asked.sent == 0);
        let is_new = |ip: IpAddr| nobody_asked || !hearing.is_unsendable(ip);
        let unsent = silent.iter().filter(|(ip, asked)| asked.failed > 0 && is_new(*ip)).count();
        let tried = machines().filter(|(_, (_, asked))| asked.sent > 0 || asked.failed > 0);
        hearing.note_sends(tried.map(|(_, (probe, asked))| (probe.endpoint.ip(), asked.sent > 0)));
        // Whoever answered was up, however the host was.
        if silent.is_empty() {
            return None;
        }
        let some = |machines: usize| (machines > 0).then_some(machines);
        self.asleep(timing)
            .or_else(|| self.busy(timing, machines().count(), stats))
            .or_else(|| some(unsent).map(|machines| Fault::Unsent { machines }))
            .or_else(|| self.too_late(timing, &silent))
            .or_else(|| {
                let deaf = silent.iter().filter(|(_, asked)| !heard(asked, timing, hearing)).count();
                some(deaf).map(|machines| Fault::CutOff { machines })
            })
    }

    /// Suspended hosts miss answers without noticing: their monotonic clock stands still.
    fn asleep(&self, timing: &ProbeTiming) -> Option<Fault> {
        let wall = self.wall.elapsed().unwrap_or_default();
        let secs = wall.saturating_sub(self.start.elapsed());
        (secs > timing.attempt_timeout.max(Duration::from_secs(1))).then_some(Fault::Asleep { secs })
    }

    /// A machine is called down for this host's fault if all its attempts fail: as likely as so many attempts at controls.
    fn busy(&self, timing: &ProbeTiming, machines: usize, stats: &ProbeStats) -> Option<Fault> {
        let (missed, attempts) = (stats.control_missed, stats.control_attempts.max(1));
        let share = missed as f64 / attempts as f64;
        let expected = machines as f64 * share.powf(f64::from(timing.attempts.max(1)));
        let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        (expected * ROUNDS_FOR_ONE >= 1.0)
            .then_some(Fault::Busy { missed: number(missed), attempts: number(attempts) })
    }

    /// Machines that had less than all attempts and their timeouts, in a round in which this host was late. Where it was in time, the
    /// limits of the schedule are the cause, which many silent machines at one address use up: those must not excuse
    /// the vote.
    fn too_late(&self, timing: &ProbeTiming, silent: &[(IpAddr, Asked)]) -> Option<Fault> {
        let end = Instant::now();
        let is_whole = |asked: &Asked| {
            let enough = asked.sent.saturating_add(asked.failed) >= timing.attempts.max(1);
            enough && asked.span.is_none_or(|(_, last)| last + timing.timeout_of(asked.sent) <= end)
        };
        let machines = silent.iter().filter(|(_, asked)| !is_whole(asked)).count();
        let is_late = self.late >= timing.attempt_timeout / 2;
        (machines > 0 && is_late).then_some(Fault::Late { late: self.late, machines })
    }
}

/// True if this host heard anybody while it asked a machine.
fn heard(asked: &Asked, timing: &ProbeTiming, hearing: &Hearing) -> bool {
    asked.span.is_none_or(|(first, last)| {
        hearing.heard_between(first, last.checked_add(timing.timeout_of(asked.sent)).unwrap_or(last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_client::probe::{CHALLENGE_LEN, Challenge, Pubkey};

    const TIMING: ProbeTiming = ProbeTiming {
        window: Duration::from_secs(570),
        attempts: 3,
        attempt_timeout: Duration::from_secs(2),
        deadline: Duration::from_secs(600),
    };

    /// Machines, and 16 controls behind them.
    fn probes(machines: usize) -> Vec<Probe> {
        let zero = Pubkey::default();
        let challenge = Challenge {
            program: zero,
            market: zero,
            board: zero,
            slot: 0,
            generation: 0,
            round: 1,
            cluster: [0; 4],
            keeper: zero,
            seed: [0; 32],
        };
        let probe = |index| Probe {
            node_key: zero,
            endpoint: format!("192.0.2.{}:1", 1 + index % 200).parse().unwrap(),
            challenge: challenge.clone(),
            datagram: [0; CHALLENGE_LEN],
            is_control: index >= machines,
        };
        (0..machines + 16).map(probe).collect()
    }

    /// A round in virtual time: machine i is asked at second i, and again twice if it is silent.
    struct Round {
        probes: Vec<Probe>,
        watch: Watch,
        hearing: Hearing,
        silent: Vec<usize>,
    }

    impl Round {
        async fn new(machines: usize, silent: &[usize]) -> Self {
            let (probes, hearing) = (probes(machines), Hearing::default());
            let mut watch = Watch::new(Instant::now(), probes.len());
            for index in 0..probes.len() {
                tokio::time::advance(Duration::from_secs(1)).await;
                watch.sent(index, Instant::now(), true);
                hearing.note();
            }
            for secs in [2, 4] {
                tokio::time::advance(Duration::from_secs(secs)).await;
                silent.iter().for_each(|index| watch.sent(*index, Instant::now(), true));
                hearing.note();
            }
            tokio::time::advance(Duration::from_secs(8)).await;
            Self { probes, watch, hearing, silent: silent.to_vec() }
        }

        fn judge(&self) -> Option<Fault> {
            let answered = |index| !self.silent.contains(&index);
            let mut stats = ProbeStats::default();
            self.watch.judge(&self.probes, answered, &TIMING, &self.hearing, &mut stats)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_in_order_is_voted_on_though_machines_are_silent() {
        assert_eq!(Round::new(100, &[3, 50]).await.judge(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn controls_that_are_not_answered_in_time_stop_the_vote_if_a_machine_is_silent() {
        // Four of the controls are silent: 12 of 24 attempts.
        let busy = Round::new(100, &[3, 100, 101, 102, 103]).await.judge();
        assert_eq!(busy, Some(Fault::Busy { missed: 12, attempts: 24 }));
        assert_eq!(Round::new(100, &[100, 101, 102, 103]).await.judge(), None, "nobody would be called down");
        // One lost packet among sixteen is no reason: three in a row are too seldom.
        let mut round = Round::new(100, &[3]).await;
        round.watch.sent(100, Instant::now(), true);
        assert_eq!(round.judge(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_was_late_does_not_vote_on_machines_that_it_did_not_ask_thrice() {
        let mut round = Round::new(100, &[3]).await;
        round.silent.push(7);
        assert_eq!(round.judge(), None, "in time: the schedule's limits are the cause");
        let now = Instant::now();
        round.watch.look(now, Some(now - Duration::from_secs(5)));
        assert_eq!(round.judge(), Some(Fault::Late { late: Duration::from_secs(5), machines: 1 }));
        round.silent.pop();
        assert_eq!(round.judge(), None, "late, and yet all were asked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_hears_neither_machines_nor_its_rpc_node_does_not_vote() {
        let mut round = Round::new(100, &[3]).await;
        round.hearing = Hearing::default();
        assert_eq!(round.judge(), Some(Fault::CutOff { machines: 1 }));
        round.hearing.note_at(round.watch.start + Duration::from_secs(5));
        assert_eq!(round.judge(), None, "a dark board with a network that works is voted down");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_cannot_be_sent_to_costs_one_vote_and_not_every_vote() {
        let mut round = Round::new(100, &[3]).await;
        round.watch.asked[3] = Asked { sent: 0, failed: 3, span: None };
        assert_eq!(round.judge(), Some(Fault::Unsent { machines: 1 }));
        assert_eq!(round.judge(), None, "the next round");
        // Who could ask nobody says nothing, however long that lasts.
        let mut round = Round::new(1, &[0]).await;
        round.watch.asked[0] = Asked { sent: 0, failed: 3, span: None };
        assert_eq!(round.judge(), Some(Fault::Unsent { machines: 1 }));
        assert_eq!(round.judge(), Some(Fault::Unsent { machines: 1 }));
    }
}
