//! Polls the chain and works out which lease each machine serves.

use super::pauses::{self, Pauses};
use super::view::{Reader, View};
use super::{Leases, Meter, Metrics, Numbers, Place, RunningLease, expiry};
use crate::machines::{Machine, MachinesReceiver};
use crate::probes::Probes;
use leasehold::rules::meter;
use leasehold::state::SlotState;
use leasehold_client::record;
use leasehold_client::rpc::{CallTimeout, ClusterError, ClusterGuard, OtherCluster};
use leasehold_daemon::backoff::Backoff;
use leasehold_daemon::unix_secs;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tracing::{error, info};

/// Timeout of one poll.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout of one RPC request, but for boards with short rounds.
pub(super) const RPC_TIMEOUT: Duration = Duration::from_secs(15);
/// Shortest timeout of one RPC request: a quarter of a round, if that is longer.
const MIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Polls in each round at least.
const POLLS_PER_ROUND: u32 = 10;
/// Longest age of a view whose slots did not change: the header and the lease's deposit may have.
const VIEW_AGE: Duration = Duration::from_secs(60);
/// Shortest time between two polls.
const MIN_PAUSE: Duration = Duration::from_millis(250);

/// Why a configured machine can't serve any lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotServing {
    NoSlot,
    OtherMachine,
    OtherSupplier,
    Barred,
}

impl NotServing {
    /// True if the slot is not the configured machine's: the node does not answer probes for it.
    fn is_stranger(self) -> bool {
        matches!(self, Self::OtherMachine | Self::OtherSupplier)
    }
}

impl fmt::Display for NotServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSlot => "the board has no such slot: check `slot` and `board` in the configuration",
            Self::OtherMachine => {
                "another machine is in the slot: check `generation` and the key in the configuration"
            }
            Self::OtherSupplier => {
                "the machine belongs to another supplier: check `supplier` in [chain] of the configuration"
            }
            Self::Barred => "the machine lost its bond over a receipt and is barred: retire it",
        })
    }
}

/// The lease that each machine serves, and the reason for each machine that can't serve any.
pub fn leases(
    view: &View,
    machines: &[Arc<Machine>],
    cluster: [u8; 8],
    supplier: &Pubkey,
) -> (Leases, HashMap<Place, NotServing>) {
    let (mut leases, mut not_serving) = (Leases::default(), HashMap::new());
    for machine in machines {
        let Some(place) = machine.place() else { continue };
        let lease = running(view, machine, place, cluster, supplier).unwrap_or_else(|reason| {
            not_serving.insert(place, reason);
            None
        });
        leases.machines.insert(place, lease);
    }
    (leases, not_serving)
}

fn running(
    view: &View,
    machine: &Machine,
    place: Place,
    cluster: [u8; 8],
    supplier: &Pubkey,
) -> Result<Option<RunningLease>, NotServing> {
    let slot = view.slots.get(&place).ok_or(NotServing::NoSlot)?;
    let board = view.boards.get(&machine.board).ok_or(NotServing::NoSlot)?;
    let same = slot.generation == machine.generation
        && slot.node_key == machine.key.verifying_key().to_bytes()
        && !slot.is(SlotState::Vacant);
    if !same {
        return Err(NotServing::OtherMachine);
    }
    if slot.supplier != *supplier {
        return Err(NotServing::OtherSupplier);
    }
    if slot.is(SlotState::Barred) {
        return Err(NotServing::Barred);
    }
    let Some((address, lease)) = view.lease(&place) else { return Ok(None) };
    let header = &*board.header;
    let meter = lease.meter.map(|meter| Meter {
        spender: meter.spender,
        // Nothing, if the rule does not apply: before the lease begins, or with a clock far off.
        deposit: meter::voucher_limit(header, lease, slot, view.now).unwrap_or_default(),
        paid: meter.paid,
        units: meter.units,
    });
    Ok(Some(RunningLease {
        serial: slot.lease,
        address,
        buyer: lease.buyer,
        owner: lease.owner,
        supplier: slot.supplier,
        mint: board.board.market.payment_mint,
        cluster,
        class: slot.traits.class,
        begins: lease.from,
        from: slot.lease_from,
        until: slot.lease_until,
        round_secs: header.round_secs,
        phase_secs: header.phase_secs,
        generation: slot.generation,
        meter,
        numbers: Numbers::default(),
        paused: false,
    }))
}

/// How long a view is taken as it was read, if the slots of the machines did not change since. It is read ten times in a
/// round, like slots of boards with short rounds.
fn age(view: &View, poll: Duration) -> Duration {
    pause(view, VIEW_AGE).max(pause(view, poll))
}

/// The shortest round of the boards.
fn shortest_round(view: &View) -> Option<Duration> {
    let secs = view.boards.values().map(|board| board.header.round_secs).min()?;
    Some(Duration::from_secs(secs.into()))
}

/// How long until the next poll: boards with short rounds are polled more often.
fn pause(view: &View, poll: Duration) -> Duration {
    let pause = shortest_round(view).map_or(poll, |round| poll.min(round / POLLS_PER_ROUND));
    pause.max(MIN_PAUSE)
}

/// The task behind a [`LeaseWatch`](super::LeaseWatch).
pub(super) struct Watcher {
    pub rpc: Arc<RpcClient>,
    /// That of the RPC client.
    pub timeout: CallTimeout,
    /// Set if the RPC node is of another cluster than before.
    pub failed: watch::Sender<Option<OtherCluster>>,
    pub supplier: Pubkey,
    pub poll: Duration,
    pub machines: MachinesReceiver,
    pub views: watch::Sender<Option<Arc<View>>>,
    pub leases: watch::Sender<Arc<Leases>>,
    pub poll_now: Arc<Notify>,
    pub metrics: Arc<Metrics>,
    pub probes: Arc<Probes>,
}

impl Watcher {
    /// Polls until `stop` is true, through all failures.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let pauses = Arc::new(Pauses::new(self.probes.clone(), self.metrics.clone()));
        let expiry = expiry::run(self.views.subscribe(), self.leases.clone());
        let looks = pauses::run(pauses.clone(), self.leases.clone(), unix_secs);
        // In one task, so that no view is published while leases are withdrawn or paused.
        tokio::select! {
            () = self.poll_until(&pauses, stop) => {}
            () = expiry => {}
            () = looks => {}
        }
    }

    async fn poll_until(mut self, pauses: &Pauses, mut stop: watch::Receiver<bool>) {
        let (mut reader, mut backoff, mut logged) = (Reader::default(), Backoff::default(), HashMap::new());
        let (mut cluster, mut whole) = (ClusterGuard::default(), true);
        loop {
            let polled = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                polled = tokio::time::timeout(POLL_TIMEOUT, self.poll(&mut reader, &mut cluster, whole)) => polled,
            };
            whole = !matches!(polled, Ok(Ok(_)));
            let wait = match polled {
                Ok(Ok(None)) => {
                    backoff.reset();
                    self.last().map_or(self.poll, |view| pause(&view, self.poll))
                }
                Ok(Ok(Some((mut view, not_serving)))) => {
                    backoff.reset();
                    for ((board, slot), reason) in
                        not_serving.iter().filter(|(place, reason)| logged.get(*place) != Some(*reason))
                    {
                        error!(%board, slot, "{reason}");
                    }
                    self.probes.set_strangers(
                        not_serving
                            .iter()
                            .filter(|(_, reason)| reason.is_stranger())
                            .map(|((board, slot), _)| (*board, u32::from(*slot))),
                    );
                    logged = not_serving;
                    let wait = pause(&view, self.poll);
                    if let Some(round) = shortest_round(&view) {
                        backoff.set_window(round);
                        self.timeout.set((round / 4).clamp(MIN_TIMEOUT, RPC_TIMEOUT));
                    }
                    pauses.observe(&mut view, unix_secs());
                    self.publish(view);
                    wait
                }
                Ok(Err(ClusterError::Other(other))) => {
                    error!("{other}");
                    self.failed.send_replace(Some(other));
                    let _ = stop.wait_for(|stop| *stop).await;
                    return;
                }
                Ok(Err(ClusterError::Fetch(error))) => {
                    self.metrics.poll_failed();
                    cluster.doubt();
                    backoff.fail(&error)
                }
                Err(_) => {
                    self.metrics.poll_failed();
                    backoff.fail(&format!(
                        "the RPC node took longer than {} s to answer: choose another with `rpc` in [chain]",
                        POLL_TIMEOUT.as_secs()
                    ))
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                // A transaction was sent, or the configuration was reloaded.
                () = self.poll_now.notified() => {
                    reader.forget_log();
                    whole = true;
                }
                Ok(()) = self.machines.changed() => whole = true,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Reads a view, if `whole` or if the last one is old or its slots changed; else `None`.
    async fn poll(
        &mut self,
        reader: &mut Reader,
        cluster: &mut ClusterGuard,
        whole: bool,
    ) -> Result<Option<(View, HashMap<Place, NotServing>)>, ClusterError> {
        let machines = self.machines.borrow_and_update().clone();
        let last = self.last().filter(|_| !whole);
        let recent =
            last.filter(|view| view.begun.is_some_and(|begun| begun.elapsed() < age(view, self.poll)));
        if let Some(last) = recent
            && reader.is_unchanged(&self.rpc, &last, &machines).await?
        {
            return Ok(None);
        }
        let cluster = record::cluster(&cluster.confirm(&self.rpc).await?);
        let mut view = reader.read(&self.rpc, &self.supplier, &machines).await?;
        let (leases, not_serving) = leases(&view, &machines, cluster, &self.supplier);
        view.leases = leases;
        Ok(Some((view, not_serving)))
    }

    fn last(&self) -> Option<Arc<View>> {
        self.views.borrow().clone()
    }

    /// Publishes the leases before the view: `chain::signable` relies on this order.
    fn publish(&self, view: View) {
        self.metrics.polled(view.now);
        self.metrics.leased(view.leases.count());
        let changed = self.leases.send_if_modified(|published| {
            let changed = **published != view.leases;
            if changed {
                *published = Arc::new(view.leases.clone());
            }
            changed
        });
        if changed {
            info!(machines = view.leases.machines.len(), leased = view.leases.count(), "leases changed");
        }
        self.views.send_replace(Some(Arc::new(view)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::expiry::{BLIND, tests::two};
    use super::super::sample::{PLACE, SUPPLIER, lease, machine, metered_lease, unreachable_rpc, view};
    use super::*;
    use leasehold::state::LeaseState;
    use tokio::time::Instant;

    /// The machine's lease, or the reason why it can't serve any.
    fn found(view: &View, machine: Machine) -> Result<Option<RunningLease>, NotServing> {
        let (leases, mut not_serving) = leases(view, &[Arc::new(machine)], [0xc1; 8], &SUPPLIER);
        match not_serving.remove(&PLACE) {
            Some(reason) => Err(reason),
            None => Ok(leases.machines[&PLACE].clone()),
        }
    }

    #[test]
    fn a_lease_is_published_with_all_that_receipts_need() {
        assert_eq!(found(&view(), machine()), Ok(Some(metered_lease())));
    }

    #[test]
    fn leases_that_are_over_are_not_published() {
        let mut idle = view();
        idle.slots.get_mut(&PLACE).unwrap().lease = 0;
        assert_eq!(found(&idle, machine()), Ok(None));
        let mut settled = view();
        settled.accounts.get_mut(&lease(5).address).unwrap().state = LeaseState::Settled;
        assert_eq!(found(&settled, machine()), Ok(None));
    }

    #[test]
    fn a_machine_that_is_not_the_listed_one_serves_no_lease() {
        let other = Machine { generation: 1, ..machine() };
        assert_eq!(found(&view(), other), Err(NotServing::OtherMachine));
        let key = leasehold_client::probe::SigningKey::from_bytes(&[7; 32]);
        assert_eq!(found(&view(), Machine { key, ..machine() }), Err(NotServing::OtherMachine));
        let mut foreign = view();
        foreign.slots.get_mut(&PLACE).unwrap().supplier = Pubkey::default();
        assert_eq!(found(&foreign, machine()), Err(NotServing::OtherSupplier));
        let mut barred = view();
        barred.slots.get_mut(&PLACE).unwrap().state = SlotState::Barred as u8;
        assert_eq!(found(&barred, machine()), Err(NotServing::Barred));
        let mut none = view();
        none.slots.clear();
        assert_eq!(found(&none, machine()), Err(NotServing::NoSlot));
    }

    #[test]
    fn boards_with_short_rounds_are_polled_more_often() {
        let mut view = view();
        assert_eq!(pause(&view, Duration::from_secs(5)), Duration::from_secs(5));
        view.boards.values_mut().for_each(|board| Arc::make_mut(&mut board.header).round_secs = 10);
        assert_eq!(pause(&view, Duration::from_secs(5)), Duration::from_secs(1));
        assert_eq!(pause(&View::default(), Duration::ZERO), MIN_PAUSE);
        assert_eq!(age(&view, Duration::from_secs(5)), Duration::from_secs(1));
        view.boards.values_mut().for_each(|board| Arc::make_mut(&mut board.header).round_secs = 600);
        assert_eq!(age(&view, Duration::from_secs(5)), VIEW_AGE);
        assert_eq!(age(&view, Duration::from_secs(90)), Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn leases_are_withdrawn_when_polls_fail_and_not_before() {
        let read = || Some(Arc::new(View { begun: Some(Instant::now()), ..view() }));
        let (views, _received) = watch::channel(read());
        let (leases, mut published) = watch::channel(Arc::new(two()));
        let (stop, stopped) = watch::channel(false);
        let (_configuration, machines) = watch::channel(Arc::new(vec![Arc::new(machine())]));
        let watcher = Watcher {
            rpc: Arc::new(unreachable_rpc()),
            timeout: CallTimeout::new(RPC_TIMEOUT),
            failed: watch::channel(None).0,
            supplier: SUPPLIER,
            poll: Duration::from_secs(5),
            machines,
            views: views.clone(),
            leases,
            poll_now: Arc::default(),
            metrics: Arc::default(),
            probes: Arc::default(),
        };
        let task = tokio::spawn(watcher.run(stopped));
        tokio::time::sleep(BLIND / 2).await;
        let last = read();
        let begun = last.as_ref().unwrap().begun.unwrap();
        views.send_replace(last);
        tokio::time::timeout(2 * BLIND, published.changed()).await.unwrap().unwrap();
        assert!(begun.elapsed() >= BLIND, "{:?}", begun.elapsed());
        assert_eq!(published.borrow().machines[&PLACE], None);
        stop.send_replace(true);
        task.await.unwrap();
    }
}
