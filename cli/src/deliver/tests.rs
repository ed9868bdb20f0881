use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    slice,
};

use leasehold_client::sample;
use tokio::task::yield_now;

use super::*;

/// What comes of a transaction, and leases that are as it left them.
type Send = (Result<Confirmation, SendError>, Vec<Lease>);

/// A node by a script: what comes of each transaction in order, and which leases there are after it.
#[derive(Default)]
pub struct Script {
    sends: RefCell<VecDeque<Send>>,
    leases: RefCell<HashMap<Pubkey, Lease>>,
    /// How many transactions were sent, and how many simulated.
    pub sent: Cell<usize>,
    pub simulated: Cell<usize>,
    refuses: bool,
    /// Signed before the copy of which there is no word.
    earlier: Option<Signature>,
    /// How many are on their way, and were at most.
    flying: Cell<usize>,
    pub most_flying: Cell<usize>,
    /// Whether one has failed, and how many were begun since.
    failed: Cell<bool>,
    pub begun_late: Cell<usize>,
}

pub fn receipt(number: u8) -> Confirmation {
    Confirmation { signature: Signature::from([number; 64]), slot: 5, bytes: 1, cu: Some(9), fee: None }
}

pub fn refusal() -> SendError {
    let code = u32::from(leasehold::error::LeaseholdError::WrongSerial);
    SendError::Program { instruction: 0, code, logs: vec![], signature: None }
}

pub fn no_word() -> SendError {
    SendError::Unconfirmed { signature: Signature::from([9; 64]) }
}

pub fn address(lease: &Lease) -> Pubkey {
    leasehold_client::address::lease(&lease.board, lease.serial.into())
}

impl Script {
    /// One that refuses every simulation.
    pub fn that_refuses() -> Self {
        Script { refuses: true, ..Script::default() }
    }

    /// One that has these leases from the beginning.
    pub fn with(self, leases: &[Lease]) -> Self {
        let leases = leases.iter().map(|lease| (address(lease), lease.clone()));
        self.leases.borrow_mut().extend(leases);
        self
    }

    /// One on which a transaction without word was signed before as this copy.
    pub fn signed_before(self, earlier: Signature) -> Self {
        Script { earlier: Some(earlier), ..self }
    }

    /// Then this comes of the next transaction, and these leases are so.
    pub fn then(self, result: Result<Confirmation, SendError>, leases: &[Lease]) -> Self {
        self.sends.borrow_mut().push_back((result, leases.to_vec()));
        self
    }
}

/// Counts one more, and returns how many were before.
fn tick(count: &Cell<usize>) -> usize {
    count.replace(count.get() + 1)
}

impl Script {
    /// A transaction's time on its way. Of eight that are begun together, the last ends first.
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

impl Carrier for Script {
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

pub async fn run(script: &Script, plan: &Plan) -> (Result<(), Failure>, Vec<Transaction>) {
    let mut done = Vec::new();
    let checked = if plan.is_undone() { check(script, plan).await } else { Ok(()) };
    let ended = match checked {
        Ok(()) => send(script, plan, &mut done).await,
        refused => refused,
    };
    (ended, done)
}

fn settled(settled: u32, state: LeaseState) -> Lease {
    Lease { machines: 6_000, settled, state, ..sample::lease(1) }
}

fn settling() -> Plan {
    let mut plan = Plan::new("Settle").step("settle lease", vec![]);
    plan.steps[0].again = Some(Again { lease: address(&sample::lease(1)), most: 6 });
    plan
}

#[tokio::test]
async fn a_lease_is_settled_until_it_is_settled() {
    let script = Script::default()
        .then(Ok(receipt(1)), &[settled(2_500, LeaseState::Open)])
        .then(Ok(receipt(2)), &[settled(5_000, LeaseState::Open)])
        .then(Ok(receipt(3)), &[settled(6_000, LeaseState::Settled)]);
    let (ended, done) = run(&script, &settling()).await;
    assert!(ended.is_ok() && script.simulated.get() == 0);
    assert_eq!(done, [1, 2, 3].map(|number| Transaction::confirmed("settle lease", &receipt(number))));
}

#[tokio::test]
async fn settling_stops_where_it_does_not_go_on() {
    let stuck = settled(2_500, LeaseState::Open);
    let script = Script::default().then(Ok(receipt(1)), slice::from_ref(&stuck));
    let script = script.then(Ok(receipt(2)), slice::from_ref(&stuck));
    let (ended, done) = run(&script, &settling()).await;
    let partial = ended.unwrap_err();
    assert_eq!((partial.code(), done.len()), (5, 2), "not known to be done");
    assert!(partial.to_string().contains("2500 of 6000 machines are known to be settled"), "{partial}");
    let script = Script::default().then(Ok(receipt(1)), &[stuck]).then(Err(refusal()), &[]);
    let (ended, done) = run(&script, &settling()).await;
    let partial = ended.unwrap_err();
    assert_eq!((partial.code(), done.len()), (5, 1));
    assert!(partial.to_string().starts_with("1 of 6 transactions took effect"), "{partial}");
}

#[tokio::test]
async fn a_step_that_fails_ends_a_plan() {
    let plan = Plan::new("Two").step("one", vec![]).step("two", vec![]);
    let (first, done) = run(&Script::default().then(Err(refusal()), &[]), &plan).await;
    assert_eq!((first.unwrap_err().code(), done.len()), (3, 0));
    let script = Script::default().then(Ok(receipt(1)), &[]).then(Err(refusal()), &[]);
    let (second, done) = run(&script, &plan).await;
    assert_eq!((second.unwrap_err().code(), done.len()), (5, 1));
}

#[tokio::test]
async fn a_dry_run_sends_nothing() {
    let (script, mut done) = (Script::default(), Vec::new());
    let plan = Plan::new("Two").step("one", vec![]).step("two", vec![]);
    assert!(rehearse(&script, &plan, &mut done).await.is_ok());
    assert_eq!((script.sent.get(), done.len()), (0, 2));
    assert_eq!(done[0].to_string(), "Simulated: one, 9 compute units");
}

#[test]
fn a_refusal_of_the_program_is_told_in_words() {
    let code = u32::from(leasehold::error::LeaseholdError::MarketPaused);
    let refused = failed(&[], SendError::Program { instruction: 0, code, logs: vec![], signature: None });
    assert_eq!(refused.code(), 3);
    let text = refused.to_string();
    assert!(text.contains("resumes it") && !text.contains(&code.to_string()), "{text}");
    assert_eq!(failed(&[], no_word()).code(), 5);
    // The node may hold it back.
    let expired = SendError::Expired { signature: Signature::from([9; 64]) };
    assert_eq!(failed(&[], expired).code(), 5);
}

#[test]
fn a_lease_that_somebody_else_has_opened_is_told_as_such() {
    let other = |number| Instruction { program_id: leasehold::ID, accounts: vec![], data: vec![number; 8] };
    let mut opening = other(0);
    opening.data = OpenLease::DISCRIMINATOR.to_vec();
    let exists = |instruction| SendError::Program { instruction, code: 0, logs: vec![], signature: None };
    let text = failed(&[other(1), opening.clone()], exists(1)).to_string();
    assert!(text.contains("somebody has opened a lease since, so try again"), "{text}");
    let text = failed(&[other(1), opening], exists(0)).to_string();
    assert!(!text.contains("opened a lease"), "{text}");
}
