//! The first market of a network, created by the same transactions as any other.

use std::{fs, path::Path};

use leasehold::{
    constants::{MAX_LEASE_SECS, TIMELOCK_SECS},
    state::{HardwareClass, Params, RoundRules},
};
use leasehold_client::{MarketRef, instruction};

use crate::network::{Network, NetworkError, Program};

/// Seats of a board, and votes against a machine that make it down: the protocol's defaults.
const COMMITTEE: (u8, u8) = (13, 9);

/// Longest lease in rounds, unless the program allows fewer of that length.
const MAX_ROUNDS: u32 = 10_000;

/// One token of the stake mint, in its base units.
const STAKE: u64 = 1_000_000_000;

/// Hardware classes, with the weight of a GPU in basis points.
const CLASSES: [(&str, u32); 6] = [
    ("RTX 3090", 6_000),
    ("RTX 4090", 10_000),
    ("L40S", 20_000),
    ("A100 80GB", 30_000),
    ("H100 80GB", 60_000),
    ("B200 192GB", 90_000),
];

/// The committed compiled program.
pub fn program() -> Result<Program, NetworkError> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs/leasehold/leasehold.so");
    let bytes = fs::read(&path).map_err(NetworkError::Program)?;
    Ok(Program { id: leasehold::ID, bytes })
}

/// The market to create.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The market's number.
    pub id: u64,
    /// How rounds are voted on.
    pub rules: RoundRules,
    /// Prices, bonds and shares.
    pub params: Params,
    /// How many boards to begin with.
    pub boards: u32,
}

impl Genesis {
    /// Market 1 with one board, the default committee, rounds of `round_secs`, and the same time to submit.
    pub fn new(round_secs: u32) -> Self {
        let (seats, threshold) = COMMITTEE;
        let rules = RoundRules {
            round_secs,
            submit_secs: round_secs,
            seats,
            threshold,
            abandon_rounds: 36,
            sla_bps: 9_500,
        };
        Self { id: 1, rules, params: params(&rules), boards: 1 }
    }

    /// With `seats` seats; `threshold` votes against a machine make it down, and as few votes for it as the program allows
    /// make it up.
    pub fn committee(mut self, seats: u8, threshold: u8) -> Self {
        self.rules.seats = seats;
        self.rules.threshold = threshold;
        self.params.up_votes = self.rules.least_up_votes();
        self
    }
}

/// Creates the market and its boards. The network's payer becomes the market's authority and the boards' creator.
pub async fn open_market(network: &Network, genesis: Genesis) -> Result<MarketRef, NetworkError> {
    let Genesis { id, rules, params, boards } = genesis;
    let market = MarketRef::new(id, network.payment_mint(), network.stake_mint());
    let sender = network.sender();
    let authority = sender.payer();
    let genesis = network.rpc().get_genesis_hash().await?.to_bytes();
    let timelock = *TIMELOCK_SECS.start();
    let create = instruction::create_market(&market, authority, genesis, timelock, rules, params);
    sender.send(&[create], &[]).await?;
    for index in 0..boards {
        sender.send(&[instruction::create_board(&market.board(index), authority)], &[]).await?;
    }
    Ok(market)
}

fn params(rules: &RoundRules) -> Params {
    Params {
        bond_unit: 200 * STAKE,
        keeper_bond: 5_000 * STAKE,
        keeper_fee: 10_000,
        keeper_fee_max: 100_000,
        ask_fee: 1_000_000,
        unbonding_secs: 14 * 86_400,
        min_rounds: 1,
        max_rounds: MAX_ROUNDS.min(MAX_LEASE_SECS / rules.round_secs.max(1)),
        fee_bps: 250,
        keeper_share_bps: 5_000,
        hold_bps: 2_000,
        standby_bps: 1_000,
        slash_multiplier_bps: 20_000,
        up_votes: rules.least_up_votes(),
        classes: CLASSES.iter().map(|(name, weight_bps)| class(name, *weight_bps)).collect(),
    }
}

fn class(label: &str, weight_bps: u32) -> HardwareClass {
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(label.bytes()) {
        *to = from;
    }
    HardwareClass { name, weight_bps }
}
