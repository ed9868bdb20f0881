//! Vouchers and receipts, signed by those who should.

use leasehold::state::{Receipt, Slot, Voucher};
use leasehold_client::{
    instruction,
    record::{SignedReceipt, SignedVoucher, receipt, signatures, voucher},
};
use solana_instruction::Instruction;

use super::Chain;
use crate::{
    CLUSTER,
    model::{LeaseId, Program, meter::receipts},
    node_key, prefix, public, spender,
};

impl Chain {
    /// The machine in a slot; an empty one if there is none.
    fn slot(&self, board: u32, slot: u16) -> Slot {
        let machine = self.board(board).and_then(|(_, slots)| slots.get(usize::from(slot)).copied());
        machine.unwrap_or_else(bytemuck::Zeroable::zeroed)
    }

    pub(super) fn redeem_voucher(&self, id: LeaseId, slot: u16, price: u64) -> Vec<Instruction> {
        let (machine, lease) = (self.slot(id.board, slot), self.lease_address(id));
        let (seq, units) = receipts(price);
        let voucher = Voucher {
            lease: lease.to_bytes(),
            cluster: CLUSTER,
            node_key: machine.node_key,
            supplier: prefix(&machine.supplier),
            generation: machine.generation,
            from: self.lease(id).map_or(0, |lease| lease.from),
            slot,
            seq,
            units,
            price,
            ..voucher::blank()
        };
        let board = self.board_and_vault(id.board).0;
        let signed = SignedVoucher::sign(&spender(), voucher);
        vec![signed.instruction(&public(&spender())), instruction::redeem_voucher(&board, lease)]
    }

    pub(super) fn prove_equivocation(&self, id: LeaseId, slot: u16) -> Vec<Instruction> {
        let (machine, board) = (self.slot(id.board, slot), self.board_and_vault(id.board).0);
        let lease = self.lease(id);
        let now = u64::try_from(self.world.now()).expect("after 1970") * 1_000;
        let one = Receipt {
            cluster: CLUSTER,
            board: prefix(&board.address),
            lease: lease.as_ref().map_or(0, |lease| lease.serial),
            generation: machine.generation,
            node_key: machine.node_key,
            supplier: prefix(&machine.supplier),
            buyer: self.key(id.buyer).to_bytes(),
            start_ms: now,
            end_ms: now,
            slot,
            ..receipt::blank()
        };
        let key = self.node_keys.get(&machine.node_key).cloned().unwrap_or_else(|| node_key(0));
        let both =
            [one, Receipt { response: [1; 32], ..one }].map(|receipt| SignedReceipt::sign(&key, receipt));
        let [one, other] = &both;
        let prove =
            instruction::prove_equivocation(&board, self.lease_address(id), &one.receipt, &other.receipt);
        vec![signatures::of_both(one, other), prove]
    }
}
