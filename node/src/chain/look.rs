//! What the chain says about this node's machines, read at one time.

use crate::Machine;
use crate::receipts::leases::Place;
use leasehold::state::{Board, Lane, Lease, LeaseState, Slot};
use leasehold_client::account::Stored;
use leasehold_client::fetch::{Fetch, FetchError};
use leasehold_client::record::LogData;
use leasehold_client::{BoardRef, MarketRef, address};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::time::Instant;

/// Accounts in one question: the most a node answers.
const ACCOUNTS: usize = 100;

/// One look at the chain.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// When it began: what was sent later is not in it.
    pub begun: Option<Instant>,
    /// Unix seconds of the cluster's clock.
    pub now: i64,
    /// The supplier's log, if there is one.
    pub log: Option<LogData>,
    pub boards: HashMap<Pubkey, BoardLook>,
    /// Slots in which this node has machines, of those boards that exist.
    pub slots: HashMap<Place, Slot>,
    /// Leases of those slots that are not settled and closed.
    pub leases: HashMap<Pubkey, Lease>,
}

/// What is needed of a board.
#[derive(Clone, Copy, Debug)]
pub struct BoardLook {
    pub board: BoardRef,
    pub round_secs: u32,
}

impl Look {
    /// Where the log stands with a machine: its batches and numbers. Nothing, where it has no lane for the
    /// slot; a new lane, where the last batch was of a machine that was in the slot before.
    pub fn lane(&self, (board, slot): Place) -> Option<Lane> {
        let index = self.boards.get(&board)?.board.index;
        let mut lane = *self.log.as_ref()?.lane(index, slot)?;
        lane.adopt(self.slots.get(&(board, slot))?);
        Some(lane)
    }

    /// The lease that the slot is in, if it is not settled.
    pub fn lease(&self, place: &Place) -> Option<(Pubkey, &Lease)> {
        let slot = self.slots.get(place).filter(|slot| slot.lease != 0)?;
        let address = address::lease(&place.0, u64::from(slot.lease));
        let lease = self.leases.get(&address).filter(|lease| lease.state != LeaseState::Settled)?;
        Some((address, lease))
    }
}

/// Looks at the chain again and again; remembers what never changes.
#[derive(Default)]
pub struct Looker {
    markets: HashMap<Pubkey, MarketRef>,
}

impl Looker {
    /// Reads everything once.
    ///
    /// # Errors
    /// Any [`FetchError`].
    pub async fn look(
        &mut self,
        rpc: &RpcClient,
        supplier: &Pubkey,
        machines: &[Arc<Machine>],
    ) -> Result<Look, FetchError> {
        let fetch = Fetch::new(rpc);
        let mut look = Look {
            begun: Some(Instant::now()),
            now: fetch.now().await?,
            log: fetch.log(address::log(supplier)).await?.map(|log| log.account),
            ..Look::default()
        };
        for board in machines.iter().map(|machine| machine.board).collect::<BTreeSet<_>>() {
            let fetched = fetch.board(board).await?;
            let view = fetched.view()?;
            let market = self.market(&fetch, view.header).await?;
            let known = BoardLook { board: fetched.board_ref(&market)?, round_secs: view.header.round_secs };
            look.boards.insert(board, known);
            for slot in machines.iter().filter(|machine| machine.board == board).map(|machine| machine.slot) {
                let place = u16::try_from(slot).ok().and_then(|slot| Some((slot, view.slot(slot)?)));
                look.slots.extend(place.map(|(index, slot)| ((board, index), *slot)));
            }
        }
        look.leases = leases(rpc, &look.slots).await?;
        Ok(look)
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
async fn leases(rpc: &RpcClient, slots: &HashMap<Place, Slot>) -> Result<HashMap<Pubkey, Lease>, FetchError> {
    let leased = slots.iter().filter(|(_, slot)| slot.lease != 0);
    let addresses: BTreeSet<_> =
        leased.map(|((board, _), slot)| address::lease(board, u64::from(slot.lease))).collect();
    let addresses: Vec<_> = addresses.into_iter().collect();
    let mut leases = HashMap::new();
    for some in addresses.chunks(ACCOUNTS) {
        let accounts = rpc.get_multiple_accounts(some).await?;
        for (address, account) in some.iter().zip(accounts) {
            // The address is the program's own, so nobody else has put anything there.
            let Some(account) = account.filter(|account| account.owner == leasehold::ID) else { continue };
            let decoded = Lease::decode(&account.data);
            let lease = decoded.map_err(|error| FetchError::Decode { address: *address, error })?;
            leases.insert(*address, lease);
        }
    }
    Ok(leases)
}
