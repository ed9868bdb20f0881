//! The cases of metered leases, logs and disputes.

use leasehold::instructions::Batch;
use leasehold_client::{
    BoardRef, address, instruction,
    record::{SignedReceipt, signatures},
};
use solana_signer::Signer;

use super::{Catalogue, METERED, METERED_SLOT};
use crate::{SOURCE, SupplierActor, USD, node_key, tree};

impl Catalogue {
    pub(super) fn add_metered_cases(&mut self, board: &BoardRef) {
        let (owner, lease) = (self.buyer.insecure_clone(), self.world.lease_address(METERED));
        let key = owner.pubkey();
        let wallet = board.market.payment_account(&key);
        self.add("top_up_lease", instruction::top_up_lease(board, key, lease, wallet, USD), &owner);
        let voucher = self.world.voucher(METERED, USD);
        let redeem = self.world.redeem_instructions(METERED, &voucher);
        self.add_signed("redeem_voucher", redeem, &[]);
        self.add("give_notice", instruction::give_notice(board, key, lease, None), &owner);
    }

    pub(super) fn add_log_cases(&mut self, board: &BoardRef, leaver: &SupplierActor) {
        let wallet = self.supplier.wallet.insecure_clone();
        let (key, account, log) =
            (wallet.pubkey(), self.supplier.account, address::log(&self.supplier.account));
        let without = leaver.wallet.pubkey();
        let create = instruction::create_log(without, leaver.account, without);
        self.add("create_log", create, &leaver.wallet);
        self.add("set_log_operator", instruction::set_log_operator(key, account, without), &wallet);
        let idle = self.slots - 2;
        self.add("open_lanes", instruction::open_lanes(board, key, account, vec![idle]), &wallet);
        let next = batch(&self.receipts[4..], 1);
        let append = instruction::append_batches(board, key, account, SOURCE, vec![next]);
        self.add("append_batches", append, &wallet);
        let skip = instruction::skip_receipts(board, key, account, METERED_SLOT, METERED);
        self.add("skip_receipts", skip, &wallet);
        let proof = self.archive.proof(log, 0, 0);
        self.add_for_anybody("verify_receipt", proof.instruction());
        self.add_for_anybody("verify_batch", instruction::verify_batch(log, proof.batch()));
        let gone = self.world.supplier();
        let key = gone.wallet.pubkey();
        self.world.ok(&[instruction::create_log(key, gone.account, key)], &[&gone.wallet]);
        self.add("close_log", instruction::close_log(key, gone.account), &gone.wallet);
    }

    pub(super) fn add_dispute_cases(&mut self, board: &BoardRef) {
        let (claimant, lease) = (self.buyer.insecure_clone(), self.world.lease_address(METERED));
        let log = address::log(&self.supplier.account);
        let demand = self.world.demand_instructions(&claimant, &self.receipts[3]);
        self.add_signed("demand_receipt", demand, &[&claimant]);
        let shown = self.archive.proof(log, 0, 1);
        let show = instruction::show_batch(address::demand(&shown.receipt.id()), log, shown.batch());
        self.add_for_anybody("show_batch", show);
        let wanted = self.archive.proof(log, 0, 2);
        let demand = address::demand(&wanted.receipt.id());
        let account = self.world.demand_account(&demand);
        let answer = instruction::answer_demand(claimant.pubkey(), demand, &account, wanted.path);
        self.add("answer_demand", answer, &claimant);
        let caller = self.keepers[0].wallet.insecure_clone();
        let overdue = address::demand(&self.receipts[0].id());
        let account = self.world.demand_account(&overdue);
        self.add("enforce_demand", instruction::enforce_demand(caller.pubkey(), overdue, &account), &caller);
        let one = self.receipts[4];
        let mut lie = one.receipt;
        lie.price += 1;
        let lie = SignedReceipt::sign(&node_key(METERED_SLOT), lie);
        let prove = instruction::prove_equivocation(board, lease, &one.receipt, &lie.receipt);
        self.add_signed("prove_equivocation", [signatures::of_both(&one, &lie), prove], &[]);
    }
}

/// Batch `number` of the metered lease.
pub(super) fn batch(receipts: &[SignedReceipt], number: u32) -> Batch {
    let end_ms = receipts[0].receipt.end_ms;
    Batch {
        slot: METERED_SLOT,
        lease: METERED,
        number,
        count: u32::try_from(receipts.len()).expect("a batch"),
        first_seq: receipts[0].receipt.seq,
        root: tree(receipts).root(),
        first_ms: end_ms,
        last_ms: end_ms,
    }
}
