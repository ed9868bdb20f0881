//! The compiled program on a board that is written anew for each case.

use anchor_lang::{AccountSerialize, Space};
use leasehold::state::{
    Board, Lease, LeaseState, Ledger, Market, SLOTS_OFFSET, Slot, SlotState, board_len, split, split_mut,
};
use leasehold_client::board::BoardData;
use leasehold_tests::{World, anything};
use proptest::prelude::*;
use solana_instruction::Instruction;
use solana_instruction::error::InstructionError;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction_error::TransactionError;

use crate::{TOO_DEAR, cases::Case};

/// A world whose market, board and lease are made up anew for each case.
pub struct Stage {
    pub world: World,
    pub owner: Keypair,
    /// Serial of the case's lease: each has its own, so that no address is used twice.
    pub serial: u32,
    pub market: Market,
    pub board: Board,
    /// A lease without anything.
    pub lease: Lease,
}

impl Stage {
    pub fn new() -> Self {
        let mut world = World::new();
        let owner = world.wallet();
        let data = world.data(&world.board().address);
        let board = *split(&data).expect("a board").0;
        let market = world.market_account();
        let lease = Lease {
            version: Lease::VERSION,
            bump: 0,
            state: LeaseState::Open,
            board: world.board().address,
            serial: 0,
            buyer: owner.pubkey(),
            owner: owner.pubkey(),
            criteria: anything(),
            terms: market.params.terms(&board, 1),
            group: None,
            nonce: 0,
            gpus: 1,
            machines: 0,
            unsettled: 0,
            from: 0,
            until: 0,
            deposit: 0,
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
        };
        Stage { world, owner, serial: 0, market, board, lease }
    }

    /// Makes up everything that a case says. The board's next serial is one above that of the lease.
    pub fn set(&mut self, case: &Case) {
        self.serial += 2;
        let params = &mut self.market.params;
        self.market.paused = case.paused;
        (params.min_rounds, params.max_rounds) = (case.min_rounds.min(case.max_rounds), case.max_rounds);
        (params.fee_bps, params.keeper_share_bps) = (case.fee_bps, case.keeper_share_bps);
        (params.hold_bps, params.standby_bps) = (case.hold_bps, case.standby_bps);
        params.slash_multiplier_bps = case.multiplier_bps;
        let mut lease = case.lease(&self.lease, &self.board, &self.market, self.serial);
        let slots = case.slots(&self.board, &mut lease);
        let header = case.header(&self.board, &slots, &lease);
        self.write_board(&header, &slots);
        self.write(self.world.market.address, &self.market.clone(), 8 + Market::INIT_SPACE);
        self.write(self.address(self.serial), &lease, Lease::len(lease.replaced.len()));
        // Nobody has more tokens than there are.
        let held = header.ledger.escrow + header.ledger.accrued;
        let (vault, wallet) = (self.world.board().payment_vault(), self.wallet());
        self.set_tokens(vault, held);
        self.set_tokens(wallet, u64::MAX - held);
        self.world.set_time(i64::from(case.round) * i64::from(case.round_secs) + i64::from(case.second));
    }

    /// Address of a lease by its nonce, which is its serial.
    pub fn address(&self, serial: u32) -> Pubkey {
        self.world.board().lease(&self.owner.pubkey(), serial.into())
    }

    pub fn wallet(&self) -> Pubkey {
        self.world.market.payment_account(&self.owner.pubkey())
    }

    pub fn write(&mut self, address: Pubkey, account: &impl AccountSerialize, len: usize) {
        let mut data = vec![];
        account.try_serialize(&mut data).expect("fits memory");
        data.resize(len, 0);
        self.write_data(address, data);
    }

    pub fn write_data(&mut self, address: Pubkey, data: Vec<u8>) {
        let lamports = self.world.svm.minimum_balance_for_rent_exemption(data.len());
        let account = solana_account::Account { lamports, data, owner: leasehold::ID, ..Default::default() };
        self.world.svm.set_account(address, account).expect("any account can be made up");
    }

    pub fn write_board(&mut self, header: &Board, slots: &[Slot]) {
        let address = self.world.board().address;
        let mut data = self.world.data(&address)[..8].to_vec();
        data.resize(board_len(slots.len()), 0);
        data[8..SLOTS_OFFSET].copy_from_slice(bytemuck::bytes_of(header));
        data[SLOTS_OFFSET..].copy_from_slice(bytemuck::cast_slice(slots));
        self.write_data(address, data);
    }

    pub fn set_tokens(&mut self, address: Pubkey, amount: u64) {
        let mut account = self.world.svm.get_account(&address).expect("a token account");
        account.data[64..72].copy_from_slice(&amount.to_le_bytes());
        self.world.svm.set_account(address, account).expect("any account can be made up");
    }

    pub fn data(&self) -> BoardData {
        BoardData::new(&self.world.data(&self.world.board().address)).expect("a board")
    }

    pub fn account(&self) -> Lease {
        self.world.account(&self.address(self.serial))
    }

    pub fn slots(&self) -> Vec<Slot> {
        self.world.with_board(|_, slots| slots.to_vec())
    }

    pub fn ledger(&self) -> Ledger {
        self.world.with_board(|board, _| board.ledger)
    }

    pub fn tokens(&self) -> u64 {
        self.world.tokens(&self.wallet())
    }

    /// Sends an instruction: nothing, or the number of the error.
    pub fn send(&mut self, instruction: Instruction) -> Result<(), u32> {
        let owner = self.owner.insecure_clone();
        match self.world.send(&[instruction], &[&owner]) {
            Ok(_) => Ok(()),
            Err(failed) => match failed.err {
                TransactionError::InstructionError(1, InstructionError::Custom(code)) => Err(code),
                other => panic!("{other:?}\n{}", failed.meta.pretty_logs()),
            },
        }
    }
}

impl Stage {
    /// Machines of the lease that a case contests; rarely one that does not serve it.
    pub fn contested(&self, case: &Case) -> Vec<u16> {
        let slots = self.slots();
        let serves = |slot: &u16| slots[usize::from(*slot)].serves(self.serial);
        let named = (0..slots.len().min(8) as u16).filter(|slot| case.contest >> slot & 1 == 1);
        if case.contest > 240 { named.collect() } else { named.filter(serves).collect() }
    }

    /// Closes the rounds of a machine: it is up in those that are not closed yet, as far as it gets verdicts.
    fn close(slot: &mut Slot, next_round: u32) {
        if slot.is(SlotState::Leased) {
            slot.lease_up += slot.lease_until.saturating_sub(next_round.max(slot.lease_from));
        }
    }

    /// Closes all rounds of a lease.
    pub fn close_rounds(&mut self, lease: &Lease) {
        let mut data = self.data();
        let (header, slots) = split_mut(data.bytes_mut()).expect("a board");
        for slot in slots.iter_mut().filter(|slot| slot.lease == lease.serial) {
            Stage::close(slot, header.next_round);
        }
        header.next_round = header.next_round.max(lease.until);
        self.write_data(self.world.board().address, data.bytes().to_vec());
    }

    /// Closes the rounds of one machine; all others of the lease leave it without a trace.
    pub fn close_rounds_of(&mut self, index: u16) {
        let serial = self.serial;
        let mut data = self.data();
        let (header, slots) = split_mut(data.bytes_mut()).expect("a board");
        let until = slots[usize::from(index)].lease_until;
        for (_, slot) in (0u16..).zip(&mut *slots).filter(|(place, _)| *place != index) {
            slot.lease = if slot.lease == serial { serial + 1 } else { slot.lease };
        }
        Stage::close(&mut slots[usize::from(index)], header.next_round);
        header.next_round = header.next_round.max(until);
        self.write_data(self.world.board().address, data.bytes().to_vec());
    }

    /// Sends what deposits tokens, for exactly the deposit that was quoted, after one unit less was refused. `None` if
    /// nobody has so many tokens: then the token program refuses, or a sum of deposits overflows.
    pub fn deposit(
        &mut self,
        quoted: Option<u64>,
        instruction: impl Fn(u64) -> Instruction,
    ) -> Result<Option<Result<(), u32>>, TestCaseError> {
        let Some(deposit) = quoted else { return Ok(Some(self.send(instruction(u64::MAX)))) };
        if deposit > self.tokens() {
            prop_assert!(self.send(instruction(u64::MAX)).is_err());
            return Ok(None);
        }
        if let Some(less) = deposit.checked_sub(1) {
            prop_assert_eq!(self.send(instruction(less)), Err(TOO_DEAR));
        }
        Ok(Some(self.send(instruction(deposit))))
    }
}
