//! What a command is about to do: made without a network, shown before anything is signed.

mod cost;
mod step;

use leasehold_client::instruction::creates_foreign_account;
use serde_json::{Map, Value};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

pub use crate::payee::Payee;

pub use self::{
    cost::{Growth, Spend},
    step::{Again, Step, Undo},
};
use crate::amount::Money;

/// Transactions of a command, and what is to be known of them.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What is done, as a sentence begins: "Open lease 3 on board 0".
    pub title: String,
    pub facts: Vec<Fact>,
    /// Tokens that leave the wallet, at most.
    pub spends: Vec<Spend>,
    /// Accounts that the wallet pays the rent of, at most.
    pub growths: Vec<Growth>,
    /// One transaction each, sent in this order, and each after the one before it is confirmed; where all are
    /// independent, several at a time.
    pub steps: Vec<Step>,
}

/// Something to know, for people as text and for programs under a name.
#[derive(Clone, Debug)]
pub struct Fact {
    pub label: &'static str,
    pub text: String,
    /// Nothing where programs find it elsewhere.
    pub name: Option<&'static str>,
    pub value: Value,
    /// One of several under its name: programs read a list.
    pub listed: bool,
}

impl Plan {
    pub fn new(title: impl Into<String>) -> Self {
        Plan { title: title.into(), ..Plan::default() }
    }

    /// Adds something to know, which programs read as the same text.
    pub fn fact(self, label: &'static str, name: &'static str, text: impl ToString) -> Self {
        let text = text.to_string();
        let value = Value::String(text.clone());
        self.fact_as(label, name, text, value)
    }

    /// Adds something to know, which programs read as `value`.
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

    /// Adds one of several things under a name, of which programs read a list.
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

    /// Adds something to know that programs find elsewhere.
    pub fn note(mut self, label: &'static str, text: impl ToString) -> Self {
        let text = text.to_string();
        self.facts.push(Fact { label, text, name: None, value: Value::Null, listed: false });
        self
    }

    /// Adds an amount to know.
    pub fn money(self, label: &'static str, name: &'static str, money: Money) -> Self {
        self.money_as(label, name, money, money)
    }

    /// The same with more words for people.
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

    /// Notes that an account of so many bytes is created.
    pub fn creates(mut self, bytes: usize) -> Self {
        self.growths.push(Growth { from: None, to: bytes, shared: None });
        self
    }

    /// Notes that an account of so many bytes is created, by this plan or by another that it is joined with.
    pub fn creates_shared(mut self, account: Pubkey, bytes: usize) -> Self {
        self.growths.push(Growth { from: None, to: bytes, shared: Some(account) });
        self
    }

    pub fn grows(mut self, from: usize, to: usize) -> Self {
        self.growths.push(Growth { from: Some(from), to, shared: None });
        self
    }

    /// Adds a transaction. It has another's token account created only where no step before it does.
    pub fn step(mut self, what: impl Into<String>, instructions: Vec<Instruction>) -> Self {
        self.push(Step::new(what, instructions));
        self
    }

    /// Adds a step, without the creation of another's account that a step before it has created: whoever owns
    /// that could close it in between and keep the rent, once for every step. It then builds on the first, and
    /// so is sent after it, and fails where the account is gone meanwhile.
    fn push(&mut self, mut step: Step) {
        let before =
            |creation: &Instruction| self.steps.iter().any(|step| step.instructions.contains(creation));
        let all = step.instructions.len();
        step.instructions
            .retain(|instruction| !(creates_foreign_account(instruction) && before(instruction)));
        step.builds |= step.instructions.len() < all;
        self.steps.push(step);
    }

    /// Adds a transaction that builds on one before it.
    pub fn step_after(mut self, what: impl Into<String>, instructions: Vec<Instruction>) -> Self {
        self.push(Step { builds: true, ..Step::new(what, instructions) });
        self
    }

    /// Adds a transaction for each instruction, none of which may need another to come before it, or after it:
    /// several may be on their way at a time.
    pub fn steps(mut self, what: &str, instructions: Vec<Instruction>) -> Self {
        let count = instructions.len();
        self.steps.extend(instructions.into_iter().zip(1..).map(|(instruction, part)| {
            let what = format!("{what}, part {part} of {count}");
            Step { independent: true, ..Step::new(what, vec![instruction]) }
        }));
        self
    }

    /// Names the market that it is about, first of all where nothing names it yet.
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

    /// Several plans as one that is agreed to once. Programs read the facts of each in a list, `parts`.
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
            // What holds within a part need not hold between two.
            part.steps.into_iter().for_each(|step| joined.push(Step { independent: false, ..step }));
            joined
        })
    }

    /// Whether steps that took effect are taken back where one fails.
    pub fn is_undone(&self) -> bool {
        self.steps.iter().any(|step| step.undo.is_some())
    }

    /// Whether the steps can be sent in any order, several at a time.
    pub fn is_independent(&self) -> bool {
        self.steps.len() > 1 && self.steps.iter().all(Step::is_independent)
    }

    /// Transactions at most, those that take steps back not among them.
    pub fn transactions(&self) -> usize {
        self.steps.iter().map(Step::transactions).sum()
    }

    /// Transactions at most that take steps back.
    pub fn undoing(&self) -> usize {
        self.steps.iter().filter(|step| step.undo.is_some()).count()
    }

    /// The facts for programs.
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

/// What a market is called: "7 (address)".
pub fn market(id: u64, address: Pubkey) -> String {
    format!("{id} ({address})")
}

#[cfg(test)]
mod tests;
