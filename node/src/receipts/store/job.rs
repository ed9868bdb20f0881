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
    Redeemed { lease: [u8; 32], from: u32, price: u64, reply: Reply<()> },
    Close,
}
