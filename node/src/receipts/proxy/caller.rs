//! Authorises callers by their call tokens.

use crate::leases::RunningLease;
use crate::receipts::refusal::Refusal;
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use leasehold_client::record::{CallToken, SignedCall};

/// Whoever shows one call token: tells callers apart.
pub(super) type Caller = [u8; 64];

/// The call token in the headers.
fn token(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(AUTHORIZATION).iter().find_map(bearer)
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, key) = value.to_str().ok()?.trim().split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && key.starts_with(CallToken::PREFIX)).then_some(key)
}

/// Refuses callers without a valid call token of the lease at that time, in Unix milliseconds. The spender of a metered
/// lease signs tokens, and the owner of one by the hour.
pub(super) fn admit(headers: &HeaderMap, lease: &RunningLease, unix_ms: u64) -> Result<Caller, Refusal> {
    let text = token(headers).ok_or(Refusal::Caller(
        "send a call token of the running lease as the API key: `leasehold lease token` makes one",
    ))?;
    let signed = SignedCall::decode(text)
        .map_err(|_| Refusal::Caller("the call token is malformed: pass it as it was made"))?;
    let CallToken { lease: address, from, expiry } = signed.token;
    if (address, from) != (lease.address, lease.begins) {
        return Err(Refusal::Caller("the call token is of another lease: make one for the lease that runs"));
    }
    signed.verify(lease.caller()).map_err(|_| {
        Refusal::Caller(match lease.meter {
            Some(_) => "the call token is not signed by the lease's spender: make one with its key",
            None => "the call token is not signed by the lease's owner: make one with its key",
        })
    })?;
    if expiry <= unix_ms / 1_000 {
        return Err(Refusal::Caller("the call token has expired: make another"));
    }
    Ok(signed.signature)
}
