//! Pauses the tenants of a node's machines, by the rules of [`super::pause`], from the polls of the chain and the keepers
//! that were heard.

use super::pause::{Cause, Contact, ROUNDS, Watched};
use super::{Leases, Metrics, Place, View};
use crate::probes::Probes;
use leasehold::state::Board;
use leasehold_client::board::BoardView;
use solana_pubkey::Pubkey;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

/// The cluster stands still if its clock shows the same second for so many seconds.
const HALT_SECS: i64 = 60;
/// Time between two looks at whom the node was in contact with. Rounds are ten seconds or longer.
const LOOK: Duration = Duration::from_secs(1);

/// The pauses of a node's tenants.
#[derive(Debug)]
pub(super) struct Pauses {
    probes: Arc<Probes>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tenants: HashMap<Place, Tenant>,
    /// What the last poll that succeeded showed of the boards.
    boards: HashMap<Pubkey, Judges>,
    /// This host's Unix second at that poll.
    read_secs: i64,
    /// The cluster's clock when it was last seen to advance, and this host's Unix second then.
    advanced: (i64, i64),
}

/// A lease on a machine.
#[derive(Debug)]
struct Tenant {
    serial: u32,
    generation: u32,
    watched: Watched,
    /// The cause that was logged.
    logged: Option<Cause>,
}

/// What calls the machines of a board up.
#[derive(Debug)]
struct Judges {
    header: Arc<Board>,
    up_votes: u8,
}

impl Pauses {
    pub fn new(probes: Arc<Probes>, metrics: Arc<Metrics>) -> Self {
        Self { probes, metrics, state: Mutex::default() }
    }

    /// Notes what a poll showed, at this host's Unix time `unix_secs`, and marks the leases of the view.
    pub fn observe(&self, view: &mut View, unix_secs: i64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.observe(view, unix_secs);
        for (address, known) in &view.boards {
            let board = BoardView { header: &known.header, slots: &[] };
            let held = board.seats().filter(|(_, seat)| !seat.is_vacant());
            self.probes.set_seats(*address, held.map(|(_, seat)| seat.keeper));
        }
        state.look(&self.probes, unix_secs);
        state.mark(&mut view.leases);
        self.publish(&mut state);
    }

    /// Looks whom the node was in contact with, at this host's Unix time `unix_secs`, and marks the leases. Returns true if a
    /// mark changed.
    pub fn look(&self, leases: &mut Arc<Leases>, unix_secs: i64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.look(&self.probes, unix_secs);
        self.publish(&mut state);
        state.differs(leases) && state.mark(Arc::make_mut(leases))
    }

    /// Counts the pauses, and logs those that began or ended.
    fn publish(&self, state: &mut State) {
        for cause in Cause::ALL {
            let paused =
                state.tenants.values().filter(|tenant| tenant.watched.cause() == Some(cause)).count();
            self.metrics.paused(cause, paused);
        }
        for ((board, slot), tenant) in &mut state.tenants {
            let (cause, lease) = (tenant.watched.cause(), tenant.serial);
            if cause == tenant.logged {
                continue;
            }
            tenant.logged = cause;
            match cause {
                Some(Cause::NotUp) => warn!(
                    %board, slot, lease,
                    "the tenant is paused: the machine was not up in two quorate rounds in a row, which are not paid"
                ),
                Some(Cause::CutOff) => warn!(
                    %board, slot, lease,
                    "the tenant is paused: this node reaches no RPC node, and too few keepers reached it in two rounds"
                ),
                None => info!(%board, slot, lease, "the tenant is served again"),
            }
        }
    }
}

impl State {
    fn observe(&mut self, view: &View, unix_secs: i64) {
        self.read_secs = unix_secs;
        if view.now > self.advanced.0 {
            self.advanced = (view.now, unix_secs);
        }
        let judges =
            |known: &super::KnownBoard| Judges { header: known.header.clone(), up_votes: known.up_votes };
        self.boards = view.boards.iter().map(|(address, known)| (*address, judges(known))).collect();
        let running: HashSet<Place> = view
            .leases
            .machines
            .iter()
            .filter(|(_, lease)| lease.is_some())
            .map(|(place, _)| *place)
            .collect();
        // A lease that is over takes its pause with it.
        self.tenants.retain(|place, _| running.contains(place));
        for (place, lease) in &view.leases.machines {
            let (Some(lease), Some(known), Some(slot)) =
                (lease, view.boards.get(&place.0), view.slots.get(place))
            else {
                continue;
            };
            let fresh = || Tenant {
                serial: lease.serial,
                generation: lease.generation,
                watched: Watched::new(lease.from),
                logged: None,
            };
            let tenant = self.tenants.entry(*place).or_insert_with(fresh);
            if (tenant.serial, tenant.generation) != (lease.serial, lease.generation) {
                *tenant = fresh();
            }
            let board = BoardView { header: &known.header, slots: &[] };
            let remembered = board.remembered().filter_map(|round| {
                // Rounds after the lease are not its tenant's.
                let verdict = known.header.verdict(slot, round)?;
                (round < lease.until).then_some((round, verdict))
            });
            tenant.watched.note(remembered);
        }
    }

    fn look(&mut self, probes: &Probes, unix_secs: i64) {
        let is_halted = self.read_secs.saturating_sub(self.advanced.1) >= HALT_SECS;
        for ((board, slot), tenant) in &mut self.tenants {
            let Some(Judges { header, up_votes }) = self.boards.get(board) else { continue };
            let round_at = |secs| header.round_at(secs).unwrap_or_default();
            let running = round_at(unix_secs);
            let place = (*board, u32::from(*slot));
            let heard = |ago| running.checked_sub(ago).map_or(0, |round| probes.heard(&place, round));
            tenant.watched.look(&Contact {
                running,
                read: round_at(self.read_secs),
                heard: [heard(ROUNDS), heard(1)],
                up_votes: *up_votes,
                is_halted,
            });
        }
    }

    /// True if a lease is not marked as its tenant is.
    fn differs(&self, leases: &Leases) -> bool {
        leases.machines.iter().any(|(place, lease)| {
            lease.as_ref().is_some_and(|lease| lease.paused != self.is_paused(place, lease.serial))
        })
    }

    /// Marks the leases whose tenants are paused. Returns true if a mark changed.
    fn mark(&self, leases: &mut Leases) -> bool {
        let mut changed = false;
        for (place, lease) in &mut leases.machines {
            let Some(lease) = lease else { continue };
            let paused = self.is_paused(place, lease.serial);
            changed |= std::mem::replace(&mut lease.paused, paused) != paused;
        }
        changed
    }

    fn is_paused(&self, place: &Place, serial: u32) -> bool {
        let tenant = self.tenants.get(place).filter(|tenant| tenant.serial == serial);
        tenant.is_some_and(|tenant| tenant.watched.cause().is_some())
    }
}

/// Looks once a second whom the node was in contact with, for as long as it is polled.
pub(super) async fn run(
    pauses: Arc<Pauses>,
    leases: watch::Sender<Arc<Leases>>,
    unix_secs: impl Fn() -> i64,
) {
    loop {
        tokio::time::sleep(LOOK).await;
        leases.send_if_modified(|leases| pauses.look(leases, unix_secs()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{BOARD, PLACE, ROUND, metered_lease, view};
    use super::super::{KnownBoard, RunningLease};
    use super::*;
    use leasehold::state::{Seat, Verdict, ring_bit};

    const KEEPERS: u8 = 7;

    /// A board with seven seats, a machine in a lease from round 1,000 on, and a node that polls it.
    struct Scene {
        pauses: Pauses,
        probes: Arc<Probes>,
        view: View,
        /// This host's Unix second.
        now: i64,
    }

    impl Scene {
        fn new() -> Self {
            let probes = Arc::<Probes>::default();
            let pauses = Pauses::new(probes.clone(), Arc::default());
            let mut scene = Self { pauses, probes, view: view(), now: i64::from(ROUND) * 600 };
            let known = scene.board();
            known.up_votes = 3;
            let header = Arc::make_mut(&mut known.header);
            (header.next_round, header.seat_count) = (ROUND, KEEPERS);
            for (number, seat) in (1..=KEEPERS).zip(&mut header.seats) {
                *seat = Seat { keeper: keeper(number), taken: 1, ..bytemuck::Zeroable::zeroed() };
            }
            scene
        }

        fn board(&mut self) -> &mut KnownBoard {
            self.view.boards.get_mut(&BOARD).unwrap()
        }

        /// The next round is closed with that verdict, and the node polls.
        fn close(&mut self, verdict: Verdict) -> bool {
            let header = Arc::make_mut(&mut self.board().header);
            let bit = 1 << ring_bit(header.next_round);
            header.next_round += 1;
            header.quorate &= !bit;
            if verdict != Verdict::Void {
                header.quorate |= bit;
            }
            let slot = self.view.slots.get_mut(&PLACE).unwrap();
            (slot.history_up, slot.history_down) = (slot.history_up & !bit, slot.history_down & !bit);
            match verdict {
                Verdict::Up => slot.history_up |= bit,
                Verdict::Down => slot.history_down |= bit,
                Verdict::Unseen | Verdict::Void => {}
            }
            self.now += 600;
            self.poll()
        }

        /// The node polls the chain. Returns true if the tenant is paused.
        fn poll(&mut self) -> bool {
            self.view.now = self.now;
            self.pauses.observe(&mut self.view, self.now);
            is_paused(&self.view.leases)
        }

        /// Polls fail, and the node looks at the clock.
        fn look(&mut self, secs: i64) -> bool {
            self.now += secs;
            let mut leases = Arc::new(self.view.leases.clone());
            self.pauses.look(&mut leases, self.now);
            is_paused(&leases)
        }
    }

    fn keeper(number: u8) -> Pubkey {
        Pubkey::new_from_array([number; 32])
    }

    fn is_paused(leases: &Leases) -> bool {
        leases.machines[&PLACE].as_ref().is_some_and(|lease| lease.paused)
    }

    #[test]
    fn verdicts_pause_and_resume_the_tenant() {
        let mut scene = Scene::new();
        assert!(!scene.poll());
        assert!(!scene.close(Verdict::Up));
        assert!(!scene.close(Verdict::Down));
        assert!(!scene.close(Verdict::Void));
        assert!(scene.close(Verdict::Unseen));
        let text = scene.pauses.metrics.to_string();
        assert!(text.contains("leasehold_node_tenants_paused{cause=\"not_up\"} 1\n"), "{text}");
        assert!(scene.close(Verdict::Void));
        assert!(!scene.close(Verdict::Up));
    }

    #[test]
    fn a_lease_that_is_over_takes_its_pause_with_it() {
        let mut scene = Scene::new();
        scene.close(Verdict::Down);
        assert!(scene.close(Verdict::Down));
        scene.view.leases.machines.insert(PLACE, None);
        assert!(!scene.poll());
        let text = scene.pauses.metrics.to_string();
        assert!(text.contains("leasehold_node_tenants_paused{cause=\"not_up\"} 0\n"), "{text}");
        // The next tenant begins with the next round; what was before is not its matter.
        let next = RunningLease { serial: 6, from: ROUND + 2, ..metered_lease() };
        scene.view.leases.machines.insert(PLACE, Some(next));
        assert!(!scene.poll());
        assert!(!scene.close(Verdict::Down));
        assert!(scene.close(Verdict::Down));
    }

    #[test]
    fn rounds_after_the_lease_do_not_pause_it() {
        let mut scene = Scene::new();
        let lease = RunningLease { until: ROUND + 1, ..metered_lease() };
        scene.view.leases.machines.insert(PLACE, Some(lease));
        scene.close(Verdict::Down);
        assert!(!scene.close(Verdict::Down));
    }

    #[test]
    fn a_machine_without_a_lease_has_nobody_to_pause() {
        let mut scene = Scene::new();
        scene.view.leases.machines.insert(PLACE, None);
        for _ in 0..5 {
            assert!(!scene.close(Verdict::Down));
        }
        assert!(scene.pauses.state.lock().unwrap().tenants.is_empty());
    }

    #[test]
    fn an_outage_without_keepers_pauses_after_two_whole_rounds_and_with_them_it_does_not() {
        let mut scene = Scene::new();
        scene.close(Verdict::Up);
        // Polled at the beginning of round 1,001; rounds 1,002 and 1,003 have to pass.
        assert!(!scene.look(600) && !scene.look(600) && !scene.look(599));
        assert!(scene.look(1));
        let text = scene.pauses.metrics.to_string();
        assert!(text.contains("leasehold_node_tenants_paused{cause=\"cut_off\"} 1\n"), "{text}");
        for number in 1..=3 {
            scene.probes.note((BOARD, PLACE.1.into()), keeper(number), ROUND + 4);
        }
        assert!(scene.look(599), "in the round that runs");
        assert!(!scene.look(1), "as many as call it up were heard in one of the last two");
        assert!(!scene.look(600));
        assert!(scene.look(600));
        assert!(!scene.poll(), "the RPC node is back");
    }

    #[test]
    fn strangers_who_sign_challenges_are_not_heard() {
        let mut scene = Scene::new();
        scene.poll();
        for number in 100..200 {
            for round in ROUND..ROUND + 9 {
                scene.probes.note((BOARD, PLACE.1.into()), keeper(number), round);
            }
        }
        assert!(scene.look(1_800));
    }

    #[test]
    fn a_cluster_that_stood_still_before_the_outage_pauses_nobody() {
        let mut scene = Scene::new();
        scene.poll();
        for _ in 0..13 {
            scene.now += 5;
            // The node answers with the same second each time.
            scene.pauses.observe(&mut scene.view, scene.now);
        }
        assert!(!scene.look(36_000));
    }
}
