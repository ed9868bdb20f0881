//! State of this node's machines on the chain, read in one poll.
//!
//! A node reads no board as a whole, but its header and the slots of its own machines. Slots are read with every poll, all
//! else if they changed, or once in a while.

use super::{Leases, Place};
use crate::machines::Machine;
use leasehold::constants::MAX_SLOTS;
use leasehold::state::{Board, LANES_OFFSET, Lane, Lease, LeaseState, Slot};
use leasehold_client::account::{DecodeError, Stored};
use leasehold_client::board::{HEAD_LEN, header};
use leasehold_client::fetch::{AsOf, Fetch, FetchError, Head};
use leasehold_client::record::LogData;
use leasehold_client::{BoardRef, MarketRef, address, clock};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The most accounts of one `getMultipleAccounts`.
const ACCOUNTS: usize = 100;
/// Addresses of leases that are remembered.
const REMEMBERED: usize = 65_536;
/// Bytes that are read of a board and of the log: the header of each.
const HEADER: usize = HEAD_LEN;
const _: () = assert!(HEADER >= LANES_OFFSET);
/// How long a market's parameters are taken as they were read. They change by timelock.
const MARKET_AGE: Duration = Duration::from_secs(600);
/// How many times slots are read if the RPC node gives older ones than the board's header, and the pause between.
const READINGS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(400);

/// Receiving end of the views; `None` before the first poll.
pub type ViewReceiver = watch::Receiver<Option<Arc<View>>>;

/// Result of one poll.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// When the poll began: transactions sent later are not in it.
    pub begun: Option<Instant>,
    /// Unix seconds of the cluster's clock.
    pub now: i64,
    /// The supplier's log; `None` if there is none.
    pub log: Option<LogData>,
    pub boards: HashMap<Pubkey, KnownBoard>,
    /// Slots of this node's machines.
    pub slots: HashMap<Place, Slot>,
    /// Addresses of the leases that those slots are in, by board and serial.
    pub addresses: HashMap<(Pubkey, u32), Pubkey>,
    /// Accounts of these leases, by address.
    pub accounts: HashMap<Pubkey, Lease>,
    /// The leases that the machines serve.
    pub leases: Leases,
}

/// A board at the last poll.
#[derive(Clone, Debug)]
pub struct KnownBoard {
    pub board: BoardRef,
    /// Its votes of the running round and its sums are not read, and zero.
    pub header: Arc<Board>,
    /// Votes that make a machine up.
    pub up_votes: u8,
}

impl View {
    /// Lane of the log for a slot: how many batches and receipts of the machine it has. `None` if the log has no such
    /// lane. A new lane if the last batch was of a machine that was in the slot before.
    pub fn lane(&self, (board, slot): Place) -> Option<Lane> {
        let index = self.boards.get(&board)?.board.index;
        let mut lane = *self.log.as_ref()?.lane(index, slot)?;
        lane.adopt(self.slots.get(&(board, slot))?);
        Some(lane)
    }

    /// Account of the lease that a slot is in; `None` if it is settled.
    pub fn lease(&self, place: &Place) -> Option<(Pubkey, &Lease)> {
        let slot = self.slots.get(place).filter(|slot| slot.lease != 0)?;
        let address = *self.addresses.get(&(place.0, slot.lease))?;
        let lease = self.accounts.get(&address).filter(|lease| lease.state != LeaseState::Settled)?;
        Some((address, lease))
    }
}

/// A market as it was read last.
#[derive(Clone, Copy)]
struct KnownMarket {
    market: MarketRef,
    up_votes: u8,
    read: Instant,
}

/// Reads views; remembers what never or seldom changes.
#[derive(Default)]
pub(super) struct Reader {
    markets: HashMap<Pubkey, KnownMarket>,
    /// Leases by board and serial: a serial does not tell the address.
    leases: HashMap<(Pubkey, u32), Pubkey>,
    /// The log, for as long as its header stays the same.
    log: Option<LogData>,
    /// Solana slot as of which each board's slots were read.
    read_at: HashMap<Pubkey, u64>,
}

impl Reader {
    /// Reads everything once; [`View::leases`] is left empty.
    ///
    /// # Errors
    /// Any [`FetchError`].
    pub async fn read(
        &mut self,
        rpc: &RpcClient,
        supplier: &Pubkey,
        machines: &[Arc<Machine>],
    ) -> Result<View, FetchError> {
        let (fetch, begun) = (Fetch::new(rpc), Instant::now());
        let places = places(machines);
        let named = [clock::ADDRESS, address::log(supplier)];
        let addresses: Vec<_> = named.into_iter().chain(places.keys().copied()).collect();
        let AsOf { slot: read_at, value: heads } = fetch.heads(&addresses, HEADER).await?;
        let mut heads = heads.into_iter();
        let mut next = || heads.next().flatten();
        let now = next().and_then(|head| clock::unix_time(&head.data)).ok_or(FetchError::Clock)?;
        let mut view = View { begun: Some(begun), now, ..View::default() };
        view.log = self.log(&fetch, next()).await?;
        for (board, numbers) in places {
            let head = next().ok_or(FetchError::Missing { address: board })?;
            let header = require_header(board, &head)?;
            let KnownMarket { market, up_votes, .. } = self.market(&fetch, header.market).await?;
            // After the header, so that they hold the verdicts of every round that it calls closed.
            let slots = slots(&fetch, board, &numbers, read_at).await?;
            self.read_at.insert(board, slots.slot);
            view.slots.extend(slots.value.into_iter().map(|(number, slot)| ((board, number), slot)));
            let reference = BoardRef { address: board, index: header.index, market };
            view.boards.insert(board, KnownBoard { board: reference, header: header.into(), up_votes });
        }
        view.addresses = self.leases(&fetch, &view.slots).await?;
        view.accounts = lease_accounts(rpc, &view.addresses).await?;
        Ok(view)
    }

    /// True if the slots of the machines are as in the view, or the RPC node gives an older state.
    ///
    /// # Errors
    /// Any [`FetchError`].
    pub async fn is_unchanged(
        &self,
        rpc: &RpcClient,
        view: &View,
        machines: &[Arc<Machine>],
    ) -> Result<bool, FetchError> {
        let fetch = Fetch::new(rpc);
        for (board, numbers) in places(machines) {
            let AsOf { slot, value } = fetch.slots(board, numbers.iter().copied()).await?;
            let is_older = self.read_at.get(&board).is_some_and(|read_at| slot < *read_at);
            if !is_older
                && numbers.iter().any(|number| value.get(number) != view.slots.get(&(board, *number)))
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Forgets the log, whose lanes may change without its header.
    pub fn forget_log(&mut self) {
        self.log = None;
    }

    async fn log(&mut self, fetch: &Fetch<'_>, head: Option<Head>) -> Result<Option<LogData>, FetchError> {
        let Some(head) = head else { return Ok(None) };
        let same = |log: &LogData| {
            let header = log.bytes().get(..LANES_OFFSET);
            header.is_some() && header == head.data.get(..LANES_OFFSET)
        };
        if !self.log.as_ref().is_some_and(same) {
            self.log = fetch.log(head.address).await?.map(|log| log.account);
        }
        Ok(self.log.clone())
    }

    /// Addresses of the leases that slots are in. A lease whose account is gone has none.
    async fn leases(
        &mut self,
        fetch: &Fetch<'_>,
        slots: &HashMap<Place, Slot>,
    ) -> Result<HashMap<(Pubkey, u32), Pubkey>, FetchError> {
        if self.leases.len() > REMEMBERED {
            self.leases.clear();
        }
        let mut found = HashMap::new();
        for ((board, _), slot) in slots.iter().filter(|(_, slot)| slot.lease != 0) {
            let named = (*board, slot.lease);
            if !self.leases.contains_key(&named)
                && let Some(lease) = fetch.lease_of(board, slot.lease).await?
            {
                self.leases.insert(named, lease.address);
            }
            found.extend(self.leases.get(&named).map(|address| (named, *address)));
        }
        Ok(found)
    }

    async fn market(&mut self, fetch: &Fetch<'_>, address: Pubkey) -> Result<KnownMarket, FetchError> {
        let known = self.markets.get(&address).copied();
        if let Some(known) = known.filter(|known| known.read.elapsed() < MARKET_AGE) {
            return Ok(known);
        }
        let (read, up_votes) = (Instant::now(), fetch.market(address).await?.account.params.up_votes);
        let market = match known {
            Some(known) => known.market,
            None => fetch.market_ref(address).await?,
        };
        let known = KnownMarket { market, up_votes, read };
        self.markets.insert(address, known);
        Ok(known)
    }
}

/// Slots of the machines, by board. Those that no board can have are left out.
fn places(machines: &[Arc<Machine>]) -> BTreeMap<Pubkey, BTreeSet<u16>> {
    let mut places = BTreeMap::<_, BTreeSet<_>>::new();
    for machine in machines {
        let numbers = places.entry(machine.board).or_default();
        numbers.extend(u16::try_from(machine.slot).ok().filter(|slot| usize::from(*slot) < MAX_SLOTS));
    }
    places
}

fn require_header(board: Pubkey, head: &Head) -> Result<Box<Board>, FetchError> {
    let header = if head.owner == leasehold::ID {
        header(&head.data)
    } else {
        Err(DecodeError::Owner { owner: head.owner })
    };
    header.map_err(|error| FetchError::Decode { address: board, error })
}

/// Slots as of Solana slot `since` or later.
async fn slots(
    fetch: &Fetch<'_>,
    board: Pubkey,
    numbers: &BTreeSet<u16>,
    since: u64,
) -> Result<AsOf<BTreeMap<u16, Slot>>, FetchError> {
    for _ in 0..READINGS {
        let slots = fetch.slots(board, numbers.iter().copied()).await?;
        if slots.slot >= since {
            return Ok(slots);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(FetchError::Behind { address: board })
}

/// Accounts of leases.
async fn lease_accounts(
    rpc: &RpcClient,
    addresses: &HashMap<(Pubkey, u32), Pubkey>,
) -> Result<HashMap<Pubkey, Lease>, FetchError> {
    let addresses: BTreeSet<_> = addresses.values().copied().collect();
    let addresses: Vec<_> = addresses.into_iter().collect();
    let mut leases = HashMap::new();
    for some in addresses.chunks(ACCOUNTS) {
        let accounts = rpc.get_multiple_accounts(some).await?;
        for (address, account) in some.iter().zip(accounts) {
            // Only the program can create an account at this address.
            let Some(account) = account.filter(|account| account.owner == leasehold::ID) else { continue };
            let decoded = Lease::decode(&account.data);
            let lease = decoded.map_err(|error| FetchError::Decode { address: *address, error })?;
            leases.insert(*address, lease);
        }
    }
    Ok(leases)
}
