//! The database of receipts, batches and vouchers, in SQLite.
//!
//! One task writes. It takes all waiting requests, writes them in one transaction and replies after the commit has
//! reached the disk (group commit). Receipts are numbered by the database's own counters, read in the same transaction:
//! a crash at any point loses no receipt that was handed out and repeats no number. A database that is lost is noticed: the
//! machine then goes on with numbers that it can't have signed before. Never replace the database with an older copy while a
//! lease runs: that may go unnoticed, and two receipts with one number cost the machine's bond.
//!
//! [`Store::unsealed`] lists receipts to seal, [`Store::seal`] makes a batch of them, [`Store::batches`] lists the batches
//! to append, in order, and [`Store::mark_posted`] notes their places in the log. [`Store::best_voucher`],
//! [`Store::vouchers_due`] and [`Store::mark_redeemed`] deal with vouchers, [`Store::mark_ended`] and [`Store::prune`] with
//! receipts that nobody can dispute any more. All of them may be repeated.

mod append;
mod error;
mod job;
mod prune;
mod read;
mod rows;
mod schema;
mod seal;
mod types;
mod vouchers;
mod writer;

pub use crate::receipts::signer::{PARTS, Work};
pub use error::StoreError;
pub use prune::RunningTab;
pub use read::BatchPlace;
pub use types::{BatchKey, BatchState, Exposure, Kept, MachineKey, NewReceipt, SealedBatch, Tab, Unsealed};
pub use vouchers::DueVoucher;

use crate::receipts::signer::Signer;
use job::{Job, Reply};
use leasehold::math::sum_tree::SumTree;
use leasehold_client::record::SignedReceipt;
use leasehold_daemon::tasks::TaskEnded;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{ConnectOptions, SqlitePool};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Requests that are queued for the writer.
const QUEUE: usize = 4_096;
/// Connections for reading, each with a thread: for the tasks that send to the chain, and for requests.
const READERS: u32 = 4;
const STRANGERS: u32 = 4;

type Trees = VecDeque<(BatchKey, Arc<SumTree>)>;

/// Trees of batches.
#[derive(Debug)]
struct Cache {
    /// Those that were used last.
    kept: Mutex<Trees>,
    /// To make one at a time.
    making: Semaphore,
}

impl Default for Cache {
    fn default() -> Self {
        Self { kept: Mutex::default(), making: Semaphore::new(1) }
    }
}

/// What strangers read with.
#[derive(Clone, Debug)]
struct Strangers {
    readers: SqlitePool,
    trees: Arc<Cache>,
}

/// Handle of the database; clones share it. The writer ends when [`Store::close`] is called, or with the
/// last clone.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    readers: SqlitePool,
    /// Other connections than `readers`.
    strangers: Strangers,
    signer: Arc<Signer>,
    trees: Arc<Cache>,
    /// True if the last group of requests could not be written.
    failing: Arc<AtomicBool>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
    /// Unix milliseconds at which the database was created.
    created_ms: u64,
}

impl Store {
    /// Opens the database, or creates it.
    ///
    /// # Errors
    /// [`StoreError::Open`] or [`StoreError::Newer`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let unopened = |source| StoreError::Open { path: path.to_owned(), source: Arc::new(source) };
        let options = schema::options(path);
        let mut connection = options.clone().create_if_missing(true).connect().await.map_err(unopened)?;
        schema::migrate(&mut connection).await?;
        let created_ms = schema::created_ms(&mut connection).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS);
        let readers = readers.connect_with(options.clone().read_only(true)).await.map_err(unopened)?;
        let strangers = SqlitePoolOptions::new().max_connections(STRANGERS);
        let strangers = strangers.connect_with(options.clone().read_only(true)).await.map_err(unopened)?;
        let strangers = Strangers { readers: strangers, trees: Arc::default() };
        let signer = Arc::new(Signer::default());
        let (jobs, queue) = mpsc::channel(QUEUE);
        let failing = Arc::<AtomicBool>::default();
        let writer = tokio::spawn(writer::run(connection, options, queue, signer.clone(), failing.clone()));
        let writer = Arc::new(Mutex::new(Some(writer)));
        Ok(Self { jobs, readers, strangers, signer, trees: Arc::default(), failing, writer, created_ms })
    }

    /// Numbers, signs and stores receipts, all of them or no receipt. They are on the disk when this returns.
    ///
    /// A receipt's `end_ms` is raised to that of the machine's receipt before it, so that batches are in the order of
    /// time whatever clocks do.
    ///
    /// # Errors
    /// [`StoreError::LeaseOver`], [`StoreError::Times`], [`StoreError::Future`], [`StoreError::Exposure`],
    /// [`StoreError::NumbersUsedUp`], [`StoreError::Overflow`], [`StoreError::NoSuchSlot`], or the database's.
    pub async fn append(&self, receipts: Vec<NewReceipt>) -> Result<Vec<SignedReceipt>, StoreError> {
        self.ask(|reply| Job::Append(receipts, reply)).await
    }

    /// The same database for requests by HTTP: with other connections and another cache, so that no reading of theirs delays
    /// the tasks that send to the chain.
    pub fn for_strangers(&self) -> Self {
        let Strangers { readers, trees } = self.strangers.clone();
        Self { readers, trees, ..self.clone() }
    }

    /// Tries to write if the last attempt failed: work whose receipt could not be stored is not begun.
    ///
    /// # Errors
    /// The database's.
    pub async fn check(&self) -> Result<(), StoreError> {
        if self.failing.load(Relaxed) { self.ask(Job::Check).await } else { Ok(()) }
    }

    /// Unix milliseconds at which the database was created: it has all receipts of every lease that began later.
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// The signer of the receipts.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Writes the queued requests and closes the database. Nothing can be written afterwards.
    pub async fn close(&self) {
        // An error means that the writer has ended already.
        let _ = self.jobs.send(Job::Close).await;
        let writer = self.writer.lock().unwrap_or_else(|error| error.into_inner()).take();
        if let Some(writer) = writer {
            let _ = writer.await;
        }
        self.readers.close().await;
        self.strangers.readers.close().await;
    }

    /// Waits until nothing can be written any more: the writer has ended.
    pub fn ended(&self) -> impl Future<Output = TaskEnded> + Send + use<> {
        let jobs = self.jobs.clone();
        async move {
            jobs.closed().await;
            TaskEnded::by_itself("writer of receipts")
        }
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Interrupted)?
    }
}
