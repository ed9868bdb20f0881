//! A board and a keeper, as simple as a test allows.

use std::sync::Arc;

use bytemuck::Zeroable;
use leasehold::{
    math::sum_tree::SumNode,
    state::{Board, Demand, Keeper, Params, Seat, StakeLedger},
};
use leasehold_client::MarketRef;
use leasehold_keeper::{
    memory::Memory,
    planner::{Action, Plan, Policy, plan, shared_chores},
    prober::{Fault, ProbeReport, ProbeStats, Target},
    snapshot::{BoardSnapshot, DemandSnapshot, Fleet, LeaseSnapshot, Snapshot},
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
        // More than a day's pay: running leases are left alone.
        header.ledger.keeper_pool = 1_000_000;
        let board = BoardSnapshot { board: market.board(0), header, fleet: None };
        let snapshot = Snapshot {
            now_ms: 0,
            me: wallet(0),
            market,
            authority: wallet(99),
            round_secs: ROUND_SECS,
            params: params(),
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
            leases: leases.iter().map(|(serial, due_from)| (*serial, lease(*due_from))).collect(),
            demands: vec![],
            indexes: vec![],
        }));
    }

    /// Changes the slots that were read.
    pub fn read(&mut self) -> &mut Fleet {
        Arc::make_mut(self.snapshot.boards[0].fleet.as_mut().unwrap())
    }

    /// The keeper has probed a round, and machines answered.
    pub fn probed(&mut self, round: u32) {
        let (board, now) = (self.board(), self.snapshot.now_ms);
        // An empty report of no targets counts as fit; a vote's bits are the prober's matter.
        self.memory.keep(board, report(round, 0), now);
    }

    /// The keeper has probed a round, but not as it should.
    pub fn faulty(&mut self, round: u32, fault: Fault) {
        let (board, now) = (self.board(), self.snapshot.now_ms);
        self.memory.keep(board, ProbeReport { fault: Some(fault), ..report(round, 5) }, now);
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

pub fn params() -> Params {
    Params {
        bond_unit: 1_000,
        keeper_bond: 1_000,
        keeper_fee: 10,
        keeper_fee_max: 50,
        ask_fee: 100_000,
        unbonding_secs: 86_400,
        min_rounds: 1,
        max_rounds: 1_000,
        fee_bps: 1_000,
        keeper_share_bps: 5_000,
        hold_bps: 2_000,
        standby_bps: 1_000,
        slash_multiplier_bps: 10_000,
        up_votes: 3,
        classes: vec![],
    }
}

/// A lease with nothing to pay before its end.
pub fn lease(due_from: u32) -> LeaseSnapshot {
    LeaseSnapshot { address: wallet(60), due_from, unpaid: 0, keepers_part: 0, is_short: false }
}

/// A demand that can be enforced from a Unix second on.
pub fn demand(due: i64) -> DemandSnapshot {
    let account = Demand {
        version: Demand::VERSION,
        bump: 255,
        claimant: wallet(70),
        cluster: [0; 8],
        board: wallet(71),
        lease: wallet(60),
        supplier: wallet(72),
        node_key: [0; 32],
        slot: 0,
        generation: 0,
        serial: 3,
        seq: 0,
        leaf: SumNode { hash: [0; 32], units: 0, price: 0 },
        due,
        fee: 100_000,
        shown: None,
    };
    // Its number is a multiple of three: the first of three seats comes first.
    DemandSnapshot { address: Pubkey::new_from_array([0; 32]), account: Arc::new(account) }
}

pub fn report(round: u32, targets: u64) -> ProbeReport {
    ProbeReport { round, stats: ProbeStats { targets, ..ProbeStats::default() }, ..ProbeReport::default() }
}

pub fn in_words(action: &Action) -> String {
    match action {
        Action::TakeSeat { seat, register, deposit, .. } => {
            format!("take seat {seat}, register {register}, deposit {deposit}")
        }
        Action::ProbeRound { round, targets, .. } => format!("probe {round}: {}", targets.len()),
        Action::SubmitRound { seat, round, slots, .. } => format!("submit {round} from {seat} on {slots}"),
        Action::CloseRound { next_round, .. } => format!("close {next_round}"),
        Action::SettleLease { serial, is_due, .. } => {
            format!("settle {serial}{}", if *is_due { "" } else { " in mid-term" })
        }
        Action::GiveNotice { serial, .. } => format!("end {serial}"),
        Action::EnforceDemand { demand, .. } => format!("enforce a demand of {}", demand.account.due),
        Action::RecordDay { class, .. } => format!("record class {class}"),
        Action::BurnPayments { amount, .. } => format!("burn {amount} payment units"),
        Action::BurnSlashed { amount, .. } => format!("burn {amount} stake units"),
        Action::ClaimKeeperFees { seat, .. } => format!("claim from {seat}"),
    }
}
