//! Random lives of a machine: what the chain says and takes back, outages, halts, clocks that are wrong, hooks that fail,
//! and a node that is killed between any two steps.

use super::*;
use crate::tenancy::clock::ClusterClock;
use crate::tenancy::sample::{key, room};
use crate::tenancy::sight::Sight;
use leasehold_client::probe::Pubkey;
use proptest::collection::vec;
use proptest::prelude::*;

const ROUND: i64 = 600;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Opens a lease for so many rounds from the next one on, if the machine is free.
    Open {
        rounds: u8,
        key: Option<u8>,
    },
    Extend,
    Cancel,
    Forfeit,
    SetAccess {
        key: Option<u8>,
        wipe: bool,
    },
    Transfer,
    /// Sets the machine free if its lease is over.
    Settle,
    /// So many seconds pass.
    Time(u16),
    /// The cluster halts, or goes on.
    Halt,
    /// The RPC node goes away, or comes back.
    Rpc,
    /// What is not finalized is taken back.
    Rollback,
    /// A part of what is confirmed is finalized, of 4.
    Finalize(u8),
    /// The RPC node answers as of so many blocks ago.
    Lag(u8),
    /// The host's clock is set wrong by so many seconds.
    Wall(i16),
    /// Hooks begin to fail, or work again.
    Hooks,
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    let key = || proptest::option::weighted(0.8, 1..5u8);
    prop_oneof![
        4 => (1..4u8, key()).prop_map(|(rounds, key)| Event::Open { rounds, key }),
        2 => Just(Event::Extend),
        1 => Just(Event::Cancel),
        1 => Just(Event::Forfeit),
        2 => (key(), any::<bool>()).prop_map(|(key, wipe)| Event::SetAccess { key, wipe }),
        1 => Just(Event::Transfer),
        3 => Just(Event::Settle),
        6 => prop_oneof![0..20u16, 500..700u16, Just(5_000)].prop_map(Event::Time),
        1 => Just(Event::Halt),
        1 => Just(Event::Rpc),
        1 => Just(Event::Rollback),
        5 => (1..=4u8).prop_map(Event::Finalize),
        1 => (1..5u8).prop_map(Event::Lag),
        1 => any::<i16>().prop_map(Event::Wall),
        1 => Just(Event::Hooks),
        1 => Just(Event::Crash),
    ]
}

/// A block: the machine's lease in it.
#[derive(Clone, Debug)]
struct Block {
    slot: u64,
    now: i64,
    serial: u32,
    lease: Option<Lease>,
    /// The machine was taken out of its lease, which the slot still names.
    forfeited: bool,
}

impl Block {
    fn seen(&self) -> Option<Lease> {
        self.lease.clone().filter(|_| !self.forfeited)
    }

    /// True if the lease runs, or will, with data as of that epoch.
    fn keeps(&self, id: LeaseId, data_epoch: u32) -> bool {
        self.seen()
            .is_some_and(|lease| lease.id == id && self.now < lease.ends && lease.data_epoch <= data_epoch)
    }
}

/// Data on the machine.
#[derive(Clone, Debug, PartialEq)]
struct Data {
    lease: LeaseId,
    epoch: u32,
    /// Somebody was let in since they were begun.
    used: bool,
}

/// The chain, the machine and the node.
struct World {
    blocks: Vec<Block>,
    /// Index of the last one that is finalized.
    finalized: usize,
    next_slot: u64,
    nonce: u32,
    halted: bool,
    rpc: bool,
    lag: usize,
    at: Duration,
    wall: i64,
    hooks_fail: bool,
    /// What survives the node: its record on the disk, and the machine.
    disk: String,
    data: Vec<Data>,
    frozen: bool,
    /// The lease for which the begin hook has succeeded.
    begun: Option<LeaseId>,
    node: Node,
    /// Steps after which the node is killed.
    kill_in: Option<usize>,
    steps: usize,
}

/// The node's memory.
struct Node {
    record: Record,
    runtime: Runtime,
    clock: ClusterClock,
    look: Look,
    awaits: Option<Tenancy>,
    /// Whom the door lets in.
    door: Option<Pass>,
}

/// The node was killed.
struct Killed;

impl Node {
    fn start(disk: &str, wall: i64, at: Duration) -> Self {
        let record: Record = serde_json::from_str(disk).unwrap();
        let stored = record.sight.as_ref().map_or(0, |sight| sight.now);
        let clock = ClusterClock::unread(wall.max(stored), at, Duration::from_secs(30));
        Node { record, runtime: Runtime::default(), clock, look: Look::default(), awaits: None, door: None }
    }
}

impl World {
    fn new(kill_in: Option<usize>) -> Self {
        let disk = serde_json::to_string(&Record::default()).unwrap();
        let (now, at) = (ROUND * 1_000, Duration::from_secs(1_000));
        World {
            blocks: vec![Block { slot: 1, now, serial: 1, lease: None, forfeited: false }],
            finalized: 0,
            next_slot: 2,
            nonce: 0,
            halted: false,
            rpc: true,
            lag: 0,
            at,
            wall: now,
            hooks_fail: false,
            node: Node::start(&disk, now, at),
            disk,
            data: vec![],
            frozen: false,
            begun: None,
            kill_in,
            steps: 0,
        }
    }

    fn last(&self) -> Block {
        self.blocks.last().unwrap().clone()
    }

    fn push(&mut self, change: impl FnOnce(&mut Block)) {
        let mut block = Block { slot: self.next_slot, ..self.last() };
        self.next_slot += SPREAD + 1;
        change(&mut block);
        self.blocks.push(block);
    }

    fn change_lease(&mut self, change: impl FnOnce(&mut Lease, i64)) {
        if self.halted {
            return;
        }
        self.push(|block| {
            if let Some(lease) = &mut block.lease
                && block.now < lease.ends
            {
                change(lease, block.now);
            }
        });
    }

    fn apply(&mut self, event: Event) {
        let round_end = |now: i64| (now / ROUND + 1) * ROUND;
        match event {
            Event::Open { rounds, key: access } => {
                if self.last().lease.is_some() || self.halted {
                    return;
                }
                self.nonce += 1;
                let mut address = [0; 32];
                address[..4].copy_from_slice(&self.nonce.to_le_bytes());
                self.push(|block| {
                    let begins = round_end(block.now);
                    block.lease = Some(Lease {
                        id: LeaseId { address: Pubkey::new_from_array(address), serial: block.serial },
                        board: 0,
                        access: access.map(key),
                        access_epoch: 0,
                        data_epoch: 0,
                        begins,
                        ends: begins + i64::from(rounds) * ROUND,
                    });
                    block.serial += 1;
                });
            }
            Event::Extend => self.change_lease(|lease, _| lease.ends += ROUND),
            Event::Cancel => self.change_lease(|lease, now| {
                lease.ends = lease.ends.min(round_end(now).max(lease.begins + ROUND));
            }),
            Event::Forfeit if !self.halted => self.push(|block| block.forfeited = block.lease.is_some()),
            Event::Forfeit => {}
            Event::SetAccess { key: access, wipe } => self.change_lease(|lease, _| {
                lease.access_epoch += 1;
                lease.access = access.map(key);
                if wipe {
                    lease.data_epoch = lease.access_epoch;
                }
            }),
            Event::Transfer => self.change_lease(|lease, _| {
                (lease.access_epoch, lease.access) = (lease.access_epoch + 1, None);
            }),
            Event::Settle if !self.halted => self.push(|block| {
                if block.lease.as_ref().is_some_and(|lease| lease.ends <= block.now) {
                    (block.lease, block.forfeited) = (None, false);
                }
            }),
            Event::Settle => {}
            Event::Time(secs) => {
                self.at += Duration::from_secs(secs.into());
                self.wall += i64::from(secs);
                if !self.halted {
                    self.push(|block| block.now += i64::from(secs));
                }
            }
            Event::Halt => self.halted = !self.halted,
            Event::Rpc => self.rpc = !self.rpc,
            Event::Rollback => {
                let now = self.last().now;
                self.blocks.truncate(self.finalized + 1);
                self.push(|block| block.now = now);
            }
            Event::Finalize(part) => {
                let open = self.blocks.len() - 1 - self.finalized;
                self.finalized += open * usize::from(part) / 4;
            }
            Event::Lag(blocks) => self.lag = blocks.into(),
            Event::Wall(secs) => self.wall += i64::from(secs),
            Event::Hooks => self.hooks_fail = !self.hooks_fail,
            Event::Crash => self.restart(),
        }
    }

    fn restart(&mut self) {
        self.node = Node::start(&self.disk, self.wall, self.at);
    }

    fn save(&mut self) {
        self.disk = serde_json::to_string(&self.node.record).unwrap();
    }

    /// The moment between two steps.
    fn tick(&mut self) -> Result<(), Killed> {
        self.steps += 1;
        match self.kill_in {
            Some(0) => {
                self.kill_in = None;
                Err(Killed)
            }
            Some(left) => {
                self.kill_in = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What the node does once a second: it reads the chain, if it can, and takes all steps. If it is killed it starts again.
    fn look(&mut self) {
        while self.look_once().is_err() {
            self.restart();
        }
        self.lag = 0;
    }

    fn look_once(&mut self) -> Result<(), Killed> {
        self.node.look.at = self.at;
        if self.rpc {
            self.read();
            self.tick()?;
            self.save();
        }
        self.node.look.now = self.node.clock.now(self.at);
        for _ in 0..20 {
            let planned = plan(&self.node.record, &mut self.node.runtime, &self.node.look);
            self.check_answers(&planned);
            self.node.awaits = planned.awaits;
            let Some(action) = planned.next else { return self.check_rest() };
            self.tick()?;
            self.step(&action)?;
        }
        panic!("the node does not come to rest: {:?} {:?}", self.node.record, self.node.runtime)
    }

    fn read(&mut self) {
        let index = self.blocks.len() - 1;
        let block = self.blocks[index.saturating_sub(self.lag)].clone();
        let node = &mut self.node;
        node.clock.note(block.now, self.at);
        node.record.observe(Sight { slot: block.slot, now: block.now, lease: block.seen() });
        node.look.is_read = true;
        let block = &self.blocks[self.finalized];
        node.look.finalized = node.awaits.as_ref().map(|tenancy| Finalized {
            slot: block.slot,
            now: block.now,
            lease: block.seen().filter(|lease| lease.id == tenancy.lease),
        });
    }

    fn step(&mut self, action: &Action) -> Result<(), Killed> {
        if before(&mut self.node.record, action) {
            self.save();
        }
        self.tick()?;
        let done = self.act(action);
        self.tick()?;
        let node = &mut self.node;
        if !done {
            failed(&mut node.runtime, self.at, Duration::from_secs(5));
        } else if after(&mut node.record, &mut node.runtime, action, Some(room())) {
            self.save();
        }
        self.tick()
    }

    /// What a step does to the machine. Returns false if it fails, when half of it may be done.
    fn act(&mut self, action: &Action) -> bool {
        match action {
            Action::Begin { tenancy, wipe, .. } => {
                assert!(self.node.door.is_none(), "somebody is let in while the machine is prepared");
                if *wipe {
                    self.wipe();
                }
                let data = Data { lease: tenancy.lease, epoch: tenancy.data_epoch, used: false };
                let is_own = |had: &Data| had.lease == data.lease && had.epoch == data.epoch;
                assert!(self.data.iter().all(is_own), "two tenancies' data: {:?} and {data:?}", self.data);
                if self.data.is_empty() {
                    self.data.push(data);
                }
                if self.hooks_fail {
                    return false;
                }
                (self.frozen, self.begun) = (false, Some(tenancy.lease));
            }
            Action::End { .. } => {
                assert!(self.node.door.is_none(), "somebody is let in while the machine is wiped");
                self.wipe();
                if self.hooks_fail {
                    return false;
                }
                self.frozen = false;
            }
            Action::Admit(pass) => {
                self.check_pass(pass);
                self.data.iter_mut().for_each(|data| data.used = true);
                self.node.door = Some(pass.clone());
            }
            Action::Shut => self.node.door = None,
            Action::Freeze(_) => self.frozen = true,
            Action::Thaw(_) => self.frozen = false,
        }
        true
    }

    /// Nothing that a tenant made is wiped before its lease is over at `finalized`, or its data epoch is raised there.
    fn wipe(&mut self) {
        let (last, finalized) = (self.last(), &self.blocks[self.finalized]);
        for Data { lease, epoch, used } in &self.data {
            let keeps = last.keeps(*lease, *epoch) || finalized.keeps(*lease, *epoch);
            assert!(!*used || !keeps, "wiped too early: {lease:?} {last:?} {finalized:?}");
        }
        self.data.clear();
    }

    /// Whoever is let in has a lease that the node has seen, that runs by its clock, and the key of its latest epoch; the
    /// machine was prepared for it, and has no other data.
    fn check_pass(&self, pass: &Pass) {
        let (sight, now) = (self.node.record.sight.as_ref().unwrap(), self.node.look.now);
        let lease = sight.lease.as_ref().expect("no lease is seen");
        assert_eq!(
            (pass.lease, Some(pass.access), pass.access_epoch),
            (lease.id, lease.access, lease.access_epoch)
        );
        assert!((lease.begins..lease.ends).contains(&now), "{lease:?} at {now}");
        assert_eq!(self.begun, Some(pass.lease), "the begin hook has not succeeded");
        let [data] = &self.data[..] else { panic!("{:?}", self.data) };
        assert!(data.lease == pass.lease && data.epoch >= lease.data_epoch, "{data:?} {lease:?}");
    }

    /// No probe of a machine is answered whose lease runs, unless the begin hook has succeeded for it.
    fn check_answers(&self, planned: &Plan) {
        let lease = self.node.record.sight.as_ref().and_then(|sight| sight.lease.as_ref());
        let runs = lease.filter(|lease| (lease.begins..lease.ends).contains(&self.node.look.now));
        if let Some(lease) = runs.filter(|_| planned.answers) {
            assert_eq!(self.begun, Some(lease.id), "a probe is answered before the begin hook");
        }
    }

    /// After a look whoever has no lease is shut out, and what it runs stands still.
    fn check_rest(&self) -> Result<(), Killed> {
        let (node, now) = (&self.node, self.node.look.now);
        assert_eq!(node.door, node.runtime.pass, "the node knows whom the door lets in");
        if let Some(pass) = &node.door {
            self.check_pass(pass);
        }
        let lease = node.record.sight.as_ref().and_then(|sight| sight.lease.as_ref());
        let runs = |data: &Data| {
            lease.is_some_and(|lease| lease.id == data.lease && now < lease.ends && !lease.is_withheld())
        };
        let is_prepared = matches!(node.record.stage, Stage::Prepared { .. });
        for data in self.data.iter().filter(|data| is_prepared && !runs(data)) {
            assert!(self.frozen, "{data:?} runs on");
        }
        Ok(())
    }

    /// When all goes well again, the machine serves the lease that it is in; and when that is over, nothing is left.
    fn check_end(&mut self) {
        (self.halted, self.rpc, self.hooks_fail) = (false, true, false);
        self.settle_down();
        let last = self.last();
        if let Some(lease) = last.seen().filter(|lease| (lease.begins..lease.ends).contains(&last.now)) {
            // What was over by an estimate of the clock stays so in the lease's last minute.
            let closed = self.node.runtime.closed.is_some() && last.now >= lease.ends - SLACK;
            let access = lease.access.filter(|_| !closed);
            assert!(closed || self.begun == Some(lease.id));
            assert_eq!(self.node.door.as_ref().map(|pass| pass.access), access, "{lease:?}");
            assert!(closed || self.frozen == lease.is_withheld());
        } else {
            assert_eq!(self.node.door, None);
        }
        self.apply(Event::Time(60_000));
        self.apply(Event::Settle);
        self.settle_down();
        assert_eq!(
            (&self.data[..], &self.node.door, &self.node.record.stage),
            (&[][..], &None, &Stage::Clean)
        );
    }

    fn settle_down(&mut self) {
        for _ in 0..4 {
            self.apply(Event::Time(10));
            self.look();
            self.apply(Event::Finalize(4));
            self.look();
        }
    }
}

/// Plays events, with a look after each. Returns the number of moments between two steps.
fn play(events: &[Event], kill_in: Option<usize>) -> usize {
    let mut world = World::new(kill_in);
    world.look();
    for event in events {
        world.apply(*event);
        world.look();
    }
    let steps = world.steps;
    world.check_end();
    steps
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn nobody_is_let_in_without_a_lease_and_nothing_is_wiped_too_early(
        events in vec(event(), 0..60),
        kill_in in proptest::option::of(0..300usize),
    ) {
        play(&events, kill_in);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_node_may_be_killed_between_any_two_steps(events in vec(event(), 0..15)) {
        for kill_in in 0..play(&events, None) {
            play(&events, Some(kill_in));
        }
    }
}

#[test]
fn the_events_come_to_every_kind_of_step() {
    use Event::*;
    let open = Open { rounds: 2, key: Some(1) };
    let life = [
        open,
        Time(600),
        Extend,
        Transfer,
        SetAccess { key: Some(2), wipe: false },
        SetAccess { key: Some(3), wipe: true },
        Finalize(4),
        Time(2_000),
        Finalize(4),
        Settle,
        open,
        Time(900),
        Forfeit,
        Finalize(4),
    ];
    let steps = play(&life, None);
    assert!(steps > 80, "{steps}");
    for kill_in in 0..steps {
        play(&life, Some(kill_in));
    }
}
