//! Errors of the store.

use crate::receipts::store::BatchKey;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the store refuses or fails.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the receipts' database {path} ({source}): check the path and who may write there")]
    Open { path: PathBuf, source: Arc<sqlx::Error> },
    #[error(
        "the receipts' database has schema version {found}, this program knows {known}: use a newer program"
    )]
    Newer { found: i64, known: i64 },
    #[error("the receipts' database failed: {0}")]
    Database(Arc<sqlx::Error>),
    #[error(
        "the receipts' database holds {0}: another program changed it, so restore a copy from before that"
    )]
    Malformed(&'static str),
    #[error("the node is stopping")]
    Closed,
    #[error("the receipts' database failed before this was written: try again")]
    Interrupted,
    #[error("slot {0} is out of range (0 to 65535)")]
    NoSuchSlot(u32),
    #[error("lease {lease} is over: the machine serves lease {newer} now")]
    LeaseOver { lease: u32, newer: u32 },
    #[error("end_ms {end} is before start_ms {start}: correct them")]
    Times { start: u64, end: u64 },
    #[error("the work ends {0} ms in the future: synchronise the clocks")]
    Future(u64),
    #[error(
        "{asked} payment units are more than the {left} that the lease may still use: send a voucher or top it up"
    )]
    Exposure { asked: u64, left: u64 },
    #[error(
        "{asked} payment units are more than the {left} that leases of this spender may still use in this hour: send \
         vouchers for what they have used"
    )]
    SpenderExposure { asked: u64, left: u64 },
    #[error(
        "no number below {limit} is left until the log has more of the lease's receipts: see why batches are not appended"
    )]
    NumbersUsedUp { limit: u64 },
    #[error("units or price of the lease would exceed 2^63: send smaller amounts")]
    Overflow,
    #[error("its receipts were deleted: nobody can dispute them any more; ask an archive")]
    Pruned,
    #[error("another batch was sealed meanwhile: try again")]
    SealedMeanwhile,
    #[error("there is no batch {} of slot {} of board {}", .0.number, .0.machine.slot, .0.machine.board)]
    NoSuchBatch(BatchKey),
    #[error("the batch is in the log at place {0} already")]
    PostedElsewhere(u64),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl StoreError {
    /// True if the request was refused, false if the store failed.
    pub fn is_refusal(&self) -> bool {
        use StoreError::*;
        !matches!(self, Open { .. } | Newer { .. } | Database(_) | Malformed(_) | Closed | Interrupted)
    }
}
