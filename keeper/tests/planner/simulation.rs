//! Several keepers on one board, under the program's rules, written down once more as plainly as possible.
//!
//! A plan made from a true picture is never refused; while all keepers are well, every round is voted on and
//! every lease settled in time; and whoever fails, however slow the network, leases are settled as long as
//! one keeper is left.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use leasehold::state::Board;
use leasehold_keeper::{
    memory::{Chore, Memory},
    planner::{Action, Policy, plan, shared_chores},
    snapshot::{Fleet, Snapshot},
};
use proptest::prelude::*;

use crate::scene::{Scene, lease, report, wallet};

/// A board as the program keeps it.
struct World {
    header: Box<Board>,
    /// First round after each lease that is not settled.
    leases: BTreeMap<u32, u32>,
    settled: BTreeMap<u32, i64>,
    votes: BTreeMap<u32, u32>,
    now_ms: i64,
}

impl World {
    fn secs(&self) -> i64 {
        self.now_ms / 1_000
    }

    /// Applies a step of a keeper as the program would. Fails with the name of the rule that the step breaks.
    fn act(&mut self, keeper: u8, action: &Action) -> Result<(), &'static str> {
        match action {
            Action::SubmitRound { seat, round, slots, .. } => self.submit(keeper, *seat, *round, *slots),
            Action::CloseRound { .. } => self.close(),
            Action::SettleLease { serial, .. } => self.settle(*serial),
            _ => Err("no such step in this simulation"),
        }
    }

    fn submit(&mut self, keeper: u8, seat: u8, round: u32, slots: u32) -> Result<(), &'static str> {
        let now = self.secs();
        let header = &mut self.header;
        let rule = |kept: bool, rule| if kept { Ok(()) } else { Err(rule) };
        rule(header.seats[usize::from(seat)].keeper == wallet(keeper), "WrongKeeper")?;
        let phase = i64::from(header.phase_secs);
        let end = (i64::from(round) + 1) * i64::from(header.round_secs) + phase;
        let running = u32::try_from((now - phase) / i64::from(header.round_secs)).unwrap();
        rule(round + 1 == running && now <= end + i64::from(header.submit_secs), "OutsideSubmitWindow")?;
        rule(round >= header.next_round, "RoundClosed")?;
        let voting = header.tally.submitted != 0;
        rule(!voting || header.tally.round == round, "EarlierRoundOpen")?;
        rule(slots == header.slots_at(running), "BitmapLength")?;
        rule(header.tally.submitted & (1 << seat) == 0, "AlreadySubmitted")?;
        header.tally.round = round;
        header.tally.submitted |= 1 << seat;
        *self.votes.entry(round).or_default() += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), &'static str> {
        let now = self.secs();
        let header = &mut self.header;
        let over = |round: u32| {
            let end = (i64::from(round) + 1) * i64::from(header.round_secs) + i64::from(header.phase_secs);
            now > end + i64::from(header.submit_secs)
        };
        if header.tally.submitted == 0 {
            let mut next = header.next_round;
            while over(next) {
                next += 1;
            }
            if next == header.next_round {
                return Err("NothingToClose");
            }
            header.next_round = next;
            return Ok(());
        }
        let round = header.tally.round;
        if header.tally.submitted != header.taken_seats() && !over(round) {
            return Err("NothingToClose");
        }
        header.next_round = round + 1;
        header.tally.submitted = 0;
        Ok(())
    }

    fn settle(&mut self, serial: u32) -> Result<(), &'static str> {
        let until = self.leases.get(&serial).ok_or("LeaseSettled")?;
        if self.header.next_round < *until {
            return Err("settled in mid-term");
        }
        self.leases.remove(&serial);
        self.settled.insert(serial, self.now_ms);
        Ok(())
    }

    fn snapshot(&self, scene: &Scene, keeper: u8) -> Snapshot {
        let mut snapshot = scene.snapshot.clone();
        snapshot.me = wallet(keeper);
        snapshot.now_ms = self.now_ms;
        let target = scene.snapshot.boards[0].fleet.as_ref().unwrap().targets.clone();
        let round = self.header.round_at(self.secs()).unwrap();
        let board = &mut snapshot.boards[0];
        board.header = self.header.clone();
        let leases = self.leases.iter().map(|(serial, until)| (*serial, lease(*until))).collect();
        board.fleet = Some(Arc::new(Fleet { round, targets: target, leases, ..Fleet::default() }));
        snapshot
    }
}

/// How a simulation is set up.
#[derive(Clone, Debug)]
struct Setup {
    keepers: u8,
    round_secs: u32,
    /// Second of a round's length at which rounds begin.
    phase_secs: u32,
    submit_secs: u32,
    /// Milliseconds between two looks of each keeper.
    looks: Vec<i64>,
    /// Milliseconds until a step takes effect.
    latency_ms: i64,
    /// Milliseconds from the start in which each keeper is down.
    outages: Vec<(i64, i64)>,
    /// First round after each lease, counted from the start.
    leases: Vec<u32>,
    rounds: u32,
}

struct Course {
    world: World,
    first: u32,
    refusals: Vec<String>,
}

fn run(setup: &Setup) -> Course {
    let mut scene = Scene::new();
    let first = 1_000_000;
    let header = scene.header();
    header.round_secs = setup.round_secs;
    header.phase_secs = setup.phase_secs;
    header.submit_secs = setup.submit_secs;
    header.next_round = first;
    (0..5).for_each(|seat| header.seats[seat].taken = 0);
    (0..setup.keepers).for_each(|seat| scene.sit(seat, seat));
    let begin = |round: u32| i64::from(round) * i64::from(setup.round_secs) + i64::from(setup.phase_secs);
    let start_ms = begin(first) * 1_000;
    let mut world = World {
        header: scene.snapshot.boards[0].header.clone(),
        leases: (1..).zip(setup.leases.iter().map(|rounds| first + rounds)).collect(),
        settled: BTreeMap::new(),
        votes: BTreeMap::new(),
        now_ms: start_ms,
    };
    let policy = Policy::default();
    let mut memories: Vec<_> = (0..setup.keepers).map(|_| Memory::default()).collect();
    let mut next_look: Vec<_> = setup.looks.iter().map(|look| start_ms + look).collect();
    // Probes under way: when they end, whose, and which.
    let mut probes: BTreeSet<(i64, u8, u32)> = BTreeSet::new();
    let mut under_way = UnderWay::new();
    let mut sent = 0;
    let mut refusals = Vec::new();

    let end_ms = start_ms + i64::from(setup.rounds * setup.round_secs) * 1_000;
    while world.now_ms < end_ms {
        let now = world.now_ms;
        while let Some((_, keeper, round)) = probes.first().copied().filter(|(at, ..)| *at <= now) {
            probes.pop_first();
            let board = scene.board();
            let memory = &mut memories[usize::from(keeper)];
            memory.keep(board, report(round, 0), now);
            memory.end(&Chore::ProbeRound { board, round }, now);
        }
        while under_way.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            land(&mut world, &mut memories, &mut under_way);
        }
        for keeper in 0..setup.keepers {
            let index = usize::from(keeper);
            let (from, until) = setup.outages[index];
            let down = (from..until).contains(&(now - start_ms));
            if next_look[index] > now || down {
                continue;
            }
            let snapshot = world.snapshot(&scene, keeper);
            memories[index].observe(snapshot.now_ms, shared_chores(&snapshot, &policy));
            let plan = plan(&snapshot, &memories[index], &policy);
            // The longest wait is the keeper's own; a foreseen event makes it shorter.
            next_look[index] = plan.wake_ms.unwrap_or(i64::MAX).min(now + setup.looks[index]).max(now + 250);
            let mut fresh = true;
            for action in plan.actions {
                memories[index].begin(action.chore());
                if let Action::ProbeRound { round, time, .. } = &action {
                    probes.insert((now + i64::try_from(time.as_millis()).unwrap(), keeper, *round));
                    continue;
                }
                sent += 1;
                under_way.insert((now + setup.latency_ms, sent), (keeper, action));
                // Two steps of one plan may get in each other's way; each alone may not.
                if setup.latency_ms == 0 {
                    let refusal = land(&mut world, &mut memories, &mut under_way);
                    refusals.extend(refusal.filter(|_| fresh));
                    fresh = false;
                }
            }
        }
        world.now_ms += 50;
    }
    Course { world, first, refusals }
}

/// Steps by when they take effect, with whose they are.
type UnderWay = BTreeMap<(i64, u64), (u8, Action)>;

/// Lets the first step under way take effect. Returns the rule that it breaks.
fn land(world: &mut World, memories: &mut [Memory], under_way: &mut UnderWay) -> Option<String> {
    let (_, (keeper, action)) = under_way.pop_first()?;
    let memory = &mut memories[usize::from(keeper)];
    let (chore, now) = (action.chore(), world.now_ms);
    match world.act(keeper, &action) {
        Ok(()) => {
            memory.end(&chore, now);
            None
        }
        Err(rule) => {
            memory.fail(&chore, now, std::time::Duration::from_secs(60));
            Some(format!("keeper {keeper} at {now}: {action:?}: {rule}"))
        }
    }
}

fn setups(outages: bool) -> impl Strategy<Value = Setup> {
    (1u8..=5, 10u32..=60, 0u32..60, 1u32..=100, 1u32..=12).prop_flat_map(
        move |(keepers, round_secs, phase, submit, rounds)| {
            let count = usize::from(keepers);
            let total_ms = i64::from(rounds + 4) * i64::from(round_secs) * 1_000;
            let outage = if outages { (0..total_ms, 0..total_ms).boxed() } else { Just((0, 0)).boxed() };
            (
                prop::collection::vec(100i64..=i64::from(round_secs) * 50, count),
                prop::collection::vec(outage, count),
                prop::collection::vec(1..=rounds, 0..6),
            )
                .prop_map(move |(looks, outages, leases)| Setup {
                    keepers,
                    round_secs,
                    phase_secs: phase % round_secs,
                    // From a second to the whole round.
                    submit_secs: (round_secs * submit / 100).max(1),
                    looks,
                    latency_ms: 0,
                    outages: outages.into_iter().map(|(from, length)| (from, from + length)).collect(),
                    leases,
                    rounds: rounds + 4,
                })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_made_from_a_true_picture_is_never_refused(setup in setups(true)) {
        let course = run(&setup);
        prop_assert!(course.refusals.is_empty(), "{:#?}", course.refusals);
    }

    #[test]
    fn keepers_that_are_well_vote_on_every_round_and_settle_in_time(setup in setups(false)) {
        let Course { world, first, .. } = run(&setup);
        for round in first..first + setup.rounds - 2 {
            let votes = world.votes.get(&round).copied().unwrap_or_default();
            // A keeper looks at the chain some times in every round, but maybe not within a window of seconds.
            if i64::from(setup.submit_secs) * 1_000 > *setup.looks.iter().max().unwrap() + 1_000 {
                prop_assert_eq!(votes, u32::from(setup.keepers), "round {}", round - first);
            }
            prop_assert!(votes > 0 || setup.submit_secs < 4, "round {}", round - first);
        }
        for (serial, until) in (1u32..).zip(&setup.leases) {
            let settled = world.settled.get(&serial).copied();
            let end = i64::from(first + until) * i64::from(setup.round_secs) + i64::from(setup.phase_secs);
            let late = settled.map(|at| at / 1_000 - end);
            // The window, a turn for everybody to close and one to settle, and some looks.
            let bound = i64::from(setup.submit_secs) + i64::from(setup.round_secs);
            prop_assert!(late.is_some_and(|late| late <= bound), "lease {serial}: {late:?} s");
        }
    }

    #[test]
    fn one_keeper_that_is_left_settles_everything(setup in setups(true), latency_ms in 0i64..=3_000) {
        let mut setup = Setup { latency_ms, ..setup };
        // The last one is well all the time.
        *setup.outages.last_mut().unwrap() = (0, 0);
        let Course { world, .. } = run(&setup);
        prop_assert!(world.leases.is_empty(), "{:?}", world.leases);
    }
}
