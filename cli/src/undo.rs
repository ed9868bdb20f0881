//! Takes back what a plan opened, where a later step of it fails.

use leasehold::{
    math::{Exact, mul_div_floor},
    state::{Lease, LeaseState},
};

use crate::{
    deliver::{Carrier, Transaction, failed},
    failure::Failure,
    plan::{Step, Undo},
    text::tell,
};

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

/// What became of the leases of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// All of them are cancelled, for so many payment units at most.
    Undone(u64),
    /// One of them is open.
    Open,
    Unknown,
}

/// Whether a step of which the node said nothing took effect.
pub async fn find(carrier: &impl Carrier, step: &Step) -> Found {
    let Some(undo) = &step.undo else { return Found::Nothing };
    let mut found = Found::Ours;
    for address in &undo.leases {
        match carrier.lease(*address).await {
            Ok(Some(lease)) if is_ours(&lease, undo) => {}
            Ok(Some(_)) => return Found::Others,
            Ok(None) | Err(_) => found = Found::Nothing,
        }
    }
    found
}

fn is_ours(lease: &Lease, undo: &Undo) -> bool {
    lease.owner == undo.owner && lease.buyer == undo.owner && lease.cluster == Some(undo.cluster)
}

/// Takes back the steps that took effect before one failed, the last first, and that one too where it took
/// effect after all. Returns what is to be told.
pub async fn undo(
    carrier: &impl Carrier,
    before: &[Step],
    step: &Step,
    error: Failure,
    done: &mut Vec<Transaction>,
) -> Failure {
    let Some(last) = &step.undo else { return error };
    let mut cost = 0u64;
    let (mut open, mut unknown) = (Vec::new(), Vec::new());
    let mut book = |undo: &Undo, fate: Fate| match fate {
        Fate::Undone(units) => cost = cost.saturating_add(units),
        Fate::Open => open.extend(&undo.leases),
        Fate::Unknown => unknown.extend(&undo.leases),
    };
    let mut opened = before.iter().filter_map(|step| step.undo.as_ref()).rev().peekable();
    let mut undone = opened.peek().is_some();
    for undo in opened {
        let fate = take_back(carrier, undo, done).await;
        book(undo, fate);
    }
    let error = match error {
        // It had some time meanwhile.
        Failure::Unknown { signature } => match find(carrier, step).await {
            Found::Ours => {
                undone = true;
                let fate = take_back(carrier, last, done).await;
                book(last, fate);
                Failure::Refused(format!("no word about transaction {signature} from the RPC node in time"))
            }
            Found::Others => Failure::Refused(format!(
                "transaction {signature} came too late, since somebody has opened a lease: try again"
            )),
            Found::Nothing => {
                book(last, Fate::Unknown);
                Failure::Unknown { signature }
            }
        },
        error => error,
    };
    let (error, cluster) = (Box::new(error), last.cluster);
    if !open.is_empty() || !unknown.is_empty() {
        return Failure::NotUndone { error, open, unknown, cluster };
    }
    if !undone {
        return *error;
    }
    Failure::Undone { error, cost: last.cost.token.money(cost), cluster }
}

/// Cancels the leases of a step that took effect.
async fn take_back(carrier: &impl Carrier, undo: &Undo, done: &mut Vec<Transaction>) -> Fate {
    eprintln!("Sending a transaction to {}", undo.what);
    let sent = carrier.send(&undo.instructions).await;
    let refused = match sent {
        Ok(receipt) => {
            done.push(Transaction::confirmed(&undo.what, &receipt));
            None
        }
        Err(error) => Some(failed(&undo.instructions, error)),
    };
    let mut cost = Some(0u64);
    for address in &undo.leases {
        cost = match carrier.lease(*address).await {
            Ok(Some(lease)) if lease.state != LeaseState::Open => {
                cost.zip(leaving_costs(&lease).ok()).map(|(sum, more)| sum.saturating_add(more))
            }
            // A node that is behind what it confirmed doesn't know what it costs.
            _ if refused.is_none() => None,
            Ok(Some(_)) => {
                if let Some(error) = refused {
                    tell(format!("Not done: {error}"));
                }
                return Fate::Open;
            }
            Ok(None) | Err(_) => return Fate::Unknown,
        };
    }
    Fate::Undone(cost.unwrap_or(undo.cost.amount))
}

/// Most payment units that the owner of a cancelled lease owes: the part of its deposit for the rounds until
/// its end and for leaving. Rounded down, as payments to machines are, of a deposit that was rounded up.
fn leaving_costs(lease: &Lease) -> Exact<u64> {
    let secs = |rounds: u32| u64::from(lease.terms.round_secs).saturating_mul(rounds.into());
    let served = secs(lease.until.saturating_sub(lease.from));
    let owed = served.saturating_add(lease.terms.cancel_secs.into());
    Ok(mul_div_floor(lease.deposit, owed, secs(lease.terms.rounds))?.min(lease.deposit))
}

#[cfg(test)]
pub mod tests;
