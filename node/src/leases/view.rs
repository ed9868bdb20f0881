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
    /// Accounts of the leases that those slots are in, by address.
    pub accounts: HashMap<Pubkey, Lease>,
    /// The leases that the machines serve.
    pub leases: Leases,
}

/// The fields of a board that never change.
#[derive(Clone, Copy, Debug)]
pub struct KnownBoard {
    pub board: BoardRef,
    pub round_secs: u32,
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
        let address = address::lease(&place.0, u64::from(slot.lease));
        let lease = self.accounts.get(&address).filter(|lease| lease.state != LeaseState::Settled)?;
        Some((address, lease))
    }
}

/// Reads views; remembers the fields that never change.
#[derive(Default)]
pub(super) struct Reader {
    markets: HashMap<Pubkey, MarketRef>,
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
            let known = KnownBoard { board: fetched.board_ref(&market)?, round_secs: read.header.round_secs };
            view.boards.insert(board, known);
            for slot in machines.iter().filter(|machine| machine.board == board).map(|machine| machine.slot) {
                let place = u16::try_from(slot).ok().and_then(|slot| Some((slot, read.slot(slot)?)));
                view.slots.extend(place.map(|(index, slot)| ((board, index), *slot)));
            }
        }
        view.accounts = lease_accounts(rpc, &view.slots).await?;
        Ok(view)
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

/// Accounts of the leases that slots are in.
async fn lease_accounts(
    rpc: &RpcClient,
    slots: &HashMap<Place, Slot>,
) -> Result<HashMap<Pubkey, Lease>, FetchError> {
    let leased = slots.iter().filter(|(_, slot)| slot.lease != 0);
    let addresses: BTreeSet<_> =
        leased.map(|((board, _), slot)| address::lease(board, u64::from(slot.lease))).collect();
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
