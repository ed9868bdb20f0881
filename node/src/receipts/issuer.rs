//! Finds the machine and the lease of a request, and keeps what is not yet signed for within its limit.

use super::leases::{LeasesReceiver, RunningLease};
use super::refusal::Refusal;
use super::store::{MachineKey, NewReceipt, Store, Work};
use crate::Machine;
use leasehold_client::probe::Pubkey;
use leasehold_client::record::SignedReceipt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The machines that are served, as the configuration says now.
pub type MachinesReceiver = watch::Receiver<Arc<Vec<Arc<Machine>>>>;

/// What API and proxy issue receipts with.
#[derive(Debug)]
pub struct Issuer {
    pub(crate) store: Store,
    pub(crate) leases: LeasesReceiver,
    pub(crate) machines: MachinesReceiver,
    /// Most payment units of unsigned use of a metered lease.
    pub(crate) limit: u64,
    /// What answers under way may cost at most, by lease.
    held: Arc<Mutex<HashMap<Pubkey, u64>>>,
}

/// An answer under way: counts as used until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    held: Arc<Mutex<HashMap<Pubkey, u64>>>,
    lease: Pubkey,
    price: u64,
}

impl Issuer {
    pub fn new(store: Store, leases: LeasesReceiver, machines: MachinesReceiver, limit: u64) -> Self {
        Self { store, leases, machines, limit, held: Arc::default() }
    }

    /// The machine that is meant; without a slot the only one.
    pub(crate) fn machine(&self, slot: Option<u32>, board: Option<Pubkey>) -> Result<Arc<Machine>, Refusal> {
        let machines = self.machines.borrow();
        let fits = |machine: &&Arc<Machine>| {
            slot.is_none_or(|slot| machine.slot == slot) && board.is_none_or(|board| machine.board == board)
        };
        let mut found = machines.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(machine), None) => Ok(machine.clone()),
            (Some(_), Some(_)) => Err(Refusal::SeveralMachines),
            (None, _) => Err(Refusal::NoSuchMachine(slot.unwrap_or_default())),
        }
    }

    /// The lease that runs on the machine at that time, Unix milliseconds.
    pub(crate) fn lease(&self, machine: &Machine, unix_ms: u64) -> Result<Arc<RunningLease>, Refusal> {
        let leases = self.leases.borrow();
        let lease = leases.running(machine, unix_ms).ok_or(Refusal::NoLease(machine.slot))?;
        Ok(Arc::new(lease.clone()))
    }

    /// Admits an answer that costs no more than that price, if the limit bears it beside all that are under
    /// way. As far as that is true of each of them, many at once stay within the limit; beyond it they go by
    /// what the inference server makes beyond the limits that it was given.
    pub(crate) async fn hold(
        &self,
        machine: &Machine,
        lease: &RunningLease,
        price: u64,
    ) -> Result<Option<Hold>, Refusal> {
        let Some(meter) = lease.meter else { return Ok(None) };
        // Before the tab is read: an answer that is held no more is on the tab by then.
        let (hold, others) = {
            let mut held = lock(&self.held);
            let sum = held.entry(lease.address).or_default();
            let others = *sum;
            *sum = sum.saturating_add(price);
            (Hold { held: self.held.clone(), lease: lease.address, price: *sum - others }, others)
        };
        let key = MachineKey::of(machine).ok_or(Refusal::NoSuchMachine(machine.slot))?;
        let allowance = match self.store.tab(&key, lease.serial).await? {
            Some(tab) => tab.allowance(self.limit, meter.deposit),
            None => {
                let voucher = self.store.best_voucher(&lease.address, lease.from).await?;
                let signed = voucher.map_or(0, |signed| signed.voucher.price);
                signed.saturating_add(self.limit).min(meter.deposit)
            }
        };
        if price > allowance.saturating_sub(others) { Err(Refusal::Exhausted) } else { Ok(Some(hold)) }
    }

    /// Signs for an answer. `limited` where the answer can still be kept back.
    pub(crate) async fn issue(
        &self,
        machine: Arc<Machine>,
        lease: Arc<RunningLease>,
        work: Work,
        limited: bool,
    ) -> Result<SignedReceipt, Refusal> {
        let receipt = NewReceipt { machine, lease, work, limit: limited.then_some(self.limit) };
        let signed = self.store.append(vec![receipt]).await?;
        signed.first().copied().ok_or(Refusal::NotFound("there is no receipt"))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        if let Some(sum) = held.get_mut(&self.lease) {
            *sum = sum.saturating_sub(self.price);
            if *sum == 0 {
                held.remove(&self.lease);
            }
        }
    }
}

// A panic elsewhere leaves the sums whole: each change is one assignment.
fn lock(held: &Mutex<HashMap<Pubkey, u64>>) -> MutexGuard<'_, HashMap<Pubkey, u64>> {
    held.lock().unwrap_or_else(|error| error.into_inner())
}

/// Unix milliseconds, now.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
