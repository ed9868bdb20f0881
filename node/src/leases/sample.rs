//! A machine in a lease, for unit tests.

use super::{KnownBoard, Leases, Place, RunningLease, View};
use crate::machines::Machine;
use leasehold::math::matching::{Criteria, Place as Where, Policy};
use leasehold::math::settlement::Terms;
use leasehold::math::slashing::SlashSplit;
use leasehold::state::{ComputeLog, Lane, Lease, LeaseState, Meter, Slot, SlotState};
use leasehold_client::MarketRef;
use leasehold_client::probe::SigningKey;
use leasehold_client::record::LogData;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;

pub const ROUND: u32 = 1_000;
pub const BOARD: Pubkey = Pubkey::new_from_array([0xb0; 32]);
pub const PLACE: Place = (BOARD, 3);
pub const OPERATOR: Pubkey = Pubkey::new_from_array([0x0e; 32]);
pub const SUPPLIER: Pubkey = Pubkey::new_from_array([0x50; 32]);

pub fn machine() -> Machine {
    Machine {
        program: leasehold::ID,
        market: market().address,
        board: BOARD,
        slot: u32::from(PLACE.1),
        generation: 2,
        round_secs: Some(600),
        key: SigningKey::from_bytes(&[1; 32]),
    }
}

pub fn market() -> MarketRef {
    MarketRef::new(7, Pubkey::new_from_array([0x41; 32]), Pubkey::new_from_array([0x42; 32]))
}

/// A lease of the machine for rounds 1,000 to 1,099.
pub fn lease(serial: u32) -> RunningLease {
    RunningLease {
        serial,
        address: leasehold_client::address::lease(&BOARD, u64::from(serial)),
        buyer: Pubkey::new_from_array([0xb1; 32]),
        mint: market().payment_mint,
        cluster: [0xc1; 8],
        class: 4,
        from: ROUND,
        until: ROUND + 100,
        round_secs: 600,
        generation: 2,
        meter: None,
    }
}

/// Metered lease 5, as it is published.
pub fn metered_lease() -> RunningLease {
    RunningLease {
        meter: Some(super::Meter { spender: Pubkey::new_from_array([0x59; 32]), deposit: 1_000 }),
        ..lease(5)
    }
}

/// The account of metered lease 5, which has paid 100 of its 1,000 units.
pub fn metered() -> Lease {
    let criteria = Criteria {
        class: None,
        min_gpus: 0,
        min_speed: 0,
        place: Where::Anywhere,
        min_score: 0,
        max_price: 400,
        policy: Policy::Cheapest,
        metered: true,
    };
    let terms = Terms {
        round_secs: 600,
        rounds: 100,
        cancel_secs: 0,
        slash_multiplier_bps: 0,
        fee_bps: 1_000,
        keeper_share_bps: 0,
        sla_bps: 9_900,
        split: SlashSplit::DEFAULT,
    };
    Lease {
        version: Lease::VERSION,
        bump: 255,
        state: LeaseState::Open,
        board: BOARD,
        serial: 5,
        buyer: lease(5).buyer,
        owner: lease(5).buyer,
        criteria,
        terms,
        group: None,
        machines: 1,
        settled: 0,
        from: ROUND,
        until: ROUND + 100,
        deposit: 1_000,
        paid: 90,
        fees: 10,
        refunded: 0,
        refund_due: 0,
        slashed: 0,
        compensation_due: 0,
        meter: Some(Meter { spender: Pubkey::new_from_array([0x59; 32]), seq: 0, units: 0 }),
        demands: 0,
        reserved: [0; 7],
    }
}

/// The machine in metered lease 5 at round 1,010, and a log whose lane has two batches of it.
pub fn view() -> View {
    let mut slot: Slot = bytemuck::Zeroable::zeroed();
    slot.node_key = machine().key.verifying_key().to_bytes();
    (slot.supplier, slot.generation, slot.state) = (SUPPLIER, 2, SlotState::Leased as u8);
    slot.traits.class = 4;
    slot.begin_lease(5, ROUND, ROUND + 100);
    let board = leasehold_client::BoardRef { address: BOARD, index: 1, market: market() };
    let lane =
        Lane { board: 1, slot: PLACE.1, generation: 2, lease: 5, batches: 2, next_seq: 20, last_ms: 0 };
    View {
        begun: None,
        now: i64::from(ROUND + 10) * 600,
        log: Some(log(&[lane])),
        boards: [(BOARD, KnownBoard { board, round_secs: 600 })].into(),
        slots: [(PLACE, slot)].into(),
        accounts: [(lease(5).address, metered())].into(),
        leases: Leases { machines: [(PLACE, Some(metered_lease()))].into() },
    }
}

/// The supplier's log with these lanes.
pub fn log(lanes: &[Lane]) -> LogData {
    let mut log: ComputeLog = bytemuck::Zeroable::zeroed();
    (log.version, log.supplier, log.operator) = (ComputeLog::VERSION, SUPPLIER, OPERATOR);
    log.lanes = u32::try_from(lanes.len()).unwrap();
    let discriminator = <ComputeLog as anchor_lang::Discriminator>::DISCRIMINATOR;
    let data = [discriminator, bytemuck::bytes_of(&log), bytemuck::cast_slice(lanes)].concat();
    LogData::new(&data).unwrap()
}

/// A client whose RPC node can't be reached.
pub fn unreachable_rpc() -> RpcClient {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    RpcClient::new(format!("http://{free}"))
}
