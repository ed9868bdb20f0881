//! Reads the slots of boards beside the polls, a few at a time.
//!
//! A board's slots are up to 1.1 MB, and the RPC node may refuse or hold up the read of any. So no poll waits for them: what has
//! arrived is planned by, and a board whose slots are missing is planned by its header alone.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
    time::Duration,
};

use leasehold_client::{
    BoardRef,
    fetch::{Fetch, FetchError},
};
use leasehold_daemon::backoff::Backoffs;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::{Instrument, info};

use super::{
    Fleet, FleetKey,
    leases::{KnownLeases, demands, indexes},
    round_at,
};

/// Boards that are read at a time.
const AT_ONCE: usize = 4;

/// Why slots, or the accounts that they name, could not be read.
#[derive(Debug, thiserror::Error)]
enum SlotsError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the RPC node took longer than {} s", _0.as_secs_f32())]
    Slow(Duration),
    #[error("the read failed with a bug: {0}")]
    Bug(String),
}

/// Slots as they were read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) key: FleetKey,
    pub(super) fleet: Arc<Fleet>,
    /// False if the account of a lease was not found: then the slots are read again.
    is_complete: bool,
}

/// A read that ended.
struct Done {
    board: BoardRef,
    leases: KnownLeases,
    read: Result<(Read, Option<SlotsError>), SlotsError>,
}

/// What a read needs to know of the moment at which it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Unix time of the cluster.
    pub(super) now: i64,
    /// True if running leases are settled to fill the keeper pool.
    pub(super) is_poor: bool,
}

/// See the module.
pub(super) struct SlotReads {
    rpc: Arc<RpcClient>,
    reads: HashMap<Pubkey, Read>,
    leases: HashMap<Pubkey, KnownLeases>,
    under_way: JoinSet<Done>,
    boards: HashSet<Pubkey>,
    failures: Backoffs<Pubkey>,
    /// Boards whose last read failed, and when they are read again.
    paused: HashMap<Pubkey, Instant>,
    /// Limit for the slots of a board, and again for what they name.
    pub(super) limit: Duration,
    /// Longest pause after failures.
    pub(super) longest_pause: Duration,
}

impl SlotReads {
    pub(super) fn new(rpc: Arc<RpcClient>, limit: Duration, longest_pause: Duration) -> Self {
        Self {
            rpc,
            reads: HashMap::new(),
            leases: HashMap::new(),
            under_way: JoinSet::new(),
            boards: HashSet::new(),
            failures: Backoffs::default(),
            paused: HashMap::new(),
            limit,
            longest_pause,
        }
    }

    /// The slots of a board, if they were read and are those of `key`. Slots whose leases were not all found are given once.
    pub(super) fn get(&mut self, board: &Pubkey, key: FleetKey) -> Option<Arc<Fleet>> {
        let read = self.reads.get_mut(board).filter(|read| read.key == key)?;
        let fleet = Arc::clone(&read.fleet);
        if !mem::replace(&mut read.is_complete, true) {
            self.reads.remove(board);
        }
        Some(fleet)
    }

    pub(super) fn forget(&mut self, board: &Pubkey) {
        self.reads.remove(board);
    }

    /// Begins to read as many of these boards as may be read now: those first that did not fail lately.
    pub(super) fn begin(&mut self, mut boards: Vec<(BoardRef, Moment)>) {
        let now = Instant::now();
        self.paused
            .retain(|board, until| *until > now || boards.iter().any(|(other, _)| other.address == *board));
        boards.retain(|(board, _)| {
            !self.boards.contains(&board.address)
                && self.paused.get(&board.address).is_none_or(|until| *until <= now)
        });
        boards.sort_by_key(|(board, _)| self.paused.contains_key(&board.address));
        for (board, moment) in boards.into_iter().take(AT_ONCE.saturating_sub(self.under_way.len())) {
            self.boards.insert(board.address);
            let leases = self.leases.remove(&board.address).unwrap_or_default();
            let (rpc, limit) = (Arc::clone(&self.rpc), self.limit);
            self.under_way.spawn(read(rpc, board, leases, moment, limit).in_current_span());
        }
    }

    /// Waits until a read ends; for ever if none is under way. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) {
        match self.under_way.join_next().await {
            Some(done) => self.end(done.map_err(|error| SlotsError::Bug(error.to_string()))),
            None => std::future::pending().await,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Takes the reads that have ended.
    pub(super) fn take(&mut self) {
        while let Some(done) = self.under_way.try_join_next() {
            self.end(done.map_err(|error| SlotsError::Bug(error.to_string())));
        }
    }

    fn end(&mut self, done: Result<Done, SlotsError>) {
        let Done { board: BoardRef { address, index, .. }, leases, read } = match done {
            Ok(done) => done,
            Err(error) => {
                // Whose it was is not known any more.
                tracing::error!("reading slots: {error}");
                self.boards.clear();
                return;
            }
        };
        self.boards.remove(&address);
        self.leases.insert(address, leases);
        let error = match read {
            Ok((read, None)) => {
                if self.paused.remove(&address).is_some() {
                    info!("board {index} ({address}) can be read again");
                }
                self.failures.reset(&address);
                self.reads.insert(address, read);
                return;
            }
            Ok((read, Some(error))) => {
                self.reads.insert(address, read);
                format!(
                    "the leases and demands of board {index} ({address}) can't be read: {error}. The keeper probes and votes all the \
                     same; to settle leases and enforce demands it needs an RPC node that serves getProgramAccounts"
                )
            }
            Err(error) => format!("the slots of board {index} ({address}) can't be read: {error}"),
        };
        let pause = self.failures.fail(address, &error).min(self.longest_pause);
        self.paused.insert(address, Instant::now() + pause);
    }
}

async fn read(
    rpc: Arc<RpcClient>,
    board: BoardRef,
    mut leases: KnownLeases,
    moment: Moment,
    limit: Duration,
) -> Done {
    let read = slots(&rpc, &board, &mut leases, moment, limit).await;
    Done { board, leases, read }
}

/// Reads a board's slots, and what they name.
async fn slots(
    rpc: &RpcClient,
    board: &BoardRef,
    leases: &mut KnownLeases,
    Moment { now, is_poor }: Moment,
    limit: Duration,
) -> Result<(Read, Option<SlotsError>), SlotsError> {
    let fetch = Fetch::new(rpc);
    let fetched = timeout(limit, fetch.board(board.address)).await;
    let fetched = fetched.map_err(|_| SlotsError::Slow(limit))??;
    let view = fetched.view()?;
    let named = timeout(limit, async {
        leases.update(rpc, &board.address, &view).await?;
        let demands = demands(rpc, &board.address, &view).await?;
        Ok::<_, FetchError>((demands, indexes(&fetch, &board.address, view.header).await?))
    });
    let named = named.await.map_err(|_| SlotsError::Slow(limit)).and_then(|named| Ok(named?));
    let (named, error) = match named {
        Ok(named) => (named, None),
        Err(error) => (Default::default(), Some(error)),
    };
    let mut fleet = Fleet::of(&view, round_at(view.header, now), now, leases.by_serial());
    (fleet.demands, fleet.indexes) = named;
    let is_complete = error.is_some() || leases.is_complete(&view);
    let key = FleetKey::of(view.header, fleet.round, is_poor);
    Ok((Read { key, fleet: Arc::new(fleet), is_complete }, error))
}
