//! Receipts, vouchers and demands, and a scene whose machines keep a log.

mod archive;
mod recording;

use ed25519_dalek::SigningKey;
use leasehold::{
    instructions::{Machine, MeterArgs, OpenLeaseArgs},
    math::matching::Criteria,
    state::{Demand, Receipt, Traits, Voucher},
};
use leasehold_client::{
    address,
    event::{self, Event},
    instruction,
    record::{SignedReceipt, SignedVoucher, receipt, voucher},
};
use litesvm::types::TransactionMetadata;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

pub use archive::{Archive, Sealed, tree};
pub use recording::Recording;

use crate::{World, anything, machine};

/// First bytes of [`GENESIS`](crate::GENESIS).
pub const CLUSTER: [u8; 8] = *b"LiteSVM!";
/// Source of the tests' logs: where an archive would fetch receipts.
pub const SOURCE: &str = "https://node.example/leasehold";

/// Node key of machine `number`.
pub fn node_key(number: u16) -> SigningKey {
    let mut seed = *b"a machine of Leasehold's tests..";
    seed[30..].copy_from_slice(&number.to_le_bytes());
    SigningKey::from_bytes(&seed)
}

/// Like [`machine`], with a key that can sign, and listed as metered.
pub fn signing_machine(number: u16) -> Machine {
    let Machine { traits, .. } = machine(number);
    let node_key = node_key(number).verifying_key().to_bytes();
    Machine { node_key, traits: Traits { flags: Traits::METERED, ..traits }, ..machine(number) }
}

/// The key with which a buyer's software signs vouchers.
pub fn spender() -> SigningKey {
    SigningKey::from_bytes(b"a buyer's software signs voucher")
}

/// First 8 bytes of an address, as receipts and vouchers name boards and suppliers.
pub fn prefix(address: &Pubkey) -> [u8; 8] {
    address.to_bytes()[..8].try_into().expect("eight bytes")
}

pub fn public(key: &SigningKey) -> Pubkey {
    Pubkey::new_from_array(key.verifying_key().to_bytes())
}

/// Events that the program emitted in a transaction.
pub fn events(meta: &TransactionMetadata) -> Vec<Event> {
    let inner = meta.inner_instructions.iter().flatten();
    inner.filter_map(|inner| event::decode(&inner.instruction.data)).collect()
}

impl World {
    /// A receipt for an answer given now by the machine in a slot, numbered `seq`.
    pub fn receipt(&self, serial: u32, slot: u16, seq: u64) -> Receipt {
        let (machine, lease) = (self.slot(slot), self.lease(serial));
        let now = u64::try_from(self.now()).expect("after 1970") * 1_000;
        Receipt {
            cluster: CLUSTER,
            board: prefix(&self.board().address),
            lease: serial,
            generation: machine.generation,
            node_key: machine.node_key,
            supplier: prefix(&machine.supplier),
            buyer: lease.buyer.to_bytes(),
            seq,
            model: [3; 32],
            request: [5; 32],
            response: [6; 32],
            units: 10 + seq,
            tokens_in: 20,
            tokens_out: 30,
            price: 100 + seq,
            mint: self.market.payment_mint.to_bytes(),
            start_ms: now - 500,
            end_ms: now,
            class: machine.traits.class,
            slot,
            ..receipt::blank()
        }
    }

    /// The same, signed. The machine in slot i must have key number i.
    pub fn signed(&self, serial: u32, slot: u16, seq: u64) -> SignedReceipt {
        SignedReceipt::sign(&node_key(slot), self.receipt(serial, slot, seq))
    }

    /// The Ed25519 program's instruction, and the demand of a receipt.
    pub fn demand_instructions(&self, claimant: &Keypair, receipt: &SignedReceipt) -> [Instruction; 2] {
        let board = self.board();
        let lease = self.lease_address(receipt.receipt.lease);
        let demand = instruction::demand_receipt(&board, claimant.pubkey(), lease, &receipt.receipt);
        [receipt.instruction(), demand]
    }

    /// Demands a receipt. Returns the demand's address.
    #[track_caller]
    pub fn demand(&mut self, claimant: &Keypair, receipt: &SignedReceipt) -> Pubkey {
        let demand = self.demand_instructions(claimant, receipt);
        self.ok(&demand, &[claimant]);
        address::demand(&receipt.id())
    }

    pub fn demand_account(&self, address: &Pubkey) -> Demand {
        self.account(address)
    }

    /// Arguments for the next lease, metered.
    pub fn metered_args(&self, buyer: &Keypair, deposit: u64, rounds: u32) -> OpenLeaseArgs {
        let criteria = Criteria { metered: true, ..anything() };
        let meter = MeterArgs { spender: public(&spender()), deposit };
        OpenLeaseArgs { meter: Some(meter), ..self.lease_args(buyer, criteria, 1, rounds) }
    }

    /// Opens a metered lease. Returns its serial.
    pub fn open_metered(&mut self, buyer: &Keypair, deposit: u64, rounds: u32) -> u32 {
        let args = self.metered_args(buyer, deposit, rounds);
        let serial = self.with_board(|board, _| board.next_serial);
        let open = self.open_instruction(buyer, args);
        self.ok(&[open], &[buyer]);
        serial
    }

    /// A signed voucher for `price` in all, in a metered lease.
    pub fn voucher(&self, serial: u32, price: u64) -> SignedVoucher {
        SignedVoucher::sign(&spender(), self.unsigned_voucher(serial, price))
    }

    pub fn unsigned_voucher(&self, serial: u32, price: u64) -> Voucher {
        let found = self.with_board(|_, slots| {
            (0..).zip(slots).find(|(_, slot)| slot.lease == serial).map(|(index, slot)| (index, *slot))
        });
        let (slot, machine) = found.expect("a machine serves it");
        Voucher {
            lease: self.lease_address(serial).to_bytes(),
            cluster: CLUSTER,
            node_key: machine.node_key,
            supplier: prefix(&machine.supplier),
            generation: machine.generation,
            from: self.lease(serial).from,
            slot,
            seq: price / 100,
            units: price / 10,
            price,
            ..voucher::blank()
        }
    }

    /// The Ed25519 program's instruction, and the redemption of a voucher.
    pub fn redeem_instructions(&self, serial: u32, voucher: &SignedVoucher) -> [Instruction; 2] {
        let redeem = instruction::redeem_voucher(&self.board(), self.lease_address(serial));
        [voucher.instruction(&public(&spender())), redeem]
    }
}
