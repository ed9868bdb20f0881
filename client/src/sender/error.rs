//! Why a transaction did not take effect.

use solana_instruction::error::InstructionError;
use solana_message::CompileError;
use solana_rpc_client_api::client_error::{Error as RpcError, ErrorKind};
use solana_signature::Signature;
use solana_signer::SignerError;
use solana_transaction_error::TransactionError;

use crate::error::{ProgramFailure, explain, explain_transaction, failure};

/// Why a transaction did not take effect, or is not known to have taken effect.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A program refused an instruction with an error of its own: nothing changed.
    #[error("instruction {instruction} was refused with error {code}{}", last_message(logs))]
    Program {
        /// Position among the instructions given to the sender, from 0.
        instruction: usize,
        /// The program's own error number; Anchor's programs start theirs at 6000.
        code: u32,
        /// Logs of the programs, oldest first.
        logs: Vec<String>,
        /// The failed transaction on the chain; `None` if the simulation found the failure, which costs no fee.
        signature: Option<Signature>,
    },
    /// The runtime refused the transaction: nothing changed.
    #[error("the network refused the transaction: {error}{}", last_message(logs))]
    Refused {
        /// The runtime's reason. Its instruction numbers count from the sender's first instruction.
        error: TransactionError,
        /// Logs of the programs, oldest first.
        logs: Vec<String>,
        /// As in [`SendError::Program`].
        signature: Option<Signature>,
    },
    /// The RPC node reports that the blockhash of the last signed copy expired before a block included it. If that
    /// is true, nothing changed.
    #[error(
        "transaction {signature} expired before it was included: look it up, then send it again at a higher price"
    )]
    Expired {
        /// The last signed copy.
        signature: Signature,
    },
    /// It was broadcast, and then its status could not be learned: it may or may not take effect.
    #[error("the RPC node returned no status of transaction {signature}: look it up before sending it again")]
    Unconfirmed {
        /// The transaction to look up.
        signature: Signature,
    },
    /// The transaction does not fit in a packet.
    #[error(
        "the transaction has {bytes} bytes, and the limit is {limit}: use fewer instructions or accounts, or a \
         lookup table"
    )]
    TooLarge {
        /// Serialized length in bytes.
        bytes: usize,
        /// The most a packet holds, in bytes.
        limit: usize,
    },
    /// The instructions name more accounts than a message can.
    #[error("the transaction can't be encoded ({0}): use fewer instructions or accounts")]
    Message(CompileError),
    /// A signature is missing or could not be made.
    #[error("the transaction could not be signed: {0}")]
    Signing(SignerError),
    /// The RPC node was not reached, or refused a request, before anything was broadcast.
    #[error("{}", failure(_0))]
    Rpc(RpcError),
}

// Without `#[from]`, which would make the cause a source as well: reporters would print it twice.
impl From<SignerError> for SendError {
    fn from(error: SignerError) -> Self {
        Self::Signing(error)
    }
}

impl From<CompileError> for SendError {
    fn from(error: CompileError) -> Self {
        Self::Message(error)
    }
}

impl From<RpcError> for SendError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl SendError {
    /// The error as a sentence: the rule of the program that was broken and what to do, if it names one.
    pub fn explain(&self) -> String {
        match self {
            SendError::Program { instruction, code, logs, .. } => {
                let error = InstructionError::Custom(*code);
                explain(&ProgramFailure { instruction: *instruction, error: &error, logs }).to_string()
            }
            SendError::Refused { error, logs, .. } => explain_transaction(error, logs),
            error => error.to_string(),
        }
    }

    /// The error for a failed transaction, by whether a program or the runtime refused it.
    pub fn failed(error: TransactionError, logs: Vec<String>, signature: Option<Signature>) -> Self {
        match error {
            TransactionError::InstructionError(instruction, InstructionError::Custom(code)) => {
                Self::Program { instruction: usize::from(instruction), code, logs, signature }
            }
            error => Self::Refused { error, logs, signature },
        }
    }

    /// The program's error number, if a program refused an instruction.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Program { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// True if no connection to the RPC node could be made: the last request did not reach it.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Rpc(error) if is_unreachable(error))
    }

    /// True if the network is the cause, and neither a program nor the caller: the same instructions may succeed
    /// when sent again. After [`SendError::Expired`] and [`SendError::Unconfirmed`] a copy may still take effect, so
    /// instructions that are not idempotent must be looked up first.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::Unconfirmed { .. } | Self::Rpc(_))
    }
}

/// True if no connection to the RPC node could be made.
pub(super) fn is_unreachable(error: &RpcError) -> bool {
    matches!(error.kind(), ErrorKind::Reqwest(error) if error.is_connect())
}

/// The last message of a program about its failure, as the end of a sentence.
fn last_message(logs: &[String]) -> String {
    let anchor = logs.iter().rev().find_map(|line| {
        line.split_once("Error Message: ").map(|(_, message)| message.trim_end_matches('.'))
    });
    let plain = || logs.iter().rev().find_map(|line| line.strip_prefix("Program log: "));
    anchor.or_else(plain).map(|message| format!(": {message}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use leasehold::error::LeaseholdError;

    use super::*;

    #[test]
    fn errors_of_the_sender_are_explained() {
        let failed = SendError::Program {
            instruction: 0,
            code: LeaseholdError::CostsTooMuch.into(),
            logs: vec![],
            signature: None,
        };
        assert!(failed.explain().contains("quote again and allow more"));
        let refused =
            SendError::Refused { error: TransactionError::BlockhashNotFound, logs: vec![], signature: None };
        assert!(refused.explain().contains("send it again"));
        let large = SendError::TooLarge { bytes: 1_300, limit: 1_232 };
        assert_eq!(large.explain(), large.to_string());
    }
}
