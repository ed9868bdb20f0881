//! Carries out a plan up to the first transaction that fails: one after the other, or several at a time where
//! they are independent.

mod node;
mod together;

use std::fmt;

use anchor_lang::Discriminator;
use leasehold::{
    error::LeaseholdError,
    instruction::OpenLease,
    state::{Lease, LeaseState},
};
use leasehold_client::{
    error::{explain_send, sentence},
    fetch::FetchError,
    sender::{Confirmation, SendError},
};
use serde::Serialize;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

pub use self::node::Node;
use crate::{
    failure::Failure,
    plan::{Again, Plan, Step},
    progress::Progress,
    text::tell,
    undo::{Found, find, refuse_earlier, undo},
};

/// What plans are carried out on: an RPC node, or a script in tests.
pub trait Carrier {
    /// Compute units that a transaction would use.
    async fn simulate(&self, instructions: &[Instruction]) -> Result<u64, Failure>;
    /// Sends a transaction to its end: once, or so that it takes effect once.
    async fn send(&self, instructions: &[Instruction]) -> Result<Confirmation, Failure>;
    /// A lease as it stands; nothing where there is none.
    async fn lease(&self, address: Pubkey) -> Result<Option<Lease>, FetchError>;
    /// Time for a node that is behind what it confirmed.
    async fn pause(&self);
}

/// Refuses a plan that is to be done as a whole where a part is refused for certain: before anything is sent, and
/// so before anything has to be taken back.
pub async fn check(carrier: &impl Carrier, plan: &Plan) -> Result<(), Failure> {
    rehearse(carrier, plan, &mut Vec::new()).await?;
    refuse_earlier(carrier, &plan.steps).await
}

/// Sends the transactions of a plan. What took effect stands in `done`, after a failure too.
pub async fn send(carrier: &impl Carrier, plan: &Plan, done: &mut Vec<Transaction>) -> Result<(), Failure> {
    if plan.is_independent() {
        return together::send(carrier, plan, done).await;
    }
    let mut progress = Progress::start("Sending", plan.steps.len());
    for (place, step) in plan.steps.iter().enumerate() {
        progress.step(&step.what);
        let sent = match carrier.send(&step.instructions).await {
            Ok(receipt) => {
                done.push(Transaction::confirmed(&step.what, &receipt));
                repeat(carrier, step, done).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = sent else { continue };
        if plan.is_undone() {
            let late = match &error {
                // Leases that are there were opened, whatever the node says of the transaction.
                Failure::Unknown { copies } if find(carrier, step).await == Found::Ours => Some(copies),
                _ => None,
            };
            let Some(copies) = late else {
                progress.finish();
                let before = plan.steps.get(..place).unwrap_or_default();
                return Err(undo(carrier, before, step, error, done).await);
            };
            done.push(Transaction::one_of(&step.what, copies));
        } else if done.is_empty() {
            return Err(error);
        } else {
            let (done, of) = (done.len(), plan.transactions());
            return Err(Failure::Partial { done, of, error: Box::new(error), unknown: Vec::new() });
        }
    }
    Ok(())
}

/// Simulates the transactions of a plan, each as if it were the first; none that builds on one before it.
pub async fn rehearse(
    carrier: &impl Carrier,
    plan: &Plan,
    done: &mut Vec<Transaction>,
) -> Result<(), Failure> {
    if plan.is_independent() {
        return together::simulate(carrier, plan, done).await;
    }
    let mut progress = Progress::start("Simulating", plan.steps.len());
    for step in &plan.steps {
        if step.builds {
            done.push(Transaction::untried(&step.what));
            continue;
        }
        progress.step(&step.what);
        let units = carrier.simulate(&step.instructions).await;
        done.push(Transaction::simulated(&step.what, units?));
    }
    Ok(())
}

/// Sends a step again until its lease is settled, as long as that goes on.
async fn repeat(carrier: &impl Carrier, step: &Step, done: &mut Vec<Transaction>) -> Result<(), Failure> {
    let Some(Again { lease: address, most }) = step.again else { return Ok(()) };
    let mut before = 0;
    for _ in 1..most {
        let Some(lease) = carrier.lease(address).await? else { return Ok(()) };
        if lease.state == LeaseState::Settled {
            return Ok(());
        }
        if lease.settled <= before {
            // The node is behind, or nothing is left to do now.
            break;
        }
        before = lease.settled;
        tell(format!("{before} of {} machines are settled: sending it again", lease.machines));
        let receipt = carrier.send(&step.instructions).await?;
        done.push(Transaction::confirmed(&step.what, &receipt));
    }
    match carrier.lease(address).await? {
        Some(Lease { state: LeaseState::Settled, .. }) | None => Ok(()),
        Some(Lease { settled, machines, .. }) => Err(Failure::Refused(format!(
            "{settled} of {machines} machines are known to be settled: settle the lease again"
        ))),
    }
}

/// Error of the system program: the account to be created exists already.
const EXISTS: u32 = 0;

/// Why a transaction with these instructions failed, in words.
pub fn failed(instructions: &[Instruction], error: SendError) -> Failure {
    let opens = |place: usize| {
        let instruction = instructions.get(place);
        instruction.is_some_and(|instruction| instruction.data.starts_with(OpenLease::DISCRIMINATOR))
    };
    match error {
        // The network sees that before the program sees that the board's serial is another.
        SendError::Program { instruction, code: EXISTS, .. } if opens(instruction) => {
            Failure::Refused(format!("{}, so try again", sentence(LeaseholdError::WrongSerial)))
        }
        SendError::Rpc(error) => Failure::Chain(FetchError::from(error)),
        // A node that says that a copy has expired may hold it back.
        SendError::Unconfirmed { signature } | SendError::Expired { signature } => {
            Failure::Unknown { copies: vec![signature] }
        }
        error => Failure::Refused(explain_send(&error)),
    }
}

/// A transaction that took effect, or would.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Transaction {
    pub what: String,
    /// Nothing in a dry run, and where one of several copies took effect.
    pub signature: Option<String>,
    /// Signatures of copies, of which one took effect that nobody knows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<String>,
    pub slot: Option<String>,
    /// Lamports; nothing where the node didn't tell.
    pub fee: Option<String>,
    /// Nothing where the node didn't tell, or it could not be simulated.
    pub compute_units: Option<String>,
}

impl Transaction {
    pub fn simulated(what: &str, units: u64) -> Self {
        Transaction { compute_units: Some(units.to_string()), ..Transaction::untried(what) }
    }

    /// One that can't be simulated.
    pub fn untried(what: &str) -> Self {
        let (signature, slot, fee, compute_units) = (None, None, None, None);
        Transaction { what: what.to_owned(), signature, copies: Vec::new(), slot, fee, compute_units }
    }

    pub fn confirmed(what: &str, receipt: &Confirmation) -> Self {
        Transaction {
            slot: Some(receipt.slot.to_string()),
            fee: receipt.fee.map(|fee| fee.to_string()),
            compute_units: receipt.cu.map(|units| units.to_string()),
            ..Transaction::found(what, receipt.signature)
        }
    }

    /// One of which only what it did is known.
    pub fn found(what: &str, signature: Signature) -> Self {
        Transaction { signature: Some(signature.to_string()), ..Transaction::untried(what) }
    }

    /// One of which only what it did is known, and that it is one of these copies.
    pub fn one_of(what: &str, copies: &[Signature]) -> Self {
        match copies {
            [signature] => Transaction::found(what, *signature),
            copies => {
                let copies = copies.iter().map(Signature::to_string).collect();
                Transaction { copies, ..Transaction::untried(what) }
            }
        }
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (&self.signature, &self.compute_units) {
            (Some(signature), _) => write!(f, "Signature: {signature}"),
            (None, _) if !self.copies.is_empty() => write!(f, "Signature: one of {}", self.copies.join(", ")),
            (None, Some(units)) => write!(f, "Simulated: {}, {units} compute units", self.what),
            (None, None) => write!(f, "Not simulated: {}, which builds on one before it", self.what),
        }
    }
}

#[cfg(test)]
pub mod tests;
