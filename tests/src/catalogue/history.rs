//! Events in the catalogue's world before its cases.

use leasehold::{constants::RECORD_SECS, instructions::Machine};
use leasehold_client::{BoardRef, address, instruction, record::SignedReceipt};
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::{CLOSABLE, DOWN, METERED, METERED_SLOT, RUNNING, SLASHED, numbered, record::batch};
use crate::{
    Archive, COMMITTED, GENESIS, KeeperActor, SOURCE, STAKE, SupplierActor, TIMELOCK, USD, World, anything,
    events, machine, params, rules, signing_machine,
};

impl World {
    /// Creates market 2 with a board for Mallory, who is a supplier and a keeper in both markets; an empty
    /// market 3, whose board was closed and has left a price index; and a second board in the first market.
    pub(super) fn market_of_mallory(&mut self, mallory: &Keypair) -> BoardRef {
        let key = mallory.pubkey();
        let (other, empty) = (numbered(&self.market, 2), numbered(&self.market, 3));
        let authority = self.authority.insecure_clone();
        let create = instruction::create_market(&other, key, GENESIS, TIMELOCK, rules(), params());
        self.ok(&[create, instruction::create_board(&other.board(0), key)], &[mallory]);
        for market in [self.market, other] {
            let supplier = instruction::register_supplier(&market, key);
            self.ok(&[supplier, instruction::register_keeper(&market, key)], &[mallory]);
        }
        let create =
            instruction::create_market(&empty, authority.pubkey(), GENESIS, TIMELOCK, rules(), params());
        let second = instruction::create_board(&self.market.board(1), authority.pubkey());
        self.ok(&[create], &[&authority]);
        self.ok(&[second], &[&authority]);
        let (board, key) = (empty.board(0), authority.pubkey());
        let index = instruction::create_index(&board, key, 0);
        self.ok(&[instruction::create_board(&board, key), index], &[&authority]);
        let close = instruction::close_board(&board, key, self.market.payment_account(&key));
        self.ok(&[close], &[&authority]);
        other.board(0)
    }

    /// Proposes parameters and an authority, requests stake and bond, and waits until all of it can be claimed.
    pub(super) fn announce(&mut self, heir: &Keypair, supplier: &SupplierActor, keeper: &KeeperActor) {
        let (market, authority) = (self.market, self.authority.insecure_clone());
        let proposed = self.market_account().params;
        let params = instruction::propose_params(&market, authority.pubkey(), Some(proposed));
        let offer = instruction::propose_authority(&market, authority.pubkey(), Some(heir.pubkey()));
        self.ok(&[params, offer], &[&authority]);
        let unstake = instruction::request_unstake(&market, supplier.wallet.pubkey(), STAKE);
        self.ok(&[unstake], &[&supplier.wallet]);
        let key = keeper.wallet.pubkey();
        let bond = instruction::deposit_bond(&market, key, market.stake_account(&key), 2 * STAKE);
        self.ok(&[bond, instruction::request_unbond(&market, key, STAKE)], &[&keeper.wallet]);
        self.pass(14 * 86_400);
    }

    /// Creates a price index and the leaver's profiles, lists machines, opens four leases and ends two of them, with a machine down in one that goes on. The
    /// metered lease's machine signs receipts; some are demanded, some appended to the log.
    pub(super) fn board_with_history(
        &mut self,
        slots: u16,
        supplier: &SupplierActor,
        leaver: &SupplierActor,
        keepers: &[KeeperActor],
        buyer: &Keypair,
    ) -> (Vec<SignedReceipt>, Archive) {
        let board = self.board();
        let of = |slot| if slot == METERED_SLOT { signing_machine(slot) } else { machine(slot) };
        let authority = self.authority.insecure_clone();
        let index = instruction::create_index(&board, authority.pubkey(), 0);
        self.ok(&[index], &[&authority]);
        let profiles = instruction::create_profiles(&board.market, leaver.wallet.pubkey());
        self.ok(&[profiles], &[&leaver.wallet]);
        let machines: Vec<Machine> = (0..slots).map(of).collect();
        self.list(supplier, COMMITTED, &machines);
        self.list(leaver, COMMITTED, &[machine(slots)]);
        for (actor, slot) in [(supplier, slots - 1), (leaver, slots)] {
            let retire =
                instruction::retire_machines(&board, actor.wallet.pubkey(), actor.account, vec![slot]);
            self.ok(&[retire], &[&actor.wallet]);
        }
        for (serial, machines, rounds) in [(SLASHED, 2, 2), (CLOSABLE, 1, 2), (RUNNING, 2, 300)] {
            assert_eq!(self.open(buyer, anything(), machines, rounds), serial);
        }
        assert_eq!(self.open_metered(buyer, 50 * USD, 300), METERED);
        self.end_round();
        let receipts: Vec<_> = (0..6).map(|seq| self.signed(METERED, METERED_SLOT, seq)).collect();
        for _ in 0..2 {
            self.attest(keepers, |machine| machine != 1);
        }
        for serial in [SLASHED, CLOSABLE] {
            self.settle(buyer, serial);
        }
        let wallet = self.market.payment_account(&buyer.pubkey());
        let claim = instruction::claim_refund(&board, buyer.pubkey(), self.lease_address(CLOSABLE), wallet);
        self.ok(&[claim], &[buyer]);
        self.go_to_round(self.round() + self.with_board(|board, _| board.rounds_in(RECORD_SECS)));
        let archive = self.log_with_demands(supplier, buyer, &receipts);
        self.end_disputes();
        let payments = self.market.payment_account(&buyer.pubkey());
        self.ok(&[instruction::fund_keepers(&board, buyer.pubkey(), payments, USD)], &[buyer]);
        // A keeper that does not vote: as much as its fee is burned.
        self.end_round();
        for keeper in &keepers[..3] {
            self.vote(keeper, |machine| machine != u32::from(DOWN));
        }
        self.end_round();
        self.ok(&[instruction::close_round(&board)], &[buyer]);
        // Pays the keepers out of the fees of the settlements.
        self.attest(keepers, |machine| machine != u32::from(DOWN));
        let key = keepers[3].wallet.pubkey();
        let claim = instruction::claim_keeper_fees(&board, key, self.market.payment_account(&key), 3);
        self.ok(&[claim], &[&keepers[3].wallet]);
        // One round without votes can be closed, the next can be voted on.
        self.end_round();
        self.end_round();
        (receipts, archive)
    }

    /// Creates the supplier's log, appends the first four receipts and demands three of them: one will be
    /// overdue, one waits for `show_batch`, and the batch of the third is shown.
    pub(super) fn log_with_demands(
        &mut self,
        supplier: &SupplierActor,
        claimant: &Keypair,
        receipts: &[SignedReceipt],
    ) -> Archive {
        let (board, key) = (self.board(), supplier.wallet.pubkey());
        let create = instruction::create_log(key, supplier.account, key);
        let lanes = instruction::open_lanes(&board, key, supplier.account, vec![METERED_SLOT]);
        let first = batch(&receipts[..4], 0);
        let append = instruction::append_batches(&board, key, supplier.account, SOURCE, vec![first]);
        let meta = self.ok(&[create, lanes, append], &[&supplier.wallet]);
        let mut archive = Archive::default();
        for event in events(&meta) {
            if let leasehold_client::event::Event::BatchesAppended(appended) = event {
                archive.add(appended.headers[0], receipts[..4].to_vec());
            }
        }
        for receipt in &receipts[..3] {
            self.demand(claimant, receipt);
        }
        let shown = archive.proof(address::log(&supplier.account), 0, 2);
        let show = instruction::show_batch(address::demand(&shown.receipt.id()), shown.log, shown.batch());
        self.ok(&[show], &[&supplier.wallet]);
        archive
    }
}
