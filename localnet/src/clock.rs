//! The network's clock: produces a block every Solana slot and keeps the chain's time equal to the wall clock.
//!
//! Surfpool's own clock adds the nominal slot time at each block. On a busy machine it falls seconds behind the wall
//! clock within minutes, and catches up in a burst. Rounds depend on the clock, so here every block gets the time at
//! which it is produced.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use surfpool_core::surfnet::locker::SurfnetSvmLocker;
use surfpool_types::SimnetCommand;

use crate::error::NetworkError;

/// Requests a block every Solana slot, one at a time.
pub(crate) struct Ticker {
    ahead_ms: Arc<AtomicU64>,
    halted: Arc<AtomicBool>,
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub fn start(
        locker: SurfnetSvmLocker,
        commands: Sender<SimnetCommand>,
        slot_ms: u64,
    ) -> Result<Self, NetworkError> {
        let (ahead_ms, halted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (stop, stopped) = bounded(1);
        let thread = {
            let (ahead_ms, halted) = (Arc::clone(&ahead_ms), Arc::clone(&halted));
            spawn("localnet-clock", move || tick(&locker, &commands, slot_ms, &ahead_ms, &halted, &stopped))?
        };
        Ok(Self { ahead_ms, halted, stop, thread: Some(thread) })
    }

    /// Moves the chain's time further ahead of the wall clock, from the next block on.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(by, Ordering::Relaxed);
    }

    /// Stops blocks, or lets them go on.
    pub fn set_halted(&self, halted: bool) {
        self.halted.store(halted, Ordering::Relaxed);
    }

    pub fn stop(&mut self) {
        // An error means that the thread has ended already.
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the local network's clock thread panicked");
        }
    }
}

fn tick(
    locker: &SurfnetSvmLocker,
    commands: &Sender<SimnetCommand>,
    slot_ms: u64,
    ahead_ms: &AtomicU64,
    halted: &AtomicBool,
    stopped: &Receiver<()>,
) {
    let mut last = Last::default();
    while stopped.recv_timeout(Duration::from_millis(slot_ms)) == Err(RecvTimeoutError::Timeout) {
        if halted.load(Ordering::Relaxed) {
            continue;
        }
        let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let wall_ms = u64::try_from(wall_ms).unwrap_or(u64::MAX);
        let due = locker.with_svm_writer(move |machine| {
            let slot = machine.get_latest_absolute_slot();
            if last.requested_at == Some(slot) {
                return None;
            }
            Some((slot, machine.updated_at))
        });
        // The requested block has not come yet: the machine is busy.
        let Some((slot, chain_ms)) = due else {
            continue;
        };
        ahead_ms.fetch_add(last.travelled(chain_ms), Ordering::Relaxed);
        let time_ms = wall_ms.saturating_add(ahead_ms.load(Ordering::Relaxed)).max(chain_ms);
        // The machine adds a slot's time when it produces the block.
        locker.with_svm_writer(move |machine| machine.updated_at = time_ms.saturating_sub(slot_ms));
        last = Last { requested_at: Some(slot), made_ms: time_ms };
        if commands.send(SimnetCommand::SlotForward(None)).is_err() {
            return;
        }
    }
}

/// The block requested last.
#[derive(Clone, Copy, Default)]
struct Last {
    /// The Solana slot in which it was requested.
    requested_at: Option<u64>,
    /// Its time in Unix milliseconds.
    made_ms: u64,
}

impl Last {
    /// Milliseconds by which `surfnet_timeTravel`, an RPC method of surfpool, moved the clock since.
    fn travelled(&self, chain_ms: u64) -> u64 {
        match self.requested_at {
            Some(_) => chain_ms.saturating_sub(self.made_ms),
            None => 0,
        }
    }
}

/// Starts a named thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, NetworkError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| NetworkError::Start(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_travel_by_rpc_counts() {
        assert_eq!(Last::default().travelled(5_000), 0);
        let last = Last { requested_at: Some(7), made_ms: 5_000 };
        assert_eq!(last.travelled(5_000), 0);
        assert_eq!(last.travelled(65_000), 60_000);
    }
}
