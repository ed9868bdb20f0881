//! A small market with consistent accounts, for unit tests.

#[cfg(all(feature = "rpc", feature = "sample"))]
pub mod rpc;

use anchor_lang::Discriminator;
use bytemuck::Zeroable;
use leasehold::{
    math::matching::Place,
    state::{
        BatchHeader, Board, ComputeLog, Endpoint, HardwareClass, Keeper, Lease, LeaseState, Market, Params,
        RoundRules, SLOTS_OFFSET, Seat, Slot, SlotState, StakeLedger, Supplier, Tally, Traits, board_len,
        ring_bit, split_mut,
    },
};
use solana_pubkey::Pubkey;

use crate::{
    MarketRef,
    board::BoardData,
    invariants::{BoardState, Snapshot},
    quote::ANY,
    record::LogData,
    search::{Allocation, Length, Request},
};

/// Genesis hash of the cluster.
pub const GENESIS: [u8; 32] = [0xc1; 32];
pub const NEXT_ROUND: u32 = 1_000;
/// Rounds of lease 1.
pub const FROM: u32 = 990;
pub const UNTIL: u32 = 1_010;

pub fn market() -> MarketRef {
    MarketRef::new(7, Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32]))
}

/// Wallet of supplier or keeper `number`.
pub fn wallet(number: u8) -> Pubkey {
    Pubkey::new_from_array([100 + number; 32])
}

pub fn rules() -> RoundRules {
    RoundRules {
        round_secs: 600,
        submit_secs: 300,
        seats: 3,
        threshold: 2,
        abandon_rounds: 4,
        sla_bps: 9_900,
    }
}

pub fn params() -> Params {
    let mut name = [0; 16];
    name[..8].copy_from_slice(b"RTX 4090");
    Params {
        bond_unit: 100,
        keeper_bond: 50,
        keeper_fee: 2,
        keeper_fee_max: 4,
        ask_fee: 1_000_000,
        unbonding_secs: 86_400,
        min_rounds: 1,
        max_rounds: 10_000,
        fee_bps: 1_000,
        keeper_share_bps: 5_000,
        hold_bps: 2_000,
        standby_bps: 1_000,
        slash_multiplier_bps: 100_000,
        up_votes: 2,
        classes: vec![HardwareClass { name, weight_bps: 10_000 }],
    }
}

/// A board's account of these parts.
pub fn board_data(header: &Board, slots: &[Slot]) -> BoardData {
    let mut bytes = vec![0; board_len(slots.len())];
    bytes[..8].copy_from_slice(Board::DISCRIMINATOR);
    bytes[8..SLOTS_OFFSET].copy_from_slice(bytemuck::bytes_of(header));
    bytes[SLOTS_OFFSET..].copy_from_slice(bytemuck::cast_slice(slots));
    BoardData::new(&bytes).unwrap()
}

/// Round 1,000 runs.
pub const NOW: i64 = 600_000;

/// A board with a machine for each price.
pub fn priced(index: u32, prices: &[u64]) -> BoardData {
    let mut header = *snapshot().boards.remove(0).data.view().unwrap().header;
    let slots: Vec<_> = prices.iter().map(|price| Slot { price: *price, ..slot(0) }).collect();
    (header.index, header.slots) = (index, u32::try_from(slots.len()).unwrap());
    board_data(&header, &slots)
}

/// A request for GPUs of any machines, for an hour.
pub fn request(gpus: u32) -> Request {
    Request { criteria: ANY, gpus, length: Length::Rounds(6), avoid: vec![] }
}

/// Boards and slots of an allocation.
pub fn taken(allocation: &Allocation) -> Vec<(u32, Vec<u16>)> {
    allocation.parts.iter().map(|part| (part.board, part.quote.slots.clone())).collect()
}

/// Changes header and slots of a board's account.
pub fn change(data: &mut BoardData, change: impl FnOnce(&mut Board, &mut [Slot])) {
    let (header, slots) = split_mut(data.bytes_mut()).unwrap();
    change(header, slots);
}

/// An idle machine of a supplier with one GPU at 360 payment units an hour, which are 60 a round. It was up in the last round.
pub fn slot(supplier: u8) -> Slot {
    Slot {
        node_key: [supplier; 32],
        supplier: market().supplier(&wallet(supplier)),
        traits: Traits { class: 0, gpus: 1, speed: 2, country: 276, region: 1, flags: 0 },
        price: 360,
        endpoint: Endpoint { ip: [1; 16], port: [1, 1] },
        score: 5_000,
        state: SlotState::Idle as u8,
        committed_until: 2_000,
        bond: 100,
        history_up: 1 << ring_bit(NEXT_ROUND - 1),
        profile: Slot::NO_PROFILE,
        ..Slot::zeroed()
    }
}

/// Slots 0 and 1 of supplier 0 are in lease 1, slot 2 is vacant, slot 3 of supplier 1 is idle. Slot 0 was down
/// in rounds 991 and 995. Seats 0 and 1 are held by keepers 2 and 3; keeper 2 has voted on round 1,000.
fn board() -> BoardData {
    let mut header = Board { market: market().address, next_serial: 3, ..Board::zeroed() };
    header.version = Board::VERSION;
    header.adopt(&rules());
    header.next_round = NEXT_ROUND;
    (header.slots, header.machines, header.leases) = (4, 3, 2);
    header.genesis = GENESIS;
    header.last_quorate = NEXT_ROUND - 1;
    header.up_votes = params().up_votes;
    for round in FROM..NEXT_ROUND {
        header.votes[ring_bit(round) as usize] = 0b11;
        header.quorate |= 1 << ring_bit(round);
    }
    for (seat, number) in header.seats.iter_mut().zip([2, 3]) {
        *seat = Seat { keeper: wallet(number), bond: 50, earned: 4, taken: 1, ..Seat::zeroed() };
    }
    header.tally = Tally { round: NEXT_ROUND, submitted: 1, ..Tally::zeroed() };
    header.tally.planes[0][0] = 0b1011;
    let ledger = &mut header.ledger;
    (ledger.escrow, ledger.accrued, ledger.fees, ledger.keeper_pool) = (2_400, 565, 30, 22);
    (ledger.keeper_fees, ledger.refunds, ledger.burning) = (8, 40, 4);
    (ledger.bonds, ledger.slashed) = (300, 10);

    let mut slots = [slot(0), slot(0), Slot::zeroed(), slot(1)];
    for (slot, down) in slots.iter_mut().zip([&[991, 995][..], &[]]) {
        slot.begin_lease(1, FROM, UNTIL);
        slot.lease_settled = 5;
        slot.accrued = 270; // of earlier leases: nothing of the first two hours is paid yet
        for round in FROM..NEXT_ROUND {
            let bit = 1 << ring_bit(round);
            let down = down.contains(&round);
            *(if down { &mut slot.history_down } else { &mut slot.history_up }) |= bit;
            *(if down { &mut slot.lease_down } else { &mut slot.lease_up }) += 1;
            *(if down { &mut slot.down } else { &mut slot.up }) += 1;
        }
    }
    slots[2].supplier = slots[0].supplier;
    slots[2].generation = 1;
    slots[2].attested_from = Slot::UNATTESTED;
    slots[2].profile = Slot::NO_PROFILE;
    slots[3].accrued = 25;
    board_data(&header, &slots)
}

/// A lease on board 0 that wallet 9 opened, with its serial as its nonce. None of the first two hours' pay is paid before its
/// end.
pub fn lease(serial: u32) -> Lease {
    Lease {
        version: Lease::VERSION,
        bump: 255,
        state: LeaseState::Open,
        board: market().board(0).address,
        serial,
        nonce: serial.into(),
        buyer: wallet(9),
        owner: wallet(9),
        criteria: leasehold::math::matching::Criteria { place: Place::Country(276), max_price: 400, ..ANY },
        terms: params().terms(board().view().unwrap().header, UNTIL - FROM),
        group: None,
        gpus: 2,
        machines: 2,
        unsettled: 2,
        from: FROM,
        until: UNTIL,
        deposit: 2_400,
        paid: 0,
        fees: 0,
        refunded: 0,
        burned: 0,
        refund_due: 0,
        slashed: 0,
        meter: None,
        demands: 0,
        access: None,
        access_epoch: 0,
        data_epoch: 0,
        reserved: [0; 7],
        replaced: vec![],
    }
}

/// Log of supplier 0 with these batches and no lane.
pub fn log(batches: &[BatchHeader]) -> LogData {
    let mut bytes = ComputeLog::DISCRIMINATOR.to_vec();
    let mut log = ComputeLog::zeroed();
    (log.version, log.supplier) = (ComputeLog::VERSION, market().supplier(&wallet(0)));
    for header in batches {
        log.append(header).unwrap_or_else(|_| panic!("sums of a sample fit"));
    }
    bytes.extend_from_slice(bytemuck::bytes_of(&log));
    LogData::new(&bytes).unwrap()
}

pub fn snapshot() -> Snapshot {
    let reference = market();
    let board = reference.board(0);
    let market = Market {
        version: Market::VERSION,
        bump: 255,
        stake_vault_bump: 255,
        paused: false,
        id: reference.id,
        genesis: GENESIS,
        authority: wallet(8),
        pending_authority: None,
        payment_mint: reference.payment_mint,
        stake_mint: reference.stake_mint,
        next_board: 1,
        boards: 1,
        members: 4,
        timelock_secs: 172_800,
        rules: rules(),
        params: params(),
        pending_params: None,
        reserved: [0; 64],
    };
    let stake = StakeLedger { free: 1_000, unbonding: 10, unbonding_until: 0 };
    let supplier = |number: u8, machines: u32| {
        let supplier = Supplier {
            version: Supplier::VERSION,
            bump: 255,
            market: reference.address,
            authority: wallet(number),
            stake,
            machines,
            reserved: [0; 96],
        };
        (reference.supplier(&wallet(number)), supplier)
    };
    let keeper = |number: u8| {
        let keeper = Keeper {
            version: Keeper::VERSION,
            bump: 255,
            market: reference.address,
            authority: wallet(number),
            stake,
            locked: 50,
            seats: 1,
            reserved: [0; 64],
        };
        (reference.keeper(&wallet(number)), keeper)
    };
    let settled = Lease {
        state: LeaseState::Settled,
        gpus: 1,
        machines: 1,
        unsettled: 0,
        deposit: 100,
        refunded: 100,
        refund_due: 40,
        slashed: 10,
        ..lease(2)
    };
    Snapshot {
        address: reference.address,
        market,
        stake_vault: 4 * 1_010 + 2 * 50 + 310,
        unasked_stake: 0,
        suppliers: vec![supplier(0, 2), supplier(1, 1)],
        keepers: vec![keeper(2), keeper(3)],
        boards: vec![BoardState {
            address: board.address,
            data: self::board(),
            payment_vault: 2_400 + 565 + 30 + 22 + 8 + 40 + 4,
            unasked_payments: 0,
            leases: vec![(board.lease(&wallet(9), 1), lease(1)), (board.lease(&wallet(9), 2), settled)],
        }],
    }
}
