//! Which numbers a machine may sign in its lease: two receipts with one number cost the machine's bond.
//!
//! A number below the lane's next one plus [`SKIP`] may have been signed, a higher one never. So a database that lacks
//! receipts has the lane moved up by [`SKIP`], and goes on there.

use super::tools::{TaskError, Tools};
use crate::leases::{Leases, LeasesReceiver, Numbers, Place, RunningLease, View, ViewReceiver};
use crate::receipts::store::{MachineKey, Store, StoreError, Tab};
use leasehold::constants::CLOCK_SKEW_MS;
use leasehold::state::{Lane, SKIP};
use leasehold_client::instruction;
use leasehold_daemon::backoff::Backoff;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, warn};

/// What a machine may sign in the lease that it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Signs(Numbers),
    /// Nothing, until the lane's next number is at least this.
    Skips(u64),
    /// Nothing: there is no lane that could tell where to go on.
    NoLane,
}

/// Decides what a machine may sign. `lane` is that of its slot; `tab` is its tab in this database, which was created at that
/// Unix millisecond. `least`: a number from which on a database of this machine that was lost has signed none, once the
/// lane has reached it.
pub fn standing(
    lane: Option<&Lane>,
    tab: Option<&Tab>,
    lease: &RunningLease,
    created_ms: u64,
    least: Option<u64>,
) -> Standing {
    let lane_of = lane.filter(|lane| lane.generation == lease.generation);
    let next = lane_of.map_or(0, |lane| lane.next_seq);
    let limit = next.saturating_add(SKIP);
    let has_all = match tab {
        Some(tab) => tab.seq >= next,
        // Nothing was signed before the lease began.
        None => {
            let is_logged = lane_of.is_some_and(|lane| lane.lease == lease.serial);
            !is_logged && created_ms.saturating_add(CLOCK_SKEW_MS) <= lease.start_ms(lease.from)
        }
    };
    if has_all || least.is_some_and(|least| next >= least) {
        Standing::Signs(Numbers { first: next, limit })
    } else if lane.is_some() {
        Standing::Skips(least.unwrap_or(limit))
    } else {
        Standing::NoLane
    }
}

/// The leases of a view for which receipts may be signed, and their numbers. `leases` are the leases as they run now: some
/// of the view's may have been withdrawn.
pub fn signable(view: &View, leases: &Leases, standings: &HashMap<Place, Standing>) -> Leases {
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
    Leases { machines: machines.collect() }
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
    logged: HashSet<(MachineKey, u32)>,
}

impl Numbering {
    /// What each machine may sign.
    async fn standings(
        &mut self,
        store: &Store,
        view: &View,
    ) -> Result<HashMap<Place, Standing>, StoreError> {
        let mut standings = HashMap::new();
        for (place, lease) in &view.leases.machines {
            let Some(lease) = lease else { continue };
            let key = (machine_key(place, lease), lease.serial);
            let tab = store.tab(&key.0, lease.serial).await?;
            let least = self.gaps.get(&key).map(|gap| gap.least);
            let lane = view.lane(*place);
            let standing = standing(lane.as_ref(), tab.as_ref(), lease, store.created_ms(), least);
            if let Standing::Skips(least) = standing {
                self.gaps.entry(key).or_insert(Gap { least, sent: None });
            }
            if standing == Standing::NoLane && self.logged.insert(key) {
                error!(
                    board = %place.0, slot = place.1,
                    "this database does not have the lease from its beginning, and the log has no lane for the slot: \
                     open one with `leasehold log lanes --board NUMBER SLOT`; nothing is signed in this lease until then"
                );
            }
            standings.insert(*place, standing);
        }
        Ok(standings)
    }

    /// Has the lanes of machines skip numbers, each of them once until a view shows it.
    async fn skip(
        &mut self,
        tools: &Tools,
        view: &View,
        standings: &HashMap<Place, Standing>,
    ) -> Result<(), TaskError> {
        for (place, lease) in &view.leases.machines {
            let (Some(lease), Some(Standing::Skips(_))) = (lease, standings.get(place)) else { continue };
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
    let (mut numbering, mut backoff) = (Numbering::default(), Backoff::default());
    loop {
        let mut wait = None;
        let view = views.borrow_and_update().clone();
        if let Some(view) = view {
            // A database that can't be read says nothing: nothing is signed.
            let standings = numbering.standings(&tools.store, &view).await.unwrap_or_else(|error| {
                error!("{error}");
                HashMap::new()
            });
            // Read after the database, so that a lease withdrawn meanwhile is not published again.
            let signable = Arc::new(signable(&view, &leases.borrow_and_update(), &standings));
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
            else => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{PLACE, ROUND, machine, metered_lease, store_with, view};
    use super::*;

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
            signable(&view, leases, &[(PLACE, standing)].into()).machines[&PLACE].clone()
        };
        let numbers = Numbers { first: 7, limit: 9 };
        let expected = RunningLease { numbers, ..metered_lease() };
        assert_eq!(found(&running, Standing::Signs(numbers)), Some(expected));
        assert_eq!(found(&running, Standing::Skips(5)), None, "no number is signed twice");
        let paused = RunningLease { paused: true, ..metered_lease() };
        let paused_now = Leases { machines: [(PLACE, Some(paused.clone()))].into() };
        let expected = RunningLease { numbers, ..paused };
        assert_eq!(found(&paused_now, Standing::Signs(numbers)), Some(expected), "paused since the poll");
        assert_eq!(found(&running, Standing::NoLane), None);
        let withdrawn = Leases { machines: [(PLACE, None)].into() };
        assert_eq!(found(&withdrawn, Standing::Signs(numbers)), None);
        assert_eq!(found(&Leases::default(), Standing::Signs(numbers)), None);
        assert_eq!(signable(&view, &running, &HashMap::new()).machines[&PLACE], None, "it was not checked");
    }

    #[test]
    fn a_database_that_has_all_receipts_goes_on_as_far_as_the_log_follows() {
        let at = |lane: Option<&Lane>, tab: Option<&Tab>, created_ms| {
            standing(lane, tab, &metered_lease(), created_ms, None)
        };
        assert_eq!(at(Some(&lane(20)), Some(&tab(20)), AFTER), signs(20, 20 + SKIP));
        assert_eq!(at(Some(&lane(20)), Some(&tab(35)), AFTER), signs(20, 20 + SKIP));
        // A lease of which the log has nothing, with a lane or without.
        let other = Lane { lease: 4, ..lane(20) };
        assert_eq!(at(Some(&other), None, BEFORE), signs(20, 20 + SKIP), "numbers run on");
        assert_eq!(at(Some(&other), Some(&tab(23)), AFTER), signs(20, 20 + SKIP));
        let of_another = Lane { generation: 9, ..lane(20) };
        assert_eq!(at(Some(&of_another), None, BEFORE), signs(0, SKIP));
        assert_eq!(at(None, Some(&tab(3)), AFTER), signs(0, SKIP));
        assert_eq!(at(None, None, BEFORE), signs(0, SKIP));
    }

    #[test]
    fn a_database_that_was_lost_skips_all_numbers_that_it_can_have_signed() {
        let at = |lane: Option<&Lane>, tab: Option<&Tab>, created_ms, least| {
            standing(lane, tab, &metered_lease(), created_ms, least)
        };
        // An older copy, an empty one, and one that is younger than the lease although the log has nothing of it.
        assert_eq!(at(Some(&lane(20)), Some(&tab(19)), BEFORE, None), Standing::Skips(20 + SKIP));
        assert_eq!(at(Some(&lane(20)), None, BEFORE, None), Standing::Skips(20 + SKIP));
        let other = Lane { lease: 4, ..lane(20) };
        assert_eq!(at(Some(&other), None, AFTER, None), Standing::Skips(20 + SKIP));
        let begins = metered_lease().start_ms(ROUND);
        assert_eq!(at(Some(&other), None, begins - CLOCK_SKEW_MS, None), signs(20, 20 + SKIP));
        assert_eq!(at(Some(&other), None, begins - CLOCK_SKEW_MS + 1, None), Standing::Skips(20 + SKIP));
        assert_eq!(at(None, None, AFTER, None), Standing::NoLane);
        // Batches of the lost database may be appended after the loss was seen.
        let least = Some(20 + SKIP);
        assert_eq!(at(Some(&lane(30)), None, AFTER, least), Standing::Skips(20 + SKIP));
        let skipped = lane(30 + SKIP);
        assert_eq!(at(Some(&skipped), None, AFTER, least), signs(30 + SKIP, 30 + 2 * SKIP));
        assert_eq!(at(Some(&skipped), Some(&tab(19)), AFTER, least), signs(30 + SKIP, 30 + 2 * SKIP));
        // Once it has signed there.
        assert_eq!(at(Some(&skipped), Some(&tab(31 + SKIP)), AFTER, None), signs(30 + SKIP, 30 + 2 * SKIP));
    }

    #[tokio::test]
    async fn receipts_of_a_database_that_was_lost_have_other_numbers_than_those_after() {
        let folder = tempfile::tempdir().unwrap();
        let (machine, lease) = (Arc::new(machine()), metered_lease());
        let lost = store_with(&folder.path().join("lost.db"), &machine, &lease, 35).await;
        // The lane says that receipt 20 is next: fifteen are known to nobody but their callers.
        let mut numbering = Numbering::default();
        let standings = numbering.standings(&lost, &view()).await.unwrap();
        assert_eq!(standings[&PLACE], signs(20, 20 + SKIP));

        let empty = Store::open(&folder.path().join("new.db")).await.unwrap();
        let standings = numbering.standings(&empty, &view()).await.unwrap();
        assert_eq!(standings[&PLACE], Standing::Skips(20 + SKIP));
        let mut skipped = view();
        skipped.log = Some(super::super::sample::log(&[lane(20 + SKIP)]));
        let standings = numbering.standings(&empty, &skipped).await.unwrap();
        let published = signable(&skipped, &skipped.leases, &standings);
        let lease = Arc::new(published.machines[&PLACE].clone().unwrap());
        let new = crate::chain::sample::new_receipt(&machine, &lease);
        let signed = empty.append(vec![new.clone(), new]).await.unwrap();
        let numbers: Vec<_> = signed.iter().map(|signed| signed.receipt.seq).collect();
        assert_eq!(numbers, [20 + SKIP, 21 + SKIP]);
        // They are sealed as any others.
        let batch = empty.seal(&machine_key(&PLACE, &lease), "http://node", 10).await.unwrap().unwrap();
        assert_eq!((batch.header.first_seq, batch.header.count), (20 + SKIP, 2));
        assert_eq!(
            numbering.standings(&empty, &skipped).await.unwrap()[&PLACE],
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
