//! Answers demands to see receipts in the log.

use super::headers::{SyncError, sync};
use super::look::Look;
use super::tools::{TaskError, Tools};
use super::trouble::Trouble;
use crate::receipts::store::{BatchKey, Kept, SealedBatch};
use leasehold::instructions::BatchProof;
use leasehold::math::mmr;
use leasehold::math::sum_tree::SumNode;
use leasehold::state::{Demand, ShownBatch};
use leasehold_client::fetch::{Fetch, Fetched};
use leasehold_client::{instruction, packet, sender::PACKET_BYTES};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info};

/// Longest time between two looks for demands; each round is looked at once at least.
const TICK: Duration = Duration::from_secs(30);

/// What to do about a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Prove that the receipt is at that place of that batch, which is in the log at `index`. `show`: the
    /// batch itself has to be shown first.
    Answer {
        key: BatchKey,
        place: u32,
        index: u64,
        show: bool,
    },
    Wait(Why),
}

/// Why a demand can't be answered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Unknown,
    Unsealed,
    NotInLog,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Unknown => {
                "the receipt is not in this database: restore the one that has it, or the bond is lost"
            }
            Why::Unsealed => "the receipt is in no batch yet",
            Why::NotInLog => "the receipt's batch is not in the log yet, as far as is known",
        })
    }
}

/// What to do about a demand, given what the database has: the receipt, and its batch.
pub fn step(demand: &Demand, kept: Option<&Kept>, batch: Option<&SealedBatch>) -> Step {
    let Some(kept) = kept else { return Step::Wait(Why::Unknown) };
    let (Some((key, place)), Some(batch)) = (kept.batch, batch) else { return Step::Wait(Why::Unsealed) };
    let Some(index) = batch.log_index else { return Step::Wait(Why::NotInLog) };
    let needed = ShownBatch { root: batch.header.root, count: batch.header.count, index: place };
    // Anybody may have shown it, or another batch with the same numbers.
    Step::Answer { key, place, index, show: demand.shown != Some(needed) }
}

/// Looks and answers until `stop` says so.
pub(super) async fn run(
    tools: Arc<Tools>,
    looks: watch::Receiver<Option<Arc<Look>>>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut trouble, mut told) = (Trouble::default(), HashMap::new());
    loop {
        let wait = match answer(&tools, &mut told).await {
            Ok(()) => {
                trouble.clear();
                let rounds = looks.borrow().as_ref().and_then(|look| {
                    look.boards.values().map(|board| Duration::from_secs(board.round_secs.into())).min()
                });
                rounds.map_or(TICK, |round| TICK.min(round))
            }
            Err(error) => trouble.note(&error),
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn answer(tools: &Tools, told: &mut HashMap<Pubkey, Why>) -> Result<(), TaskError> {
    let demands = Fetch::new(&tools.rpc).demands_on(&tools.settings.supplier).await?;
    told.retain(|address, _| demands.iter().any(|demand| demand.address == *address));
    let mut failure = None;
    for demand in &demands {
        let kept = tools.store.receipt(&demand.account.leaf.hash).await?;
        let batch = match kept.as_ref().and_then(|kept| kept.batch) {
            Some((key, _)) => tools.store.batch(&key).await?,
            None => None,
        };
        match step(&demand.account, kept.as_ref(), batch.as_ref()) {
            Step::Wait(why) => {
                if told.insert(demand.address, why) != Some(why) {
                    let receipt = hex::encode(demand.account.leaf.hash);
                    error!(receipt, before_round = demand.account.due, "a receipt is demanded: {why}");
                }
            }
            Step::Answer { key, place, index, show } => {
                let path = tools.store.path(&key, place).await?.unwrap_or_default();
                // One that fails must not keep the others.
                if let Err(error) = send(tools, demand, path, index, show).await {
                    failure = Some(error);
                }
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn send(
    tools: &Tools,
    demand: &Fetched<Demand>,
    path: Vec<SumNode>,
    index: u64,
    show: bool,
) -> Result<(), TaskError> {
    let mut instructions = Vec::new();
    if show {
        instructions.push(instruction::show_batch(demand.address, tools.log, proof(tools, index).await?));
    }
    instructions.push(instruction::answer_demand(tools.operator, demand.account.lease, demand.address, path));
    for transaction in split(&tools.operator, &instructions) {
        if let Err(error) = tools.sender.send(transaction, &[]).await {
            tools.metrics.send_failed();
            let what = format!(
                "the demand to see receipt {} was not answered",
                hex::encode(demand.account.leaf.hash)
            );
            return Err(TaskError::Send { what, error: Box::new(error) });
        }
    }
    tools.metrics.answered();
    info!(receipt = hex::encode(demand.account.leaf.hash), "demand answered");
    Ok(())
}

/// Both steps in one transaction where they fit.
fn split<'a>(payer: &Pubkey, instructions: &'a [Instruction]) -> std::slice::Chunks<'a, Instruction> {
    let fits = packet::len(payer, instructions) <= PACKET_BYTES;
    instructions.chunks(if fits { instructions.len().max(1) } else { 1 })
}

/// Where a batch stands in the log as it is now.
async fn proof(tools: &Tools, index: u64) -> Result<BatchProof, TaskError> {
    sync(&tools.rpc, &tools.headers, &tools.log).await?;
    let log = Fetch::new(&tools.rpc).log(tools.log).await?;
    let found = log.as_ref().and_then(|log| log.account.view().ok()).map(|(log, _)| log);
    let Some(log) = found else { return Err(SyncError::Behind.into()) };
    let Some(root) = tools.headers.root(&tools.log, log.batches).await? else {
        return Err(SyncError::Behind.into());
    };
    if root != mmr::root(&log.peaks, log.batches) {
        tools.headers.follow_again(&tools.log).await?;
        return Err(SyncError::Wrong.into());
    }
    tools.headers.proof(&tools.log, index, log.batches).await?.ok_or(SyncError::Behind.into())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{BOARD, batch, machine, machine_key};
    use super::*;
    use leasehold_client::record::{SignedReceipt, receipt::blank};

    fn demand() -> Demand {
        let header = batch(2).header;
        Demand {
            version: Demand::VERSION,
            bump: 255,
            claimant: BOARD,
            lease: BOARD,
            supplier: BOARD,
            slot: header.slot,
            generation: header.generation,
            board: BOARD,
            serial: header.lease,
            seq: 24,
            leaf: SumNode::default(),
            due: 1_100,
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
        assert_eq!(step(&demand(), None, None), Step::Wait(Why::Unknown));
        assert_eq!(step(&demand(), Some(&kept(None)), None), Step::Wait(Why::Unsealed));
        assert_eq!(step(&demand(), Some(&in_batch), Some(&sealed)), Step::Wait(Why::NotInLog));
        let answer = |show| Step::Answer { key, place: 4, index: 77, show };
        assert_eq!(step(&demand(), Some(&in_batch), Some(&posted)), answer(true));
        let shown = |index| Some(ShownBatch { root: posted.header.root, count: 10, index });
        let half = Demand { shown: shown(4), ..demand() };
        assert_eq!(step(&half, Some(&in_batch), Some(&posted)), answer(false));
        let other = Demand { shown: shown(5), ..demand() };
        assert_eq!(
            step(&other, Some(&in_batch), Some(&posted)),
            answer(true),
            "it was shown in another batch"
        );
    }

    #[test]
    fn both_steps_go_in_one_transaction_where_they_fit() {
        let payer = Pubkey::new_from_array([1; 32]);
        let instructions = |hashes: usize, nodes: usize| {
            let proof = BatchProof { header: batch(2).header, index: 7, path: vec![[0; 32]; hashes] };
            [
                instruction::show_batch(BOARD, payer, proof),
                instruction::answer_demand(payer, BOARD, BOARD, vec![SumNode::default(); nodes]),
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
}
