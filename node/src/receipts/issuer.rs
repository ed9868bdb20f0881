//! Finds the machine and the lease of a request, and keeps unsigned use within the exposure limit.

use super::refusal::Refusal;
use super::store::{Exposure, MachineKey, NewReceipt, Store, StoreError, Tab, Work};
use crate::leases::{LeasesReceiver, Meter, RunningLease};
use crate::machines::{Machine, MachinesReceiver};
use leasehold_client::probe::Pubkey;
use leasehold_client::record::SignedReceipt;
use leasehold_daemon::unix_ms;
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
    /// The most payment units that may be used before anybody has signed for them.
    pub(crate) limit: Exposure,
    held: Arc<Mutex<Held>>,
}

/// The most that answers under way may cost.
#[derive(Debug, Default)]
struct Held {
    /// By address of the lease.
    leases: HashMap<Pubkey, u64>,
    /// By spender: what nobody has signed for.
    spenders: HashMap<Pubkey, u64>,
}

/// Credit for an answer under way: counts as used until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    held: Arc<Mutex<Held>>,
    lease: Pubkey,
    spender: Pubkey,
    /// What the lease's sum has of this answer.
    price: u64,
    /// What the spender's sum has of it: the part that nobody has signed for.
    exposed: u64,
}

/// What others had reserved before.
struct Others {
    lease: u64,
    spender: u64,
}

/// Credit of a lease in payment units.
struct Credit {
    /// What may still be used.
    allowance: u64,
    /// The part of it that is signed for.
    signed: u64,
    /// What was used and nobody signed for.
    debt: u64,
}

impl Issuer {
    pub fn new(store: Store, leases: LeasesReceiver, machines: MachinesReceiver, limit: Exposure) -> Self {
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
        if let Some(lease) = leases.running(machine, unix_ms) {
            return Ok(Arc::new(lease.clone()));
        }
        let slot = machine.slot;
        match machine.place().and_then(|place| leases.unsigned.get(&place)) {
            Some(reason) => Err(Refusal::Unsigned { slot, reason: *reason }),
            None => Err(Refusal::NoLease(slot)),
        }
    }

    /// The most that may be used now before anybody has signed for it: nothing while the chain is silent.
    fn exposure(&self) -> Exposure {
        if self.leases.borrow().is_silent() { Exposure { lease: 0, spender: 0 } } else { self.limit }
    }

    /// Reserves credit for an answer that costs at most `price`; `None` if the lease is not metered. Refuses it also if no
    /// numbers are left for it. Answers under way exceed the exposure limit only as far as the inference server exceeds the token limits that it was given.
    pub(crate) async fn hold(
        &self,
        machine: &Machine,
        lease: &RunningLease,
        price: u64,
    ) -> Result<Option<Hold>, Refusal> {
        self.store.check().await?;
        // Before the tab is read: an answer whose hold is dropped is on the tab by then.
        let held = lease.meter.map(|meter| (meter, self.reserve(lease.address, meter.spender, price)));
        let key = MachineKey::of(machine).ok_or(Refusal::NoSuchMachine(machine.slot))?;
        let tab = self.store.tab(&key, lease.serial).await?;
        let limit = lease.numbers.limit;
        if tab.as_ref().is_some_and(|tab| tab.seq.saturating_add(UNDER_WAY) > limit) {
            return Err(StoreError::NumbersUsedUp { limit }.into());
        }
        let Some((meter, (mut hold, others))) = held else { return Ok(None) };
        let exposure = self.exposure();
        let credit = self.credit(tab.as_ref(), lease, &meter, exposure.lease).await?;
        if price > credit.allowance.saturating_sub(others.lease) {
            return Err(if exposure.lease < self.limit.lease { Refusal::Silent } else { Refusal::Exhausted });
        }
        let exposed = price.saturating_sub(credit.signed.saturating_sub(others.lease));
        if exposed > 0 {
            let debt = self.store.debt(&meter.spender, unix_ms(), (&key, lease.serial)).await?;
            let unsigned =
                [debt, credit.debt, others.spender, exposed].into_iter().fold(0, u64::saturating_add);
            if unsigned > exposure.spender {
                return Err(Refusal::SpenderExhausted);
            }
        }
        hold.expose(exposed);
        Ok(Some(hold))
    }

    async fn credit(
        &self,
        tab: Option<&Tab>,
        lease: &RunningLease,
        meter: &Meter,
        limit: u64,
    ) -> Result<Credit, StoreError> {
        if let Some(tab) = tab {
            let [allowance, signed] = [limit, 0].map(|limit| tab.allowance(limit, meter));
            return Ok(Credit { allowance, signed, debt: tab.debt(meter.paid) });
        }
        let voucher = self.store.best_voucher(&lease.address, lease.from).await?;
        let signed = voucher.map_or(0, |signed| signed.voucher.price).max(meter.paid);
        let up_to = |price: u64| price.min(meter.deposit).saturating_sub(meter.paid);
        Ok(Credit { allowance: up_to(signed.saturating_add(limit)), signed: up_to(signed), debt: 0 })
    }

    /// Reserves credit. Returns what others have reserved. All of it counts as unsigned, until [`Hold::expose`] says more.
    fn reserve(&self, lease: Pubkey, spender: Pubkey, price: u64) -> (Hold, Others) {
        let mut held = lock(&self.held);
        let (of_lease, price_held) = add(&mut held.leases, lease, price);
        let (of_spender, exposed) = add(&mut held.spenders, spender, price);
        let hold = Hold { held: self.held.clone(), lease, spender, price: price_held, exposed };
        (hold, Others { lease: of_lease, spender: of_spender })
    }

    /// Signs a receipt. `limited`: refuse it beyond the exposure limit, since the answer was not handed out yet.
    pub(crate) async fn issue(
        &self,
        machine: Arc<Machine>,
        lease: Arc<RunningLease>,
        work: Work,
        limited: bool,
    ) -> Result<SignedReceipt, Refusal> {
        let receipt = NewReceipt { machine, lease, work, limit: limited.then(|| self.exposure()) };
        let signed = self.store.append(vec![receipt]).await?;
        signed.first().copied().ok_or(Refusal::NotFound("there is no receipt"))
    }
}

impl Hold {
    /// Says how much of the price nobody has signed for.
    fn expose(&mut self, exposed: u64) {
        let over = self.exposed.saturating_sub(exposed);
        release(&mut lock(&self.held).spenders, &self.spender, over);
        self.exposed -= over;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        release(&mut held.leases, &self.lease, self.price);
        release(&mut held.spenders, &self.spender, self.exposed);
    }
}

/// Returns the sum before, and how much was added: less than the amount if the sum would not fit.
fn add(sums: &mut HashMap<Pubkey, u64>, key: Pubkey, amount: u64) -> (u64, u64) {
    let sum = sums.entry(key).or_default();
    let before = *sum;
    *sum = sum.saturating_add(amount);
    (before, *sum - before)
}

fn release(sums: &mut HashMap<Pubkey, u64>, key: &Pubkey, amount: u64) {
    if let Some(sum) = sums.get_mut(key) {
        *sum = sum.saturating_sub(amount);
        if *sum == 0 {
            sums.remove(key);
        }
    }
}

// A panic elsewhere leaves the sums intact: each change is one assignment.
fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(|error| error.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::Leases;
    use crate::leases::sample::{lease, machine};
    use crate::receipts::signer::PARTS;
    use sqlx::{Connection, SqliteConnection};
    use tokio::sync::watch;

    const EXPOSURE: Exposure = Exposure { lease: 100, spender: 250 };

    /// A metered lease on the machine in that slot; all have one spender.
    fn leased(slot: u16) -> (Arc<Machine>, RunningLease) {
        let meter =
            Some(Meter { spender: Pubkey::new_from_array([9; 32]), deposit: 10_000, paid: 0, units: 0 });
        let address = Pubkey::new_from_array([slot as u8; 32]);
        let machine = Machine { slot: slot.into(), ..machine() };
        (Arc::new(machine), RunningLease { meter, address, ..lease(5) })
    }

    struct Issuing {
        issuer: Issuer,
        leases: watch::Sender<Arc<Leases>>,
        path: std::path::PathBuf,
        _folder: tempfile::TempDir,
    }

    async fn issuing() -> Issuing {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipts.db");
        let store = Store::open(&path).await.unwrap();
        let leases = watch::Sender::<Arc<Leases>>::default();
        let machines = watch::Sender::<Arc<Vec<Arc<Machine>>>>::default();
        let issuer = Issuer::new(store, leases.subscribe(), machines.subscribe(), EXPOSURE);
        Issuing { issuer, leases, path, _folder: folder }
    }

    fn work(price: u64) -> Work {
        let price = u128::from(price) * u128::from(PARTS);
        let (start_ms, end_ms) = (unix_ms(), unix_ms());
        let [model, request, response] = [[1; 32], [2; 32], [3; 32]];
        Work { model, request, response, units: 1, tokens_in: 1, tokens_out: 1, price, start_ms, end_ms }
    }

    impl Issuing {
        async fn hold(&self, slot: u16, price: u64) -> Result<Option<Hold>, Refusal> {
            let (machine, lease) = leased(slot);
            self.issuer.hold(&machine, &lease, price).await
        }

        async fn bill(&self, slot: u16, price: u64) {
            let (machine, lease) = leased(slot);
            self.issuer.issue(machine, lease.into(), work(price), false).await.unwrap();
        }
    }

    #[tokio::test]
    async fn answers_under_way_of_all_leases_of_a_spender_stay_within_its_limit() {
        let issuing = issuing().await;
        let first = issuing.hold(1, 100).await.unwrap();
        let _second = issuing.hold(2, 100).await.unwrap();
        assert!(matches!(issuing.hold(3, 51).await, Err(Refusal::SpenderExhausted)));
        let third = issuing.hold(3, 50).await.unwrap();
        assert!(
            matches!(issuing.hold(4, 1).await, Err(Refusal::SpenderExhausted)),
            "a refused hold counts not"
        );
        // What was used counts as what is held did.
        issuing.bill(1, 60).await;
        drop((first, third));
        assert!(matches!(issuing.hold(4, 91).await, Err(Refusal::SpenderExhausted)));
        drop(issuing.hold(4, 90).await.unwrap());
        // What is signed for exposes nobody, used or not.
        issuing.issuer.store.put_voucher(voucher(&leased(4).1, 5_000)).await.unwrap();
        let _fourth = issuing.hold(4, 5_000).await.unwrap();
        assert!(matches!(issuing.hold(4, 91).await, Err(Refusal::SpenderExhausted)));
        issuing.hold(4, 90).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_given_on_credit_while_the_chain_is_silent() {
        let issuing = issuing().await;
        let silent = Leases { credit_until: Some(tokio::time::Instant::now()), ..Leases::default() };
        issuing.leases.send_replace(silent.into());
        assert!(matches!(issuing.hold(1, 1).await, Err(Refusal::Silent)));
        issuing.issuer.store.put_voucher(voucher(&leased(1).1, 70)).await.unwrap();
        let held = issuing.hold(1, 70).await.unwrap();
        assert!(matches!(issuing.hold(1, 1).await, Err(Refusal::Silent)));
        drop(held);
        issuing.leases.send_replace(Arc::default());
        issuing.hold(1, 170).await.unwrap();
    }

    /// Or whoever fills the disk computes for nothing: what is served could not be billed.
    #[tokio::test]
    async fn no_answer_is_begun_that_could_not_be_signed_for() {
        let issuing = issuing().await;
        issuing.bill(1, 1).await;
        let mut other =
            SqliteConnection::connect(&format!("sqlite://{}", issuing.path.display())).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        let (machine, lease) = leased(1);
        issuing.issuer.issue(machine, lease.into(), work(1), false).await.unwrap_err();
        let refused = issuing.hold(1, 1).await.unwrap_err();
        assert!(refused.status().is_server_error(), "{refused}");
        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        issuing.hold(1, 1).await.unwrap();
    }

    #[tokio::test]
    async fn sums_that_do_not_fit_are_released_as_they_were_added() {
        let issuing = issuing().await;
        let _held = issuing.hold(1, 100).await.unwrap();
        assert!(issuing.hold(1, u64::MAX).await.is_err());
        assert!(matches!(issuing.hold(1, 1).await, Err(Refusal::Exhausted)), "the first is still held");
    }

    fn voucher(lease: &RunningLease, price: u64) -> leasehold_client::record::SignedVoucher {
        let key = leasehold_client::probe::SigningKey::from_bytes(&[1; 32]);
        let blank = leasehold_client::record::voucher::blank();
        let voucher =
            leasehold::state::Voucher { lease: lease.address.to_bytes(), from: lease.from, price, ..blank };
        leasehold_client::record::SignedVoucher::sign(&key, voucher)
    }
}
