use crate::receipts::store::BatchKey;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the store does not do what it is asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the receipts' database {path} cannot be opened ({source}): check the path, and who may write there"
    )]
    Open { path: PathBuf, source: Arc<sqlx::Error> },
    #[error("the receipts' database has schema {found} and this program knows {known}: use a newer program")]
    Newer { found: i64, known: i64 },
    #[error("the receipts' database failed: {0}")]
    Database(Arc<sqlx::Error>),
    #[error("the receipts' database holds {0} that cannot be read: it was changed by something else")]
    Malformed(&'static str),
    #[error("the node is stopping")]
    Closed,
    #[error("the receipts' database failed before this was written: ask again")]
    Interrupted,
    #[error("slot {0} is none that a board can have")]
    NoSuchSlot(u32),
    #[error("lease {lease} is over: the machine works for lease {newer}")]
    LeaseOver { lease: u32, newer: u32 },
    #[error("the work ends before it begins")]
    Times,
    #[error("the work ends {0} ms from now: compare the clocks")]
    Future(u64),
    #[error(
        "{asked} payment units are more than the {left} that the lease may still use: send a voucher or top \
         up"
    )]
    Exposure { asked: u64, left: u64 },
    #[error("the sums of this lease are too large to keep")]
    Overflow,
    #[error("another batch was sealed meanwhile")]
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
    /// Whether the caller asked for something that is not to be had, rather than the store having failed.
    pub fn is_refusal(&self) -> bool {
        use StoreError::*;
        !matches!(self, Open { .. } | Newer { .. } | Database(_) | Malformed(_) | Closed | Interrupted)
    }
}
