//! Failures of RPC calls as sentences.

use solana_rpc_client_api::client_error::Error as RpcError;

/// Why an RPC call failed, with the root cause: "error sending request: Connection refused".
pub(crate) fn reason(error: &RpcError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let (text, cause) = (error.to_string(), cause.to_string());
    if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
}
