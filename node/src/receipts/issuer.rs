//! Finds the machine and the lease of a request, and keeps unsigned use within the exposure limit.

use super::refusal::Refusal;
use super::store::{MachineKey, NewReceipt, Store, StoreError, Work};
use crate::leases::{LeasesReceiver, RunningLease};
use crate::machines::{Machine, MachinesReceiver};
use leasehold_client::probe::Pubkey;
use leasehold_client::record::SignedReceipt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Numbers that are kept for answers under way: no new ones are begun if fewer are left.
const UNDER_WAY: u64 = 1 << 12;

/// Issues receipts for the API and the proxy.
#[derive(Debug)]
pub struct Issuer {
    pub(crate) store: Store,
    /// Leases for which receipts may be signed.
    pub(crate) leases: LeasesReceiver,
    pub(crate) machines: MachinesReceiver,
    /// Exposure limit: the most payment units that a metered lease may use before its buyer signs for them.
    pub(crate) limit: u64,
    /// The most that answers under way may cost, by lease.
    held: Arc<Mutex<HashMap<Pubkey, u64>>>,
}

/// Credit for an answer under way: counts as used until it is dropped.
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

    /// Finds a machine by slot and board; without a slot, the only one.
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

    /// The lease that runs on the machine at that time, in Unix milliseconds.
    pub(crate) fn lease(&self, machine: &Machine, unix_ms: u64) -> Result<Arc<RunningLease>, Refusal> {
        let leases = self.leases.borrow();
        let lease = leases.running(machine, unix_ms).ok_or(Refusal::NoLease(machine.slot))?;
        Ok(Arc::new(lease.clone()))
    }

    /// Reserves credit for an answer that costs at most `price`; `None` if the lease is not metered. Refuses it also if no
    /// numbers are left for it. Answers under way exceed the exposure limit only as far as the inference server exceeds the token limits that it was given.
    pub(crate) async fn hold(
        &self,
        machine: &Machine,
        lease: &RunningLease,
        price: u64,
    ) -> Result<Option<Hold>, Refusal> {
        // Before the tab is read: an answer whose hold is dropped is on the tab by then.
        let held = lease.meter.map(|meter| (meter, self.reserve(lease.address, price)));
        let key = MachineKey::of(machine).ok_or(Refusal::NoSuchMachine(machine.slot))?;
        let tab = self.store.tab(&key, lease.serial).await?;
        let limit = lease.numbers.limit;
        if tab.as_ref().is_some_and(|tab| tab.seq.saturating_add(UNDER_WAY) > limit) {
            return Err(StoreError::NumbersUsedUp { limit }.into());
        }
        let Some((meter, (hold, others))) = held else { return Ok(None) };
        let allowance = match tab {
            Some(tab) => tab.allowance(self.limit, &meter),
            None => {
                let voucher = self.store.best_voucher(&lease.address, lease.from).await?;
                let signed = voucher.map_or(0, |signed| signed.voucher.price).max(meter.paid);
                signed.saturating_add(self.limit).min(meter.deposit).saturating_sub(meter.paid)
            }
        };
        if price > allowance.saturating_sub(others) { Err(Refusal::Exhausted) } else { Ok(Some(hold)) }
    }

    /// Reserves credit. Returns what others have reserved.
    fn reserve(&self, lease: Pubkey, price: u64) -> (Hold, u64) {
        let mut held = lock(&self.held);
        let sum = held.entry(lease).or_default();
        let others = *sum;
        *sum = sum.saturating_add(price);
        (Hold { held: self.held.clone(), lease, price: *sum - others }, others)
    }

    /// Signs a receipt. `limited`: refuse it beyond the exposure limit, since the answer was not handed out yet.
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

// A panic elsewhere leaves the sums intact: each change is one assignment.
fn lock(held: &Mutex<HashMap<Pubkey, u64>>) -> MutexGuard<'_, HashMap<Pubkey, u64>> {
    held.lock().unwrap_or_else(|error| error.into_inner())
}
