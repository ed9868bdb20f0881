//! State of this node's machines on the chain, read in one poll.

use super::{Leases, Place};
use crate::machines::Machine;
use leasehold::state::{Board, Lane, Lease, LeaseState, Slot};
use leasehold_client::account::Stored;
use leasehold_client::fetch::{Fetch, FetchError};
use leasehold_client::record::LogData;
use leasehold_client::{BoardRef, MarketRef, address};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// The most accounts of one `getMultipleAccounts`.
const ACCOUNTS: usize = 100;
/// Addresses of leases that are remembered.
const REMEMBERED: usize = 65_536;

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

/// Reads views; remembers the fields that never change.
#[derive(Default)]
pub(super) struct Reader {
    markets: HashMap<Pubkey, MarketRef>,
    /// Leases by board and serial: a serial does not tell the address.
    leases: HashMap<(Pubkey, u32), Pubkey>,
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
        let fetch = Fetch::new(rpc);
        let mut view = View {
            begun: Some(Instant::now()),
            now: fetch.now().await?,
            log: fetch.log(address::log(supplier)).await?.map(|log| log.account),
            ..View::default()
        };
        for board in machines.iter().map(|machine| machine.board).collect::<BTreeSet<_>>() {
            let fetched = fetch.board(board).await?;
            let read = fetched.view()?;
            let market = self.market(&fetch, read.header).await?;
            let up_votes = fetch.market(market.address).await?.account.params.up_votes;
            let header = Arc::new(*read.header);
            let known = KnownBoard { board: fetched.board_ref(&market)?, header, up_votes };
            view.boards.insert(board, known);
            for slot in machines.iter().filter(|machine| machine.board == board).map(|machine| machine.slot) {
                let place = u16::try_from(slot).ok().and_then(|slot| Some((slot, read.slot(slot)?)));
                view.slots.extend(place.map(|(index, slot)| ((board, index), *slot)));
            }
        }
        view.addresses = self.leases(&fetch, &view.slots).await?;
        view.accounts = lease_accounts(rpc, &view.addresses).await?;
        Ok(view)
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

    async fn market(&mut self, fetch: &Fetch<'_>, board: &Board) -> Result<MarketRef, FetchError> {
        if let Some(market) = self.markets.get(&board.market) {
            return Ok(*market);
        }
        let market = fetch.market_ref(board.market).await?;
        self.markets.insert(board.market, market);
        Ok(market)
    }
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
