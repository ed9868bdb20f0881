//! Reads the chain.
//!
//! A poll takes two RPC requests: one for the market and the keeper's accounts, one for the headers of all boards. A board's
//! slots are up to 1.1 MB, so they are read only when a round begins, and when a lease was opened or a round closed,
//! which may have made a lease due; while the keeper pool is low, also when somebody was paid. The accounts of leases and
//! demands that the slots name are read with them, see [`super::leases`].

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use anchor_lang::Discriminator;
use futures::future::join_all;
use leasehold::state::{Board, Keeper, Market, Params, SLOTS_OFFSET, split};
use leasehold_client::{
    BoardRef, MarketRef,
    account::{DecodeError, Stored},
    clock,
    fetch::{Fetch, FetchError},
};
use leasehold_daemon::backoff::Backoffs;
use solana_account_decoder_client_types::{UiAccount, UiAccountEncoding, UiDataSliceConfig};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::{client_error::Error as RpcError, config::RpcAccountInfoConfig};
use tokio::time::timeout;

use super::{
    BoardSnapshot, Fleet, Snapshot,
    leases::{BATCH, KnownLeases, demands, indexes},
    round_at,
};
use crate::clock::ClusterClock;

/// Bytes of a token account that hold the amount.
const TOKEN_AMOUNT: std::ops::Range<usize> = 64..72;
/// Timeout of one poll.
const POLL_TIMEOUT: Duration = Duration::from_secs(20);

/// Why the chain could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("there is no market at {0} on this cluster: check --market and --rpc")]
    NoMarket(Pubkey),
    #[error("{address}: {error}")]
    Decode { address: Pubkey, error: DecodeError },
    #[error("the market's mints can't be read: {0}")]
    Mints(FetchError),
    #[error("the RPC node did not return the cluster's clock: check --rpc")]
    NoClock,
    #[error("the RPC node does not answer: {0}")]
    Rpc(#[from] Box<RpcError>),
    #[error("the RPC node took longer than {} s to answer: try another --rpc", POLL_TIMEOUT.as_secs())]
    Slow,
}

impl From<RpcError> for ReadError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(Box::new(error))
    }
}

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
    reference: Option<MarketRef>,
    /// Addresses of boards by number: each takes some microseconds to derive.
    addresses: HashMap<u32, Pubkey>,
    fleets: HashMap<Pubkey, (FleetKey, Arc<Fleet>)>,
    leases: HashMap<Pubkey, KnownLeases>,
    failures: Backoffs<Pubkey>,
}

/// A board's slots are read again when this changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FleetKey {
    round: u32,
    /// First round not closed, and serial of the next lease; `None` while there are no leases.
    leases: Option<(u32, u32)>,
    /// Payment units that machines earned and did not claim; `None` unless running leases are settled.
    accrued: Option<u64>,
}

impl FleetKey {
    /// `is_poor`: running leases are settled to fill the keeper pool.
    fn of(header: &Board, round: u32, is_poor: bool) -> Self {
        let leases = (header.leases > 0).then_some((header.next_round, header.next_serial));
        let accrued = is_poor.then_some(header.ledger.accrued).filter(|_| leases.is_some());
        Self { round, leases, accrued }
    }
}

impl Reader {
    pub fn new(
        rpc: Arc<RpcClient>,
        me: Pubkey,
        market: Pubkey,
        boards: Option<BTreeSet<u32>>,
        crank: bool,
    ) -> Self {
        Self {
            rpc,
            me,
            market,
            boards,
            crank,
            clock: ClusterClock::default(),
            reference: None,
            addresses: HashMap::new(),
            fleets: HashMap::new(),
            leases: HashMap::new(),
            failures: Backoffs::default(),
        }
    }

    /// Unix time of the cluster in milliseconds; `None` before the first reading.
    pub fn now_ms(&self) -> Option<i64> {
        self.clock.now_ms()
    }

    /// Has a board's slots read again with the next snapshot.
    pub fn forget(&mut self, board: &Pubkey) {
        self.fleets.remove(board);
    }

    /// Reads a snapshot. A board that can't be read is logged and left out.
    ///
    /// # Errors
    /// Any [`ReadError`].
    pub async fn read(&mut self) -> Result<Snapshot, ReadError> {
        timeout(POLL_TIMEOUT, self.poll()).await.map_err(|_| ReadError::Slow)?
    }

    async fn poll(&mut self) -> Result<Snapshot, ReadError> {
        let market = self.reference().await?;
        let mut snapshot = self.market(market).await?;
        let headers = self.headers(&mut snapshot).await?;
        snapshot.now_ms = self.clock.now_ms().ok_or(ReadError::NoClock)?;
        snapshot.boards = self.with_fleets(headers, &snapshot.params, snapshot.now_ms).await;
        Ok(snapshot)
    }

    /// The fields of the market that never change; read once.
    async fn reference(&mut self) -> Result<MarketRef, ReadError> {
        if let Some(reference) = self.reference {
            return Ok(reference);
        }
        let reference = Fetch::new(&self.rpc).market_ref(self.market).await.map_err(|error| match error {
            FetchError::Missing { address } if address == self.market => ReadError::NoMarket(address),
            FetchError::Decode { address, error } => ReadError::Decode { address, error },
            FetchError::Rpc(error) => ReadError::Rpc(error),
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
        self.clock.note(now.ok_or(ReadError::NoClock)?);
        let account = next().ok_or(ReadError::NoMarket(market.address))?;
        let state: Market = decode(market.address, &account)?;
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

    /// The headers of all boards that exist.
    async fn headers(&mut self, snapshot: &mut Snapshot) -> Result<Vec<BoardSnapshot>, ReadError> {
        let wanted = |index: &u32| self.boards.as_ref().is_none_or(|boards| boards.contains(index));
        let boards: Vec<_> = (0..snapshot.next_board)
            .filter(wanted)
            .map(|index| match self.addresses.get(&index) {
                Some(address) => BoardRef { address: *address, index, market: snapshot.market },
                None => snapshot.market.board(index),
            })
            .collect();
        self.addresses.extend(boards.iter().map(|board| (board.index, board.address)));
        let mut headers = Vec::with_capacity(boards.len());
        for batch in boards.chunks(BATCH) {
            let addresses: Vec<_> = batch.iter().map(|board| board.address).collect();
            let accounts = self.accounts(&addresses, Some(SLOTS_OFFSET)).await?;
            for (board, account) in batch.iter().zip(accounts) {
                // A board that was closed leaves nothing behind.
                let Some(account) = account else {
                    if self.boards.is_some() {
                        snapshot.missing.push(board.index);
                    }
                    continue;
                };
                match header(&account) {
                    Some(header) => headers.push(BoardSnapshot { board: *board, header, fleet: None }),
                    None => {
                        let error = format!(
                            "board {} has a layout that this keeper does not know: update the keeper",
                            board.index
                        );
                        self.failures.fail(board.address, &error);
                    }
                }
            }
        }
        Ok(headers)
    }

    /// Adds the slots of the boards that the keeper works on.
    async fn with_fleets(
        &mut self,
        mut boards: Vec<BoardSnapshot>,
        params: &Params,
        now_ms: i64,
    ) -> Vec<BoardSnapshot> {
        let now = now_ms.div_euclid(1_000);
        let mut unread = Vec::new();
        for board in &mut boards {
            let works = self.crank || board.seat_of(&self.me).is_some();
            if !works {
                continue;
            }
            let key = FleetKey::of(&board.header, board.round_at(now), board.is_poor(params));
            match self.fleets.get(&board.board.address) {
                Some((known, fleet)) if *known == key => board.fleet = Some(Arc::clone(fleet)),
                _ => {
                    let leases = self.leases.remove(&board.board.address).unwrap_or_default();
                    unread.push((board, leases));
                }
            }
        }
        let rpc = &self.rpc;
        let reads = unread.into_iter().map(|(board, mut leases)| async move {
            let read = read_slots(rpc, &board.board, &mut leases, now).await;
            (board, leases, read)
        });
        for (board, leases, read) in join_all(reads).await {
            let address = board.board.address;
            self.leases.insert(address, leases);
            match read {
                Ok(Slots { header, fleet, error, is_complete }) => {
                    match error {
                        None => self.failures.reset(&address),
                        Some(error) => {
                            let index = board.board.index;
                            let error = format!("the leases of board {index} can't be read: {error}");
                            self.failures.fail(address, &error);
                        }
                    }
                    board.header = header;
                    if is_complete {
                        let key = FleetKey::of(&board.header, fleet.round, board.is_poor(params));
                        self.fleets.insert(address, (key, Arc::clone(&fleet)));
                    }
                    board.fleet = Some(fleet);
                }
                Err(error) => {
                    let error = format!("the slots of board {} can't be read: {error}", board.board.index);
                    self.failures.fail(address, &error);
                }
            }
        }
        boards
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

/// What a board's slots show, with the header of the same moment.
struct Slots {
    header: Box<Board>,
    fleet: Arc<Fleet>,
    /// Why leases and demands could not be read. The machines are probed all the same.
    error: Option<FetchError>,
    /// False if the account of a lease was not found: then the slots are read again with the next poll.
    is_complete: bool,
}

/// Reads a board's slots, and what they name, at Unix time `now`.
async fn read_slots(
    rpc: &RpcClient,
    board: &BoardRef,
    leases: &mut KnownLeases,
    now: i64,
) -> Result<Slots, FetchError> {
    let fetched = Fetch::new(rpc).board(board.address).await?;
    let view = fetched.view()?;
    let named = async {
        leases.update(rpc, &board.address, &view).await?;
        let demands = demands(rpc, &board.address, &view).await?;
        Ok((demands, indexes(&Fetch::new(rpc), &board.address, view.header).await?))
    };
    let (named, error) = match named.await {
        Ok(named) => (named, None),
        Err(error) => (Default::default(), Some(error)),
    };
    let mut fleet = Fleet::of(&view, round_at(view.header, now), now, leases.by_serial());
    (fleet.demands, fleet.indexes) = named;
    let is_complete = error.is_some() || leases.is_complete(&view);
    Ok(Slots { header: Box::new(*view.header), fleet: Arc::new(fleet), error, is_complete })
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

/// A board's header, from an account that is cut off after it.
fn header(account: &UiAccount) -> Option<Box<Board>> {
    let data = data(account).filter(|data| data.starts_with(Board::DISCRIMINATOR))?;
    let (header, _) = split(&data).ok()?;
    (header.version == Board::VERSION).then(|| Box::new(*header))
}

fn u64_at(account: &UiAccount, place: std::ops::Range<usize>) -> Option<u64> {
    let data = account.data.decode()?;
    data.get(place)?.try_into().ok().map(u64::from_le_bytes)
}
