//! Publishes which lease runs on each machine, and what else the chain says.

use super::look::{Look, Looker};
use super::tools::Tools;
use super::trouble::Trouble;
use crate::Machine;
use crate::receipts::MachinesReceiver;
use crate::receipts::leases::{Leases, Meter, Place, RunningLease};
use crate::receipts::store::MachineKey;
use leasehold::constants::NOTICE_ROUNDS;
use leasehold::state::SlotState;
use leasehold_client::fetch::FetchError;
use solana_pubkey::Pubkey;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info};

/// The longest that one look may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Looks in each round at least.
const LOOKS: u32 = 10;
/// Shortest time between two looks.
const BREATH: Duration = Duration::from_millis(250);

/// Why a machine signs nothing although it is in this node's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Idle {
    NoSlot,
    OtherMachine,
    OtherSupplier,
    Barred,
    Behind { lease: u32 },
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Idle::NoSlot => write!(f, "the board has no such slot: check the configuration"),
            Idle::OtherMachine => {
                write!(f, "another machine is in the slot: check generation and key in the configuration")
            }
            Idle::OtherSupplier => {
                write!(f, "the machine is of another supplier than [chain] says: check the configuration")
            }
            Idle::Barred => {
                write!(f, "the machine lost its bond over a receipt: it can only leave the board")
            }
            Idle::Behind { lease } => write!(
                f,
                "the log has receipts of lease {lease} that this database has not: restore the database, for \
                 two receipts with one number cost the bond; nothing is signed in this lease until then"
            ),
        }
    }
}

/// Which lease runs on each machine. `behind`: machines whose database knows less than the log does of the
/// lease they are in.
pub fn leases(
    look: &Look,
    machines: &[Arc<Machine>],
    cluster: [u8; 8],
    supplier: &Pubkey,
    behind: &HashSet<MachineKey>,
) -> (Leases, HashMap<Place, Idle>) {
    let (mut leases, mut idle) = (Leases::default(), HashMap::new());
    for machine in machines {
        let Some(key) = MachineKey::of(machine) else { continue };
        let place = (key.board, key.slot);
        let running = running(look, machine, cluster, supplier, behind.contains(&key));
        leases.machines.insert(
            place,
            running.unwrap_or_else(|why| {
                idle.insert(place, why);
                None
            }),
        );
    }
    (leases, idle)
}

fn running(
    look: &Look,
    machine: &Machine,
    cluster: [u8; 8],
    supplier: &Pubkey,
    behind: bool,
) -> Result<Option<RunningLease>, Idle> {
    let place = u16::try_from(machine.slot).map(|slot| (machine.board, slot)).map_err(|_| Idle::NoSlot)?;
    let slot = look.slots.get(&place).ok_or(Idle::NoSlot)?;
    let board = look.boards.get(&machine.board).ok_or(Idle::NoSlot)?;
    let same = slot.generation == machine.generation
        && slot.node_key == machine.key.verifying_key().to_bytes()
        && !slot.is(SlotState::Vacant);
    if !same {
        return Err(Idle::OtherMachine);
    }
    if slot.supplier != *supplier {
        return Err(Idle::OtherSupplier);
    }
    if slot.is(SlotState::Barred) {
        return Err(Idle::Barred);
    }
    let Some((address, lease)) = look.lease(&place) else { return Ok(None) };
    if behind {
        return Err(Idle::Behind { lease: slot.lease });
    }
    Ok(Some(RunningLease {
        serial: slot.lease,
        address,
        buyer: lease.buyer,
        mint: board.board.market.payment_mint,
        cluster,
        class: slot.traits.class,
        from: slot.lease_from,
        until: slot.lease_until,
        round_secs: board.round_secs,
        generation: slot.generation,
        meter: lease.meter.map(|meter| Meter { spender: meter.spender, deposit: lease.deposit }),
    }))
}

/// How long until the next look: short rounds are looked at more often.
fn pause(look: &Look, poll: Duration) -> Duration {
    let shortest = look.boards.values().map(|board| board.round_secs).min();
    shortest.map_or(poll, |secs| poll.min(Duration::from_secs(secs.into()) / LOOKS)).max(BREATH)
}

/// How old the last look may be, in rounds, until a metered machine serves nobody. Notice may have been given
/// since, after which what is asked of it is paid for [`NOTICE_ROUNDS`] rounds at most.
const BLIND: u32 = NOTICE_ROUNDS / 2;

/// When the lease can't be relied on any more, if the chain is not looked at again.
fn expiry(lease: &RunningLease, looked: Instant) -> Option<Instant> {
    let blind = Duration::from_secs(lease.round_secs.into()).saturating_mul(BLIND);
    lease.meter.and_then(|_| looked.checked_add(blind))
}

/// Takes back leases that can't be relied on any more. Returns how many.
fn expire(leases: &mut Leases, looked: Instant, now: Instant) -> usize {
    let over = |lease: &RunningLease| expiry(lease, looked).is_some_and(|expiry| expiry <= now);
    let all = leases.machines.values_mut().filter(|lease| lease.as_ref().is_some_and(over));
    all.map(|lease| *lease = None).count()
}

/// Takes back leases when looks fail, for as long as it is polled.
async fn watch_looks(mut looks: watch::Receiver<Option<Arc<Look>>>, leases: watch::Sender<Arc<Leases>>) {
    loop {
        let looked = looks.borrow_and_update().as_ref().and_then(|look| look.begun);
        let next = looked.and_then(|looked| {
            let leases = leases.borrow();
            leases.machines.values().flatten().filter_map(|lease| expiry(lease, looked)).min()
        });
        let Some((looked, next)) = looked.zip(next) else {
            match looks.changed().await {
                Ok(()) => continue,
                Err(_) => return,
            }
        };
        tokio::select! {
            biased;
            changed = looks.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(next) => {
                let mut blind = 0;
                leases.send_if_modified(|published| {
                    blind = expire(Arc::make_mut(published), looked, Instant::now());
                    blind > 0
                });
                if blind > 0 {
                    error!(
                        machines = blind,
                        "the chain was not seen for {BLIND} rounds: metered machines serve nobody until it is"
                    );
                }
            }
        }
    }
}

/// What the watcher tells.
pub(super) struct Watcher {
    pub tools: Arc<Tools>,
    pub machines: MachinesReceiver,
    pub looks: watch::Sender<Option<Arc<Look>>>,
    pub leases: watch::Sender<Arc<Leases>>,
}

impl Watcher {
    /// Looks until `stop` says so, whatever goes wrong meanwhile.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let guard = watch_looks(self.looks.subscribe(), self.leases.clone());
        // In one task, so that no look is published while leases are taken back.
        tokio::select! {
            () = self.look_on(stop) => {}
            () = guard => {}
        }
    }

    async fn look_on(mut self, mut stop: watch::Receiver<bool>) {
        let (mut looker, mut trouble, mut told) = (Looker::default(), Trouble::default(), HashMap::new());
        let mut cluster = None;
        loop {
            let looked = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                looked = tokio::time::timeout(PATIENCE, self.look(&mut looker, &mut cluster)) => looked,
            };
            let wait = match looked {
                Ok(Ok((look, leases, idle))) => {
                    trouble.clear();
                    for ((board, slot), why) in
                        idle.iter().filter(|(place, why)| told.get(*place) != Some(*why))
                    {
                        error!(%board, slot, "{why}");
                    }
                    told = idle;
                    let wait = pause(&look, self.tools.settings.poll);
                    self.publish(look, leases);
                    wait
                }
                Ok(Err(error)) => {
                    self.tools.metrics.look_failed();
                    trouble.note(&error)
                }
                Err(_) => {
                    self.tools.metrics.look_failed();
                    trouble.note(&"the RPC node took too long to answer")
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                // Somebody sent a transaction, or the configuration was read again.
                () = self.tools.hurry.notified() => {}
                Ok(()) = self.machines.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn look(
        &mut self,
        looker: &mut Looker,
        cluster: &mut Option<[u8; 8]>,
    ) -> Result<(Look, Leases, HashMap<Place, Idle>), FetchError> {
        let Tools { rpc, settings, store, .. } = &*self.tools;
        let cluster = match *cluster {
            Some(cluster) => cluster,
            None => {
                let genesis = rpc.get_genesis_hash().await?;
                *cluster.insert(leasehold_client::record::cluster(&genesis))
            }
        };
        let machines = self.machines.borrow_and_update().clone();
        let look = looker.look(rpc, &settings.supplier, &machines).await?;
        let mut behind = HashSet::new();
        for key in machines.iter().filter_map(|machine| MachineKey::of(machine)) {
            let Some(slot) = look.slots.get(&(key.board, key.slot)) else { continue };
            let Some(lane) = look.lane((key.board, key.slot)) else { continue };
            if slot.lease == 0 || lane.lease != slot.lease {
                continue;
            }
            match store.tab(&key, slot.lease).await {
                Ok(tab) if tab.as_ref().map_or(0, |tab| tab.seq) >= lane.next_seq => {}
                Ok(_) => drop(behind.insert(key)),
                Err(error) => {
                    error!("{error}");
                    behind.insert(key);
                }
            }
        }
        let (leases, idle) = leases(&look, &machines, cluster, &settings.supplier, &behind);
        Ok((look, leases, idle))
    }

    fn publish(&self, look: Look, leases: Leases) {
        self.tools.metrics.looked(look.now);
        let changed = self.leases.send_if_modified(|published| {
            let changed = **published != leases;
            if changed {
                *published = Arc::new(leases);
            }
            changed
        });
        if changed {
            let leases = self.leases.borrow();
            let leased = leases.machines.values().flatten().count();
            info!(machines = leases.machines.len(), leased, "leases changed");
        }
        self.looks.send_replace(Some(Arc::new(look)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{PLACE, SUPPLIER, lease, look, machine, machine_key, tools};
    use super::*;
    use leasehold::state::LeaseState;

    /// The machine's lease, or why it has none.
    fn found(look: &Look, machine: Machine, behind: bool) -> Result<Option<RunningLease>, Idle> {
        let behind = behind.then(machine_key).into_iter().collect();
        let (leases, mut idle) = leases(look, &[Arc::new(machine)], [0xc1; 8], &SUPPLIER, &behind);
        match idle.remove(&PLACE) {
            Some(why) => Err(why),
            None => Ok(leases.machines[&PLACE].clone()),
        }
    }

    #[test]
    fn a_lease_is_published_with_what_receipts_need() {
        let meter = Meter { spender: Pubkey::new_from_array([0x59; 32]), deposit: 1_000 };
        let expected = RunningLease { meter: Some(meter), ..lease(5) };
        assert_eq!(found(&look(), machine(), false), Ok(Some(expected)));
    }

    #[test]
    fn leases_that_are_over_are_not() {
        let mut idle = look();
        idle.slots.get_mut(&PLACE).unwrap().lease = 0;
        assert_eq!(found(&idle, machine(), false), Ok(None));
        let mut settled = look();
        settled.leases.get_mut(&lease(5).address).unwrap().state = LeaseState::Settled;
        assert_eq!(found(&settled, machine(), false), Ok(None));
    }

    #[test]
    fn a_machine_that_is_not_the_listed_one_signs_nothing() {
        let other = Machine { generation: 1, ..machine() };
        assert_eq!(found(&look(), other, false), Err(Idle::OtherMachine));
        let key = leasehold_client::probe::SigningKey::from_bytes(&[7; 32]);
        assert_eq!(found(&look(), Machine { key, ..machine() }, false), Err(Idle::OtherMachine));
        let mut foreign = look();
        foreign.slots.get_mut(&PLACE).unwrap().supplier = Pubkey::default();
        assert_eq!(found(&foreign, machine(), false), Err(Idle::OtherSupplier));
        let mut barred = look();
        barred.slots.get_mut(&PLACE).unwrap().state = SlotState::Barred as u8;
        assert_eq!(found(&barred, machine(), false), Err(Idle::Barred));
        let mut none = look();
        none.slots.clear();
        assert_eq!(found(&none, machine(), false), Err(Idle::NoSlot));
    }

    #[test]
    fn no_number_is_given_twice_where_the_database_lost_some() {
        assert_eq!(found(&look(), machine(), true), Err(Idle::Behind { lease: 5 }));
    }

    #[test]
    fn short_rounds_are_looked_at_more_often() {
        let mut look = look();
        assert_eq!(pause(&look, Duration::from_secs(5)), Duration::from_secs(5));
        look.boards.values_mut().for_each(|board| board.round_secs = 10);
        assert_eq!(pause(&look, Duration::from_secs(5)), Duration::from_secs(1));
        assert_eq!(pause(&Look::default(), Duration::ZERO), BREATH);
    }

    /// The leases of two machines: a metered one, and one by the hour.
    fn two() -> Leases {
        let meter = Some(Meter { spender: Pubkey::new_from_array([0x59; 32]), deposit: 1_000 });
        let metered = RunningLease { meter, ..lease(5) };
        Leases { machines: [(PLACE, Some(metered)), ((PLACE.0, 4), Some(lease(6)))].into() }
    }

    #[test]
    fn metered_leases_end_where_notice_may_have_been_given() {
        let (looked, mut leases) = (Instant::now(), two());
        let later = |secs| looked + Duration::from_secs(secs);
        assert_eq!((expire(&mut leases, looked, later(1_799)), &leases), (0, &two()));
        assert_eq!(expire(&mut leases, looked, later(1_800)), 1);
        assert_eq!(leases.machines[&PLACE], None, "known, and in no lease");
        assert_eq!(leases.machines[&(PLACE.0, 4)], Some(lease(6)), "what was paid in advance is served");
        assert_eq!(expire(&mut leases, looked, later(9_999)), 0);
    }

    #[tokio::test]
    async fn leases_are_taken_back_when_looks_fail_and_not_before() {
        let mut short = two();
        short.machines.values_mut().flatten().for_each(|lease| lease.round_secs = 1);
        let looked = || Some(Arc::new(Look { begun: Some(Instant::now()), ..look() }));
        let (looks, _looked) = watch::channel(looked());
        let (leases, mut published) = watch::channel(Arc::new(short));
        let (stop, stopped) = watch::channel(false);
        let folder = tempfile::tempdir().unwrap();
        let tools = Arc::new(tools(folder.path()).await);
        let (_configuration, machines) = watch::channel(Arc::new(vec![Arc::new(machine())]));
        let watcher = Watcher { tools, machines, looks: looks.clone(), leases };
        let task = tokio::spawn(watcher.run(stopped));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let last = looked();
        let begun = last.as_ref().unwrap().begun.unwrap();
        looks.send_replace(last);
        tokio::time::timeout(Duration::from_secs(20), published.changed()).await.unwrap().unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(BLIND.into()), "{:?}", begun.elapsed());
        assert_eq!(published.borrow().machines[&PLACE], None);
        stop.send_replace(true);
        task.await.unwrap();
    }
}
