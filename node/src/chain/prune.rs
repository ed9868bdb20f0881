//! Deletes receipts after the last moment at which they can be disputed.

use super::tools::{TaskError, Tools};
use crate::leases::{View, ViewReceiver};
use crate::receipts::store::RunningTab;
use leasehold::constants::DISPUTE_SECS;
use leasehold::rules::round;
use leasehold_daemon::backoff::Backoff;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Time between two looks.
const TICK: Duration = Duration::from_secs(600);
/// Receipts that are deleted in one transaction, and transactions between two looks.
const STEP: u32 = 1_000;
const STEPS: usize = 100;
/// Pause between two transactions, in which others write.
const PAUSE: Duration = Duration::from_millis(50);

/// Rows of the tabs whose leases are over on their machine. A machine that the view does not have says nothing.
pub fn ended(tabs: &[RunningTab], view: &View) -> Vec<i64> {
    let is_over = |tab: &&RunningTab| {
        let board = tab.machine.board;
        let slot = view.slots.get(&(board, tab.machine.slot));
        let Some((slot, board)) = slot.zip(view.boards.get(&board)) else { return false };
        let end = round::start(board.header.round_secs, board.header.phase_secs, slot.lease_until);
        let serves = slot.generation == tab.machine.generation && slot.lease == tab.lease;
        !serves || end <= view.now
    };
    tabs.iter().filter(is_over).map(|tab| tab.id).collect()
}

/// The leases that were over before this Unix millisecond can't be disputed, and their receipts were kept for long enough.
pub fn cutoff_ms(now: i64, keep: Duration) -> u64 {
    let kept = keep.as_secs().saturating_add(DISPUTE_SECS.into());
    u64::try_from(now).unwrap_or(0).saturating_sub(kept).saturating_mul(1_000)
}

/// Deletes until `stop` is true.
pub(super) async fn run(tools: Arc<Tools>, mut views: ViewReceiver, mut stop: watch::Receiver<bool>) {
    let mut backoff = Backoff::default();
    loop {
        let view = views.borrow_and_update().clone();
        let wait = match view {
            None => Duration::ZERO,
            Some(view) => tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                done = prune(&tools, &view) => match done {
                    Ok(()) => {
                        backoff.reset();
                        TICK
                    }
                    Err(error) => backoff.fail(&error),
                },
            },
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            changed = views.changed() => if changed.is_err() { return },
        }
    }
}

async fn prune(tools: &Tools, view: &View) -> Result<(), TaskError> {
    let over = ended(&tools.store.running_tabs().await?, view);
    if !over.is_empty() {
        tools.store.mark_ended(over, u64::try_from(view.now).unwrap_or(0).saturating_mul(1_000)).await?;
    }
    let before = cutoff_ms(view.now, tools.settings.keep);
    for _ in 0..STEPS {
        let deleted = tools.store.prune(before, STEP).await?;
        if deleted == 0 {
            break;
        }
        tools.metrics.pruned(deleted);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{PLACE, ROUND, machine_key, view};
    use super::*;
    use crate::receipts::store::MachineKey;

    fn tab(id: i64, lease: u32) -> RunningTab {
        RunningTab { id, machine: machine_key(), lease }
    }

    #[test]
    fn a_lease_is_over_when_its_machine_serves_it_no_more() {
        let mut view = view();
        let former = RunningTab { machine: MachineKey { generation: 1, ..machine_key() }, ..tab(3, 5) };
        let unknown = RunningTab { machine: MachineKey { slot: 9, ..machine_key() }, ..tab(4, 5) };
        let tabs = [tab(1, 5), tab(2, 4), former, unknown];
        assert_eq!(ended(&tabs, &view), [2, 3]);
        view.now = i64::from(ROUND + 100) * 600;
        assert_eq!(ended(&tabs, &view), [1, 2, 3], "its last round is over");
        view.slots.get_mut(&PLACE).unwrap().lease = 0;
        view.now = i64::from(ROUND + 10) * 600;
        assert_eq!(ended(&tabs, &view), [1, 2, 3], "it is settled");
    }

    #[test]
    fn receipts_stay_until_they_cannot_be_disputed_and_then_as_long_as_is_asked() {
        assert_eq!(cutoff_ms(100_000, Duration::ZERO), (100_000 - 86_400) * 1_000);
        assert_eq!(cutoff_ms(100_000, Duration::from_secs(600)), 13_000 * 1_000);
        assert_eq!(cutoff_ms(5, Duration::ZERO), 0);
    }
}
