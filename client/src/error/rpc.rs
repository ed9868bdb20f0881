//! Failures of RPC calls and of the sender as sentences.

use solana_instruction::error::InstructionError;
use solana_rpc_client_api::client_error::Error as RpcError;

use super::{ProgramFailure, explain, explain_transaction};
use crate::sender::SendError;

/// Why an RPC call failed, with the root cause: "error sending request: Connection refused".
pub(crate) fn reason(error: &RpcError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let (text, cause) = (error.to_string(), cause.to_string());
    if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
}

/// Explains why a [`crate::sender::Sender`] failed.
pub fn explain_send(error: &SendError) -> String {
    match error {
        SendError::Program { instruction, code, logs, .. } => {
            let error = InstructionError::Custom(*code);
            explain(&ProgramFailure { instruction: *instruction, error: &error, logs }).to_string()
        }
        SendError::Refused { error, logs, .. } => explain_transaction(error, logs),
        error => error.to_string(),
    }
}
