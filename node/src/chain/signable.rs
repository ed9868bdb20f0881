//! Withholds leases in which this database has lost receipts: two receipts with one number cost the machine's bond.

use super::tools::Tools;
use crate::leases::{Leases, LeasesReceiver, Place, View, ViewReceiver};
use crate::receipts::store::{MachineKey, Store};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::watch;
use tracing::error;

/// The leases of a view for which receipts may be signed. `leases` are the leases as they run now: some of the view's
/// may have been withdrawn. `behind`: machines whose receipts in their lease are not all in this database.
pub fn signable(view: &View, leases: &Leases, behind: &HashSet<Place>) -> Leases {
    let runs = |place: &Place| leases.machines.get(place).is_some_and(Option::is_some);
    let machines = view.leases.machines.iter().map(|(place, lease)| {
        let lease = lease.clone().filter(|_| runs(place) && !behind.contains(place));
        (*place, lease)
    });
    Leases { machines: machines.collect() }
}

/// Machines with receipts of the lease that they serve in the log but not in the database. Includes machines whose
/// receipts can't be read.
async fn behind(store: &Store, view: &View) -> HashSet<Place> {
    let mut behind = HashSet::new();
    for (place, lease) in &view.leases.machines {
        let Some((lease, lane)) = lease.as_ref().zip(view.lane(*place)) else { continue };
        if lane.lease != lease.serial {
            continue;
        }
        let key = MachineKey { board: place.0, slot: place.1, generation: lease.generation };
        match store.tab(&key, lease.serial).await {
            Ok(tab) if tab.as_ref().map_or(0, |tab| tab.seq) >= lane.next_seq => {}
            Ok(_) => drop(behind.insert(*place)),
            Err(error) => {
                error!("{error}");
                behind.insert(*place);
            }
        }
    }
    behind
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
    let mut logged = HashSet::new();
    loop {
        let view = views.borrow_and_update().clone();
        if let Some(view) = view {
            let behind = behind(&tools.store, &view).await;
            for (board, slot) in behind.difference(&logged) {
                error!(
                    %board, slot,
                    "the log has receipts of the running lease that this database lacks: restore the database; \
                     nothing is signed in this lease until then"
                );
            }
            logged = behind;
            // Read after the database, so that a lease withdrawn meanwhile is not published again.
            let signable = Arc::new(signable(&view, &leases.borrow_and_update(), &logged));
            published.send_if_modified(|published| {
                let changed = *published != signable;
                if changed {
                    *published = signable;
                }
                changed
            });
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
    use super::super::sample::{PLACE, machine, metered_lease, store_with, view};
    use super::*;

    #[test]
    fn a_lease_is_signable_while_it_runs_and_its_receipts_are_known() {
        let view = view();
        let running = view.leases.clone();
        let found = |leases: &Leases, behind: &[Place]| {
            signable(&view, leases, &behind.iter().copied().collect()).machines[&PLACE].clone()
        };
        assert_eq!(found(&running, &[]), Some(metered_lease()));
        assert_eq!(found(&running, &[PLACE]), None, "no number is signed twice");
        let withdrawn = Leases { machines: [(PLACE, None)].into() };
        assert_eq!(found(&withdrawn, &[]), None);
        assert_eq!(found(&Leases::default(), &[]), None);
    }

    #[tokio::test]
    async fn a_database_that_lacks_receipts_of_the_log_is_behind() {
        let folder = tempfile::tempdir().unwrap();
        // The log's lane says that receipt 20 is next.
        let store = store_with(&folder.path().join("19.db"), &machine(), &metered_lease(), 19).await;
        assert_eq!(behind(&store, &view()).await, [PLACE].into());
        let store = store_with(&folder.path().join("20.db"), &machine(), &metered_lease(), 20).await;
        assert_eq!(behind(&store, &view()).await, [].into());
        let mut older = view();
        older
            .leases
            .machines
            .insert(PLACE, Some(crate::leases::RunningLease { serial: 6, ..metered_lease() }));
        let empty = Store::open(&folder.path().join("0.db")).await.unwrap();
        assert_eq!(behind(&empty, &older).await, [].into(), "the log has nothing of this lease");
    }
}
