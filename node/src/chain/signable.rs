//! Which numbers a machine may sign in its lease: two receipts with one number cost the machine's bond.
//!
//! A number below the lane's next one plus [`SKIP`] may have been signed, a higher one never. So a database that lacks
//! receipts has the lane moved up by [`SKIP`], and goes on there.

use super::tools::{TaskError, Tools};
use crate::leases::{Leases, LeasesReceiver, Numbers, Place, RunningLease, Unsigned, View, ViewReceiver};
use crate::receipts::store::{MachineKey, Store, StoreError, Tab};
use leasehold::constants::CLOCK_SKEW_MS;
use leasehold::state::{Lane, SKIP};
use leasehold_client::{fetch::Fetch, instruction};
use leasehold_daemon::backoff::Backoff;
use solana_pubkey::Pubkey;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, warn};

/// What a machine may sign in the lease that it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Signs(Numbers),
    Nothing(Unsigned),
}

/// What this database says about a machine in a lease.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    pub tab: Option<&'a Tab>,
    /// True if there is a voucher of the lease.
    pub has_voucher: bool,
    /// When the database was created, in Unix milliseconds.
    pub created_ms: u64,
}

/// Decides what a machine may sign. `lane` is that of its slot: without one its receipts could not be appended, and would
/// cost its bond once they are demanded. `least`: a number from which on a database of this machine that was lost has signed
/// none, once the lane has reached it.
pub fn standing(lane: Option<&Lane>, known: Known<'_>, lease: &RunningLease, least: Option<u64>) -> Standing {
    let Some(lane) = lane else { return Standing::Nothing(Unsigned::NoLane) };
    let lane = Some(lane).filter(|lane| lane.generation == lease.generation);
    let next = lane.map_or(0, |lane| lane.next_seq);
    let limit = next.saturating_add(SKIP);
    let is_logged = lane.is_some_and(|lane| lane.lease == lease.serial);
    if has_all(next, is_logged, known, lease) || least.is_some_and(|least| next >= least) {
        Standing::Signs(Numbers { first: next, limit })
    } else {
        Standing::Nothing(Unsigned::Lost { least: least.unwrap_or(limit) })
    }
}

/// True if the chain knows of nothing of the lease that the database lacks. `next`: the number that the log expects next;
/// `is_logged`: the last one before was of this lease.
fn has_all(next: u64, is_logged: bool, known: Known<'_>, lease: &RunningLease) -> bool {
    match known.tab {
        Some(tab) => tab.seq >= next,
        None => {
            // Nothing was signed before the lease began, and nobody pays for nothing.
            let is_paid = lease.meter.is_some_and(|meter| meter.paid > 0) && !known.has_voucher;
            let is_older = known.created_ms.saturating_add(CLOCK_SKEW_MS) <= lease.start_ms(lease.from);
            !is_logged && is_older && !is_paid
        }
    }
}

/// The leases of a view for which receipts may be signed, and their numbers. `leases` are the leases as they run now: some
/// of the view's may have been withdrawn. `credit`: time after the view's in which metered leases have credit.
pub fn signable(
    view: &View,
    leases: &Leases,
    standings: &HashMap<Place, Standing>,
    credit: Duration,
) -> Leases {
    let machines = view.leases.machines.iter().map(|(place, lease)| {
        let now = leases.machines.get(place).and_then(Option::as_ref);
        let lease = match (standings.get(place), now) {
            (Some(Standing::Signs(numbers)), Some(now)) => {
                lease.clone().map(|lease| RunningLease { numbers: *numbers, paused: now.paused, ..lease })
            }
            _ => None,
        };
        (*place, lease)
    });
    let unsigned = standings.iter().filter_map(|(place, standing)| match standing {
        Standing::Nothing(reason) => Some((*place, *reason)),
        Standing::Signs(_) => None,
    });
    let credit_until = view.begun.and_then(|begun| begun.checked_add(credit));
    Leases { machines: machines.collect(), unsigned: unsigned.collect(), credit_until }
}

/// A machine in a lease whose earlier receipts this database lacks.
#[derive(Clone, Copy, Debug)]
struct Gap {
    /// See [`standing`].
    least: u64,
    /// When the last transaction that skips numbers was sent.
    sent: Option<Instant>,
}

/// State of the task between two views.
#[derive(Default)]
struct Numbering {
    gaps: HashMap<(MachineKey, u32), Gap>,
    /// Reasons that were logged.
    logged: HashMap<(MachineKey, u32), Unsigned>,
    /// The supplier's authority, which may append like the log's operator.
    authority: Option<Pubkey>,
}

impl Numbering {
    /// Why no batch of any machine could be appended; `None` if they can.
    async fn obstacle(&mut self, tools: &Tools, view: &View) -> Option<Unsigned> {
        let Some((log, _)) = view.log.as_ref().and_then(|log| log.view().ok()) else {
            return Some(Unsigned::NoLog);
        };
        if log.operator == tools.operator {
            return None;
        }
        if self.authority.is_none() {
            match Fetch::new(&tools.rpc).supplier_at(tools.supplier).await {
                Ok(supplier) => self.authority = supplier.map(|supplier| supplier.account.authority),
                Err(error) => warn!("the supplier's authority could not be read: {error}"),
            }
        }
        (self.authority != Some(tools.operator)).then_some(Unsigned::NotOperator)
    }

    /// What each machine may sign. `obstacle`: see [`Numbering::obstacle`].
    async fn standings(
        &mut self,
        store: &Store,
        view: &View,
        obstacle: Option<Unsigned>,
    ) -> Result<HashMap<Place, Standing>, StoreError> {
        let mut standings = HashMap::new();
        for (place, lease) in &view.leases.machines {
            let Some(lease) = lease else { continue };
            let key = (machine_key(place, lease), lease.serial);
            let tab = store.tab(&key.0, lease.serial).await?;
            let known = Known {
                tab: tab.as_ref(),
                has_voucher: store.best_voucher(&lease.address, lease.from).await?.is_some(),
                created_ms: store.created_ms(),
            };
            let (lane, least) = (view.lane(*place), self.gaps.get(&key).map(|gap| gap.least));
            let standing = match obstacle {
                Some(reason) => Standing::Nothing(reason),
                None => standing(lane.as_ref(), known, lease, least),
            };
            if let Standing::Nothing(reason) = standing {
                if let Unsigned::Lost { least } = reason {
                    self.gaps.entry(key).or_insert(Gap { least, sent: None });
                }
                if self.logged.insert(key, reason) != Some(reason) {
                    self.log(place, lease, lane.as_ref(), tab.as_ref(), reason);
                }
            }
            standings.insert(*place, standing);
        }
        Ok(standings)
    }

    /// Says once why nothing is signed in a lease, with the numbers that tell.
    fn log(
        &self,
        (board, slot): &Place,
        lease: &RunningLease,
        lane: Option<&Lane>,
        tab: Option<&Tab>,
        reason: Unsigned,
    ) {
        let in_log = lane.filter(|lane| lane.generation == lease.generation).map_or(0, |lane| lane.next_seq);
        let here = tab.map_or(0, |tab| tab.seq);
        let paid = lease.meter.map_or(0, |meter| meter.paid);
        let paid_here = tab.map_or(0, |tab| tab.signed_price);
        error!(
            %board, slot, lease = lease.serial, in_log, here, paid, paid_here,
            "nothing is signed in this lease: {reason}"
        );
    }

    /// Has the lanes of machines skip numbers, each of them once until a view shows it.
    async fn skip(
        &mut self,
        tools: &Tools,
        view: &View,
        standings: &HashMap<Place, Standing>,
    ) -> Result<(), TaskError> {
        for (place, lease) in &view.leases.machines {
            let lost = matches!(standings.get(place), Some(Standing::Nothing(Unsigned::Lost { .. })));
            let Some(lease) = lease.as_ref().filter(|_| lost) else { continue };
            let key = (machine_key(place, lease), lease.serial);
            let (Some(gap), Some(board)) = (self.gaps.get_mut(&key), view.boards.get(&place.0)) else {
                continue;
            };
            if view.begun <= gap.sent {
                continue;
            }
            let (board, slot) = (board.board, place.1);
            warn!(
                board = %place.0, slot, lease = lease.serial,
                "this database lacks receipts of the running lease: skipping the numbers that they may have"
            );
            gap.sent = Some(Instant::now());
            let skip = instruction::skip_receipts(&board, tools.operator, tools.supplier, slot, lease.serial);
            let sent = tools.sender.send(&[skip], &[]).await;
            tools.poll_now.notify_one();
            if let Err(error) = sent {
                tools.metrics.send_failed();
                let what = format!("slot {slot} of board {}: no numbers were skipped", place.0);
                return Err(TaskError::Send { what, error: Box::new(error) });
            }
        }
        Ok(())
    }
}

fn machine_key((board, slot): &Place, lease: &RunningLease) -> MachineKey {
    MachineKey { board: *board, slot: *slot, generation: lease.generation }
}

/// Publishes signable leases until `stop` is true. The lease watch publishes leases before their view, so that a lease
/// is never signable before its view was checked.
pub(super) async fn run(
    tools: Arc<Tools>,
    mut views: ViewReceiver,
    mut leases: LeasesReceiver,
    published: watch::Sender<Arc<Leases>>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut numbering, mut backoff, mut is_silent) = (Numbering::default(), Backoff::default(), false);
    loop {
        let mut wait = None;
        let view = views.borrow_and_update().clone();
        if let Some(view) = view {
            let obstacle = numbering.obstacle(&tools, &view).await;
            // A database that can't be read says nothing: nothing is signed.
            let standings =
                numbering.standings(&tools.store, &view, obstacle).await.unwrap_or_else(|error| {
                    error!("{error}");
                    HashMap::new()
                });
            // Read after the database, so that a lease withdrawn meanwhile is not published again.
            tools
                .metrics
                .unsigned(standings.values().filter(|one| matches!(one, Standing::Nothing(_))).count());
            let signable = Arc::new(signable(&view, &leases.borrow_and_update(), &standings, tools.credit));
            is_silent &= signable.is_silent();
            published.send_if_modified(|published| {
                let changed = *published != signable;
                if changed {
                    *published = signable;
                }
                changed
            });
            match numbering.skip(&tools, &view, &standings).await {
                Ok(()) => backoff.reset(),
                Err(error) => wait = Some(backoff.fail(&error)),
            }
        }
        if let Some(wait) = wait {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => continue,
            }
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            Ok(()) = views.changed() => {}
            Ok(()) = leases.changed() => {}
            () = silence(&published), if !is_silent => {
                warn!(
                    "the chain could not be read for {} s: metered leases are served only as far as vouchers cover",
                    tools.credit.as_secs()
                );
                is_silent = true;
            }
            else => return,
        }
    }
}

/// Waits until metered leases have no more credit.
async fn silence(published: &watch::Sender<Arc<Leases>>) {
    let end = published.borrow().credit_until;
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{PLACE, ROUND, lease, machine, metered_lease, store_with, view};
    use super::*;

    const CREDIT: Duration = Duration::from_secs(120);
    /// Before the sample's lease began.
    const BEFORE: u64 = (ROUND as u64 - 1) * 600_000;
    const AFTER: u64 = (ROUND as u64 + 1) * 600_000;

    fn tab(seq: u64) -> Tab {
        let lease = metered_lease();
        Tab {
            machine: machine_key(&PLACE, &lease),
            lease: lease.serial,
            address: lease.address,
            from: lease.from,
            cluster: lease.cluster,
            spender: None,
            seq,
            units: 0,
            price: 0,
            rest: 0,
            paid: 0,
            sealed: 0,
            last_ms: 0,
            signed_price: 0,
        }
    }

    fn lane(next_seq: u64) -> Lane {
        Lane { next_seq, ..view().lane(PLACE).unwrap() }
    }

    fn signs(first: u64, limit: u64) -> Standing {
        Standing::Signs(Numbers { first, limit })
    }

    #[test]
    fn a_lease_is_signable_while_it_runs_and_its_receipts_are_known() {
        let view = view();
        let running = view.leases.clone();
        let found = |leases: &Leases, standing: Standing| {
            signable(&view, leases, &[(PLACE, standing)].into(), CREDIT).machines[&PLACE].clone()
        };
        let numbers = Numbers { first: 7, limit: 9 };
        let expected = RunningLease { numbers, ..metered_lease() };
        assert_eq!(found(&running, Standing::Signs(numbers)), Some(expected));
        assert_eq!(
            found(&running, Standing::Nothing(Unsigned::Lost { least: 5 })),
            None,
            "no number is signed twice"
        );
        let paused = RunningLease { paused: true, ..metered_lease() };
        let paused_now = Leases { machines: [(PLACE, Some(paused.clone()))].into(), ..Leases::default() };
        let expected = RunningLease { numbers, ..paused };
        assert_eq!(found(&paused_now, Standing::Signs(numbers)), Some(expected), "paused since the poll");
        assert_eq!(found(&running, Standing::Nothing(Unsigned::NoLane)), None);
        let withdrawn = Leases { machines: [(PLACE, None)].into(), ..Leases::default() };
        assert_eq!(found(&withdrawn, Standing::Signs(numbers)), None);
        assert_eq!(found(&Leases::default(), Standing::Signs(numbers)), None);
        assert_eq!(
            signable(&view, &running, &HashMap::new(), CREDIT).machines[&PLACE],
            None,
            "it was not checked"
        );
    }

    #[test]
    fn a_database_that_has_all_receipts_goes_on_as_far_as_the_log_follows() {
        let at = |lane: Option<&Lane>, tab: Option<&Tab>, created_ms| {
            standing(lane, Known { tab, created_ms, has_voucher: true }, &metered_lease(), None)
        };
        assert_eq!(at(Some(&lane(20)), Some(&tab(20)), AFTER), signs(20, 20 + SKIP));
        assert_eq!(at(Some(&lane(20)), Some(&tab(35)), AFTER), signs(20, 20 + SKIP));
        // A lease of which the log has nothing.
        let other = Lane { lease: 4, ..lane(20) };
        assert_eq!(at(Some(&other), None, BEFORE), signs(20, 20 + SKIP), "numbers run on");
        assert_eq!(at(Some(&other), Some(&tab(23)), AFTER), signs(20, 20 + SKIP));
        let of_another = Lane { generation: 9, ..lane(20) };
        assert_eq!(at(Some(&of_another), None, BEFORE), signs(0, SKIP));
    }

    #[test]
    fn nothing_is_signed_that_could_not_be_appended() {
        let known = |tab| Known { tab, created_ms: BEFORE, has_voucher: true };
        for tab in [Some(&tab(3)), None] {
            let standing = standing(None, known(tab), &metered_lease(), None);
            assert_eq!(standing, Standing::Nothing(Unsigned::NoLane));
        }
    }

    #[test]
    fn a_lease_that_was_paid_for_has_receipts() {
        let (other, unpaid) = (Lane { lease: 4, ..lane(20) }, lease(5));
        let at = |lease: &RunningLease, has_voucher| {
            standing(Some(&other), Known { tab: None, created_ms: BEFORE, has_voucher }, lease, None)
        };
        // A copy of the database from before the lease: its age says nothing, what the chain has paid does.
        let lost = Standing::Nothing(Unsigned::Lost { least: 20 + SKIP });
        assert_eq!(at(&metered_lease(), false), lost);
        assert_eq!(at(&metered_lease(), true), signs(20, 20 + SKIP), "the buyer paid in advance");
        assert_eq!(at(&unpaid, false), signs(20, 20 + SKIP));
    }

    #[test]
    fn a_database_that_was_lost_skips_all_numbers_that_it_can_have_signed() {
        let at = |lane: Option<&Lane>, tab: Option<&Tab>, created_ms, least| {
            standing(lane, Known { tab, created_ms, has_voucher: true }, &metered_lease(), least)
        };
        let skips = |least| Standing::Nothing(Unsigned::Lost { least });
        // An older copy, an empty one, and one that is younger than the lease although the log has nothing of it.
        assert_eq!(at(Some(&lane(20)), Some(&tab(19)), BEFORE, None), skips(20 + SKIP));
        assert_eq!(at(Some(&lane(20)), None, BEFORE, None), skips(20 + SKIP));
        let other = Lane { lease: 4, ..lane(20) };
        assert_eq!(at(Some(&other), None, AFTER, None), skips(20 + SKIP));
        let begins = metered_lease().start_ms(ROUND);
        assert_eq!(at(Some(&other), None, begins - CLOCK_SKEW_MS, None), signs(20, 20 + SKIP));
        assert_eq!(at(Some(&other), None, begins - CLOCK_SKEW_MS + 1, None), skips(20 + SKIP));
        // Batches of the lost database may be appended after the loss was seen.
        let least = Some(20 + SKIP);
        assert_eq!(at(Some(&lane(30)), None, AFTER, least), skips(20 + SKIP));
        let skipped = lane(30 + SKIP);
        assert_eq!(at(Some(&skipped), None, AFTER, least), signs(30 + SKIP, 30 + 2 * SKIP));
        assert_eq!(at(Some(&skipped), Some(&tab(19)), AFTER, least), signs(30 + SKIP, 30 + 2 * SKIP));
        // Once it has signed there.
        assert_eq!(at(Some(&skipped), Some(&tab(31 + SKIP)), AFTER, None), signs(30 + SKIP, 30 + 2 * SKIP));
    }

    #[tokio::test]
    async fn a_machine_whose_supplier_has_no_log_signs_nothing_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_with(&folder.path().join("receipts.db"), &machine(), &metered_lease(), 35).await;
        let mut numbering = Numbering::default();
        let without_lane = View { log: Some(super::super::sample::log(&[])), ..view() };
        for (view, obstacle, reason) in [
            (view(), Some(Unsigned::NoLog), Unsigned::NoLog),
            (view(), Some(Unsigned::NotOperator), Unsigned::NotOperator),
            (without_lane, None, Unsigned::NoLane),
        ] {
            let standings = numbering.standings(&store, &view, obstacle).await.unwrap();
            let published = signable(&view, &view.leases, &standings, CREDIT);
            assert_eq!(published.machines[&PLACE], None);
            assert_eq!(published.unsigned, [(PLACE, reason)].into());
            assert!(reason.to_string().contains("`leasehold log "), "{reason}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn credit_ends_when_the_chain_is_silent() {
        let seen = View { begun: Some(Instant::now()), ..view() };
        let published = signable(&seen, &seen.leases, &HashMap::new(), CREDIT);
        assert!(!published.is_silent());
        tokio::time::advance(CREDIT).await;
        assert!(published.is_silent());
        let again = View { begun: Some(Instant::now()), ..seen };
        assert!(!signable(&again, &again.leases, &HashMap::new(), CREDIT).is_silent());
        assert!(!Leases::default().is_silent(), "leases from a file");
    }

    #[tokio::test]
    async fn receipts_of_a_database_that_was_lost_have_other_numbers_than_those_after() {
        let folder = tempfile::tempdir().unwrap();
        let (machine, lease) = (Arc::new(machine()), metered_lease());
        let lost = store_with(&folder.path().join("lost.db"), &machine, &lease, 35).await;
        // The lane says that receipt 20 is next: fifteen are known to nobody but their callers.
        let mut numbering = Numbering::default();
        let standings = numbering.standings(&lost, &view(), None).await.unwrap();
        assert_eq!(standings[&PLACE], signs(20, 20 + SKIP));

        let empty = Store::open(&folder.path().join("new.db")).await.unwrap();
        let standings = numbering.standings(&empty, &view(), None).await.unwrap();
        let published = signable(&view(), &view().leases, &standings, CREDIT);
        assert_eq!(published.machines[&PLACE], None, "nothing is signed until the log has skipped them");
        assert_eq!(published.unsigned[&PLACE], Unsigned::Lost { least: 20 + SKIP });
        assert_eq!(standings[&PLACE], Standing::Nothing(Unsigned::Lost { least: 20 + SKIP }));
        let mut skipped = view();
        skipped.log = Some(super::super::sample::log(&[lane(20 + SKIP)]));
        let standings = numbering.standings(&empty, &skipped, None).await.unwrap();
        let published = signable(&skipped, &skipped.leases, &standings, CREDIT);
        assert_eq!(published.unsigned, HashMap::new());
        let lease = Arc::new(published.machines[&PLACE].clone().unwrap());
        let new = crate::chain::sample::new_receipt(&machine, &lease);
        let signed = empty.append(vec![new.clone(), new]).await.unwrap();
        let numbers: Vec<_> = signed.iter().map(|signed| signed.receipt.seq).collect();
        assert_eq!(numbers, [20 + SKIP, 21 + SKIP]);
        // They are sealed as any others.
        let batch = empty.seal(&machine_key(&PLACE, &lease), "http://node", 10).await.unwrap().unwrap();
        assert_eq!((batch.header.first_seq, batch.header.count), (20 + SKIP, 2));
        assert_eq!(
            numbering.standings(&empty, &skipped, None).await.unwrap()[&PLACE],
            signs(20 + SKIP, 20 + 2 * SKIP)
        );
    }

    #[tokio::test]
    async fn no_number_is_signed_that_a_later_database_could_sign_again() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Arc::new(machine());
        let lease = Arc::new(RunningLease { numbers: Numbers { first: 0, limit: 3 }, ..metered_lease() });
        let store = Store::open(&folder.path().join("receipts.db")).await.unwrap();
        let new = crate::chain::sample::new_receipt(&machine, &lease);
        store.append(vec![new.clone(); 3]).await.unwrap();
        let refused = store.append(vec![new.clone()]).await.unwrap_err();
        assert!(matches!(refused, StoreError::NumbersUsedUp { limit: 3 }), "{refused}");
        // The log has taken a batch.
        let lease = RunningLease { numbers: Numbers { first: 0, limit: 6 }, ..metered_lease() };
        let more = crate::receipts::store::NewReceipt { lease: Arc::new(lease), ..new };
        assert_eq!(store.append(vec![more]).await.unwrap()[0].receipt.seq, 3);
    }
}
