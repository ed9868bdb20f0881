//! Failures of RPC calls as sentences.

use solana_rpc_client_api::{
    client_error::{Error as RpcError, ErrorKind},
    custom_error::{
        JSON_RPC_SERVER_ERROR_KEY_EXCLUDED_FROM_SECONDARY_INDEX,
        JSON_RPC_SERVER_ERROR_TRANSACTION_HISTORY_NOT_AVAILABLE,
    },
    request::{RpcError as Answer, RpcRequest},
};

use crate::redact;

/// JSON-RPC: there is no such method.
const METHOD_NOT_FOUND: i64 = -32_601;
/// Longest sentence of an RPC node that is repeated, in characters.
const MAX_SENTENCE: usize = 200;

/// Why an RPC call failed, as a sentence without keys of URLs: "the RPC node did not answer: error sending request:
/// Connection refused". A method that providers switch off is named, with what to do.
pub fn failure(error: &RpcError) -> String {
    match error.request().filter(|_| is_switched_off(error)) {
        Some(method) => {
            format!("the RPC node does not serve {method} ({}): {}", reason(error), advice(method))
        }
        None => format!("the RPC node did not answer: {}", reason(error)),
    }
}

/// The root cause: "error sending request: Connection refused".
pub(crate) fn reason(error: &RpcError) -> String {
    if let ErrorKind::RpcError(Answer::RpcResponseError { message, .. }) = error.kind()
        && is_switched_off(error)
    {
        return printable(message);
    }
    if let ErrorKind::Custom(text) = error.kind() {
        return redact::text(text);
    }
    if let ErrorKind::SerdeJson(_) = error.kind() {
        // The library's text repeats values of the answer, which may hold a key.
        let method = error.request().map(ToString::to_string);
        let asked = method.map(|method| format!(" to {method}")).unwrap_or_default();
        return format!(
            "its answer{asked} has another form than expected: check that the URL is an RPC node's"
        );
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let (text, cause) = (error.to_string(), cause.to_string());
    let text = if text.ends_with(&cause) { text } else { format!("{text}: {cause}") };
    // As the library ends where no data follow.
    redact::text(text.trim_end().trim_end_matches(';'))
}

/// True if an RPC node does not serve the method, whatever it is asked: providers switch off those that cost much, or all
/// but a few for a key.
pub fn is_switched_off(error: &RpcError) -> bool {
    let ErrorKind::RpcError(Answer::RpcResponseError { code, message, .. }) = error.kind() else {
        return false;
    };
    let of_code = [
        METHOD_NOT_FOUND,
        JSON_RPC_SERVER_ERROR_KEY_EXCLUDED_FROM_SECONDARY_INDEX,
        JSON_RPC_SERVER_ERROR_TRANSACTION_HISTORY_NOT_AVAILABLE,
    ];
    let message = message.to_ascii_lowercase();
    let of_words = [
        "not available",
        "unavailable",
        "not supported",
        "unsupported",
        "not allowed",
        "not enabled",
        "disabled",
    ];
    let of_method =
        error.request().is_some_and(|method| message.contains(&method.to_string().to_ascii_lowercase()));
    of_code.contains(code)
        || message.contains("method not found")
        || (of_words.iter().any(|words| message.contains(words)) && (of_method || message.contains("method")))
}

fn advice(method: &RpcRequest) -> &'static str {
    match method {
        RpcRequest::GetSignaturesForAddress | RpcRequest::GetTransaction => {
            "use an RPC node that serves it and keeps all transactions"
        }
        RpcRequest::SimulateTransaction => {
            "use an RPC node that serves it, since compute units are set by it"
        }
        RpcRequest::GetProgramAccounts => {
            "use an RPC node that serves it, of your own or of a plan that includes it; leases, suppliers and logs are found \
             by it"
        }
        _ => "use an RPC node that serves it",
    }
}

/// An RPC node's text on one line, cut, without characters that control a terminal.
fn printable(text: &str) -> String {
    let text = redact::text(text);
    text.chars().filter(|character| !character.is_control()).take(MAX_SENTENCE).collect()
}
