//! Takes back what a plan opened, where a later step of it fails.

pub mod cost;

use leasehold::{
    error::LeaseholdError,
    state::{Lease, LeaseState},
};
use leasehold_client::error::sentence;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use self::cost::of_cancelled;
use crate::{
    executor::Executor,
    failure::{Failure, GroupFlags},
    plan::{Step, Undo},
    text::print_stderr,
    transaction::Transaction,
};

/// How many times a lease is looked for that was confirmed: the node may be behind.
const LOOKS: u32 = 10;

/// What there is where a step opens its leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The leases of the step: it took effect.
    Ours,
    /// Another's lease in place of one: it can't take effect any more.
    Others,
    /// Nothing, or no answer: it may still take effect.
    Nothing,
}

/// What became of the leases of steps.
#[derive(Debug, Default)]
struct Fates {
    /// Payment units at most that those cost that are cancelled.
    cost: u64,
    open: Vec<Pubkey>,
    unknown: Vec<Pubkey>,
}

/// Refuses a plan of which a lease is there before anything is sent: it is another's, or the same wallet's by
/// another command, and must not be taken for one that the plan opens.
pub async fn refuse_earlier(executor: &impl Executor, steps: &[Step]) -> Result<(), Failure> {
    for address in steps.iter().filter_map(|step| step.undo.as_ref()).flat_map(|undo| &undo.leases) {
        if executor.lease(*address).await?.is_some() {
            return Err(Failure::Refused(format!("{}, so try again", sentence(LeaseholdError::WrongSerial))));
        }
    }
    Ok(())
}

/// Whether a step of which the node said nothing took effect.
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
    lease.owner == undo.owner && lease.buyer == undo.owner && lease.cluster == Some(undo.group)
}

/// Takes back the steps that took effect before one failed, the last first, and that one too where it took
/// effect after all. Returns what is to be told.
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
        // It had some time meanwhile.
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
                "transaction {} came too late, since somebody has opened a lease: try again",
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

/// A transaction by the signatures of its copies.
fn names(copies: &[Signature]) -> String {
    copies.iter().map(Signature::to_string).collect::<Vec<_>>().join(" or ")
}

/// Cancels the leases of a step that took effect: none that is not seen to be open and of the step, whatever the
/// node said of the transaction.
async fn take_back(executor: &impl Executor, undo: &Undo, fates: &mut Fates, done: &mut Vec<Transaction>) {
    let (mut leaving, mut instructions) = (Vec::new(), Vec::new());
    let mut costs = Vec::new();
    for (address, cancel) in undo.leases.iter().zip(&undo.instructions) {
        match look(executor, *address).await {
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
                // A node that is behind what it confirmed doesn't know what it costs.
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

/// A lease that was opened, from a node that may be behind. Nothing where it does not tell.
async fn look(executor: &impl Executor, address: Pubkey) -> Option<Lease> {
    for _ in 1..LOOKS {
        if let Ok(Some(lease)) = executor.lease(address).await {
            return Some(lease);
        }
        executor.pause().await;
    }
    executor.lease(address).await.ok().flatten()
}

#[cfg(test)]
pub mod tests;
