//! What a keeper notes at each poll, and its plan.

use std::time::Duration;

use leasehold::state::Seat;
use leasehold_client::rounds::window;
use leasehold_daemon::backoff::pause;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Keeper, KeeperError, MIN_PAUSE, Operation};
use crate::{
    planner::{Plan, plan, shared_chores},
    snapshot::{BoardSnapshot, ReadError, Snapshot},
    standing::{NOT_PROBED, NOT_SENT},
};

/// Polls in each round at least.
const POLLS_PER_ROUND: u32 = 20;

/// While the chain can't be read, the log says so this often.
const REMINDER: Duration = Duration::from_secs(30);

/// Polls that failed in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    since: Instant,
    /// When the log said so last.
    said: Option<Instant>,
    failures: u32,
}

impl Keeper {
    /// Notes a poll that succeeded.
    pub(super) fn note_read(&mut self) {
        if let Some(Unread { since, failures, .. }) = self.unread.take() {
            info!(
                "the chain can be read again, after {failures} failures in {} s",
                since.elapsed().as_secs()
            );
        }
        // A node that is cut off from the cluster answers, too, but its clock stands still.
        if self.reader.has_advanced() {
            self.tools.prober.hearing().note();
        }
    }

    /// Notes a poll that failed. Returns the pause before the next.
    pub(super) fn note_unread(&mut self, error: &ReadError) -> Duration {
        self.metrics.poll_failed();
        let now = Instant::now();
        let unread = self.unread.get_or_insert(Unread { since: now, said: None, failures: 0 });
        unread.failures = unread.failures.saturating_add(1);
        if unread.said.is_none_or(|said| said.elapsed() >= REMINDER) {
            unread.said = Some(now);
            match unread.since.elapsed().as_secs() {
                0 => warn!("{error}"),
                secs => warn!("{error} ({} times in {secs} s)", unread.failures),
            }
        }
        pause(unread.failures).min(self.reader.limits().pause)
    }

    /// Notes how a board stands on which this keeper holds a seat, and logs the rounds that it missed.
    fn note_standing(&self, snapshot: &Snapshot, board: &BoardSnapshot, seat: (u8, &Seat)) {
        let (header, address) = (&board.header, board.board.address);
        let reason = |round| match self.memory.answers(&address, round) {
            // A board as an RPC node that lags behind shows it.
            _ if self.votes.is_confirmed(&address, round) => None,
            Some(answers) => match &answers.fault {
                Some(fault) => Some(fault.name()),
                None => (answers.report.stats.targets > 0).then_some(NOT_SENT),
            },
            // Machines are judged from some round on: where there are none now, there were none.
            None => {
                let none = header.machines == 0
                    || board.fleet.as_ref().is_some_and(|fleet| fleet.targets.is_empty());
                (!none).then_some(NOT_PROBED)
            }
        };
        let now = snapshot.now_ms.div_euclid(1_000);
        let closes = |round| window(header, round).closes;
        let missed = self.metrics.standings().observe(header, seat, &snapshot.params, now, closes, reason);
        for (round, reason) in missed {
            warn!("board {}: missed round {round} ({reason})", board.board.index);
        }
    }

    /// Plans from a snapshot and logs advice for the operator.
    pub(super) async fn plan(&mut self, snapshot: &Snapshot) -> Result<Plan, KeeperError> {
        if snapshot.authority == self.me {
            return Err(KeeperError::MarketAuthority { key: self.me });
        }
        self.round_secs = snapshot.round_secs;
        self.note_seats(snapshot).await;
        self.metrics.polled(self.seats.len(), snapshot.lamports, snapshot.now_ms);
        for board in &snapshot.boards {
            if let Some((index, seat)) = board.view().seat_of(&self.me) {
                self.metrics.pay().observe(&board.header, index, seat, &snapshot.params);
                self.note_standing(snapshot, board, (index, seat));
                let (address, number) = (board.board.address, board.board.index);
                let running = board.round_at(snapshot.now_ms.div_euclid(1_000));
                if let Some(round) = self.votes.foreign(address, running, seat) {
                    error!(
                        "board {number}: a vote on round {round} with this keeper's key is another process's"
                    );
                    return Err(KeeperError::Twin { key: self.me, board: number, round });
                }
            }
        }
        self.memory.observe(snapshot.now_ms, shared_chores(snapshot, &self.policy));
        let memory = &self.memory;
        self.failures.retain(|operation| match operation {
            Operation::Chore(chore) => memory.knows(chore),
            _ => true,
        });
        let plan = plan(snapshot, &self.memory, &self.policy);
        for advice in &plan.advice {
            if !self.advised.contains(advice) {
                warn!("{advice}");
            }
        }
        self.advised = plan.advice.iter().cloned().collect();
        Ok(plan)
    }

    /// How long until the next poll.
    pub(super) fn wait(&self, snapshot: &Snapshot, plan: &Plan) -> Duration {
        let rounds = snapshot
            .boards
            .iter()
            .filter(|board| self.policy.crank || self.seats.contains_key(&board.board.address));
        let shortest = rounds.map(|board| board.header.round_secs).min();
        let poll = shortest
            .map_or(self.poll, |secs| self.poll.min(Duration::from_secs(secs.into()) / POLLS_PER_ROUND));
        self.tools.prober.hearing().expect_every(poll);
        let now_ms = self.reader.now_ms().unwrap_or(snapshot.now_ms);
        let due =
            plan.wake_ms.map(|wake| Duration::from_millis(wake.saturating_sub(now_ms).max(0).unsigned_abs()));
        due.map_or(poll, |due| poll.min(due)).max(MIN_PAUSE)
    }
}
