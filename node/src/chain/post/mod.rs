//! Appends sealed batches to the supplier's log. The log's lanes say which batches it has, so that no batch is appended
//! twice or left out, wherever the last process ended.

mod plan;

pub use plan::{Obstacle, Plan, Posting, plan};

use super::headers::Sent;
use super::tools::{TaskError, Tools};
use crate::leases::{View, ViewReceiver};
use crate::receipts::store::{BatchKey, BatchState, MachineKey, SealedBatch};
use leasehold::state::BatchHeader;
use leasehold_archive::sync::SyncError;
use leasehold_client::{fetch::Fetch, instruction, packet, sender::SendError};
use leasehold_daemon::backoff::{Backoff, Backoffs};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

/// Time between two checks for batches to append.
const TICK: Duration = Duration::from_secs(10);

/// State of the task between two checks.
#[derive(Default)]
pub(super) struct Poster {
    authority: Option<Pubkey>,
    /// Obstacles that were logged.
    logged: BTreeMap<MachineKey, Obstacle>,
    /// Machines whose batches the program refused.
    refused: Backoffs<MachineKey>,
    /// Late batches that were logged.
    late: usize,
    /// When the last transaction was sent.
    sent: Option<Instant>,
    /// Batches whose numbers the log has given to others.
    foreign: HashSet<BatchKey>,
}

/// Appends until `stop` is true.
pub(super) async fn run(tools: Arc<Tools>, mut views: ViewReceiver, mut stop: watch::Receiver<bool>) {
    let (mut poster, mut backoff) = (Poster::default(), Backoff::default());
    loop {
        let view = views.borrow().clone();
        let done = match view {
            Some(view) => poster.post(&tools, &view).await,
            None => Ok(()),
        };
        let wait = match done {
            Ok(()) => {
                backoff.reset();
                TICK.min(tools.settings.batch / 4)
            }
            Err(error) => backoff.fail(&error),
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
        }
        // A view that began before the last transaction was sent does not show it.
        let fresh = views.wait_for(|view| view.as_ref().is_some_and(|view| view.begun >= poster.sent));
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            Ok(_) = fresh => {}
        }
    }
}

impl Poster {
    async fn post(&mut self, tools: &Tools, view: &View) -> Result<(), TaskError> {
        let sealed = tools.store.batches(BatchState::Sealed).await?;
        if sealed.is_empty() {
            tools.metrics.waiting(0, 0);
            return Ok(());
        }
        if self.authority.is_none() {
            let supplier = Fetch::new(&tools.rpc).supplier_at(tools.supplier).await?;
            self.authority = supplier.map(|supplier| supplier.account.authority);
        }
        let paused = self.refused.paused().copied().collect();
        let plan = plan(&sealed, view, &tools.operator, self.authority.as_ref(), &paused);
        self.log(&plan);
        tools.metrics.waiting(sealed.len() - plan.posted.len(), plan.late);
        for posting in &plan.append {
            let done = self.append(tools, posting).await;
            self.sent = Some(Instant::now());
            tools.poll_now.notify_one();
            done?;
        }
        self.note_posted(tools, view, &sealed, &plan.posted).await
    }

    /// Logs new obstacles and late batches of a plan.
    fn log(&mut self, plan: &Plan) {
        let fresh = plan.obstacles.iter().filter(|(key, obstacle)| self.logged.get(*key) != Some(*obstacle));
        for (key, obstacle) in fresh {
            warn!(board = %key.board, slot = key.slot, "receipts can't be appended to the log: {obstacle}");
        }
        self.logged.clone_from(&plan.obstacles);
        if plan.late > self.late {
            warn!("{} batches are not in the log yet: their receipts can be demanded soon", plan.late);
        }
        self.late = plan.late;
    }

    /// Appends a group of batches, as many in each transaction as fit.
    async fn append(&mut self, tools: &Tools, posting: &Posting) -> Result<(), TaskError> {
        let build = |headers: &[BatchHeader]| {
            let batches = headers.iter().map(instruction::batch).collect();
            let supplier = tools.supplier;
            instruction::append_batches(&posting.board, tools.operator, supplier, &posting.source, batches)
        };
        let mut rest = posting.batches.as_slice();
        let mut refused = HashSet::new();
        while !rest.is_empty() {
            let (some, later) = rest.split_at(packet::most(&tools.operator, rest, build).max(1));
            rest = later;
            let some: Vec<_> =
                some.iter().copied().filter(|header| !refused.contains(&key(header))).collect();
            if some.is_empty() {
                continue;
            }
            match tools.sender.send(&[build(&some)], &[]).await {
                Ok(receipt) => self.appended(tools, posting, &some, receipt.signature),
                // One machine's batch must not block those of others.
                Err(SendError::Program { .. }) => {
                    for alone in some.chunk_by(|one, other| key(one) == key(other)) {
                        match tools.sender.send(&[build(alone)], &[]).await {
                            Ok(receipt) => self.appended(tools, posting, alone, receipt.signature),
                            Err(error) => self.refused(tools, alone, error, &mut refused)?,
                        }
                    }
                }
                Err(error) => return Err(failed(tools, posting, error)),
            }
        }
        Ok(())
    }

    fn appended(&mut self, tools: &Tools, posting: &Posting, headers: &[BatchHeader], signature: Signature) {
        tools.metrics.appended(headers.len());
        tools.headers.sent(Sent { signature, source: posting.source.clone(), headers: headers.to_vec() });
        for header in headers {
            self.refused.reset(&key(header));
            let BatchHeader { board, slot, number, count, .. } = header;
            info!(%board, slot, number, receipts = count, "batch appended");
        }
    }

    fn refused(
        &mut self,
        tools: &Tools,
        headers: &[BatchHeader],
        error: SendError,
        refused: &mut HashSet<MachineKey>,
    ) -> Result<(), TaskError> {
        let Some(first) = headers.first() else { return Ok(()) };
        tools.metrics.send_failed();
        let what = format!(
            "batch {} of slot {} of board {} was not appended",
            first.number, first.slot, first.board
        );
        let program = matches!(error, SendError::Program { .. });
        let error = TaskError::Send { what, error: Box::new(error) };
        if !program {
            return Err(error);
        }
        let key = key(first);
        refused.insert(key);
        self.refused.fail(key, &error);
        Ok(())
    }

    /// Notes the places of batches in the log.
    async fn note_posted(
        &mut self,
        tools: &Tools,
        view: &View,
        sealed: &[SealedBatch],
        posted: &[BatchKey],
    ) -> Result<(), TaskError> {
        let log = view.log.as_ref().and_then(|log| log.view().ok());
        let Some((log, _)) = log.filter(|_| !posted.is_empty()) else { return Ok(()) };
        match tools.headers.catch_up(&tools.rpc, log).await {
            // Known places are noted now, the others after the next poll.
            Ok(()) | Err(SyncError::Unfinished) => {}
            Err(error) => return Err(error.into()),
        }
        for batch in sealed.iter().filter(|batch| posted.contains(&batch.key)) {
            let MachineKey { board, slot, .. } = batch.key.machine;
            // The RPC node's history may be behind; the next check finds it.
            let Some(place) = tools.headers.place(&batch.header).await? else { continue };
            if let Ok(index) = place {
                tools.store.mark_posted(batch.key, index).await?;
            } else if self.foreign.insert(batch.key) {
                warn!(
                    %board, slot, number = batch.key.number,
                    "the log already has a different batch with this number for the machine: restore the database that \
                     made it"
                );
            }
        }
        Ok(())
    }
}

fn key(header: &BatchHeader) -> MachineKey {
    BatchKey::of(header).machine
}

fn failed(tools: &Tools, posting: &Posting, error: SendError) -> TaskError {
    tools.metrics.send_failed();
    let what = format!("batches of board {} were not appended", posting.board.address);
    TaskError::Send { what, error: Box::new(error) }
}
