//! A transaction that a plan sent, or would send.

use std::fmt;

use leasehold_client::sender::Confirmation;
use serde::Serialize;
use solana_signature::Signature;

/// A transaction that took effect, or would.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Transaction {
    pub what: String,
    /// `None` in a dry run, and if one of several copies took effect.
    pub signature: Option<String>,
    /// Signatures of copies, of which one took effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<String>,
    /// Solana's slot in which it was processed.
    pub solana_slot: Option<String>,
    /// Lamports, `None` if the RPC node did not report them.
    pub fee: Option<String>,
    /// `None` if the RPC node did not report them, or it could not be simulated.
    pub compute_units: Option<String>,
}

impl Transaction {
    pub fn simulated(what: &str, units: u64) -> Self {
        Transaction { compute_units: Some(units.to_string()), ..Transaction::untried(what) }
    }

    /// A transaction that can't be simulated.
    pub fn untried(what: &str) -> Self {
        let (signature, solana_slot, fee, compute_units) = (None, None, None, None);
        Transaction { what: what.to_owned(), signature, copies: Vec::new(), solana_slot, fee, compute_units }
    }

    pub fn confirmed(what: &str, confirmation: &Confirmation) -> Self {
        Transaction {
            solana_slot: Some(confirmation.slot.to_string()),
            fee: confirmation.fee.map(|fee| fee.to_string()),
            compute_units: confirmation.cu.map(|units| units.to_string()),
            ..Transaction::found(what, confirmation.signature)
        }
    }

    /// A transaction known by its effect only.
    pub fn found(what: &str, signature: Signature) -> Self {
        Transaction { signature: Some(signature.to_string()), ..Transaction::untried(what) }
    }

    /// One of several copies, known by its effect only.
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
            (None, None) => {
                write!(f, "Not simulated: {}, because it depends on an earlier transaction", self.what)
            }
        }
    }
}
