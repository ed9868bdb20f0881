//! Batches of one machine, for unit tests.

use leasehold::math::sum_tree::SumTree;
use leasehold::state::{BatchHeader, Receipt};
use leasehold_client::probe::SigningKey;
use leasehold_client::record::{SignedReceipt, receipt::blank};
use solana_pubkey::Pubkey;

pub const BOARD: Pubkey = Pubkey::new_from_array([0xb0; 32]);

/// Receipts of the machine, numbered from `first` on.
pub fn receipts(first: u64, count: u64) -> Vec<SignedReceipt> {
    let key = SigningKey::from_bytes(&[1; 32]);
    let receipt = |seq| Receipt {
        board: [0xb0; 8],
        lease: 5,
        supplier: [0x50; 8],
        node_key: key.verifying_key().to_bytes(),
        slot: 3,
        generation: 70_002,
        seq,
        units: 10 + seq,
        price: 3 * seq,
        start_ms: 1_000 + seq,
        end_ms: 2_000 + seq,
        ..blank()
    };
    (first..first + count).map(|seq| SignedReceipt::sign(&key, receipt(seq))).collect()
}

/// Bytes of receipts, as a source serves them.
pub fn signed(receipts: &[SignedReceipt]) -> Vec<u8> {
    receipts.iter().flat_map(SignedReceipt::to_bytes).collect()
}

/// Header of a batch of these receipts.
pub fn batch(number: u32, receipts: &[SignedReceipt]) -> BatchHeader {
    let (first, last) = (receipts[0].receipt, receipts[receipts.len() - 1].receipt);
    BatchHeader {
        board: BOARD,
        node_key: first.node_key,
        lease: 5,
        generation: 70_002,
        number,
        count: u32::try_from(receipts.len()).unwrap(),
        first_seq: first.seq,
        root: SumTree::new(receipts.iter().map(|signed| signed.receipt.leaf()).collect()).unwrap().root(),
        first_ms: first.end_ms,
        last_ms: last.end_ms,
        source: [0; 32],
        slot: 3,
        reserved: [0; 6],
    }
}
