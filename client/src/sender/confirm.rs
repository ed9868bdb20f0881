//! Polls the status of broadcast transactions, up to 256 per request.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::client_error::Error as RpcError;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;
use tokio::{sync::oneshot, time::sleep};

use crate::error::{failure, is_switched_off, reason};

/// The most signatures `getSignatureStatuses` takes.
const BATCH: usize = 256;

/// Blocks beyond a blockhash's last valid one before it counts as expired. The RPC node that returns the height may
/// be ahead of the one that returns the statuses.
const LAG: u64 = 8;

/// The outcome of a signed transaction.
pub(super) enum Outcome {
    /// It is in a block, with or without an error.
    Landed { slot: u64, error: Option<TransactionError> },
    /// Its blockhash is too old: no block can include it any more.
    Expired,
}

struct Pending {
    last_valid: u64,
    done: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct State {
    pending: HashMap<Signature, Pending>,
    polling: bool,
}

/// Lets the next watch begin to poll anew after a panic.
struct Polling<'a>(&'a Confirmer);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().polling = false;
        }
    }
}

/// Polls the statuses of all watched transactions together while there are any.
pub(super) struct Confirmer {
    rpc: Arc<RpcClient>,
    commitment: CommitmentConfig,
    poll: Duration,
    state: Mutex<State>,
    /// True once the log has it that no status can be read.
    told: AtomicBool,
}

impl Confirmer {
    pub(super) fn new(rpc: Arc<RpcClient>, commitment: CommitmentConfig, poll: Duration) -> Arc<Self> {
        Arc::new(Self { rpc, commitment, poll, state: Mutex::default(), told: AtomicBool::default() })
    }

    /// Reports the outcome of a transaction. Dropping the receiver ends the watch.
    pub(super) fn watch(
        self: &Arc<Self>,
        signature: Signature,
        last_valid: u64,
    ) -> oneshot::Receiver<Outcome> {
        let (done, receiver) = oneshot::channel();
        let mut state = self.lock();
        state.pending.insert(signature, Pending { last_valid, done });
        if !state.polling {
            state.polling = true;
            tokio::spawn(Arc::clone(self).run());
        }
        receiver
    }

    async fn run(self: Arc<Self>) {
        let _polling = Polling(&self);
        loop {
            sleep(self.poll).await;
            let signatures = {
                let mut state = self.lock();
                state.pending.retain(|_, pending| !pending.done.is_closed());
                if state.pending.is_empty() {
                    state.polling = false;
                    return;
                }
                state.pending.keys().copied().collect::<Vec<_>>()
            };
            for batch in signatures.chunks(BATCH) {
                // A failed poll is repeated after the pause; each waiting task has its own deadline.
                let Err(error) = self.poll_batch(batch).await else { continue };
                if is_switched_off(&error) && !self.told.swap(true, Relaxed) {
                    tracing::warn!(
                        "transactions are sent, and their ends can't be learned: {}",
                        failure(&error)
                    );
                } else {
                    tracing::debug!("cannot read transaction statuses: {}", reason(&error));
                }
            }
        }
    }

    async fn poll_batch(&self, batch: &[Signature]) -> Result<(), RpcError> {
        // In this order: a transaction without status after the height was read can't be included any more.
        let height = self.rpc.get_block_height_with_commitment(self.commitment).await?;
        let mut statuses = self.rpc.get_signature_statuses(batch).await?.value;
        // The recent statuses go back a few minutes only. This computer may have slept longer, so look further before a
        // transaction counts as expired.
        let expired: Vec<_> = {
            let state = self.lock();
            let is_over = |signature: &Signature| {
                state
                    .pending
                    .get(signature)
                    .is_some_and(|pending| height > pending.last_valid.saturating_add(LAG))
            };
            let unknown = batch.iter().zip(&statuses).filter(|(_, status)| status.is_none());
            unknown.map(|(signature, _)| *signature).filter(is_over).collect()
        };
        if !expired.is_empty() {
            let found = self.rpc.get_signature_statuses_with_history(&expired).await?.value;
            for (signature, status) in expired.iter().zip(found) {
                if let Some(place) = batch.iter().position(|other| other == signature) {
                    statuses[place] = status;
                }
            }
        }
        let mut state = self.lock();
        for (signature, status) in batch.iter().zip(statuses) {
            let Some(pending) = state.pending.get(signature) else {
                continue;
            };
            let outcome = match status {
                Some(status) if status.satisfies_commitment(self.commitment) => {
                    Outcome::Landed { slot: status.slot, error: status.err }
                }
                None if height > pending.last_valid.saturating_add(LAG) => Outcome::Expired,
                _ => continue,
            };
            if let Some(pending) = state.pending.remove(signature) {
                // An error means that nobody waits any more.
                let _ = pending.done.send(outcome);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, and the map is consistent at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
