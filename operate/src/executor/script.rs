//! An RPC node that follows a test's script.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
};

use solana_signature::Signature;
use tokio::task::yield_now;

use super::*;

/// Result of a transaction, and the leases that it changes.
type Send = (Result<Confirmation, SendError>, Vec<Lease>);

/// The result of each transaction in order, and the leases after it.
#[derive(Default)]
pub struct Script {
    sends: RefCell<VecDeque<Send>>,
    leases: RefCell<HashMap<Pubkey, Lease>>,
    /// Number of transactions sent and simulated.
    pub sent: Cell<usize>,
    pub simulated: Cell<usize>,
    refuses: bool,
    /// Signed before the copy whose end is unknown.
    earlier: Option<Signature>,
    /// Number in flight now, and at most.
    flying: Cell<usize>,
    pub most_flying: Cell<usize>,
    /// True if one has failed, and the number that started since.
    failed: Cell<bool>,
    pub begun_late: Cell<usize>,
}

pub fn receipt(number: u8) -> Confirmation {
    Confirmation { signature: Signature::from([number; 64]), slot: 5, bytes: 1, cu: Some(9), fee: None }
}

pub fn refusal() -> SendError {
    let code = u32::from(leasehold::error::LeaseholdError::NotEnoughGpus);
    SendError::Program { instruction: 0, code, logs: vec![], signature: None }
}

pub fn no_word() -> SendError {
    SendError::Unconfirmed { signature: Signature::from([9; 64]) }
}

pub fn address(lease: &Lease) -> Pubkey {
    leasehold_client::address::lease(&lease.board, &lease.buyer, lease.nonce)
}

impl Script {
    /// A script that refuses every simulation.
    pub fn that_refuses() -> Self {
        Script { refuses: true, ..Script::default() }
    }

    /// Adds leases that exist from the beginning.
    pub fn with(self, leases: &[Lease]) -> Self {
        let leases = leases.iter().map(|lease| (address(lease), lease.clone()));
        self.leases.borrow_mut().extend(leases);
        self
    }

    /// Adds a copy that was signed before one whose end is unknown.
    pub fn signed_before(self, earlier: Signature) -> Self {
        Script { earlier: Some(earlier), ..self }
    }

    /// Adds the result of the next transaction, and the leases that it changes.
    pub fn then(self, result: Result<Confirmation, SendError>, leases: &[Lease]) -> Self {
        self.sends.borrow_mut().push_back((result, leases.to_vec()));
        self
    }
}

/// Counts one more and returns the count before.
fn tick(count: &Cell<usize>) -> usize {
    count.replace(count.get() + 1)
}

impl Script {
    /// Time in flight. Of eight that start together, the last ends first.
    async fn fly(&self, before: usize, fails: bool) {
        self.begun_late.set(self.begun_late.get() + usize::from(self.failed.get()));
        self.most_flying.set(self.most_flying.get().max(tick(&self.flying) + 1));
        for _ in before % 8..8 {
            yield_now().await;
        }
        self.flying.set(self.flying.get() - 1);
        self.failed.set(self.failed.get() || fails);
    }
}

impl Executor for Script {
    async fn simulate(&self, instructions: &[Instruction]) -> Result<u64, Failure> {
        self.fly(tick(&self.simulated), self.refuses).await;
        if self.refuses { Err(failed(instructions, refusal())) } else { Ok(9) }
    }

    async fn send(&self, instructions: &[Instruction]) -> Result<Confirmation, Failure> {
        let before = tick(&self.sent);
        let (result, leases) = self.sends.borrow_mut().pop_front().unwrap();
        self.fly(before, result.is_err()).await;
        self.leases.borrow_mut().extend(leases.into_iter().map(|lease| (address(&lease), lease)));
        result.map_err(|error| match failed(instructions, error) {
            Failure::Unknown { copies } => {
                Failure::Unknown { copies: self.earlier.into_iter().chain(copies).collect() }
            }
            failure => failure,
        })
    }

    async fn lease(&self, address: Pubkey) -> Result<Option<Lease>, FetchError> {
        Ok(self.leases.borrow().get(&address).cloned())
    }

    async fn pause(&self) {}
}
