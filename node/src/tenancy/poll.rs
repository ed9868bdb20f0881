//! Reads the leases of a node's machines for their tenancies: confirmed with each poll, and finalized while a machine waits
//! for the end of a tenancy.
//!
//! Besides its usual polls it looks shortly before and after the edge of each round: leases begin and end there.

use super::metrics::Metrics;
use super::sight::{Access, Finalized, Lease, LeaseId};
use crate::leases::{Place, ViewReceiver};
use crate::machines::{Machine, MachinesReceiver};
use leasehold::math::settlement::Leaving;
use leasehold::rules::round;
use leasehold::state::{Lease as Account, LeaseState, Slot, SlotState};
use leasehold_client::account::Stored;
use leasehold_client::clock;
use leasehold_client::fetch::{AsOf, Fetch, FetchError, Head};
use leasehold_client::probe::Pubkey;
use leasehold_daemon::backoff::Backoff;
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// More bytes than a lease's account has.
const LEASE_LEN: usize = 65_536;
/// Timeout of one poll.
const POLL_TIMEOUT: Duration = Duration::from_secs(20);
/// Polls in each round at least, and the shortest time between two.
const POLLS_PER_ROUND: u32 = 10;
const MIN_PAUSE: Duration = Duration::from_millis(250);
/// Looks so many seconds before an edge, so that an extension in time cuts nobody, and after it.
const BEFORE: i64 = 2;
const AFTER: i64 = 1;

/// Tenancies whose ends are to be read at `finalized`.
pub type Awaited = BTreeMap<Place, LeaseId>;

/// Result of one poll.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When the poll began.
    pub asked: Instant,
    /// Solana slot as of which everything is, or a later one.
    pub slot: u64,
    /// Unix second of the cluster's clock, read first.
    pub now: i64,
    /// The lease of each machine.
    pub machines: HashMap<Place, Option<Lease>>,
    pub finalized: HashMap<Place, (LeaseId, Finalized)>,
}

/// A board, as far as rounds and names go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rounds {
    index: u32,
    round_secs: u32,
    phase_secs: u32,
}

type Boards = HashMap<Pubkey, Rounds>;

/// What is kept from one poll to the next.
#[derive(Default)]
struct Memory {
    /// Addresses of leases by board and serial, which does not tell them.
    known: HashMap<(Pubkey, u32), Pubkey>,
    /// Failures to read what is finalized.
    finalized: Backoff,
}

/// Polls the chain.
pub struct Poller {
    pub rpc: Arc<RpcClient>,
    /// Account of the machines' supplier.
    pub supplier: Pubkey,
    pub poll: Duration,
    pub machines: MachinesReceiver,
    /// Views of the lease watch, which knows the boards.
    pub views: ViewReceiver,
    pub awaited: watch::Receiver<Awaited>,
    pub readings: watch::Sender<Option<Arc<Reading>>>,
    pub metrics: Arc<Metrics>,
}

impl Poller {
    /// Polls until it is dropped.
    pub async fn run(mut self) {
        let (mut memory, mut backoff) = (Memory::default(), Backoff::default());
        loop {
            let boards = self.boards();
            if boards.is_empty() {
                // The lease watch tells in the log why it reads nothing.
                if self.views.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let wait = match timeout(POLL_TIMEOUT, self.read(&boards, &mut memory)).await {
                Ok(Ok(reading)) => {
                    backoff.reset();
                    let wait = pause(&boards, self.poll, reading.now, reading.asked.elapsed());
                    self.readings.send_replace(Some(Arc::new(reading)));
                    wait
                }
                Ok(Err(error)) => self.fail(&mut backoff, &boards, &error),
                Err(_) => {
                    self.fail(&mut backoff, &boards, &"the RPC node took too long to answer for tenancies")
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                Ok(()) = self.awaited.changed() => {}
                Ok(()) = self.machines.changed() => {}
            }
        }
    }

    fn fail(&self, backoff: &mut Backoff, boards: &Boards, error: &dyn std::fmt::Display) -> Duration {
        self.metrics.poll_failed();
        let shortest = boards.values().map(|board| board.round_secs).min().unwrap_or(u32::MAX);
        backoff.set_window(Duration::from_secs(shortest.into()));
        backoff.fail(error).min(self.poll.max(MIN_PAUSE))
    }

    fn boards(&mut self) -> Boards {
        let Some(view) = self.views.borrow_and_update().clone() else { return Boards::new() };
        let rounds = |known: &crate::leases::KnownBoard| Rounds {
            index: known.board.index,
            round_secs: known.header.round_secs,
            phase_secs: known.header.phase_secs,
        };
        view.boards.iter().map(|(address, known)| (*address, rounds(known))).collect()
    }

    async fn read(&mut self, boards: &Boards, memory: &mut Memory) -> Result<Reading, FetchError> {
        let asked = Instant::now();
        let machines = self.machines.borrow_and_update().clone();
        let awaited = self.awaited.borrow_and_update().clone();
        let fetch = Fetch::new(&self.rpc);
        let addresses: Vec<_> = memory.known.values().copied().collect();
        let (slot, now, accounts) = accounts(&fetch, &addresses).await?;
        let places = places(machines.iter().filter_map(|machine| machine.place()), boards);
        let slots = slots(&fetch, &places, slot).await?;
        let mut reading = Reading { asked, slot, now, machines: HashMap::new(), finalized: HashMap::new() };
        let mut found = HashMap::new();
        for machine in machines.iter() {
            let Some(place) = machine.place().filter(|place| boards.contains_key(&place.0)) else { continue };
            let slot = slots.get(&place).filter(|slot| is_served(slot, machine, &self.supplier));
            let lease = match slot {
                Some(slot) => {
                    self.lease(&fetch, place, slot, boards, &memory.known, &mut found, &accounts).await?
                }
                None => None,
            };
            reading.machines.insert(place, lease);
        }
        memory.known = found;
        if !awaited.is_empty() {
            // Only wipes wait for it: what is confirmed counts without it.
            match self.finalized(&machines, &awaited, boards).await {
                Ok(finalized) => {
                    memory.finalized.reset();
                    reading.finalized = finalized;
                }
                Err(error) => {
                    self.metrics.poll_failed();
                    memory.finalized.fail(&error);
                }
            }
        }
        Ok(reading)
    }

    /// The lease that a slot is in; `None` if it is settled.
    #[expect(clippy::too_many_arguments, reason = "one place where all of a poll's parts meet")]
    async fn lease(
        &self,
        fetch: &Fetch<'_>,
        place: Place,
        slot: &Slot,
        boards: &Boards,
        known: &HashMap<(Pubkey, u32), Pubkey>,
        found: &mut HashMap<(Pubkey, u32), Pubkey>,
        accounts: &HashMap<Pubkey, Account>,
    ) -> Result<Option<Lease>, FetchError> {
        let Some(rounds) = boards.get(&place.0).filter(|_| slot.lease != 0) else { return Ok(None) };
        let named = (place.0, slot.lease);
        if let Some(address) = known.get(&named)
            && let Some(account) = accounts.get(address).filter(|account| account.serial == slot.lease)
        {
            found.insert(named, *address);
            return Ok(lease(rounds, slot, *address, account));
        }
        let Some(fetched) = fetch.lease_of(&place.0, slot.lease).await? else { return Ok(None) };
        found.insert(named, fetched.address);
        Ok(lease(rounds, slot, fetched.address, &fetched.account))
    }

    /// The leases of machines that wait for their end.
    async fn finalized(
        &self,
        machines: &[Arc<Machine>],
        awaited: &Awaited,
        boards: &Boards,
    ) -> Result<HashMap<Place, (LeaseId, Finalized)>, FetchError> {
        let fetch = Fetch::new(&self.rpc).with_commitment(CommitmentConfig::finalized());
        let addresses: Vec<_> = awaited.values().map(|id| id.address).collect();
        let (slot, now, accounts) = accounts(&fetch, &addresses).await?;
        let slots = slots(&fetch, &places(awaited.keys().copied(), boards), slot).await?;
        let mut finalized = HashMap::new();
        for machine in machines {
            let Some(place) = machine.place() else { continue };
            let (Some(id), Some(rounds)) = (awaited.get(&place), boards.get(&place.0)) else { continue };
            let held = slots.get(&place).filter(|slot| is_served(slot, machine, &self.supplier));
            let held = held.filter(|slot| slot.lease == id.serial).zip(accounts.get(&id.address));
            let lease = held
                .filter(|(_, account)| account.serial == id.serial)
                .and_then(|(slot, account)| lease(rounds, slot, id.address, account));
            finalized.insert(place, (*id, Finalized { slot, now, lease }));
        }
        Ok(finalized)
    }
}

/// Solana slot, the cluster's clock, and accounts of leases; those that do not exist are left out.
async fn accounts(
    fetch: &Fetch<'_>,
    addresses: &[Pubkey],
) -> Result<(u64, i64, HashMap<Pubkey, Account>), FetchError> {
    let named: Vec<_> = [clock::ADDRESS].iter().chain(addresses).copied().collect();
    let AsOf { slot, value: heads } = fetch.heads(&named, LEASE_LEN).await?;
    let mut heads = heads.into_iter();
    let now =
        heads.next().flatten().and_then(|head| clock::unix_time(&head.data)).ok_or(FetchError::Clock)?;
    let owned = heads.flatten().filter(|head| head.owner == leasehold::ID);
    let decode = |head: Head| match Account::decode(&head.data) {
        Ok(account) => Ok((head.address, account)),
        Err(error) => Err(FetchError::Decode { address: head.address, error }),
    };
    Ok((slot, now, owned.map(decode).collect::<Result<_, _>>()?))
}

/// Slots as of Solana slot `since` or later: no older than the clock.
async fn slots(
    fetch: &Fetch<'_>,
    places: &BTreeMap<Pubkey, BTreeSet<u16>>,
    since: u64,
) -> Result<HashMap<Place, Slot>, FetchError> {
    let mut found = HashMap::new();
    for (board, numbers) in places {
        let AsOf { slot, value } = fetch.slots(*board, numbers.iter().copied()).await?;
        if slot < since {
            return Err(FetchError::Behind { address: *board });
        }
        found.extend(value.into_iter().map(|(number, slot)| ((*board, number), slot)));
    }
    Ok(found)
}

fn places(all: impl Iterator<Item = Place>, boards: &Boards) -> BTreeMap<Pubkey, BTreeSet<u16>> {
    let mut places = BTreeMap::<_, BTreeSet<_>>::new();
    for (board, slot) in all.filter(|(board, _)| boards.contains_key(board)) {
        places.entry(board).or_default().insert(slot);
    }
    places
}

/// True if the slot is the configured machine's, and the machine was neither forfeited nor barred.
fn is_served(slot: &Slot, machine: &Machine, supplier: &Pubkey) -> bool {
    slot.generation == machine.generation
        && slot.node_key == machine.key.verifying_key().to_bytes()
        && slot.supplier == *supplier
        && !slot.is(SlotState::Vacant)
        && !matches!(slot.leaving(), Leaving::Forfeited | Leaving::Barred)
}

/// A machine's lease. It ends by the slot: with the round in which it was cancelled, replaced or given notice.
fn lease(rounds: &Rounds, slot: &Slot, address: Pubkey, account: &Account) -> Option<Lease> {
    if account.state == LeaseState::Settled {
        return None;
    }
    let start = |round| round::start(rounds.round_secs, rounds.phase_secs, round);
    Some(Lease {
        id: LeaseId { address, serial: slot.lease },
        board: rounds.index,
        access: account.access.map(Access),
        access_epoch: account.access_epoch,
        data_epoch: account.data_epoch,
        begins: start(slot.lease_from),
        ends: start(slot.lease_until),
    })
}

/// How long until the next poll: until shortly before or after the next edge of a round at most. `now` was the cluster's
/// clock `ago`.
fn pause(boards: &Boards, poll: Duration, now: i64, ago: Duration) -> Duration {
    let looks = boards.values().flat_map(|board| {
        let (length, phase) = (i64::from(board.round_secs.max(1)), i64::from(board.phase_secs));
        [-BEFORE, AFTER].map(|offset| {
            let since = now.saturating_sub(phase).saturating_sub(offset).rem_euclid(length);
            u64::try_from(length.saturating_sub(since)).unwrap_or_default()
        })
    });
    let look = looks.min().map_or(poll, Duration::from_secs).saturating_sub(ago);
    let shortest = boards.values().map(|board| Duration::from_secs(board.round_secs.into())).min();
    poll.min(shortest.map_or(poll, |round| round / POLLS_PER_ROUND)).min(look).max(MIN_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::sample as chain;

    fn rounds() -> Rounds {
        Rounds { index: 1, round_secs: 600, phase_secs: 7 }
    }

    fn slot() -> Slot {
        chain::view().slots[&chain::PLACE]
    }

    #[test]
    fn a_lease_begins_and_ends_by_its_slot() {
        let account = chain::metered();
        let found = lease(&rounds(), &slot(), chain::address(5), &account).unwrap();
        assert_eq!((found.begins, found.ends), (600_007, 660_007));
        assert_eq!((found.id.serial, found.board), (5, 1));
        let left = Slot { lease_until: 1_011, ..slot() };
        assert_eq!(lease(&rounds(), &left, chain::address(5), &account).unwrap().ends, 606_607);
        let settled = Account { state: LeaseState::Settled, ..account };
        assert_eq!(lease(&rounds(), &slot(), chain::address(5), &settled), None);
    }

    #[test]
    fn forfeited_and_barred_machines_and_other_ones_serve_nobody() {
        let (machine, slot) = (chain::machine(), slot());
        let served = |slot: Slot| is_served(&slot, &machine, &chain::SUPPLIER);
        assert!(served(slot));
        for state in [SlotState::Suspended, SlotState::Barred, SlotState::Vacant] {
            assert!(!served(Slot { state: state as u8, ..slot }), "{state:?}");
        }
        assert!(!served(Slot { generation: 3, ..slot }));
        assert!(!served(Slot { node_key: [9; 32], ..slot }));
        assert!(!served(Slot { supplier: Pubkey::default(), ..slot }));
    }

    #[test]
    fn the_board_is_read_shortly_before_and_after_each_edge() {
        let boards: Boards = [(chain::BOARD, rounds())].into();
        let wait = |now, poll| pause(&boards, Duration::from_secs(poll), now, Duration::ZERO).as_secs();
        // Edges are at 600,007, 600,607 and so on.
        assert_eq!([600_000, 600_004, 600_005, 600_007, 600_008].map(|now| wait(now, 30)), [5, 1, 3, 1, 30]);
        assert_eq!(wait(600_100, 5), 5);
        assert_eq!(wait(600_100, 900), 60, "ten times in a round");
        assert_eq!(pause(&boards, Duration::ZERO, 600_100, Duration::ZERO), MIN_PAUSE);
        assert_eq!(
            pause(&boards, Duration::from_secs(30), 600_000, Duration::from_secs(2)),
            Duration::from_secs(3),
            "the reading is two seconds old"
        );
    }
}
