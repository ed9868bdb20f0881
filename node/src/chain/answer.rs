//! Answers demands: proves that receipts are in the log.

use super::tools::{TaskError, Tools};
use crate::receipts::store::{BatchKey, Kept, SealedBatch};
use futures::{StreamExt, stream};
use leasehold::instructions::BatchProof;
use leasehold::math::sum_tree::SumNode;
use leasehold::state::{Demand, ShownBatch};
use leasehold_archive::sync::SyncError;
use leasehold_client::fetch::{Fetch, Fetched};
use leasehold_client::{
    instruction,
    packet::{self, PACKET_BYTES},
};
use leasehold_daemon::backoff::Backoff;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info};

/// Time between two polls for demands.
const TICK: Duration = Duration::from_secs(30);
/// Pause before the rest of the log's transactions is read.
const UNFINISHED_PAUSE: Duration = Duration::from_millis(250);
/// Demands that are answered at a time.
const CONCURRENCY: usize = 16;
/// Demands that are answered from one reading of the log: it grows meanwhile, and old proofs fail.
const PER_READING: usize = 128;

/// Next step for a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Prove that the receipt is at `place` of a batch, which is at `index` of the log. `show`: show the batch first.
    Answer {
        key: BatchKey,
        place: u32,
        index: u64,
        show: bool,
    },
    Wait(Reason),
}

/// Why a demand can't be answered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Unknown,
    Unsealed,
    NotInLog,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Unknown => {
                "the receipt is not in this database: restore the database that has it, or the machine loses its bond"
            }
            Reason::Unsealed => "the receipt is in no batch yet",
            Reason::NotInLog => "the receipt's batch is not known to be in the log yet",
        })
    }
}

/// Decides about a demand, from the receipt and its batch in the database.
pub fn step(demand: &Demand, kept: Option<&Kept>, batch: Option<&SealedBatch>) -> Step {
    let Some(kept) = kept else { return Step::Wait(Reason::Unknown) };
    let (Some((key, place)), Some(batch)) = (kept.batch, batch) else { return Step::Wait(Reason::Unsealed) };
    let Some(index) = batch.log_index else { return Step::Wait(Reason::NotInLog) };
    let needed = ShownBatch { root: batch.header.root, count: batch.header.count, index: place };
    // Anybody may have shown this batch, or another with the same numbers.
    Step::Answer { key, place, index, show: demand.shown != Some(needed) }
}

/// Polls for demands and answers them until `stop` is true.
pub(super) async fn run(tools: Arc<Tools>, mut stop: watch::Receiver<bool>) {
    let (mut backoff, mut logged) = (Backoff::default(), HashMap::new());
    loop {
        let wait = match answer(&tools, &mut logged).await {
            Ok(()) => {
                backoff.reset();
                TICK
            }
            Err(TaskError::Sync(SyncError::Unfinished)) => UNFINISHED_PAUSE,
            Err(error) => backoff.fail(&error),
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// A demand that can be answered: [`Step::Answer`].
struct Task<'a> {
    demand: &'a Fetched<Demand>,
    key: BatchKey,
    place: u32,
    index: u64,
    show: bool,
}

/// Contents of an answer.
struct Answer {
    address: Pubkey,
    demand: Demand,
    /// Proof that the batch is in the log, if it is to be shown.
    batch: Option<BatchProof>,
    path: Vec<SumNode>,
}

async fn answer(tools: &Tools, logged: &mut HashMap<Pubkey, Reason>) -> Result<(), TaskError> {
    let demands = Fetch::new(&tools.rpc).demands_on(&tools.supplier).await?;
    logged.retain(|address, _| demands.iter().any(|demand| demand.address == *address));
    let mut tasks = Vec::new();
    for demand in &demands {
        let kept = tools.store.receipt(&demand.account.leaf.hash).await?;
        let batch = match kept.as_ref().and_then(|kept| kept.batch) {
            Some((key, _)) => tools.store.batch(&key).await?,
            None => None,
        };
        match step(&demand.account, kept.as_ref(), batch.as_ref()) {
            Step::Wait(reason) => {
                if logged.insert(demand.address, reason) != Some(reason) {
                    let receipt = hex::encode(demand.account.leaf.hash);
                    error!(receipt, before = demand.account.due, "a demand can't be answered: {reason}");
                }
            }
            Step::Answer { key, place, index, show } => {
                tasks.push(Task { demand, key, place, index, show });
            }
        }
    }
    tasks.sort_by_key(|task| task.demand.account.due);
    let mut failure = None;
    for some in tasks.chunks(PER_READING) {
        // A demand that fails must not block the others.
        let batches = match batches(tools, some).await {
            Ok(batches) => batches,
            Err(error) => {
                failure = Some(error);
                HashMap::new()
            }
        };
        let answers = prepare(tools, some, &batches).await?;
        if answers.len() < some.len() {
            failure.get_or_insert(SyncError::Behind.into());
        }
        let ends = concurrently(answers, |answer| send(tools, answer)).await;
        failure = ends.into_iter().filter_map(Result::err).next().or(failure);
    }
    failure.map_or(Ok(()), Err)
}

/// Proofs that the batches to be shown are in the log as it is now, by place in the log.
async fn batches(tools: &Tools, tasks: &[Task<'_>]) -> Result<HashMap<u64, BatchProof>, TaskError> {
    let mut proofs = HashMap::new();
    if !tasks.iter().any(|task| task.show) {
        return Ok(proofs);
    }
    let log = Fetch::new(&tools.rpc).log(tools.log).await?;
    let found = log.as_ref().and_then(|log| log.account.view().ok()).map(|(log, _)| log);
    let Some(log) = found else { return Err(SyncError::Behind.into()) };
    tools.headers.catch_up(&tools.rpc, log).await?;
    for task in tasks.iter().filter(|task| task.show) {
        if let Entry::Vacant(place) = proofs.entry(task.index)
            && let Some(proof) = tools.headers.proof(task.index, log.batches).await?
        {
            place.insert(proof);
        }
    }
    Ok(proofs)
}

/// The answers, in the order of the demands. Demands whose batch can't be shown are left out.
async fn prepare(
    tools: &Tools,
    tasks: &[Task<'_>],
    batches: &HashMap<u64, BatchProof>,
) -> Result<Vec<Answer>, TaskError> {
    let mut answers = Vec::new();
    // Batch by batch: the database caches the trees of the last few only.
    for (order, task) in by_batch(tasks) {
        let batch = batches.get(&task.index).filter(|_| task.show).cloned();
        if task.show && batch.is_none() {
            continue;
        }
        let path = tools.store.path(&task.key, task.place).await?.unwrap_or_default();
        let Fetched { address, account, .. } = task.demand;
        answers.push((order, Answer { address: *address, demand: account.clone(), batch, path }));
    }
    answers.sort_by_key(|(order, _)| *order);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// Tasks sorted by batch, each with its index.
fn by_batch<'t, 'a>(tasks: &'t [Task<'a>]) -> Vec<(usize, &'t Task<'a>)> {
    let mut tasks: Vec<_> = tasks.iter().enumerate().collect();
    tasks.sort_by_key(|(order, task)| (task.index, *order));
    tasks
}

/// Does the work concurrently, beginning in order. A failure stops nothing.
async fn concurrently<W, F: Future<Output = Result<(), TaskError>>>(
    work: Vec<W>,
    each: impl Fn(W) -> F,
) -> Vec<Result<(), TaskError>> {
    stream::iter(work).map(each).buffer_unordered(CONCURRENCY).collect().await
}

async fn send(tools: &Tools, answer: Answer) -> Result<(), TaskError> {
    let Answer { address, demand, batch, path } = answer;
    let receipt = hex::encode(demand.leaf.hash);
    let show = batch.map(|proof| instruction::show_batch(address, tools.log, proof));
    let answer = instruction::answer_demand(tools.operator, address, &demand, path);
    let instructions: Vec<_> = show.into_iter().chain([answer]).collect();
    for transaction in split(&tools.operator, &instructions) {
        if let Err(error) = tools.sender.send(transaction, &[]).await {
            tools.metrics.send_failed();
            let what = format!("the demand to see receipt {receipt} was not answered");
            return Err(TaskError::Send { what, error: Box::new(error) });
        }
    }
    tools.metrics.answered();
    info!(receipt, "demand answered");
    Ok(())
}

/// Both instructions in one transaction if they fit, else each in its own.
fn split<'a>(payer: &Pubkey, instructions: &'a [Instruction]) -> std::slice::Chunks<'a, Instruction> {
    let fits = packet::len(payer, instructions) <= PACKET_BYTES;
    instructions.chunks(if fits { instructions.len().max(1) } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::super::sample::{BOARD, batch, machine, machine_key};
    use super::*;
    use leasehold_client::record::{SignedReceipt, receipt::blank};
    use std::sync::Mutex;

    fn demand() -> Demand {
        let header = batch(2).header;
        Demand {
            version: Demand::VERSION,
            bump: 255,
            claimant: BOARD,
            cluster: [0xc1; 8],
            lease: BOARD,
            supplier: BOARD,
            node_key: header.node_key,
            slot: header.slot,
            generation: header.generation,
            board: BOARD,
            serial: header.lease,
            seq: 24,
            leaf: SumNode::default(),
            due: 660_000,
            fee: 100_000,
            shown: None,
        }
    }

    fn kept(batch: Option<(BatchKey, u32)>) -> Kept {
        Kept { signed: SignedReceipt::sign(&machine().key, blank()), batch }
    }

    #[test]
    fn a_receipt_is_shown_once_its_batch_is_in_the_log() {
        let key = BatchKey { machine: machine_key(), number: 2 };
        let (in_batch, sealed) = (kept(Some((key, 4))), batch(2));
        let posted = SealedBatch { log_index: Some(77), ..sealed.clone() };
        assert_eq!(step(&demand(), None, None), Step::Wait(Reason::Unknown));
        assert_eq!(step(&demand(), Some(&kept(None)), None), Step::Wait(Reason::Unsealed));
        assert_eq!(step(&demand(), Some(&in_batch), Some(&sealed)), Step::Wait(Reason::NotInLog));
        let answer = |show| Step::Answer { key, place: 4, index: 77, show };
        assert_eq!(step(&demand(), Some(&in_batch), Some(&posted)), answer(true));
        let shown = |index| Some(ShownBatch { root: posted.header.root, count: 10, index });
        let half = Demand { shown: shown(4), ..demand() };
        assert_eq!(step(&half, Some(&in_batch), Some(&posted)), answer(false));
        let other = Demand { shown: shown(5), ..demand() };
        assert_eq!(step(&other, Some(&in_batch), Some(&posted)), answer(true), "another batch was shown");
    }

    #[test]
    fn both_instructions_share_a_transaction_if_they_fit() {
        let payer = Pubkey::new_from_array([1; 32]);
        let instructions = |hashes: usize, nodes: usize| {
            let proof = BatchProof { header: batch(2).header, index: 7, path: vec![[0; 32]; hashes] };
            [
                instruction::show_batch(BOARD, payer, proof),
                instruction::answer_demand(payer, BOARD, &demand(), vec![SumNode::default(); nodes]),
            ]
        };
        assert_eq!(split(&payer, &instructions(3, 3)).count(), 1);
        let large = instructions(20, 16);
        let parts: Vec<_> = split(&payer, &large).collect();
        assert_eq!(parts.len(), 2);
        for part in parts {
            assert!(packet::len(&payer, part) <= PACKET_BYTES);
        }
    }

    #[test]
    fn what_is_due_first_is_answered_first_and_each_batch_prepared_once() {
        let key = BatchKey { machine: machine_key(), number: 2 };
        let on = |due| Fetched { address: BOARD, lamports: 0, account: Demand { due, ..demand() } };
        let demands = [4, 3, 1, 2].map(on);
        let task = |(demand, index)| Task { demand, key, place: 0, index, show: true };
        let mut tasks: Vec<_> = demands.iter().zip([7, 9, 9, 7]).map(task).collect();
        tasks.sort_by_key(|task| task.demand.account.due);
        let order: Vec<_> = tasks.iter().map(|task| task.demand.account.due).collect();
        assert_eq!(order, [1, 2, 3, 4]);
        let grouped: Vec<_> = by_batch(&tasks).iter().map(|(order, task)| (task.index, *order)).collect();
        assert_eq!(grouped, [(7, 1), (7, 3), (9, 0), (9, 2)]);
    }

    #[tokio::test]
    async fn answers_do_not_wait_for_each_other() {
        let (meeting, started) = (tokio::sync::Barrier::new(CONCURRENCY), Mutex::new(Vec::new()));
        let each = async |number: usize| {
            started.lock().unwrap().push(number);
            // Each waits until all of them have begun.
            meeting.wait().await;
            if number.is_multiple_of(5) { Err(SyncError::Behind.into()) } else { Ok(()) }
        };
        let all = concurrently((0..2 * CONCURRENCY).collect(), each);
        let ends = tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
        assert_eq!(ends.len(), 2 * CONCURRENCY);
        assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 7, "a failure stops nothing");
        let started = started.into_inner().unwrap();
        assert!(started.iter().take(CONCURRENCY).copied().eq(0..CONCURRENCY), "{started:?}");
    }
}
