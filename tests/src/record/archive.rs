//! A log's batches and receipts, as an archive keeps them, and its proofs.

use leasehold::{
    instructions::BatchProof,
    math::{mmr::Range, sum_tree::SumTree},
    state::BatchHeader,
};
use leasehold_client::record::{Proof, SignedReceipt};
use solana_pubkey::Pubkey;

/// A batch and its receipts.
#[derive(Clone)]
pub struct Sealed {
    pub header: BatchHeader,
    pub receipts: Vec<SignedReceipt>,
    pub tree: SumTree,
}

/// A log and all its batches.
#[derive(Clone, Default)]
pub struct Archive {
    pub range: Range,
    pub batches: Vec<Sealed>,
}

impl Archive {
    pub fn add(&mut self, header: BatchHeader, receipts: Vec<SignedReceipt>) {
        self.range.append(header.leaf());
        self.batches.push(Sealed { header, tree: tree(&receipts), receipts });
    }

    /// Proof that a batch is in the log as it is now.
    pub fn batch(&self, index: usize) -> BatchProof {
        let (header, index) = (self.batches[index].header, index as u64);
        let path = self.range.path(index, self.range.len()).expect("it is in the log");
        BatchProof { header, index, path }
    }

    /// Proof that a receipt of a batch is in the log as it is now.
    pub fn proof(&self, log: Pubkey, index: usize, place: usize) -> Proof {
        let batch = &self.batches[index];
        let BatchProof { header, index, path: batch_path } = self.batch(index);
        Proof {
            receipt: batch.receipts[place],
            log,
            header,
            index,
            batch_path,
            place: u32::try_from(place).expect("at most 65,536"),
            path: batch.tree.path(place).expect("it is in the batch"),
        }
    }
}

/// The Merkle-sum tree of a batch.
pub fn tree(receipts: &[SignedReceipt]) -> SumTree {
    let leaves = receipts.iter().map(|signed| signed.receipt.leaf()).collect();
    SumTree::new(leaves).expect("sums fit")
}
