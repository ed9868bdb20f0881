//! A board and a keeper, as simple as a test allows.

use std::{collections::BTreeMap, sync::Arc};

use bytemuck::Zeroable;
use leasehold::state::{Board, Keeper, Seat, StakeLedger};
use leasehold_client::MarketRef;
use leasehold_keeper::{
    memory::Memory,
    planner::{Action, Plan, Policy, plan, shared_chores},
    prober::{ProbeReport, ProbeStats, Target},
    snapshot::{BoardSnapshot, Fleet, Snapshot},
};
use solana_pubkey::Pubkey;

pub const ROUND_SECS: u32 = 600;
pub const SUBMIT_SECS: u32 = 120;
/// A round to stand in.
pub const ROUND: u32 = 2_900_000;

/// The wallet of a keeper; that of 0 is the keeper the tests are about.
pub fn wallet(keeper: u8) -> Pubkey {
    Pubkey::new_from_array([keeper + 1; 32])
}

/// Unix second at which a round begins.
pub fn begin(round: u32) -> i64 {
    i64::from(round) * i64::from(ROUND_SECS)
}

/// A keeper before a board with a machine and five seats. It holds seat 0; other keepers hold seats 1 and 2.
pub struct Scene {
    pub snapshot: Snapshot,
    pub memory: Memory,
    pub policy: Policy,
}

impl Scene {
    pub fn new() -> Self {
        let market = MarketRef::new(7, wallet(100), wallet(101));
        let mut header = Box::new(Board::zeroed());
        header.version = Board::VERSION;
        header.market = market.address;
        header.round_secs = ROUND_SECS;
        header.submit_secs = SUBMIT_SECS;
        header.seat_count = 5;
        header.threshold = 3;
        header.next_round = ROUND - 1;
        header.slots = 9;
        let board = BoardSnapshot { board: market.board(0), header, fleet: None };
        let snapshot = Snapshot {
            now_ms: 0,
            me: wallet(0),
            market,
            authority: wallet(99),
            keeper_bond: 1_000,
            keeper: None,
            lamports: 1_000_000_000,
            stake: 0,
            next_board: 1,
            boards: vec![board],
            missing: vec![],
        };
        let mut scene = Self { snapshot, memory: Memory::default(), policy: Policy::default() };
        (0..3).for_each(|seat| scene.sit(seat, seat));
        scene.fleet(ROUND, &[0], &[]);
        scene.at(begin(ROUND));
        scene
    }

    pub fn header(&mut self) -> &mut Board {
        &mut self.snapshot.boards[0].header
    }

    pub fn board(&self) -> Pubkey {
        self.snapshot.boards[0].board.address
    }

    /// Unix seconds.
    pub fn at(&mut self, secs: i64) {
        self.snapshot.now_ms = secs * 1_000;
    }

    /// A keeper takes a seat, and votes on the last round but one.
    pub fn sit(&mut self, seat: u8, keeper: u8) {
        let held = Seat { keeper: wallet(keeper), taken: 1, last_round: ROUND - 2, ..Seat::zeroed() };
        self.header().seats[usize::from(seat)] = held;
    }

    /// Votes of these seats wait to be counted.
    pub fn votes(&mut self, round: u32, seats: &[u8]) {
        let tally = &mut self.header().tally;
        tally.round = round;
        tally.submitted = seats.iter().fold(0, |mask, seat| mask | 1 << seat);
    }

    /// Sets the slots that were read: machines, and leases with the first round after them.
    pub fn fleet(&mut self, round: u32, machines: &[u32], leases: &[(u32, u32)]) {
        let target = |slot: &u32| Target {
            slot: *slot,
            generation: 0,
            node_key: wallet(50),
            endpoint: "127.0.0.1:1".parse().unwrap(),
        };
        self.snapshot.boards[0].fleet = Some(Arc::new(Fleet {
            round,
            targets: machines.iter().map(target).collect(),
            leases: leases.iter().copied().collect(),
        }));
    }

    /// The keeper has probed a round, and machines answered.
    pub fn probed(&mut self, round: u32) {
        let (board, now) = (self.board(), self.snapshot.now_ms);
        // An empty report of no targets counts as fit; a vote's bits are the prober's matter.
        self.memory.keep(board, report(round, 0), now);
    }

    /// The keeper has probed a round and heard nobody.
    pub fn deaf(&mut self, round: u32) {
        let (board, now) = (self.board(), self.snapshot.now_ms);
        self.memory.keep(board, report(round, 5), now);
    }

    /// The keeper has an account with free stake.
    pub fn registered(&mut self, free: u64) {
        self.snapshot.keeper = Some(Keeper {
            version: Keeper::VERSION,
            bump: 255,
            market: self.snapshot.market.address,
            authority: wallet(0),
            stake: StakeLedger { free, ..StakeLedger::default() },
            locked: 0,
            seats: 0,
            reserved: [0; 64],
        });
    }

    /// Observes and plans.
    pub fn plan(&mut self) -> Plan {
        self.memory.observe(self.snapshot.now_ms, shared_chores(&self.snapshot, &self.policy));
        plan(&self.snapshot, &self.memory, &self.policy)
    }

    /// The steps planned, in words.
    pub fn steps(&mut self) -> Vec<String> {
        self.plan().actions.iter().map(in_words).collect()
    }
}

pub fn report(round: u32, targets: u64) -> ProbeReport {
    ProbeReport {
        round,
        answers: BTreeMap::new(),
        refused: vec![],
        unsent: vec![],
        stats: ProbeStats { targets, ..ProbeStats::default() },
    }
}

pub fn in_words(action: &Action) -> String {
    match action {
        Action::TakeSeat { seat, register, deposit, .. } => {
            format!("take seat {seat}, register {register}, deposit {deposit}")
        }
        Action::ProbeRound { round, targets, .. } => format!("probe {round}: {}", targets.len()),
        Action::SubmitRound { seat, round, slots, .. } => format!("submit {round} from {seat} on {slots}"),
        Action::CloseRound { next_round, .. } => format!("close {next_round}"),
        Action::SettleLease { serial, keeper, .. } => {
            format!("settle {serial}{}", if keeper.is_some() { " for the keeper" } else { "" })
        }
        Action::ClaimKeeperFees { seat, .. } => format!("claim from {seat}"),
    }
}
