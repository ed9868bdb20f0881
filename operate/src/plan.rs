//! The plan of a command: made without a network, and shown before anything is signed.

mod cost;
mod step;

use leasehold::state::board_len;
use leasehold_client::instruction::creates_foreign_account;
use serde_json::{Map, Value};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

pub use self::{
    cost::{Growth, Spend},
    step::{Again, Step, Undo},
};
use crate::amount::Money;

/// Bytes of a vault: a token account without extensions.
pub const VAULT: usize = 165;

/// The transactions of a command, with what they do and cost.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Action of the plan: "Open lease 3 on board 0".
    pub title: String,
    pub facts: Vec<Fact>,
    /// Tokens that leave the wallet, at most.
    pub spends: Vec<Spend>,
    /// Accounts whose rent the wallet pays, at most.
    pub growths: Vec<Growth>,
    /// One transaction each. Each is sent after the one before it is confirmed, unless all are independent: then several
    /// are sent at a time.
    pub steps: Vec<Step>,
}

/// A line of the summary, and a field of the JSON.
#[derive(Clone, Debug)]
pub struct Fact {
    pub label: &'static str,
    pub text: String,
    /// Name of the JSON field, `None` if programs find it elsewhere.
    pub name: Option<&'static str>,
    pub value: Value,
    /// One of several with this name, which JSON has as a list.
    pub listed: bool,
}

impl Plan {
    pub fn new(title: impl Into<String>) -> Self {
        Plan { title: title.into(), ..Plan::default() }
    }

    /// Adds a fact that programs read as the same text.
    pub fn fact(self, label: &'static str, name: &'static str, text: impl ToString) -> Self {
        let text = text.to_string();
        let value = Value::String(text.clone());
        self.fact_as(label, name, text, value)
    }

    /// Adds a fact that programs read as `value`.
    pub fn fact_as(
        mut self,
        label: &'static str,
        name: &'static str,
        text: impl ToString,
        value: impl Into<Value>,
    ) -> Self {
        let (text, value) = (text.to_string(), value.into());
        self.facts.push(Fact { label, text, name: Some(name), value, listed: false });
        self
    }

    /// Adds an item of a list.
    pub fn item(
        mut self,
        label: &'static str,
        name: &'static str,
        text: impl ToString,
        value: impl Into<Value>,
    ) -> Self {
        let (text, value) = (text.to_string(), value.into());
        self.facts.push(Fact { label, text, name: Some(name), value, listed: true });
        self
    }

    /// Adds a fact for people only.
    pub fn note(mut self, label: &'static str, text: impl ToString) -> Self {
        let text = text.to_string();
        self.facts.push(Fact { label, text, name: None, value: Value::Null, listed: false });
        self
    }

    /// Adds an amount.
    pub fn money(self, label: &'static str, name: &'static str, money: Money) -> Self {
        self.money_as(label, name, money, money)
    }

    /// Adds an amount with another text for people.
    pub fn money_as(
        self,
        label: &'static str,
        name: &'static str,
        text: impl ToString,
        money: Money,
    ) -> Self {
        self.fact_as(label, name, text, serde_json::to_value(money).unwrap_or_default())
    }

    pub fn spend(mut self, what: &'static str, money: Money, from: Pubkey) -> Self {
        self.spends.push(Spend { what, money, from });
        self
    }

    /// Adds the rent of an account of so many bytes.
    pub fn creates(mut self, bytes: usize) -> Self {
        self.growths.push(Growth { from: None, to: bytes, shared: None });
        self
    }

    /// Adds the rent of an account that is created by this plan, or by another that it is joined with.
    pub fn creates_shared(mut self, account: Pubkey, bytes: usize) -> Self {
        self.growths.push(Growth { from: None, to: bytes, shared: Some(account) });
        self
    }

    /// Adds the rent of a board: its account and its payment vault.
    pub fn creates_board(self) -> Self {
        self.creates(board_len(0)).creates(VAULT)
    }

    pub fn grows(mut self, from: usize, to: usize) -> Self {
        self.growths.push(Growth { from: Some(from), to, shared: None });
        self
    }

    /// Adds a transaction. It does not create an owner's token account that a step before it creates.
    pub fn step(mut self, what: impl Into<String>, instructions: Vec<Instruction>) -> Self {
        self.push(Step::new(what, instructions));
        self
    }

    /// Adds a step, without creating another owner's account that a step before it creates: the owner could close it in
    /// between and keep the rent, once for every step. The step then builds on the earlier one, and fails if the
    /// account was closed.
    fn push(&mut self, mut step: Step) {
        let before =
            |creation: &Instruction| self.steps.iter().any(|step| step.instructions.contains(creation));
        let all = step.instructions.len();
        step.instructions
            .retain(|instruction| !(creates_foreign_account(instruction) && before(instruction)));
        step.builds |= step.instructions.len() < all;
        self.steps.push(step);
    }

    /// Adds a transaction that builds on an earlier one.
    pub fn step_after(mut self, what: impl Into<String>, instructions: Vec<Instruction>) -> Self {
        self.push(Step { builds: true, ..Step::new(what, instructions) });
        self
    }

    /// Adds a transaction for each instruction. They must be independent: several are in flight at a time.
    pub fn steps(mut self, what: &str, instructions: Vec<Instruction>) -> Self {
        let count = instructions.len();
        self.steps.extend(instructions.into_iter().zip(1..).map(|(instruction, part)| {
            let what = format!("{what}, part {part} of {count}");
            Step { independent: true, ..Step::new(what, vec![instruction]) }
        }));
        self
    }

    /// Names the market as the first fact, unless a fact names it already.
    pub fn on_market(mut self, id: u64, address: Pubkey) -> Self {
        let text = market(id, address);
        match self.facts.iter_mut().find(|fact| fact.name == Some("market")) {
            Some(fact) => fact.text = text,
            None => {
                let value = Value::String(address.to_string());
                let name = Some("market");
                self.facts.insert(0, Fact { label: "Market:", text, name, value, listed: false });
            }
        }
        self
    }

    /// Joins several plans into one that is confirmed once. JSON has the facts of each in the list `parts`.
    pub fn join(title: impl Into<String>, parts: Vec<Plan>) -> Self {
        parts.into_iter().fold(Plan::new(title), |joined, part| {
            let details = part.details();
            let mut joined = joined.item("Part:", "parts", part.title, details);
            joined.facts.extend(part.facts.into_iter().map(|fact| Fact { name: None, ..fact }));
            joined.spends.extend(part.spends);
            for growth in part.growths {
                if growth.shared.is_none() || !joined.growths.contains(&growth) {
                    joined.growths.push(growth);
                }
            }
            // Steps of different parts may depend on each other.
            part.steps.into_iter().for_each(|step| joined.push(Step { independent: false, ..step }));
            joined
        })
    }

    /// True if steps that took effect are undone if a later one fails.
    pub fn is_undone(&self) -> bool {
        self.steps.iter().any(|step| step.undo.is_some())
    }

    /// True if the steps can be sent in any order, several at a time.
    pub fn is_independent(&self) -> bool {
        self.steps.len() > 1 && self.steps.iter().all(Step::is_independent)
    }

    /// Transactions at most, without those of undos.
    pub fn transactions(&self) -> usize {
        self.steps.iter().map(Step::transactions).sum()
    }

    /// Transactions of undos, at most.
    pub fn undoing(&self) -> usize {
        self.steps.iter().filter(|step| step.undo.is_some()).count()
    }

    /// The facts as JSON.
    pub fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        for fact in &self.facts {
            let Some(name) = fact.name else { continue };
            if !fact.listed {
                details.insert(name.to_owned(), fact.value.clone());
            } else if let Value::Array(list) = details.entry(name).or_insert_with(|| Value::Array(vec![])) {
                list.push(fact.value.clone());
            }
        }
        details
    }
}

/// Name of a market: "7 (address)".
pub fn market(id: u64, address: Pubkey) -> String {
    format!("{id} ({address})")
}

#[cfg(test)]
mod tests;
