//! A machine in a lease, for unit tests.

use super::{KnownBoard, Leases, Numbers, Place, RunningLease, View};
use crate::machines::Machine;
use leasehold::math::matching::Criteria;
use leasehold::math::settlement::Terms;
use leasehold::state::{Board, ComputeLog, Lane, Lease, LeaseState, Meter, Slot, SlotState};
use leasehold_client::MarketRef;
use leasehold_client::probe::SigningKey;
use leasehold_client::quote::ANY;
use leasehold_client::record::LogData;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::sync::Arc;

pub const ROUND: u32 = 1_000;
pub const BOARD: Pubkey = Pubkey::new_from_array([0xb0; 32]);
pub const PLACE: Place = (BOARD, 3);
pub const OPERATOR: Pubkey = Pubkey::new_from_array([0x0e; 32]);
pub const BUYER: Pubkey = Pubkey::new_from_array([0xb1; 32]);
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
        address: address(serial),
        buyer: BUYER,
        owner: BUYER,
        supplier: SUPPLIER,
        mint: market().payment_mint,
        cluster: [0xc1; 8],
        class: 4,
        begins: ROUND,
        from: ROUND,
        until: ROUND + 100,
        round_secs: 600,
        phase_secs: 0,
        generation: 2,
        meter: None,
        numbers: Numbers::default(),
        paused: false,
    }
}

/// Address of a lease of the machine.
pub fn address(serial: u32) -> Pubkey {
    leasehold_client::address::lease(&BOARD, &BUYER, u64::from(serial))
}

/// Metered lease 5, as it is published.
pub fn metered_lease() -> RunningLease {
    let spender = Pubkey::new_from_array([0x59; 32]);
    RunningLease { meter: Some(super::Meter { spender, deposit: 1_000, paid: 100, units: 40 }), ..lease(5) }
}

/// The account of metered lease 5, which has paid 100 of its 1,000 units.
pub fn metered() -> Lease {
    let terms = Terms {
        round_secs: 600,
        phase_secs: 0,
        rounds: 100,
        min_rounds: 1,
        slash_multiplier_bps: 0,
        fee_bps: 1_000,
        keeper_share_bps: 0,
        sla_bps: 9_900,
        hold_bps: 2_000,
        standby_bps: 1_000,
    };
    Lease {
        version: Lease::VERSION,
        bump: 255,
        state: LeaseState::Open,
        board: BOARD,
        serial: 5,
        nonce: 5,
        buyer: BUYER,
        owner: BUYER,
        criteria: Criteria { metered: true, ..ANY },
        terms,
        group: None,
        gpus: 1,
        machines: 1,
        unsettled: 1,
        from: ROUND,
        until: ROUND + 100,
        deposit: 1_000,
        paid: 90,
        fees: 10,
        refunded: 0,
        burned: 0,
        refund_due: 0,
        slashed: 0,
        meter: Some(Meter {
            spender: Pubkey::new_from_array([0x59; 32]),
            seq: 10,
            units: 40,
            paid: 100,
            owes_hour: true,
        }),
        demands: 0,
        access: None,
        access_epoch: 0,
        data_epoch: 0,
        reserved: [0; 7],
        replaced: vec![],
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
    let mut header: Board = bytemuck::Zeroable::zeroed();
    header.round_secs = 600;
    let mut lane: Lane = bytemuck::Zeroable::zeroed();
    (lane.board, lane.slot, lane.generation) = (1, PLACE.1, 2);
    (lane.lease, lane.batches, lane.next_seq) = (5, 2, 20);
    View {
        begun: None,
        now: i64::from(ROUND + 10) * 600,
        log: Some(log(&[lane])),
        boards: [(BOARD, KnownBoard { board, header: Arc::new(header), up_votes: 5 })].into(),
        slots: [(PLACE, slot)].into(),
        addresses: [((BOARD, 5), address(5))].into(),
        accounts: [(address(5), metered())].into(),
        leases: Leases { machines: [(PLACE, Some(metered_lease()))].into(), ..Leases::default() },
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
