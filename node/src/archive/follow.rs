//! Follows logs and fetches what is in their batches, for as long as the archive runs.

use super::check::{Lie, check};
use super::db::{Db, DbError};
use super::download::{Downloader, Miss};
use super::leaves::{self, Wanted};
use crate::chain::headers::{SyncError, sync};
use crate::chain::trouble::Trouble;
use futures::{StreamExt, stream};
use leasehold::math::mmr;
use leasehold_client::fetch::{Fetch, FetchError};
use leasehold_client::record::LogData;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

/// Batches that are fetched at once.
const AT_ONCE: usize = 8;
/// Shortest and longest time until a batch is asked for again, seconds: where its source does not answer, and
/// where it lied.
const UNREACHED: (i64, i64) = (15, 3_600);
const LIED: (i64, i64) = (600, 86_400);

/// What the archive's tasks share.
#[derive(Debug)]
pub(super) struct Progress {
    pub db: Db,
    /// Unix seconds of the last look at the logs that went well.
    pub looked: AtomicI64,
    /// There are new batches.
    pub fresh: Notify,
}

/// Follows these logs, or all of the program.
pub(super) struct Follower {
    pub rpc: RpcClient,
    pub logs: Option<Vec<Pubkey>>,
    pub poll: Duration,
    pub progress: Arc<Progress>,
}

impl Follower {
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (mut trouble, mut seen) = (Trouble::default(), Seen::default());
        loop {
            let done = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                done = self.look(&mut seen) => done,
            };
            let wait = match done {
                Ok(()) => {
                    trouble.clear();
                    self.progress.looked.store(now(), Relaxed);
                    self.poll
                }
                Err(error) => trouble.note(&error),
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Looks at every log once. What goes wrong with one log does not keep the others.
    async fn look(&self, seen: &mut Seen) -> Result<(), FetchError> {
        for (address, log) in self.logs().await? {
            match self.follow(&address, &log, seen).await {
                Ok(()) => drop(seen.troubles.remove(&address)),
                Err(error) => {
                    // The pause between two looks is pause enough.
                    let _ =
                        seen.troubles.entry(address).or_default().note(&format!("log {address}: {error}"));
                }
            }
        }
        Ok(())
    }

    async fn logs(&self) -> Result<Vec<(Pubkey, LogData)>, FetchError> {
        let fetch = Fetch::new(&self.rpc);
        let Some(named) = &self.logs else {
            let all = fetch.logs().await?;
            return Ok(all.into_iter().map(|log| (log.address, log.account)).collect());
        };
        let mut logs = Vec::new();
        for address in named {
            match fetch.log(*address).await? {
                Some(log) => logs.push((*address, log.account)),
                None => warn!(log = %address, "there is no such log: check the address and the cluster"),
            }
        }
        Ok(logs)
    }

    /// Reads what is new in a log, and checks that it is what the log's account has.
    async fn follow(&self, address: &Pubkey, log: &LogData, seen: &mut Seen) -> Result<(), SyncError> {
        let db = &self.progress.db;
        let Ok((log, _)) = log.view() else { return Ok(()) };
        let root = mmr::root(&log.peaks, log.batches);
        if log.batches == 0 || seen.roots.get(address) == Some(&root) {
            return Ok(());
        }
        if db.root(address, log.batches).await? != Some(root) {
            sync(&self.rpc, db, address).await?;
            match db.root(address, log.batches).await? {
                None => return Err(SyncError::Behind),
                Some(here) if here != root => {
                    db.follow_again(address).await?;
                    return Err(SyncError::Wrong);
                }
                Some(_) => {}
            }
            self.progress.fresh.notify_one();
        }
        info!(log = %address, batches = log.batches, "log followed");
        seen.roots.insert(*address, root);
        Ok(())
    }
}

/// What the follower remembers between two looks.
#[derive(Default)]
struct Seen {
    /// Roots of logs that are known to be here.
    roots: HashMap<Pubkey, [u8; 32]>,
    troubles: HashMap<Pubkey, Trouble>,
}

/// Fetches receipts until `stop` says so.
pub(super) async fn fetch_leaves(
    progress: Arc<Progress>,
    downloader: Downloader,
    poll: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut trouble = Trouble::default();
    loop {
        let done = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            done = fetch_due(&progress.db, &downloader) => done,
        };
        let wait = match done {
            Ok(0) => poll,
            Ok(_) => {
                trouble.clear();
                continue;
            }
            Err(error) => trouble.note(&error),
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = progress.fresh.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Tries all batches whose time has come. Returns how many.
pub(super) async fn fetch_due(db: &Db, downloader: &Downloader) -> Result<usize, DbError> {
    let wanted = db.wanted(now(), 4 * AT_ONCE as u32).await?;
    let tried = wanted.len();
    let mut ends = stream::iter(wanted)
        .map(|wanted| async move {
            let end = fetch_one(downloader, &wanted).await;
            (wanted, end)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((wanted, end)) = ends.next().await {
        note(db, &wanted, end).await?;
    }
    Ok(tried)
}

/// What became of a batch.
enum End {
    Here { signed: Vec<u8>, ids: Vec<[u8; 32]> },
    Missed(Miss),
    Lied(Lie),
}

async fn fetch_one(downloader: &Downloader, wanted: &Wanted) -> End {
    let signed = match downloader.fetch(&wanted.source, &wanted.header).await {
        Ok(signed) => signed,
        Err(miss) => return End::Missed(miss),
    };
    let header = wanted.header;
    // Tens of thousands of signatures would hold up everything else on this thread.
    let checked = tokio::task::spawn_blocking(move || {
        let checked = check(&header, &signed);
        (signed, checked)
    });
    match checked.await {
        Ok((signed, Ok(ids))) => End::Here { signed, ids },
        Ok((_, Err(lie))) => End::Lied(lie),
        // Only where the runtime ends.
        Err(_) => End::Missed(Miss::Status(0)),
    }
}

async fn note(db: &Db, wanted: &Wanted, end: End) -> Result<(), DbError> {
    let number = wanted.header.number;
    let (board, slot, source) = (wanted.header.board, wanted.header.slot, &wanted.source);
    let (trouble, told) = match end {
        End::Here { signed, ids } => {
            if db.keep(wanted, &signed, &ids).await? {
                info!(%board, slot, number, receipts = ids.len(), "batch kept");
            }
            return Ok(());
        }
        // More than there is to the batch is not the batch.
        End::Missed(miss @ Miss::TooMuch(_)) => (leaves::Trouble::Lied, miss.to_string()),
        End::Missed(miss @ Miss::Status(_)) => (leaves::Trouble::Missing, miss.to_string()),
        End::Missed(miss) => (leaves::Trouble::Unreachable, miss.to_string()),
        End::Lied(lie) => (leaves::Trouble::Lied, lie.to_string()),
    };
    let lied = trouble == leaves::Trouble::Lied;
    if lied {
        warn!(%board, slot, number, source, "a source gave other receipts than the log has: {told}");
    } else if wanted.tries.is_power_of_two() || wanted.tries == 0 {
        info!(%board, slot, number, source, "receipts can't be had: {told}");
    }
    let (least, most) = if lied { LIED } else { UNREACHED };
    let pause = least.saturating_mul(1 << wanted.tries.min(16)).min(most);
    db.note_trouble(wanted, &trouble, &told, now().saturating_add(pause)).await
}

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
