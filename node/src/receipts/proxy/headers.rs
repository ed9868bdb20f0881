//! Which headers pass, and those that are added.

use super::caller;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use leasehold_client::record::SignedReceipt;

/// Base64 of receipt and signature.
pub(crate) const RECEIPT: HeaderName = HeaderName::from_static("leasehold-receipt");
/// What the hashes in the receipt were salted with.
pub(crate) const SALT: HeaderName = HeaderName::from_static("leasehold-salt");
/// The inference's id.
pub(crate) const ID: HeaderName = HeaderName::from_static("leasehold-id");
/// Where the numbers of tokens are from: `usage` or `estimate`.
pub(crate) const COUNTED: HeaderName = HeaderName::from_static("leasehold-counted");

/// Headers of one connection, which are not for the next (RFC 9110, section 7.6.1), and the host.
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

/// For a body that is handed on as it is.
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
    // Whoever sees a call token can use it.
    if caller::token(&kept).is_some() {
        kept.remove(header::AUTHORIZATION);
    }
    kept
}

/// For a request that is read here, and whose answer is: nothing compressed.
pub(super) fn to_count(headers: &HeaderMap) -> HeaderMap {
    let mut kept = to_pass(headers);
    kept.remove(header::CONTENT_LENGTH);
    kept.remove(header::ACCEPT_ENCODING);
    kept
}

/// For an answer to which something may be added.
pub(super) fn to_return(headers: &HeaderMap) -> HeaderMap {
    let mut kept = to_pass(headers);
    kept.remove(header::CONTENT_LENGTH);
    for name in [RECEIPT, SALT, ID, COUNTED] {
        kept.remove(name);
    }
    kept
}

/// A receipt as it goes to the caller.
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
            // Base64 and hexadecimal digits are all of them allowed.
            headers.extend(HeaderValue::from_str(&text).ok().map(|value| (name, value)));
        }
        headers.insert(COUNTED, HeaderValue::from_static(self.counted));
    }

    /// The comment at the end of a stream.
    pub(super) fn comment(&self) -> String {
        let Self { receipt, salt, counted } = self;
        let receipt = receipt.to_base64();
        format!(": leasehold-receipt {receipt} {}\n: leasehold-counted {counted}\n\n", hex::encode(salt))
    }
}
