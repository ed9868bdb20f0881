//! Why a transaction did not take effect.

use solana_instruction::error::InstructionError;
use solana_rpc_client_api::client_error::{Error as RpcError, ErrorKind};
use solana_signature::Signature;
use solana_signer::SignerError;
use solana_transaction_error::TransactionError;

use crate::error::reason;

/// Why a transaction did not take effect, or is not known to have.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A program refused an instruction with an error of its own: nothing changed.
    #[error("instruction {instruction} was refused with error {code}{}", told(logs))]
    Program {
        /// Position among the instructions given to the sender, from 0.
        instruction: usize,
        /// The program's own error number; Anchor's programs start theirs at 6000.
        code: u32,
        /// What the programs logged, oldest first.
        logs: Vec<String>,
        /// The failed transaction on the chain; `None` where the simulation found the failure, which costs no fee.
        signature: Option<Signature>,
    },
    /// The runtime refused the transaction: nothing changed.
    #[error("the network refused the transaction: {error}{}", told(logs))]
    Refused {
        /// The runtime's reason. Its instruction numbers count from the sender's first instruction.
        error: TransactionError,
        /// What the programs logged, oldest first.
        logs: Vec<String>,
        /// As in [`SendError::Program`].
        signature: Option<Signature>,
    },
    /// Every signed copy ran out of its blockhash's time without being included: nothing changed.
    #[error("the network did not take up transaction {signature} in time: try again, with a higher price")]
    Expired {
        /// The last signed copy.
        signature: Signature,
    },
    /// It was broadcast, and then nothing could be learned about it: it may or may not take effect.
    #[error("no word about transaction {signature} from the RPC node: look it up before sending it again")]
    Unconfirmed {
        /// The transaction to look up.
        signature: Signature,
    },
    /// The transaction does not fit in a packet.
    #[error(
        "the transaction has {bytes} bytes and {limit} are the most: put fewer instructions or accounts in it"
    )]
    TooLarge {
        /// Serialized length in bytes.
        bytes: usize,
        /// The most a packet holds, in bytes.
        limit: usize,
    },
    /// A signature could not be made.
    #[error("the transaction could not be signed: {0}")]
    Signing(SignerError),
    /// The RPC node could not be asked, or refused the question, before anything was broadcast.
    #[error("the RPC node did not answer: {}", reason(_0))]
    Rpc(RpcError),
}

// Not by `#[from]`: that would make the cause a source as well, and have it told twice.
impl From<SignerError> for SendError {
    fn from(error: SignerError) -> Self {
        Self::Signing(error)
    }
}

impl From<RpcError> for SendError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl SendError {
    /// Sorts a failed transaction by who refused it.
    pub fn failed(error: TransactionError, logs: Vec<String>, signature: Option<Signature>) -> Self {
        match error {
            TransactionError::InstructionError(instruction, InstructionError::Custom(code)) => {
                Self::Program { instruction: usize::from(instruction), code, logs, signature }
            }
            error => Self::Refused { error, logs, signature },
        }
    }

    /// The program's error number, where a program refused an instruction.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Program { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether no connection to the node could be made: it has not been given what was asked last.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Rpc(error) if is_unreachable(error))
    }

    /// Whether the same instructions may succeed when sent again unchanged, because the network and not
    /// a program or the caller stood in the way.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::Unconfirmed { .. } | Self::Rpc(_))
    }
}

/// Whether no connection to the node could be made.
pub(super) fn is_unreachable(error: &RpcError) -> bool {
    matches!(error.kind(), ErrorKind::Reqwest(error) if error.is_connect())
}

/// The last thing a program said about its failure, as the end of a sentence.
fn told(logs: &[String]) -> String {
    let anchor = logs.iter().rev().find_map(|line| {
        line.split_once("Error Message: ").map(|(_, message)| message.trim_end_matches('.'))
    });
    let plain = || logs.iter().rev().find_map(|line| line.strip_prefix("Program log: "));
    anchor.or_else(plain).map(|message| format!(": {message}")).unwrap_or_default()
}
