//! Suppliers, keepers and buyers, and their usual transactions.

use leasehold::{
    instructions::{Machine, OpenLeaseArgs, ReplaceNodeArgs},
    math::matching::{self, Criteria, CutOff, Place, Policy, Request},
    rules::extend::Allowance,
    state::{Endpoint, Interconnect, Profile, ProfileKind, Traits},
};
use leasehold_client::{BoardRef, instruction};
use litesvm::types::TransactionMetadata;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{STAKE, USD, World};

/// Machines listed in one transaction; a few more would fit.
pub const BATCH: usize = 11;

/// Machine `number`: first class, in Germany, 0.35 an hour, for a new slot.
pub fn machine(number: u16) -> Machine {
    let mut node_key = [7; 32];
    node_key[..2].copy_from_slice(&number.to_le_bytes());
    Machine {
        slot: None,
        node_key,
        traits: Traits { class: 0, gpus: 1, speed: 2, country: 276, region: 1, flags: 0 },
        endpoint: Endpoint {
            ip: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1],
            port: 4_000u16.to_le_bytes(),
        },
        price: 35 * USD / 100,
        bond: 0,
        profile: None,
        turnaround: 0,
    }
}

/// Profile of a virtual machine with so many cores.
pub fn profile(cores: u16) -> Profile {
    let mut driver = [0; 16];
    driver[..10].copy_from_slice(b"570.133.20");
    Profile {
        kind: ProfileKind::Vm as u8,
        interconnect: Interconnect::NvLink as u8,
        cores,
        vram_mb: 81_559,
        memory_gb: 512,
        disk_gb: 2_000,
        driver,
        reserved: [0; 32],
    }
}

/// Criteria that every machine meets, whether it was seen up or not.
pub fn anything() -> Criteria {
    Criteria {
        class: None,
        min_gpus: 1,
        min_speed: 0,
        place: Place::Anywhere,
        min_score: 0,
        max_price: u64::MAX,
        policy: Policy::Cheapest,
        metered: false,
        max_gpus: u8::MAX,
        min_bond: 0,
        allow_unseen: true,
    }
}

/// Stake that a supplier deposits at first.
pub const STAKED: u64 = 5_000_000 * STAKE;

/// A supplier with an account and free stake.
pub struct SupplierActor {
    pub wallet: Keypair,
    pub account: Pubkey,
}

/// A keeper with an account and a seat.
pub struct KeeperActor {
    pub wallet: Keypair,
    pub account: Pubkey,
    pub seat: u8,
}

impl World {
    /// A supplier with an account and [`STAKED`] free stake.
    pub fn supplier(&mut self) -> SupplierActor {
        let wallet = self.wallet();
        let key = wallet.pubkey();
        let from = self.market.stake_account(&key);
        let register = instruction::register_supplier(&self.market, key);
        let stake = instruction::deposit_stake(&self.market, key, from, STAKED);
        self.ok(&[register, stake], &[&wallet]);
        SupplierActor { account: self.market.supplier(&key), wallet }
    }

    /// A keeper in a seat of the first board.
    pub fn keeper(&mut self, seat: u8) -> KeeperActor {
        let wallet = self.wallet();
        let key = wallet.pubkey();
        let from = self.market.stake_account(&key);
        let board = self.board();
        let register = instruction::register_keeper(&self.market, key);
        let bond = instruction::deposit_bond(&self.market, key, from, 1_000 * STAKE);
        let take = instruction::take_seat(&board, key, seat);
        self.ok(&[register, bond, take], &[&wallet]);
        KeeperActor { account: self.market.keeper(&key), wallet, seat }
    }

    /// A wallet with a keeper's account and enough stake for a seat.
    pub fn keeper_with_bond(&mut self) -> Keypair {
        let (wallet, market) = (self.wallet(), self.market);
        let key = wallet.pubkey();
        let bond = instruction::deposit_bond(&market, key, market.stake_account(&key), 1_000 * STAKE);
        self.ok(&[instruction::register_keeper(&market, key), bond], &[&wallet]);
        wallet
    }

    /// A keeper in each of the first `count` seats.
    pub fn keepers(&mut self, count: u8) -> Vec<KeeperActor> {
        (0..count).map(|seat| self.keeper(seat)).collect()
    }

    /// Lists machines, committed for `rounds` rounds from the next one on, [`BATCH`] in each transaction.
    pub fn list(&mut self, supplier: &SupplierActor, rounds: u32, machines: &[Machine]) {
        let until = self.round() + 1 + rounds;
        for batch in machines.chunks(BATCH) {
            let list = self.list_instruction(supplier, until, batch);
            self.ok(&[list], &[&supplier.wallet]);
        }
    }

    pub fn list_instruction(&self, supplier: &SupplierActor, until: u32, batch: &[Machine]) -> Instruction {
        instruction::list_machines(&self.board(), supplier.wallet.pubkey(), until, batch.to_vec(), &[])
    }

    /// Arguments for the next lease, without a maximum deposit or a hint.
    pub fn lease_args(&self, buyer: &Keypair, criteria: Criteria, gpus: u32, rounds: u32) -> OpenLeaseArgs {
        OpenLeaseArgs {
            nonce: u64::from(self.with_board(|board, _| board.next_serial)),
            owner: buyer.pubkey(),
            criteria,
            gpus,
            rounds,
            max_deposit: u64::MAX,
            group: None,
            hint: None,
            meter: None,
            avoid: vec![],
            access: None,
        }
    }

    pub fn open_instruction(&self, buyer: &Keypair, args: OpenLeaseArgs) -> Instruction {
        let wallet = self.market.payment_account(&buyer.pubkey());
        instruction::open_lease(&self.board(), buyer.pubkey(), wallet, args)
    }

    /// Opens a lease with a quote's hint. Returns its serial.
    pub fn open(&mut self, buyer: &Keypair, criteria: Criteria, gpus: u32, rounds: u32) -> u32 {
        let args = OpenLeaseArgs {
            hint: self.hint(&criteria, gpus, rounds),
            ..self.lease_args(buyer, criteria, gpus, rounds)
        };
        let serial = self.with_board(|board, _| board.next_serial);
        let open = self.open_instruction(buyer, args);
        self.ok(&[open], &[buyer]);
        serial
    }

    /// The hint of a client's quote. `None` if too few GPUs fit.
    pub fn hint(&self, criteria: &Criteria, gpus: u32, rounds: u32) -> Option<CutOff> {
        let from = self.round() + 1;
        self.with_board(|board, slots| {
            let request = Request {
                criteria,
                gpus,
                from,
                until: from + rounds,
                round_secs: board.round_secs,
                seen: board.seen_round(self.now()),
                avoid: &[],
            };
            matching::select(slots, &request, None).ok().map(|found| found.cut_off)
        })
    }

    /// Votes on the round that ended last; machine i is up if `up(i)`.
    pub fn vote(&mut self, keeper: &KeeperActor, up: impl Fn(u32) -> bool) -> TransactionMetadata {
        let submit = self.vote_instruction(keeper, up);
        self.ok(&[submit], &[&keeper.wallet])
    }

    pub fn vote_instruction(&self, keeper: &KeeperActor, up: impl Fn(u32) -> bool) -> Instruction {
        let running = self.round();
        let machines = self.with_board(|board, _| board.slots_at(running));
        submit(&self.board(), keeper, running - 1, bitmap(machines, up))
    }

    /// Ends the running round; all keepers cast the same vote, and the round is closed.
    pub fn attest(&mut self, keepers: &[KeeperActor], up: impl Fn(u32) -> bool) {
        self.end_round();
        for keeper in keepers {
            self.vote(keeper, &up);
        }
        let wallet = keepers.first().expect("somebody votes").wallet.insecure_clone();
        let close = instruction::close_round(&self.board());
        self.ok(&[close], &[&wallet]);
    }

    /// Cancels a lease, and contests the machines of `contest`.
    pub fn cancel_instruction(&self, owner: &Keypair, serial: u32, contest: &[u16]) -> Instruction {
        let lease = self.lease_address(serial);
        instruction::cancel_lease(&self.board(), owner.pubkey(), lease, contest.to_vec())
    }

    /// Replaces a machine of a lease; its owner pays.
    pub fn replace_instruction(&self, owner: &Keypair, serial: u32, args: ReplaceNodeArgs) -> Instruction {
        let (key, lease) = (owner.pubkey(), self.lease_address(serial));
        let wallet = self.market.payment_account(&key);
        instruction::replace_node(&self.board(), key, key, lease, wallet, args)
    }

    /// Extends a lease; its owner pays.
    pub fn extend_instruction(
        &self,
        owner: &Keypair,
        serial: u32,
        rounds: u32,
        allowed: Allowance,
    ) -> Instruction {
        let (key, lease) = (owner.pubkey(), self.lease_address(serial));
        let wallet = self.market.payment_account(&key);
        instruction::extend_lease(&self.board(), key, key, lease, wallet, rounds, allowed)
    }

    /// Forfeits machines of a supplier.
    pub fn forfeit(&mut self, supplier: &SupplierActor, machines: &[u16]) {
        let key = supplier.wallet.pubkey();
        let forfeit = instruction::forfeit_machines(&self.board(), key, machines.to_vec());
        self.ok(&[forfeit], &[&supplier.wallet]);
    }

    /// Adds to the first board's keeper pool.
    pub fn fund_keepers(&mut self, funder: &Keypair, amount: u64) {
        let wallet = self.market.payment_account(&funder.pubkey());
        let fund = instruction::fund_keepers(&self.board(), funder.pubkey(), wallet, amount);
        self.ok(&[fund], &[funder]);
    }

    /// Settles a lease.
    pub fn settle(&mut self, caller: &Keypair, serial: u32) -> TransactionMetadata {
        let settle = instruction::settle_lease(&self.board(), self.lease_address(serial));
        self.ok(&[settle], &[caller])
    }
}

/// Replaces the machine of a slot at any price; neither contests it nor avoids a slot.
pub fn replacement(old_slot: u16) -> ReplaceNodeArgs {
    ReplaceNodeArgs {
        old_slot,
        max_deposit: u64::MAX,
        contest: false,
        avoid: vec![],
        min_bond: 0,
        hint: None,
    }
}

/// A keeper's vote on a round.
pub fn submit(board: &BoardRef, keeper: &KeeperActor, round: u32, bitmap: Vec<u8>) -> Instruction {
    instruction::submit_round(board, keeper.wallet.pubkey(), keeper.seat, round, [9; 32], bitmap)
}

/// One bit for each machine, set if `up` of its slot.
pub fn bitmap(machines: u32, up: impl Fn(u32) -> bool) -> Vec<u8> {
    let mut bytes = vec![0; machines.div_ceil(8) as usize];
    for machine in (0..machines).filter(|machine| up(*machine)) {
        bytes[machine as usize / 8] |= 1 << (machine % 8);
    }
    bytes
}
