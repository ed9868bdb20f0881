//! Undoes the steps of a plan that opened leases if a later step fails.

pub mod cost;

use leasehold::state::{Lease, LeaseState};
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use self::cost::of_cancelled;
use crate::{
    executor::{Executor, OPENED},
    failure::{Failure, GroupFlags},
    plan::{Step, Undo},
    text::print_stderr,
    transaction::Transaction,
};

/// How many times a confirmed lease is polled for: the RPC node may be behind.
const POLLS: u32 = 10;

/// State of the addresses of a step's leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The leases of the step: it took effect.
    Ours,
    /// Another lease at one of their addresses: the step can no longer take effect.
    Others,
    /// Nothing, or no answer: the step may still take effect.
    Nothing,
}

/// Fates of the leases of undone steps.
#[derive(Debug, Default)]
struct Fates {
    /// Most payment units that the cancelled ones cost.
    cost: u64,
    open: Vec<Pubkey>,
    unknown: Vec<Pubkey>,
}

/// Refuses a plan if one of its leases exists before anything is sent: another command of this wallet opened it, and it must
/// not be mistaken for one of the plan.
pub async fn refuse_earlier(executor: &impl Executor, steps: &[Step]) -> Result<(), Failure> {
    for address in steps.iter().filter_map(|step| step.undo.as_ref()).flat_map(|undo| &undo.leases) {
        if executor.lease(*address).await?.is_some() {
            return Err(Failure::Refused(OPENED.to_owned()));
        }
    }
    Ok(())
}

/// Finds out whether a step took effect whose end the RPC node did not report.
pub async fn find(executor: &impl Executor, step: &Step) -> Found {
    let Some(undo) = &step.undo else { return Found::Nothing };
    let mut found = Found::Ours;
    for address in &undo.leases {
        match executor.lease(*address).await {
            Ok(Some(lease)) if is_ours(&lease, undo) => {}
            Ok(Some(_)) => return Found::Others,
            Ok(None) | Err(_) => found = Found::Nothing,
        }
    }
    found
}

fn is_ours(lease: &Lease, undo: &Undo) -> bool {
    lease.owner == undo.owner && lease.buyer == undo.owner && lease.group == Some(undo.group)
}

/// Undoes the steps before the failed one, the last first, and the failed one too if it took effect after all. Returns
/// the failure to report.
pub async fn undo(
    executor: &impl Executor,
    before: &[Step],
    step: &Step,
    error: Failure,
    done: &mut Vec<Transaction>,
) -> Failure {
    let Some(last) = &step.undo else { return error };
    let mut fates = Fates::default();
    let mut opened = before.iter().filter_map(|step| step.undo.as_ref()).rev().peekable();
    let mut undone = opened.peek().is_some();
    for undo in opened {
        take_back(executor, undo, &mut fates, done).await;
    }
    let error = match error {
        // It may have arrived meanwhile.
        Failure::Unknown { copies } => match find(executor, step).await {
            Found::Ours => {
                undone = true;
                take_back(executor, last, &mut fates, done).await;
                Failure::Refused(format!(
                    "the RPC node did not report the end of transaction {} in time",
                    names(&copies)
                ))
            }
            Found::Others => Failure::Refused(format!(
                "transaction {} came too late: another command of this wallet opened a lease with that nonce",
                names(&copies)
            )),
            Found::Nothing => {
                fates.unknown.extend(&last.leases);
                Failure::Unknown { copies }
            }
        },
        error => error,
    };
    let error = Box::new(error);
    let flags = GroupFlags { market: last.market, group: last.group };
    let Fates { cost, open, unknown } = fates;
    if !open.is_empty() || !unknown.is_empty() {
        return Failure::NotUndone { error, open, unknown, flags };
    }
    if !undone {
        return *error;
    }
    Failure::Undone { error, cost: last.deposit.token.money(cost), flags }
}

/// Names a transaction by the signatures of its copies.
fn names(copies: &[Signature]) -> String {
    copies.iter().map(Signature::to_string).collect::<Vec<_>>().join(" or ")
}

/// Cancels the leases of a step: only those that are seen to be open and of the step, whatever the RPC node reported.
async fn take_back(executor: &impl Executor, undo: &Undo, fates: &mut Fates, done: &mut Vec<Transaction>) {
    let (mut leaving, mut instructions) = (Vec::new(), Vec::new());
    let mut costs = Vec::new();
    for (address, cancel) in undo.leases.iter().zip(&undo.instructions) {
        match poll(executor, *address).await {
            Some(lease) if !is_ours(&lease, undo) => fates.unknown.push(*address),
            Some(lease) if lease.state == LeaseState::Open => {
                leaving.push(*address);
                instructions.push(cancel.clone());
            }
            Some(lease) => costs.push(of_cancelled(&lease).ok()),
            None => fates.unknown.push(*address),
        }
    }
    if !instructions.is_empty() {
        print_stderr(format!("Sending a transaction to {}", undo.what));
        let sent = executor.send(&instructions).await;
        if let Ok(receipt) = &sent {
            done.push(Transaction::confirmed(&undo.what, receipt));
        }
        for address in leaving {
            match (executor.lease(address).await, &sent) {
                (Ok(Some(lease)), _) if lease.state != LeaseState::Open => {
                    costs.push(of_cancelled(&lease).ok());
                }
                // The RPC node is behind its own confirmations, so the cost is unknown.
                (_, Ok(_)) => costs.push(None),
                (Ok(Some(_)), Err(error)) => {
                    print_stderr(format!("Not done: {error}"));
                    fates.open.push(address);
                }
                (Ok(None) | Err(_), Err(_)) => fates.unknown.push(address),
            }
        }
    }
    let cost = costs.into_iter().try_fold(0u64, |sum, cost| cost.map(|cost| sum.saturating_add(cost)));
    fates.cost = fates.cost.saturating_add(cost.unwrap_or(undo.deposit.amount));
}

/// Polls for a lease that was opened. `None` if the RPC node does not have it.
async fn poll(executor: &impl Executor, address: Pubkey) -> Option<Lease> {
    for _ in 1..POLLS {
        if let Ok(Some(lease)) = executor.lease(address).await {
            return Some(lease);
        }
        executor.pause().await;
    }
    executor.lease(address).await.ok().flatten()
}

#[cfg(test)]
pub mod tests;
