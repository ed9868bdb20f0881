//! Withdraws metered leases when the chain can't be read for too long.

use super::{Leases, RunningLease, View, ViewReceiver};
use leasehold::constants::NOTICE_SECS;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::error;

/// Age of the last view at which metered machines stop serving. Notice may have been given since, and after that their work
/// is paid for [`NOTICE_SECS`] at most.
pub(super) const BLIND: Duration = Duration::from_secs(NOTICE_SECS as u64 / 2);

/// When the lease must no longer be relied on, if the chain was last read at `read`; `None` if it is paid in advance.
fn expiry(lease: &RunningLease, read: Instant) -> Option<Instant> {
    lease.meter.and_then(|_| read.checked_add(BLIND))
}

/// Withdraws the leases that have expired. Returns how many.
fn expire(leases: &mut Leases, read: Instant, now: Instant) -> usize {
    let over = |lease: &RunningLease| expiry(lease, read).is_some_and(|expiry| expiry <= now);
    let all = leases.machines.values_mut().filter(|lease| lease.as_ref().is_some_and(over));
    all.map(|lease| *lease = None).count()
}

/// Withdraws leases as they expire, for as long as it is polled.
pub(super) async fn run(mut views: ViewReceiver, leases: watch::Sender<Arc<Leases>>) {
    loop {
        let read = views.borrow_and_update().as_deref().and_then(|view: &View| view.begun);
        let next = read.and_then(|read| {
            let leases = leases.borrow();
            leases.machines.values().flatten().filter_map(|lease| expiry(lease, read)).min()
        });
        let Some((read, next)) = read.zip(next) else {
            match views.changed().await {
                Ok(()) => continue,
                Err(_) => return,
            }
        };
        tokio::select! {
            biased;
            changed = views.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(next) => {
                let mut withdrawn = 0;
                leases.send_if_modified(|published| {
                    withdrawn = expire(Arc::make_mut(published), read, Instant::now());
                    withdrawn > 0
                });
                if withdrawn > 0 {
                    error!(
                        machines = withdrawn,
                        "the chain could not be read for {} minutes: metered machines serve again when it can be read",
                        BLIND.as_secs() / 60
                    );
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Meter;
    use super::super::sample::{PLACE, lease};
    use super::*;
    use leasehold_client::probe::Pubkey;

    /// The leases of two machines: one metered, one by the hour.
    pub fn two() -> Leases {
        let meter =
            Some(Meter { spender: Pubkey::new_from_array([0x59; 32]), deposit: 1_000, paid: 0, units: 0 });
        let metered = RunningLease { meter, ..lease(5) };
        let machines = [(PLACE, Some(metered)), ((PLACE.0, 4), Some(lease(6)))].into();
        Leases { machines, ..Leases::default() }
    }

    #[test]
    fn metered_leases_end_when_notice_may_have_been_given() {
        let (read, mut leases) = (Instant::now(), two());
        let later = |secs| read + Duration::from_secs(secs);
        assert_eq!((expire(&mut leases, read, later(1_799)), &leases), (0, &two()));
        assert_eq!(expire(&mut leases, read, later(1_800)), 1);
        assert_eq!(leases.machines[&PLACE], None, "the machine is known and serves no lease");
        assert_eq!(leases.machines[&(PLACE.0, 4)], Some(lease(6)), "a lease paid in advance is served");
        assert_eq!(expire(&mut leases, read, later(9_999)), 0);
    }
}
