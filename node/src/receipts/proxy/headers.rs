//! Headers that pass, and headers that are added.

use super::caller;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use leasehold_client::record::SignedReceipt;

/// Base64 of receipt and signature.
pub(crate) const RECEIPT: HeaderName = HeaderName::from_static("leasehold-receipt");
/// Salt of the hashes in the receipt.
pub(crate) const SALT: HeaderName = HeaderName::from_static("leasehold-salt");
/// Id of the inference.
pub(crate) const ID: HeaderName = HeaderName::from_static("leasehold-id");
/// How tokens were counted: `usage` or `estimate`.
pub(crate) const COUNTED: HeaderName = HeaderName::from_static("leasehold-counted");

/// Headers of one connection, which must not be passed on (RFC 9110, section 7.6.1), and the host.
const OF_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Headers of a body that is passed unchanged.
pub(super) fn to_pass(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<_> = named.flat_map(|names| names.split(',')).map(str::trim).collect();
    let mut kept = headers.clone();
    for name in named {
        kept.remove(name);
    }
    for name in OF_CONNECTION {
        kept.remove(name);
    }
    // Anybody who sees a call token can use it.
    if caller::token(&kept).is_some() {
        kept.remove(header::AUTHORIZATION);
    }
    kept
}

/// Headers of a request that is parsed here, like its answer: nothing is compressed.
pub(super) fn to_count(headers: &HeaderMap) -> HeaderMap {
    let mut kept = to_pass(headers);
    kept.remove(header::CONTENT_LENGTH);
    kept.remove(header::ACCEPT_ENCODING);
    kept
}

/// Headers of an answer to which the receipt is added.
pub(super) fn to_return(headers: &HeaderMap) -> HeaderMap {
    let mut kept = to_pass(headers);
    kept.remove(header::CONTENT_LENGTH);
    for name in [RECEIPT, SALT, ID, COUNTED] {
        kept.remove(name);
    }
    kept
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
