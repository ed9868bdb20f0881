//! A small market: one board, its suppliers, keepers, leases and demands, and the money that went in and out.

use bytemuck::Zeroable;
use leasehold::{
    constants::{
        BPS, HOLD_BPS, MAX_FEE_BPS, MAX_LEASE_SECS, MAX_SEATS, MULTIPLIER_BPS, ROUND_SECS, STANDBY_BPS,
    },
    math::rounds,
    rules as program,
    state::{
        Board, Demand, HardwareClass, Keeper, Lease, Market, Params, PriceIndex, RoundRules, Slot,
        StakeLedger, Supplier,
    },
};
use solana_pubkey::Pubkey;

use super::actions::{Done, Refusal};
use crate::input::Input;

/// Most slots of the board.
pub const SLOTS: usize = 8;
/// Most leases in all.
pub const LEASES: usize = 12;
pub const SUPPLIERS: usize = 3;

/// Tokens of one mint that moved between wallets and vaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    pub paid_in: u128,
    pub paid_out: u128,
    pub burned: u128,
}

impl Flow {
    pub fn held(&self) -> u128 {
        self.paid_in - self.paid_out - self.burned
    }

    /// Refuses more tokens than a mint can have.
    pub fn require(&self, amount: u64) -> Done {
        let fits = self.held() + u128::from(amount) <= u128::from(u64::MAX);
        if fits { Ok(()) } else { Err(Refusal::Impossible) }
    }
}

/// Everything that the program's accounts hold, and the clock.
#[derive(Clone)]
pub struct World {
    pub market: Market,
    pub address: Pubkey,
    pub board: Board,
    pub slots: Vec<Slot>,
    pub suppliers: Vec<Supplier>,
    /// One for each seat.
    pub keepers: Vec<Keeper>,
    pub leases: Vec<Lease>,
    pub demands: Vec<Demand>,
    /// One for each hardware class.
    pub indexes: Vec<PriceIndex>,
    /// Bitmaps of the votes that wait to be counted.
    pub votes: Vec<u8>,
    /// Unix seconds.
    pub now: i64,
    pub payments: Flow,
    pub stake: Flow,
    /// Payment units that each supplier's machines were paid.
    pub claimed: Vec<u128>,
    /// Number of the next demand.
    pub next_demand: u64,
}

/// Address of a supplier's account.
pub fn supplier_address(index: usize) -> Pubkey {
    Pubkey::new_from_array([0x50 + index as u8; 32])
}

/// Wallet that opens every lease.
pub fn owner() -> Pubkey {
    Pubkey::new_from_array([0x20; 32])
}

impl World {
    pub fn new(input: &mut Input) -> Self {
        let (rules, params) = if input.bool() {
            let rules = rules(input);
            (rules, params(input, &rules))
        } else {
            usual(input)
        };
        rules.validate().expect("rules of a market");
        params.validate(&rules).expect("parameters of a market");
        let (market, address) = (Pubkey::new_from_array([0x40; 32]), Pubkey::new_from_array([0xb0; 32]));
        let market = Market {
            version: Market::VERSION,
            bump: 0,
            stake_vault_bump: 0,
            paused: false,
            id: 1,
            genesis: [0x61; 32],
            authority: market,
            pending_authority: None,
            payment_mint: market,
            stake_mint: market,
            next_board: 1,
            boards: 1,
            members: 0,
            timelock_secs: 0,
            rules,
            params,
            pending_params: None,
            reserved: [0; 64],
        };
        let now = 1_700_000_000 + i64::from(input.u16());
        let mut board = Board { genesis: market.genesis, next_serial: 1, ..Board::zeroed() };
        board.adopt(&rules);
        board.up_votes = market.params.up_votes;
        board.phase_secs = rounds::phase(input.u8().into(), rules.round_secs);
        board.next_round = board.round_at(now).expect("after 1970");
        let index = |class| PriceIndex { class, recorded_at: now, ..PriceIndex::zeroed() };
        for class in 0..2 {
            program::index::begin(&mut board, class).expect("a class of the market");
        }
        let stake = StakeLedger { free: 1 << 56, ..StakeLedger::default() };
        let supplier = |_| Supplier {
            version: Supplier::VERSION,
            bump: 0,
            market: board.market,
            authority: owner(),
            stake,
            machines: 0,
            reserved: [0; 96],
        };
        let keeper = |seat: usize| Keeper {
            version: Keeper::VERSION,
            bump: 0,
            market: board.market,
            authority: Pubkey::new_from_array([0x80 + seat as u8; 32]),
            stake,
            locked: 0,
            seats: 0,
            reserved: [0; 64],
        };
        let mut world = World {
            suppliers: (0..SUPPLIERS).map(supplier).collect(),
            keepers: (0..MAX_SEATS).map(keeper).collect(),
            market,
            address,
            board,
            slots: Vec::new(),
            leases: Vec::new(),
            demands: Vec::new(),
            indexes: (0..2).map(index).collect(),
            votes: Vec::new(),
            now,
            payments: Flow::default(),
            stake: Flow::default(),
            claimed: vec![0; SUPPLIERS],
            next_demand: 0,
        };
        world.stake.paid_in = (SUPPLIERS + MAX_SEATS) as u128 * u128::from(stake.free);
        world
    }
}

/// Rules as most markets have them, with rounds so long that weeks pass soon.
fn usual(input: &mut Input) -> (RoundRules, Params) {
    let rules = RoundRules {
        round_secs: input.pick(&[3_600, 600]),
        submit_secs: 300,
        seats: 3,
        threshold: 2,
        abandon_rounds: 36,
        sla_bps: input.pick(&[9_500, 9_900]),
    };
    let params = Params {
        bond_unit: 1_000_000,
        keeper_bond: 500_000,
        keeper_fee: 10,
        keeper_fee_max: 1_000,
        ask_fee: 1_000_000,
        unbonding_secs: 86_400,
        min_rounds: input.pick(&[1, 6]),
        max_rounds: 1_008,
        fee_bps: 250,
        keeper_share_bps: 3_000,
        hold_bps: 2_000,
        standby_bps: 1_000,
        slash_multiplier_bps: 30_000,
        up_votes: 2,
        classes: classes(),
    };
    (rules, params)
}

fn classes() -> Vec<HardwareClass> {
    vec![
        HardwareClass { name: [b'a'; 16], weight_bps: 10_000 },
        HardwareClass { name: [b'b'; 16], weight_bps: 25_000 },
    ]
}

/// Any rules that a market can have.
fn rules(input: &mut Input) -> RoundRules {
    let round_secs = match input.u8() % 4 {
        0 => 3_600,
        1 => 600,
        2 => 60,
        _ => input.between32(*ROUND_SECS.start(), *ROUND_SECS.end()),
    };
    let seats = input.between8(1, MAX_SEATS as u8);
    RoundRules {
        round_secs,
        submit_secs: input.between32(1, round_secs),
        seats,
        threshold: input.between8(seats / 2 + 1, seats),
        abandon_rounds: input.between8(1, 64),
        sla_bps: input.between16(0, BPS),
    }
}

/// Any parameters that such a market can have.
fn params(input: &mut Input, rules: &RoundRules) -> Params {
    let keeper_fee = input.u64() >> 1;
    let max_rounds = input.between32(1, MAX_LEASE_SECS / rules.round_secs);
    Params {
        bond_unit: input.between(1, 1 << 40),
        keeper_bond: input.between(1, 1 << 40),
        keeper_fee,
        keeper_fee_max: input.between(keeper_fee, u64::MAX),
        ask_fee: 1_000_000,
        unbonding_secs: 86_400,
        min_rounds: input.between32(1, max_rounds),
        max_rounds,
        fee_bps: input.between16(0, MAX_FEE_BPS),
        keeper_share_bps: input.between16(0, BPS),
        hold_bps: input.between16(*HOLD_BPS.start(), *HOLD_BPS.end()),
        standby_bps: input.between16(*STANDBY_BPS.start(), *STANDBY_BPS.end()),
        slash_multiplier_bps: input.between32(*MULTIPLIER_BPS.start(), *MULTIPLIER_BPS.end()),
        up_votes: input.between8(rules.least_up_votes(), rules.most_up_votes()),
        classes: classes(),
    }
}
