//! Seals receipts into batches: each hour, at the end of a lease, and when a batch is full.

use super::tools::{TaskError, Tools};
use crate::leases::{Leases, LeasesReceiver, View, ViewReceiver, half_record_secs};
use crate::receipts::store::{MachineKey, StoreError, Unsealed};
use leasehold::state::MAX_BATCH;
use leasehold_daemon::backoff::Backoff;
use leasehold_daemon::unix_ms;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::info;

/// Time between two checks for receipts to seal; less if batches are sealed more often.
const TICK: Duration = Duration::from_secs(10);

/// Number of batches to make now of unsealed receipts.
pub fn batches_due(unsealed: &Unsealed, leases: &Leases, batch: Duration, now_ms: u64) -> u64 {
    let most = u64::from(MAX_BATCH);
    if is_due(unsealed, leases, batch, now_ms) {
        unsealed.count.div_ceil(most)
    } else {
        // Full batches don't wait.
        unsealed.count / most
    }
}

fn is_due(unsealed: &Unsealed, leases: &Leases, batch: Duration, now_ms: u64) -> bool {
    let batch_ms = u64::try_from(batch.as_millis()).unwrap_or(u64::MAX).max(1);
    if unsealed.first_ms / batch_ms < now_ms / batch_ms {
        return true;
    }
    let place = (unsealed.machine.board, unsealed.machine.slot);
    match leases.machines.get(&place) {
        // The chain could not be read yet.
        None => false,
        Some(Some(lease)) if lease.serial == unsealed.lease && lease.runs_at(now_ms) => {
            // Before receipts can be demanded.
            let half_ms = half_record_secs(lease.round_secs).saturating_mul(1_000);
            now_ms.saturating_sub(unsealed.first_ms) >= half_ms
        }
        Some(Some(lease)) if lease.serial == unsealed.lease => {
            // The lease is over, or has not begun by this host's clock.
            now_ms >= lease.start_ms(lease.until)
        }
        Some(_) => true,
    }
}

/// Seals until `stop` is true.
pub(super) async fn run(
    tools: Arc<Tools>,
    mut leases: LeasesReceiver,
    views: ViewReceiver,
    mut stop: watch::Receiver<bool>,
) {
    let (mut backoff, tick) = (Backoff::default(), TICK.min(tools.settings.batch / 4));
    loop {
        let (known, view) = (leases.borrow_and_update().clone(), views.borrow().clone());
        let wait = match seal(&tools, &known, view.as_deref()).await {
            Ok(()) => {
                backoff.reset();
                tick
            }
            Err(error) => backoff.fail(&error),
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            Ok(()) = leases.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn seal(tools: &Tools, leases: &Leases, view: Option<&View>) -> Result<(), TaskError> {
    for unsealed in tools.store.unsealed().await? {
        let machine = &unsealed.machine;
        for _ in 0..batches_due(&unsealed, leases, tools.settings.batch, unix_ms()) {
            let Some(least) = least_number(tools, machine, view).await? else { break };
            let sealed = tools.store.seal_from(machine, &tools.source, MAX_BATCH, least).await;
            let batch = match sealed {
                Ok(Some(batch)) => batch,
                Ok(None) | Err(StoreError::SealedMeanwhile) => break,
                Err(error) => return Err(error.into()),
            };
            tools.metrics.sealed();
            let (key, count) = (batch.key, batch.header.count);
            let (board, slot) = (key.machine.board, key.machine.slot);
            info!(%board, slot, lease = batch.header.lease, number = key.number, receipts = count, "batch sealed");
        }
    }
    Ok(())
}

/// The least number that the machine's next batch may have; `None` if it is not known yet: this may be a new database of
/// a machine that has batches in the log.
async fn least_number(
    tools: &Tools,
    machine: &MachineKey,
    view: Option<&View>,
) -> Result<Option<u32>, StoreError> {
    match view {
        Some(view) => Ok(Some(view.lane((machine.board, machine.slot)).map_or(0, |lane| lane.batches))),
        None => Ok((tools.store.next_number(machine).await? > 0).then_some(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{PLACE, lease, machine_key};
    use super::*;
    use crate::leases::RunningLease;

    const HOUR: Duration = Duration::from_secs(3_600);
    /// Round 1,000 of 600 seconds begins here, in the middle of hour 166.
    const START: u64 = 600_000_000;

    fn unsealed(count: u64) -> Unsealed {
        Unsealed { machine: machine_key(), lease: 5, first_seq: 0, count, first_ms: START }
    }

    fn leases(running: Option<RunningLease>) -> Leases {
        Leases { machines: [(PLACE, running)].into(), ..Leases::default() }
    }

    #[test]
    fn batches_end_with_the_hour_of_the_clock() {
        let running = leases(Some(lease(5)));
        assert_eq!(batches_due(&unsealed(3), &running, HOUR, START + 1), 0);
        let hour = 167 * 3_600_000;
        assert_eq!(batches_due(&unsealed(3), &running, HOUR, hour - 1), 0);
        assert_eq!(batches_due(&unsealed(3), &running, HOUR, hour), 1);
        assert_eq!(
            batches_due(&unsealed(3), &Leases::default(), HOUR, hour),
            1,
            "whether its lease is known or not"
        );
        assert_eq!(batches_due(&unsealed(65_537), &running, HOUR, hour), 2);
    }

    #[test]
    fn full_batches_do_not_wait() {
        let running = leases(Some(lease(5)));
        assert_eq!(batches_due(&unsealed(65_535), &running, HOUR, START + 1), 0);
        assert_eq!(batches_due(&unsealed(3 * 65_536 + 5), &running, HOUR, START + 1), 3);
    }

    #[test]
    fn the_last_receipts_of_a_lease_are_sealed_when_it_is_over() {
        let at = |leases: &Leases, now| batches_due(&unsealed(3), leases, Duration::from_secs(1 << 40), now);
        assert_eq!(at(&Leases::default(), START), 0, "its lease is not known");
        assert_eq!(at(&leases(Some(lease(5))), START), 0);
        assert_eq!(at(&leases(None), START), 1);
        assert_eq!(at(&leases(Some(lease(6))), START), 1);
        let until = u64::from(lease(5).until) * 600_000;
        assert_eq!(at(&leases(Some(lease(5))), until), 1);
        let later = RunningLease { from: 1_001, ..lease(5) };
        assert_eq!(at(&leases(Some(later)), START), 0, "this host's clock is behind");
    }

    #[test]
    fn receipts_are_sealed_before_they_can_be_demanded() {
        let at = |lease: RunningLease, now| {
            batches_due(&unsealed(3), &leases(Some(lease)), Duration::from_secs(1 << 40), now)
        };
        // Two hours, of which the round may be over.
        let half = 1_000 * (7_200 - 600) / 2;
        assert_eq!((at(lease(5), START + half - 1), at(lease(5), START + half)), (0, 1));
        let long = RunningLease { round_secs: 3_600, from: 166, until: 200, ..lease(5) };
        let half = 1_000 * (7_200 - 3_600) / 2;
        assert_eq!((at(long.clone(), START + half - 1), at(long, START + half)), (0, 1));
    }
}
