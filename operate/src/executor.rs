//! Where plans are executed: on an RPC node, or on a script in tests.

pub mod rpc;
#[cfg(test)]
pub mod script;

use anchor_lang::Discriminator;
use leasehold::{instruction::OpenLease, state::Lease};
use leasehold_client::{
    fetch::FetchError,
    sender::{Confirmation, SendError},
};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use crate::failure::Failure;

/// Executes transactions: on an RPC node, or by a script in tests.
#[allow(async_fn_in_trait, reason = "plans are executed by one task")]
pub trait Executor {
    /// Simulates a transaction and returns the compute units that it would use.
    async fn simulate(&self, instructions: &[Instruction]) -> Result<u64, Failure>;
    /// Sends a transaction and waits for its end. It takes effect at most once.
    async fn send(&self, instructions: &[Instruction]) -> Result<Confirmation, Failure>;
    /// Reads a lease. `None` if there is no such account.
    async fn lease(&self, address: Pubkey) -> Result<Option<Lease>, FetchError>;
    /// Pauses between two polls of an RPC node that is behind its own confirmations.
    async fn pause(&self);
}

/// Error of the system program: the account to create exists already.
const EXISTS: u32 = 0;

/// Refusal to open a lease twice.
pub const OPENED: &str =
    "the buyer has opened a lease with that nonce on that board already: see `leasehold lease list`";

/// Why a transaction with these instructions failed.
pub fn failed(instructions: &[Instruction], error: SendError) -> Failure {
    let opens = |place: usize| {
        let instruction = instructions.get(place);
        instruction.is_some_and(|instruction| instruction.data.starts_with(OpenLease::DISCRIMINATOR))
    };
    match error {
        // The lease's account exists already.
        SendError::Program { instruction, code: EXISTS, .. } if opens(instruction) => {
            Failure::Refused(OPENED.to_owned())
        }
        SendError::Rpc(error) => Failure::Chain(FetchError::from(error)),
        // An RPC node that reports a copy as expired may hold it back.
        SendError::Unconfirmed { signature } | SendError::Expired { signature } => {
            Failure::Unknown { copies: vec![signature] }
        }
        error => Failure::Refused(error.explain()),
    }
}

#[cfg(test)]
mod tests {
    use solana_signature::Signature;

    use super::{script::no_word, *};

    #[test]
    fn a_refusal_of_the_program_is_printed_as_a_sentence() {
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
    fn a_lease_that_was_opened_before_is_reported_as_such() {
        let other =
            |number| Instruction { program_id: leasehold::ID, accounts: vec![], data: vec![number; 8] };
        let mut opening = other(0);
        opening.data = OpenLease::DISCRIMINATOR.to_vec();
        let exists = |instruction| SendError::Program { instruction, code: 0, logs: vec![], signature: None };
        let text = failed(&[other(1), opening.clone()], exists(1)).to_string();
        assert!(text.contains("has opened a lease with that nonce"), "{text}");
        let text = failed(&[other(1), opening], exists(0)).to_string();
        assert!(!text.contains("opened a lease"), "{text}");
    }
}
