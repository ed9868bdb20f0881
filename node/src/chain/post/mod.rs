//! Appends sealed batches to the supplier's log. What the log has already is read from its lanes, so that
//! nothing is appended twice and nothing left out, wherever this process was when it ended.

mod plan;

pub use plan::{Obstacle, Plan, Posting, batch, plan};

use super::headers::{Sent, SyncError};
use super::look::Look;
use super::tools::{TaskError, Tools};
use super::trouble::Trouble;
use crate::receipts::store::{BatchKey, BatchState, MachineKey, SealedBatch};
use leasehold::state::BatchHeader;
use leasehold_client::{instruction, packet, sender::SendError};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

/// Time between two looks at what there is to append.
const TICK: Duration = Duration::from_secs(10);

/// What a task remembers between two rounds.
#[derive(Default)]
pub(super) struct Poster {
    authority: Option<Pubkey>,
    told: BTreeMap<MachineKey, Obstacle>,
    /// Machines whose batches the program refused alone, until when they rest.
    resting: HashMap<MachineKey, (Trouble, Instant)>,
    late: usize,
    /// When a transaction was sent last.
    sent: Option<Instant>,
    /// Batches in whose place the log has others.
    foreign: HashSet<BatchKey>,
}

/// Appends until `stop` says so.
pub(super) async fn run(
    tools: Arc<Tools>,
    mut looks: watch::Receiver<Option<Arc<Look>>>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut poster, mut trouble) = (Poster::default(), Trouble::default());
    loop {
        let look = looks.borrow().clone();
        let done = match look {
            Some(look) => poster.post(&tools, &look).await,
            None => Ok(()),
        };
        let wait = match done {
            Ok(()) => {
                trouble.clear();
                TICK.min(tools.settings.batch / 4)
            }
            Err(error) => trouble.note(&error),
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
        }
        // Never by a look that began before the last transaction, which is not in it.
        let fresh = looks.wait_for(|look| look.as_ref().is_some_and(|look| look.begun >= poster.sent));
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            Ok(_) = fresh => {}
        }
    }
}

impl Poster {
    async fn post(&mut self, tools: &Tools, look: &Look) -> Result<(), TaskError> {
        let sealed = tools.store.batches(BatchState::Sealed).await?;
        if sealed.is_empty() {
            tools.metrics.waiting(0, 0);
            return Ok(());
        }
        if self.authority.is_none() {
            let fetch = leasehold_client::fetch::Fetch::new(&tools.rpc);
            let supplier = fetch.supplier_at(tools.settings.supplier).await?;
            self.authority = supplier.map(|supplier| supplier.account.authority);
        }
        let now = Instant::now();
        let held = self.resting.iter().filter(|(_, (_, until))| *until > now).map(|(key, _)| *key).collect();
        let plan = plan(&sealed, look, &tools.operator, self.authority.as_ref(), &held);
        self.tell(&plan);
        tools.metrics.waiting(sealed.len() - plan.posted.len(), plan.late);
        for posting in &plan.append {
            let done = self.append(tools, posting).await;
            self.sent = Some(Instant::now());
            tools.hurry.notify_one();
            done?;
        }
        self.note_posted(tools, look, &sealed, &plan.posted).await
    }

    fn tell(&mut self, plan: &Plan) {
        let fresh = plan.obstacles.iter().filter(|(key, obstacle)| self.told.get(*key) != Some(*obstacle));
        for (key, obstacle) in fresh {
            warn!(board = %key.board, slot = key.slot, "receipts are not in the log: {obstacle}");
        }
        self.told.clone_from(&plan.obstacles);
        if plan.late > self.late {
            warn!("{} batches are not in the log yet: their receipts can be demanded soon", plan.late);
        }
        self.late = plan.late;
    }

    /// Sends a group, as many batches in each transaction as fit.
    async fn append(&mut self, tools: &Tools, posting: &Posting) -> Result<(), TaskError> {
        let build = |headers: &[BatchHeader]| {
            let batches = headers.iter().map(batch).collect();
            let supplier = tools.settings.supplier;
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
                // One machine's batch must not keep those of others out.
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
            self.resting.remove(&key(header));
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
        let now = Instant::now();
        let (trouble, until) = self.resting.entry(key).or_insert_with(|| (Trouble::default(), now));
        *until = now + trouble.note(&error);
        Ok(())
    }

    /// Looks up where in the log batches are, and notes it.
    async fn note_posted(
        &mut self,
        tools: &Tools,
        look: &Look,
        sealed: &[SealedBatch],
        posted: &[BatchKey],
    ) -> Result<(), TaskError> {
        let log = look.log.as_ref().and_then(|log| log.view().ok());
        let Some((log, _)) = log.filter(|_| !posted.is_empty()) else { return Ok(()) };
        match tools.headers.catch_up(&tools.rpc, log).await {
            // What is here is noted; the rest is read with the next look, so that nothing waits for it.
            Ok(()) | Err(SyncError::More) => {}
            Err(error) => return Err(error.into()),
        }
        for batch in sealed.iter().filter(|batch| posted.contains(&batch.key)) {
            let MachineKey { board, slot, .. } = batch.key.machine;
            // The node may be behind with its history; the next round finds it.
            let Some(place) = tools.headers.place(&batch.header).await? else { continue };
            if let Ok(index) = place {
                tools.store.mark_posted(batch.key, index).await?;
            } else if self.foreign.insert(batch.key) {
                warn!(
                    %board, slot, number = batch.key.number,
                    "the log has another batch of the machine with this number: restore the database that has it"
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
