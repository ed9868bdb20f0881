//! Reads the chain.
//!
//! A poll takes two RPC requests: one for the market and the keeper's accounts, one for the headers of all boards. A board's
//! slots are up to 1.1 MB, so they are read only when a round begins, and when a lease was opened or a round closed,
//! which may have made a lease due; while the keeper pool is low, also when somebody was paid. They are read beside the
//! polls, see [`super::slots`], together with the accounts of leases and demands that they name, see [`super::leases`].

mod error;
mod headers;

pub use error::ReadError;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use leasehold::state::{Keeper, Market, Params};
use leasehold_client::{
    MarketRef,
    account::Stored,
    clock,
    fetch::{Fetch, FetchError},
};
use leasehold_daemon::backoff::Backoffs;
use solana_account_decoder_client_types::{UiAccount, UiAccountEncoding, UiDataSliceConfig};
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::{
    client_error::{Error as RpcError, ErrorKind},
    config::RpcAccountInfoConfig,
    request::RpcError as Answer,
};
use tokio::time::timeout;

use super::{
    BoardSnapshot, FleetKey, Limits, Snapshot,
    leases::BATCH,
    slots::{Moment, SlotReads},
};
use crate::clock::ClusterClock;

/// Codes of RPC nodes that are behind or limit the rate of requests.
const BUSY: [i64; 3] = [-32_005, -32_429, 429];
/// Bytes of a token account that hold the amount.
const TOKEN_AMOUNT: std::ops::Range<usize> = 64..72;

/// Reads snapshots for one keeper.
pub struct Reader {
    rpc: Arc<RpcClient>,
    me: Pubkey,
    market: Pubkey,
    /// Numbers of the boards to read; `None`: all.
    boards: Option<BTreeSet<u32>>,
    /// True to work also on boards where the keeper has no seat.
    crank: bool,
    clock: ClusterClock,
    /// Latest reading of the clock, and whether the last one was later than all before it.
    latest: i64,
    advanced: bool,
    reference: Option<MarketRef>,
    /// Addresses of boards by number: each takes some microseconds to derive.
    addresses: HashMap<u32, Pubkey>,
    slots: SlotReads,
    limits: Limits,
    /// Accounts of one request: fewer where the RPC node does not take as many as it should.
    batch: usize,
    /// Genesis hash of the RPC node's cluster, and whether it was asked for since the last failure.
    genesis: Option<Hash>,
    cluster_checked: bool,
    failures: Backoffs<Trouble>,
}

/// What may fail while the rest is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Trouble {
    /// A board's layout.
    Layout(Pubkey),
    /// Headers of some boards.
    Headers,
    Genesis,
}

impl Reader {
    pub fn new(
        rpc: Arc<RpcClient>,
        me: Pubkey,
        market: Pubkey,
        boards: Option<BTreeSet<u32>>,
        crank: bool,
    ) -> Self {
        let limits = Limits::default();
        Self {
            slots: SlotReads::new(Arc::clone(&rpc), limits.read, limits.pause),
            limits,
            batch: BATCH,
            genesis: None,
            cluster_checked: false,
            rpc,
            me,
            market,
            boards,
            crank,
            clock: ClusterClock::default(),
            latest: i64::MIN,
            advanced: false,
            reference: None,
            addresses: HashMap::new(),
            failures: Backoffs::default(),
        }
    }

    /// Unix time of the cluster in milliseconds; `None` before the first reading.
    pub fn now_ms(&self) -> Option<i64> {
        self.clock.now_ms()
    }

    /// Unix time of the cluster in milliseconds at a past moment, by all that was read since.
    pub fn ms_at(&self, at: Instant) -> Option<i64> {
        self.clock.ms_at(at)
    }

    /// True if the cluster's clock had gone on at the last poll.
    pub fn has_advanced(&self) -> bool {
        self.advanced
    }

    /// Has a board's slots read again with the next snapshot.
    pub fn forget(&mut self, board: &Pubkey) {
        self.slots.forget(board);
    }

    /// Limits of time, by the boards on which this keeper votes.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Waits until the slots of a board have arrived or could not be read, so that it is worth to poll; for ever if none are
    /// being read.
    pub async fn arrived(&mut self) {
        self.slots.next().await;
    }

    /// Reads a snapshot, without the slots that have not arrived yet. A board that can't be read is logged and left out.
    ///
    /// # Errors
    /// Any [`ReadError`].
    pub async fn read(&mut self) -> Result<Snapshot, ReadError> {
        let limit = self.limits.read;
        let read = timeout(limit, self.poll()).await.unwrap_or(Err(ReadError::Slow(limit)));
        if read.is_err() {
            // Whoever answers after a failure may be another.
            self.cluster_checked = false;
        }
        read
    }

    /// Reads a snapshot with the slots of all boards, as far as they can be read.
    ///
    /// # Errors
    /// Any [`ReadError`].
    pub async fn read_all(&mut self) -> Result<Snapshot, ReadError> {
        loop {
            let snapshot = self.read().await?;
            if self.slots.is_idle() {
                return Ok(snapshot);
            }
            while !self.slots.is_idle() {
                self.slots.next().await;
            }
        }
    }

    async fn poll(&mut self) -> Result<Snapshot, ReadError> {
        self.check_cluster().await?;
        let market = self.reference().await?;
        let mut snapshot = self.market(market).await?;
        let mut boards = self.headers(&mut snapshot).await?;
        snapshot.now_ms = self.clock.now_ms().ok_or(ReadError::NoClock)?;
        self.add_fleets(&mut boards, &snapshot.params, snapshot.now_ms);
        snapshot.boards = boards;
        Ok(snapshot)
    }

    /// Asks for the cluster's genesis hash: at first, and after failures.
    async fn check_cluster(&mut self) -> Result<(), ReadError> {
        if self.cluster_checked {
            return Ok(());
        }
        match self.rpc.get_genesis_hash().await {
            Ok(now) => {
                self.failures.reset(&Trouble::Genesis);
                self.cluster_checked = true;
                match self.genesis.replace(now) {
                    Some(before) if before != now => Err(ReadError::ClusterChanged { before, now }),
                    _ => Ok(()),
                }
            }
            // Asked again in the next poll.
            Err(error) if is_busy(&error) => Ok(()),
            // A provider may have switched the method off.
            Err(error) if matches!(error.kind(), ErrorKind::RpcError(Answer::RpcResponseError { .. })) => {
                let error = FetchError::from(error);
                let line = format!("cannot check which cluster this is by getGenesisHash: {error}");
                self.failures.fail(Trouble::Genesis, &line);
                self.cluster_checked = true;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The fields of the market that never change; read once.
    async fn reference(&mut self) -> Result<MarketRef, ReadError> {
        if let Some(reference) = self.reference {
            return Ok(reference);
        }
        let reference = Fetch::new(&self.rpc).market_ref(self.market).await.map_err(|error| match error {
            FetchError::Missing { address } if address == self.market => ReadError::NoMarket(address),
            FetchError::Decode { address, error } => ReadError::Decode { address, error },
            error @ FetchError::Rpc(_) => ReadError::Rpc(error),
            error => ReadError::Mints(error),
        })?;
        self.reference = Some(reference);
        Ok(reference)
    }

    /// The market, the keeper's accounts, and the time.
    async fn market(&mut self, market: MarketRef) -> Result<Snapshot, ReadError> {
        let wanted = [
            clock::ADDRESS,
            market.address,
            market.keeper(&self.me),
            self.me,
            market.stake_account(&self.me),
        ];
        let mut accounts = self.accounts(&wanted, None).await?.into_iter();
        let mut next = || accounts.next().flatten();

        let now = next().and_then(|account| clock::unix_time(&account.data.decode()?));
        let now = now.ok_or(ReadError::NoClock)?;
        self.advanced = now > self.latest;
        self.latest = self.latest.max(now);
        self.clock.note(now);
        let account = next().ok_or(ReadError::NoMarket(market.address))?;
        let state: Market = decode(market.address, &account)?;
        let genesis = Hash::new_from_array(state.genesis);
        if let Some(node) = self.genesis.filter(|node| *node != genesis) {
            return Err(ReadError::OtherCluster { market: genesis, node });
        }
        let keeper = next().map(|account| decode::<Keeper>(market.keeper(&self.me), &account)).transpose();
        let wanted = self.boards.iter().flatten().copied();
        Ok(Snapshot {
            now_ms: 0,
            me: self.me,
            market,
            authority: state.authority,
            round_secs: state.rules.round_secs,
            params: state.params,
            // Others can send lamports to this address, but not create the account.
            keeper: keeper.ok().flatten(),
            lamports: next().map_or(0, |account| account.lamports),
            stake: next().and_then(|account| u64_at(&account, TOKEN_AMOUNT)).unwrap_or_default(),
            next_board: state.next_board,
            boards: Vec::new(),
            missing: wanted.filter(|board| *board >= state.next_board).collect(),
        })
    }

    /// Adds the slots of the boards that the keeper works on, as far as they were read, and has the others read.
    fn add_fleets(&mut self, boards: &mut [BoardSnapshot], params: &Params, now_ms: i64) {
        let now = now_ms.div_euclid(1_000);
        let me = self.me;
        let works = |board: &BoardSnapshot| self.crank || board.seat_of(&me).is_some();
        if let Some(limits) = Limits::of(boards.iter().filter(|board| works(board))) {
            self.limits = limits;
            (self.slots.limit, self.slots.longest_pause) = (limits.read, limits.pause);
        }
        self.slots.take();
        let mut unread = Vec::new();
        for board in boards.iter_mut().filter(|board| works(board)) {
            let is_poor = board.is_poor(params);
            let key = FleetKey::of(&board.header, board.round_at(now), is_poor);
            board.fleet = self.slots.get(&board.board.address, key);
            if board.fleet.is_none() {
                unread.push((board.board, Moment { now, is_poor }));
            }
        }
        self.slots.begin(unread);
    }

    /// Accounts, or their first `length` bytes.
    async fn accounts(
        &self,
        addresses: &[Pubkey],
        length: Option<usize>,
    ) -> Result<Vec<Option<UiAccount>>, ReadError> {
        let config = RpcAccountInfoConfig {
            encoding: Some(UiAccountEncoding::Base64Zstd),
            data_slice: length.map(|length| UiDataSliceConfig { offset: 0, length }),
            ..RpcAccountInfoConfig::default()
        };
        Ok(self.rpc.get_multiple_ui_accounts_with_config(addresses, config).await?.value)
    }
}

/// True if an RPC node is behind, or limits the rate of requests, by its code.
fn is_busy(error: &RpcError) -> bool {
    matches!(error.kind(), ErrorKind::RpcError(Answer::RpcResponseError { code, .. }) if BUSY.contains(code))
}

/// The data of an account of this program.
fn data(account: &UiAccount) -> Option<Vec<u8>> {
    let ours = account.owner.parse::<Pubkey>() == Ok(leasehold::ID);
    account.data.decode().filter(|_| ours)
}

fn decode<T: Stored>(address: Pubkey, account: &UiAccount) -> Result<T, ReadError> {
    let data = data(account).unwrap_or_default();
    <T as Stored>::decode(&data).map_err(|error| ReadError::Decode { address, error })
}

fn u64_at(account: &UiAccount, place: std::ops::Range<usize>) -> Option<u64> {
    let data = account.data.decode()?;
    data.get(place)?.try_into().ok().map(u64::from_le_bytes)
}
