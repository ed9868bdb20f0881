//! Requests to the writer.

use super::{BatchKey, NewReceipt, SealedBatch, StoreError};
use leasehold_client::record::{SignedReceipt, SignedVoucher};
use tokio::sync::oneshot;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Requests to the writer.
#[derive(Debug)]
pub(super) enum Job {
    Append(Vec<NewReceipt>, Reply<Vec<SignedReceipt>>),
    Seal(Box<SealedBatch>, Reply<()>),
    Posted(BatchKey, u64, Reply<()>),
    Voucher(Box<SignedVoucher>, Reply<SignedVoucher>),
    Redeemed {
        lease: [u8; 32],
        from: u32,
        price: u64,
        reply: Reply<()>,
    },
    /// Rows of tabs, and when their leases were seen to be over.
    Ended(Vec<i64>, u64, Reply<()>),
    /// See [`super::Store::prune`].
    Prune {
        ended_before_ms: u64,
        most: u32,
        reply: Reply<u64>,
    },
    /// Writes nothing of importance, to see whether the database can be written.
    Check(Reply<()>),
    Close,
}
