//! What came of a plan, and the most it could cost.

use std::fmt;

use leasehold_client::sender::Receipt;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::plan::Plan;

/// The most that a plan costs besides tokens, in lamports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    pub rent: u64,
    pub fees: u64,
}

/// What came of a plan.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub action: String,
    /// Nothing was signed or sent.
    pub dry_run: bool,
    /// Tokens that could leave the wallet at most.
    spends: Value,
    /// Lamports of rent and fees at most.
    rent: String,
    fees: String,
    #[serde(flatten)]
    details: Map<String, Value>,
    /// Those that took effect; in a dry run, those that would.
    pub transactions: Vec<Transaction>,
    /// How many there were to be.
    #[serde(skip)]
    planned: usize,
}

#[derive(Debug, Serialize)]
pub struct Transaction {
    pub what: String,
    /// Nothing in a dry run.
    pub signature: Option<String>,
    pub slot: Option<String>,
    /// Lamports; nothing where the node didn't tell.
    pub fee: Option<String>,
    /// Nothing where the node didn't tell, or it could not be simulated.
    pub compute_units: Option<String>,
}

impl Transaction {
    pub fn simulated(what: &str, units: u64) -> Self {
        let compute_units = Some(units.to_string());
        Transaction { what: what.to_owned(), signature: None, slot: None, fee: None, compute_units }
    }

    /// One that can't be simulated.
    pub fn untried(what: &str) -> Self {
        Transaction { what: what.to_owned(), signature: None, slot: None, fee: None, compute_units: None }
    }

    pub fn confirmed(what: &str, receipt: &Receipt) -> Self {
        Transaction {
            what: what.to_owned(),
            signature: Some(receipt.signature.to_string()),
            slot: Some(receipt.slot.to_string()),
            fee: receipt.fee.map(|fee| fee.to_string()),
            compute_units: receipt.cu.map(|units| units.to_string()),
        }
    }
}

impl Outcome {
    /// Of a plan without transactions.
    pub fn of_nothing(plan: &Plan, dry_run: bool) -> Self {
        Outcome::new(plan, &Most { rent: 0, fees: 0 }, dry_run)
    }

    pub fn new(plan: &Plan, most: &Most, dry_run: bool) -> Self {
        Outcome {
            action: plan.title.clone(),
            dry_run,
            spends: serde_json::to_value(&plan.spends).unwrap_or_default(),
            rent: most.rent.to_string(),
            fees: most.fees.to_string(),
            details: plan.details(),
            transactions: Vec::new(),
            planned: plan.steps.len(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let end = match self.dry_run {
            true => "would succeed",
            false if self.transactions.len() < self.planned => "done in part",
            false => "done",
        };
        write!(f, "{}: {end}", self.action)?;
        for Transaction { what, signature, compute_units, .. } in &self.transactions {
            match (signature, compute_units) {
                (Some(signature), _) => write!(f, "\nSignature: {signature}")?,
                (None, Some(units)) => write!(f, "\nSimulated: {what}, {units} compute units")?,
                (None, None) => write!(f, "\nNot simulated: {what}, which builds on one before it")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use solana_signature::Signature;

    use super::*;
    use crate::act::tests::plan;

    #[test]
    fn an_outcome_names_its_transactions() {
        let most = Most { rent: 1, fees: 2 };
        let mut sent = Outcome::new(&plan(), &most, false);
        let signature = Signature::from([7; 64]);
        let receipt = Receipt { signature, slot: 5, bytes: 1, cu: Some(9), fee: None };
        sent.transactions.push(Transaction::confirmed("lease", &receipt));
        let expected = format!("Open lease 3 on board 0: done in part\nSignature: {signature}");
        assert_eq!(sent.to_string(), expected, "there were to be two");
        sent.transactions.push(Transaction::untried("more"));
        assert!(sent.to_string().starts_with("Open lease 3 on board 0: done\n"), "{sent}");
        let json = serde_json::to_value(&sent).unwrap();
        assert_eq!((&json["machines"], &json["spends"][0]["amount"]), (&2.into(), &"1500000".into()));
        assert_eq!((&json["spends"][0]["what"], &json["rent"]), (&"deposit".into(), &"1".into()));
        assert_eq!((&json["transactions"][0]["slot"], &json["dry_run"]), (&"5".into(), &false.into()));
        let mut dry = Outcome::new(&plan(), &most, true);
        dry.transactions.push(Transaction::simulated("lease", 9));
        dry.transactions.push(Transaction::untried("more"));
        let expected = "would succeed\nSimulated: lease, 9 compute units\n\
                        Not simulated: more, which builds on one before it";
        assert!(dry.to_string().ends_with(expected), "{dry}");
    }
}
