//! Outcome of a plan.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{costs::Most, failure::Failure, plan::Plan, transaction::Transaction};

/// Outcome of a plan.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub action: String,
    pub result: End,
    /// Nothing was signed or sent.
    pub dry_run: bool,
    /// Tokens that leave the wallet at most.
    spends: Value,
    /// Lamports of rent and fees at most.
    rent: String,
    fees: String,
    #[serde(flatten)]
    details: Map<String, Value>,
    /// Transactions that took effect; in a dry run, those that would.
    pub transactions: Vec<Transaction>,
}

/// Field names of an outcome, which a plan's facts must not use.
const NAMES: [&str; 7] = ["action", "result", "dry_run", "spends", "rent", "fees", "transactions"];

/// How a plan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    WouldSucceed,
    Done,
    /// Steps that had taken effect are undone.
    Undone,
    NotAllDone,
}

impl End {
    pub fn of(done: &Result<(), Failure>, dry_run: bool) -> Self {
        match done {
            Ok(()) if dry_run => End::WouldSucceed,
            Ok(()) => End::Done,
            Err(Failure::Undone { .. }) => End::Undone,
            Err(_) => End::NotAllDone,
        }
    }

    fn text(self) -> &'static str {
        match self {
            End::WouldSucceed => "would succeed",
            End::Done => "done",
            End::Undone => "undone",
            End::NotAllDone => "not all done",
        }
    }
}

impl Outcome {
    /// Outcome of a plan without transactions.
    pub fn of_nothing(plan: &Plan, dry_run: bool) -> Self {
        Outcome::new(plan, &Most::default(), dry_run)
    }

    /// Adds a detail that became known after execution.
    pub fn detail(&mut self, name: &str, value: &impl Serialize) {
        self.details.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
    }

    pub fn new(plan: &Plan, most: &Most, dry_run: bool) -> Self {
        let details = plan.details();
        // A plan's facts are fields of the same JSON object.
        debug_assert!(NAMES.iter().all(|name| !details.contains_key(*name)), "{details:?}");
        Outcome {
            action: plan.title.clone(),
            result: End::of(&Ok(()), dry_run),
            dry_run,
            spends: serde_json::to_value(&plan.spends).unwrap_or_default(),
            rent: most.rent.to_string(),
            fees: most.fees.to_string(),
            details,
            transactions: Vec::new(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.result.text())?;
        self.transactions.iter().try_for_each(|transaction| write!(f, "\n{transaction}"))
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::sender::Confirmation;
    use solana_signature::Signature;

    use super::*;
    use crate::act::tests::plan;

    #[test]
    fn an_outcome_names_its_transactions() {
        let most = Most { rent: 1, fees: 2 };
        let mut sent = Outcome::new(&plan(), &most, false);
        let signature = Signature::from([7; 64]);
        let receipt = Confirmation { signature, slot: 5, bytes: 1, cu: Some(9), fee: None };
        sent.transactions.push(Transaction::confirmed("lease", &receipt));
        assert_eq!(sent.to_string(), format!("Open lease 3 on board 0: done\nSignature: {signature}"));
        let json = serde_json::to_value(&sent).unwrap();
        assert_eq!((&json["machines"], &json["spends"][0]["amount"]), (&2.into(), &"1500000".into()));
        assert_eq!((&json["spends"][0]["what"], &json["rent"]), (&"deposit".into(), &"1".into()));
        assert_eq!((&json["transactions"][0]["solana_slot"], &json["dry_run"]), (&"5".into(), &false.into()));
        assert_eq!(json["result"], "done");
        let mut dry = Outcome::new(&plan(), &most, true);
        dry.transactions.push(Transaction::simulated("lease", 9));
        dry.transactions.push(Transaction::untried("more"));
        let expected = "would succeed\nSimulated: lease, 9 compute units\n\
                        Not simulated: more, because it depends on an earlier transaction";
        assert!(dry.to_string().ends_with(expected), "{dry}");
    }

    #[test]
    fn a_plan_that_broke_off_is_not_done() {
        assert_eq!(End::of(&Err(Failure::Declined), false), End::NotAllDone);
        assert_eq!(serde_json::to_value(End::NotAllDone).unwrap(), "not_all_done");
        assert_eq!(End::of(&Ok(()), true), End::WouldSucceed);
    }
}
