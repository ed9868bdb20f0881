//! Where receipts, batches and vouchers are kept: one SQLite database.
//!
//! Everything that is written goes through one task, which takes what has come in meanwhile, writes it in one
//! transaction and answers after the commit has reached the disk (group commit). Numbers come from the
//! database's own counters, read in the same transaction: a crash at any point loses no receipt that was
//! handed out and gives no number twice. For the same reason the database must never be replaced by an older
//! copy of itself while a lease runs: two receipts with one number cost the machine's bond.
//!
//! For those who post batches and redeem vouchers: [`Store::unsealed`] tells what there is to seal,
//! [`Store::seal`] makes a batch of it, [`Store::batches`] lists those that wait, in the order in which they
//! must be appended, [`Store::mark_posted`] notes their place in the log; [`Store::best_voucher`],
//! [`Store::vouchers_due`] and [`Store::mark_redeemed`] are about the money. All of them may be repeated.

mod append;
mod error;
mod read;
mod rows;
mod schema;
mod seal;
mod types;
mod vouchers;
mod writer;

pub use error::StoreError;
pub use types::{BatchKey, BatchState, Kept, MachineKey, NewReceipt, SealedBatch, Tab, Unsealed, Work};
pub use vouchers::DueVoucher;

use crate::receipts::signer::Signer;
use leasehold::math::sum_tree::SumTree;
use leasehold_client::record::SignedReceipt;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{ConnectOptions, SqlitePool};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use writer::{Job, Reply};

/// Requests that wait for the writer before callers have to.
const QUEUE: usize = 4_096;
/// Connections that read beside the writer.
const READERS: u32 = 4;

type Trees = VecDeque<(BatchKey, Arc<SumTree>)>;

/// Handle of the database; clones share it. The writer ends when [`Store::close`] is called, or with the
/// last clone.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    readers: SqlitePool,
    signer: Arc<Signer>,
    /// The trees that paths were asked from last.
    trees: Arc<Mutex<Trees>>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Store {
    /// Opens the database, or makes it.
    ///
    /// # Errors
    /// [`StoreError::Open`] or [`StoreError::Newer`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let unopened = |source| StoreError::Open { path: path.to_owned(), source: Arc::new(source) };
        let options = schema::options(path);
        let mut connection = options.clone().create_if_missing(true).connect().await.map_err(unopened)?;
        schema::migrate(&mut connection).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS);
        let readers = readers.connect_with(options.read_only(true)).await.map_err(unopened)?;
        let signer = Arc::new(Signer::default());
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(writer::run(connection, queue, signer.clone()));
        let writer = Arc::new(Mutex::new(Some(writer)));
        Ok(Self { jobs, readers, signer, trees: Arc::default(), writer })
    }

    /// Numbers, signs and keeps receipts: all of them or none. They are on the disk when this returns.
    ///
    /// A receipt's `end_ms` is raised to that of the machine's receipt before it: a batch is in the order of
    /// time, whatever clocks do.
    ///
    /// # Errors
    /// [`StoreError::LeaseOver`], [`StoreError::Times`], [`StoreError::Future`], [`StoreError::Exposure`],
    /// [`StoreError::Overflow`], [`StoreError::NoSuchSlot`], or the database's.
    pub async fn append(&self, receipts: Vec<NewReceipt>) -> Result<Vec<SignedReceipt>, StoreError> {
        self.ask(|reply| Job::Append(receipts, reply)).await
    }

    /// What signs the receipts.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Writes what was asked for so far and closes the database. Nothing can be written afterwards.
    pub async fn close(&self) {
        // Where the writer has ended already there is nothing to wait for.
        let _ = self.jobs.send(Job::Close).await;
        let writer = self.writer.lock().unwrap_or_else(|error| error.into_inner()).take();
        if let Some(writer) = writer {
            let _ = writer.await;
        }
        self.readers.close().await;
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Interrupted)?
    }
}
