//! The end of a scenario: everybody withdraws their tokens and closes every account that they can.

use leasehold::{
    constants::{DISPUTE_SECS, MAX_CLASSES},
    state::{LeaseState, Slot, SlotState, StakeLedger},
};
use leasehold_client::{
    BoardRef, account::price_index, address, instruction, invariants::BoardState, listing, rounds,
};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::World;

/// Seconds after which anybody may evict an idle machine or vacate an idle seat.
const LONG: i64 = 31 * 86_400;

impl World {
    /// Withdraws and closes everything that `present` can, for themselves and, where the program lets anybody act,
    /// for everybody else. The first of `present` sends the instructions that anybody may send.
    pub fn wind_up(&mut self, present: &[&Keypair]) {
        self.end_leases();
        for board in self.boards() {
            self.settle_leases(&board, present);
            self.pay_suppliers(&board, present);
            self.clear_machines(&board, present);
            self.clear_seats(&board, present);
            self.pay_market(&board, present);
            self.trim(&board, present);
            self.close_board(&board, present);
        }
        self.withdraw_stakes(present);
        let market = self.market_account();
        if let (0, 0, Some(authority)) = (market.boards, market.members, find(present, &market.authority)) {
            let wallet = self.market.stake_account(&authority.pubkey());
            let close = instruction::close_market(&self.market, authority.pubkey(), wallet);
            self.ok(&[close], &[authority]);
        }
    }

    /// Accounts of the program that still exist.
    pub fn remaining_accounts(&self) -> Vec<Pubkey> {
        let accounts = self.svm.get_program_accounts(&leasehold::ID).into_iter();
        accounts.map(|(address, _)| address).collect()
    }

    /// The market's boards, in order.
    pub fn boards(&self) -> Vec<BoardRef> {
        let snapshot = self.snapshot();
        let mut indices: Vec<u32> =
            snapshot.boards.iter().map(|board| board.data.view().expect("a board").header.index).collect();
        indices.sort_unstable();
        indices.into_iter().map(|index| self.market.board(index)).collect()
    }

    fn state(&self, board: &BoardRef) -> BoardState {
        let boards = self.snapshot().boards;
        boards.into_iter().find(|state| state.address == board.address).expect("the board exists")
    }

    /// Waits for the end of every lease and its dispute window, and closes all rounds.
    fn end_leases(&mut self) {
        let snapshot = self.snapshot();
        let ends = snapshot.boards.iter().flat_map(|board| {
            let header = board.data.view().expect("a board").header;
            let ends = board
                .leases
                .iter()
                .map(|(_, lease)| header.round_end(lease.until + header.rounds_in(DISPUTE_SECS)));
            ends.chain([self.now() + 2 * i64::from(header.round_secs)]).collect::<Vec<_>>()
        });
        let end = ends.max().unwrap_or_default();
        self.set_time(end.max(self.now()));
        let anybody = self.stranger();
        for board in self.boards() {
            while self.can_close(&board) {
                self.ok(&[instruction::close_round(&board)], &[&anybody]);
            }
        }
    }

    fn can_close(&self, board: &BoardRef) -> bool {
        let state = self.state(board);
        rounds::closable(state.data.view().expect("a board").header, self.now()).is_some()
    }

    fn settle_leases(&mut self, board: &BoardRef, present: &[&Keypair]) {
        for (address, lease) in self.state(board).leases {
            let signer = find(present, &lease.owner).unwrap_or(present[0]);
            let by = signer.pubkey();
            if lease.state != LeaseState::Settled {
                self.ok(&[instruction::settle_lease(board, address)], &[signer]);
            }
            let lease = self.lease_at(&address);
            if lease.refund_due > 0 {
                let wallet = self.market.payment_account(&lease.owner);
                self.ok(&[instruction::claim_refund(board, by, address, wallet)], &[signer]);
            }
            self.ok(&[instruction::close_lease(board, lease.buyer, address)], &[signer]);
        }
    }

    fn lease_at(&self, address: &Pubkey) -> leasehold::state::Lease {
        self.account(address)
    }

    fn pay_suppliers(&mut self, board: &BoardRef, present: &[&Keypair]) {
        for (account, supplier) in self.snapshot().suppliers {
            let state = self.state(board);
            let earned =
                state.data.view().expect("a board").of_supplier(account).any(|(_, slot)| slot.accrued > 0);
            if earned {
                let signer = find(present, &supplier.authority).unwrap_or(present[0]);
                let wallet = self.market.payment_account(&supplier.authority);
                let claim = instruction::claim_earnings(board, signer.pubkey(), account, wallet);
                self.ok(&[claim], &[signer]);
            }
        }
    }

    /// Suppliers that are present retire their machines; the machines of others are evicted as soon as allowed.
    fn clear_machines(&mut self, board: &BoardRef, present: &[&Keypair]) {
        for (account, supplier) in self.snapshot().suppliers {
            let state = self.state(board);
            let view = state.data.view().expect("a board");
            let machines: Vec<u16> = view.of_supplier(account).map(|(index, _)| index).collect();
            let bound = view.of_supplier(account).filter(|(_, slot)| slot.has(Slot::BOUND));
            let free = bound.map(|(_, slot)| view.header.round_end(slot.committed_until)).max();
            self.set_time(self.now().max(free.unwrap_or_default()));
            let signer = match find(present, &supplier.authority) {
                Some(signer) => signer,
                None => {
                    let committed = view.of_supplier(account).map(|(_, slot)| slot.committed_until).max();
                    let over = view.header.round_end(committed.unwrap_or_default());
                    self.set_time(self.now().max(over + LONG));
                    present[0]
                }
            };
            let retire = listing::retire(board, signer.pubkey(), account, &machines);
            self.each(retire, signer);
        }
    }

    fn each(&mut self, instructions: Vec<Instruction>, signer: &Keypair) {
        for instruction in instructions {
            self.ok(&[instruction], &[signer]);
        }
    }

    fn clear_seats(&mut self, board: &BoardRef, present: &[&Keypair]) {
        let state = self.state(board);
        for (index, seat) in state.data.view().expect("a board").seats() {
            if seat.is_vacant() {
                continue;
            }
            let keeper = self.market.keeper(&seat.keeper);
            let signer = match find(present, &seat.keeper) {
                Some(signer) => signer,
                None => {
                    self.pass(LONG);
                    present[0]
                }
            };
            if seat.earned > 0 {
                let wallet = self.market.payment_account(&seat.keeper);
                let claim = instruction::claim_keeper_fees(board, signer.pubkey(), wallet, index);
                self.ok(&[claim], &[signer]);
            }
            self.ok(&[instruction::leave_seat(board, signer.pubkey(), keeper, index, false)], &[signer]);
        }
    }

    fn pay_market(&mut self, board: &BoardRef, present: &[&Keypair]) {
        let authority = self.market_account().authority;
        let signer = find(present, &authority).unwrap_or(present[0]);
        let header = *self.state(board).data.view().expect("a board").header;
        let (ledger, creator) = (header.ledger, header.creator);
        if ledger.fees > 0 {
            let wallet = self.market.payment_account(&authority);
            self.ok(&[instruction::withdraw_fees(board, signer.pubkey(), wallet)], &[signer]);
        }
        match find(present, &creator) {
            Some(creator) if ledger.burning + ledger.keeper_pool > 0 => {
                self.ok(&[instruction::burn_payments(board, Some(creator.pubkey()))], &[creator]);
            }
            None if ledger.burning > 0 => {
                self.ok(&[instruction::burn_payments(board, None)], &[present[0]]);
            }
            _ => {}
        }
        if ledger.slashed > 0 {
            self.ok(&[instruction::burn_slashed(board)], &[present[0]]);
        }
    }

    /// Cuts off vacant slots that remained because slots behind them were still in use.
    fn trim(&mut self, board: &BoardRef, present: &[&Keypair]) {
        let state = self.state(board);
        let view = state.data.view().expect("a board");
        assert!(view.slots.iter().all(|slot| slot.is(SlotState::Vacant)), "every machine has left");
        let trim = listing::trim(board, &view, present[0].pubkey());
        self.each(trim, present[0]);
    }

    fn close_board(&mut self, board: &BoardRef, present: &[&Keypair]) {
        let creator = self.state(board).data.view().expect("a board").header.creator;
        if let Some(creator) = find(present, &creator) {
            let wallet = self.market.payment_account(&creator.pubkey());
            self.ok(&[instruction::close_board(board, creator.pubkey(), wallet)], &[creator]);
            self.close_indexes(board, present[0]);
        }
    }

    /// Closes the price indexes of a closed board.
    fn close_indexes(&mut self, board: &BoardRef, anybody: &Keypair) {
        for class in 0..MAX_CLASSES as u16 {
            if let Ok(index) = price_index(&self.data(&address::index(&board.address, class))) {
                self.ok(&[instruction::close_index(board, index.payer, class)], &[anybody]);
            }
        }
    }

    /// Those present request their stake, wait, withdraw it and close their accounts.
    fn withdraw_stakes(&mut self, present: &[&Keypair]) {
        let market = self.market;
        let snapshot = self.snapshot();
        let suppliers = snapshot.suppliers.iter().map(|(_, supplier)| supplier);
        let suppliers: Vec<_> = suppliers
            .filter_map(|supplier| Some((find(present, &supplier.authority)?, supplier.stake)))
            .collect();
        let keepers = snapshot.keepers.iter().map(|(_, keeper)| keeper);
        let keepers: Vec<_> =
            keepers.filter_map(|keeper| Some((find(present, &keeper.authority)?, keeper.stake))).collect();
        for (wallet, StakeLedger { free, .. }) in &suppliers {
            if *free > 0 {
                let request = instruction::request_unstake(&market, wallet.pubkey(), *free);
                self.ok(&[request], &[wallet]);
            }
        }
        for (wallet, StakeLedger { free, .. }) in &keepers {
            if *free > 0 {
                self.ok(&[instruction::request_unbond(&market, wallet.pubkey(), *free)], &[wallet]);
            }
        }
        self.pass(i64::from(snapshot.market.params.unbonding_secs));
        for (wallet, stake) in &suppliers {
            let (key, to) = (wallet.pubkey(), market.stake_account(&wallet.pubkey()));
            if !stake.is_empty() {
                self.ok(&[instruction::withdraw_stake(&market, key, to)], &[wallet]);
            }
            if !self.data(&address::profiles(&market.supplier(&key))).is_empty() {
                self.ok(&[instruction::close_profiles(&market, key)], &[wallet]);
            }
            self.ok(&[instruction::close_supplier(&market, key)], &[wallet]);
        }
        for (wallet, stake) in &keepers {
            let (key, to) = (wallet.pubkey(), market.stake_account(&wallet.pubkey()));
            if !stake.is_empty() {
                self.ok(&[instruction::withdraw_bond(&market, key, to)], &[wallet]);
            }
            self.ok(&[instruction::close_keeper(&market, key)], &[wallet]);
        }
    }

    /// A wallet with lamports that takes no part in the market.
    fn stranger(&mut self) -> Keypair {
        let stranger = self.key();
        self.svm.airdrop(&stranger.pubkey(), crate::LAMPORTS).expect("lamports");
        stranger
    }
}

fn find<'a>(present: &[&'a Keypair], wallet: &Pubkey) -> Option<&'a Keypair> {
    present.iter().find(|keypair| keypair.pubkey() == *wallet).copied()
}
