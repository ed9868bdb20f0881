//! The task that writes.

use super::append::Appending;
use super::job::{Job, Reply};
use super::{StoreError, prune, schema, seal, vouchers};
use crate::receipts::signer::Signer;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqliteTransaction};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::mpsc;
use tracing::error;

/// The most requests in one transaction. All their callers wait for the last of them.
const GROUP: usize = 512;

/// Bytes of which the disk must have room after a failure.
const ROOM: usize = 1 << 20;

/// Replies to a caller once the outcome is known.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

pub(super) async fn run(
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    mut queue: mpsc::Receiver<Job>,
    signer: Arc<Signer>,
    failing: Arc<AtomicBool>,
) {
    let mut jobs = Vec::with_capacity(GROUP);
    let (mut connection, mut open) = (Some(connection), true);
    while open && queue.recv_many(&mut jobs, GROUP).await > 0 {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut left = jobs.drain(..);
        let written = match connected(&mut connection, &options).await {
            Ok(transaction) => {
                write(transaction, &mut left, &mut answers, &mut open, &signer, &options).await
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = &written {
            error!(%error, "a group of requests was not written");
            // If the disk is full, SQLite ends the transaction by itself, and this connection would begin no other.
            connection = None;
        }
        failing.store(written.is_err(), Relaxed);
        // Jobs that were not reached: dropping their replies tells their callers.
        open &= !left.any(|job| matches!(job, Job::Close));
        for answer in answers {
            answer(written.clone());
        }
    }
    if let Some(connection) = connection
        && let Err(error) = connection.close().await
    {
        error!(%error, "closing the receipts' database failed");
    }
}

/// A transaction on the connection, or on a new one if there is none.
async fn connected<'a>(
    connection: &'a mut Option<SqliteConnection>,
    options: &SqliteConnectOptions,
) -> sqlx::Result<SqliteTransaction<'a>> {
    let connection = match connection.take() {
        Some(kept) => connection.insert(kept),
        None => connection.insert(options.connect().await?),
    };
    connection.begin_with("BEGIN IMMEDIATE").await
}

/// Writes one group. Only refusals are answered here: they change nothing in the database.
async fn write(
    mut transaction: SqliteTransaction<'_>,
    jobs: &mut impl Iterator<Item = Job>,
    answers: &mut Vec<Answer>,
    open: &mut bool,
    signer: &Signer,
    options: &SqliteConnectOptions,
) -> Result<(), StoreError> {
    let mut appending = Appending::default();
    for job in jobs {
        match job {
            Job::Append(receipts, reply) => {
                let done = appending.append(&mut transaction, signer, receipts).await;
                settle(done, reply, answers)?;
            }
            Job::Close => *open = false,
            other => {
                // These read counters in the database, which must have the receipts of this group by then.
                std::mem::take(&mut appending).flush(&mut transaction).await?;
                write_other(&mut transaction, other, answers, options).await?;
            }
        }
    }
    appending.flush(&mut transaction).await?;
    Ok(transaction.commit().await?)
}

async fn write_other(
    connection: &mut SqliteConnection,
    job: Job,
    answers: &mut Vec<Answer>,
    options: &SqliteConnectOptions,
) -> Result<(), StoreError> {
    match job {
        Job::Seal(batch, reply) => settle(seal::insert(connection, &batch).await, reply, answers),
        Job::Posted(key, index, reply) => {
            settle(seal::mark_posted(connection, key, index).await, reply, answers)
        }
        Job::Voucher(signed, reply) => settle(vouchers::keep(connection, &signed).await, reply, answers),
        Job::Redeemed { lease, from, price, reply } => {
            settle(vouchers::mark_redeemed(connection, &lease, from, price).await, reply, answers)
        }
        Job::Ended(tabs, at_ms, reply) => {
            settle(prune::mark_ended(connection, &tabs, at_ms).await, reply, answers)
        }
        Job::Prune { ended_before_ms, most, reply } => {
            settle(prune::delete(connection, ended_before_ms, most).await, reply, answers)
        }
        Job::Check(reply) => settle(check(connection, options).await, reply, answers),
        // Handled by the caller.
        Job::Append(..) | Job::Close => Ok(()),
    }
}

/// Finds out whether receipts can be written. What changes a row or two may fit on a disk on which a receipt does not.
async fn check(connection: &mut SqliteConnection, options: &SqliteConnectOptions) -> Result<(), StoreError> {
    let mut path = options.get_filename().as_os_str().to_owned();
    path.push("-room");
    let room = tokio::task::spawn_blocking(move || {
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![0; ROOM])?;
            file.sync_all()
        });
        let removed = std::fs::remove_file(&path);
        written.and(removed)
    });
    room.await.unwrap_or_else(|error| Err(error.into())).map_err(sqlx::Error::Io)?;
    schema::touch(connection).await
}

/// Replies to a refusal now, to a success after the commit; a failure of the database ends the group.
fn settle<T: Send + 'static>(
    done: Result<T, StoreError>,
    reply: Reply<T>,
    answers: &mut Vec<Answer>,
) -> Result<(), StoreError> {
    // A caller that has gone away gets no reply; its request is written all the same.
    let (outcome, failed) = match done {
        Err(refusal) if refusal.is_refusal() => {
            let _ = reply.send(Err(refusal));
            return Ok(());
        }
        Err(failure) => (None, Err(failure)),
        Ok(value) => (Some(value), Ok(())),
    };
    answers.push(Box::new(move |committed| {
        let _ = reply.send(committed.and_then(|()| outcome.ok_or(StoreError::Closed)));
    }));
    failed
}
