//! Headers that pass, and headers that are added.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use leasehold_client::record::SignedReceipt;

/// Base64 of receipt and signature.
pub(crate) const RECEIPT: HeaderName = HeaderName::from_static("leasehold-receipt");
/// Salt of the hashes in the receipt.
pub(crate) const SALT: HeaderName = HeaderName::from_static("leasehold-salt");
/// Id of the inference.
pub(crate) const ID: HeaderName = HeaderName::from_static("leasehold-id");
/// How tokens were counted: `usage`, `estimate` or `bounded`.
pub(crate) const COUNTED: HeaderName = HeaderName::from_static("leasehold-counted");

/// Headers of a request that pass uncounted. Others may mean something to the inference server that nobody here knows,
/// or name who called it.
const ASKED: [HeaderName; 9] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::RANGE,
    header::USER_AGENT,
    HeaderName::from_static("x-request-id"),
];
/// Headers of an answer that pass.
const ANSWERED: [HeaderName; 13] = [
    header::ACCEPT_RANGES,
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::RETRY_AFTER,
    header::VARY,
    HeaderName::from_static("openai-processing-ms"),
    HeaderName::from_static("x-request-id"),
];

/// Headers of a request that is not counted.
pub(super) fn to_pass(headers: &HeaderMap) -> HeaderMap {
    kept(headers, &ASKED)
}

/// Headers of a request that is counted. None of them is the caller's: the body says everything.
pub(super) fn to_count() -> HeaderMap {
    let values = [
        (header::ACCEPT, "application/json, text/event-stream"),
        // What is compressed can't be counted.
        (header::ACCEPT_ENCODING, "identity"),
        (header::CONTENT_TYPE, "application/json"),
    ];
    values.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}

/// Headers of an answer.
pub(super) fn to_return(headers: &HeaderMap) -> HeaderMap {
    kept(headers, &ANSWERED)
}

/// True if an answer is a stream of events.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let content = headers.get(header::CONTENT_TYPE).and_then(|content| content.to_str().ok());
    let kind = content.and_then(|content| content.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// True if an answer is compressed, or its encoding is unknown.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.any(|encoding| !encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

fn kept(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let of_name = |name: &HeaderName| {
        headers.get_all(name).iter().map(|value| (name.clone(), value.clone())).collect::<Vec<_>>()
    };
    names.iter().flat_map(of_name).collect()
}

/// A receipt for the caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed {
    pub receipt: SignedReceipt,
    pub salt: [u8; 32],
    pub counted: &'static str,
}

impl Signed {
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let id = hex::encode(self.receipt.id());
        for (name, text) in [(RECEIPT, self.receipt.to_base64()), (SALT, hex::encode(self.salt)), (ID, id)] {
            // All base64 and hexadecimal digits are allowed in headers.
            headers.extend(HeaderValue::from_str(&text).ok().map(|value| (name, value)));
        }
        headers.insert(COUNTED, HeaderValue::from_static(self.counted));
    }

    /// The receipt as a comment in a stream.
    pub(super) fn comment(&self) -> String {
        let Self { receipt, salt, counted } = self;
        let receipt = receipt.to_base64();
        format!(": leasehold-receipt {receipt} {}\n: leasehold-counted {counted}\n\n", hex::encode(salt))
    }
}
