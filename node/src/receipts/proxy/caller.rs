//! Authorises callers under a metered lease.

use crate::leases::RunningLease;
use crate::receipts::refusal::Refusal;
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use leasehold_client::record::{CallToken, SignedCall};

/// The call token in the headers.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(AUTHORIZATION).iter().find_map(bearer)
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, key) = value.to_str().ok()?.trim().split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && key.starts_with(CallToken::PREFIX)).then_some(key)
}

/// Refuses callers without a valid call token of the metered lease's spender, at that time in Unix milliseconds. A lease
/// by the hour has no spender and its use costs nothing: anybody who reaches the proxy may use it.
pub(super) fn admit(headers: &HeaderMap, lease: &RunningLease, unix_ms: u64) -> Result<(), Refusal> {
    let Some(meter) = lease.meter else { return Ok(()) };
    let text = token(headers).ok_or(Refusal::Caller(
        "the running lease is paid by use: send a call token of its spender as the API key",
    ))?;
    let signed = SignedCall::decode(text)
        .map_err(|_| Refusal::Caller("the call token is malformed: pass it as it was made"))?;
    let CallToken { lease: address, from, expiry } = signed.token;
    if (address, from) != (lease.address, lease.from) {
        return Err(Refusal::Caller("the call token is of another lease: make one for the lease that runs"));
    }
    signed.verify(&meter.spender).map_err(|_| {
        Refusal::Caller("the call token is not signed by the lease's spender: make one with its key")
    })?;
    if expiry <= unix_ms / 1_000 {
        return Err(Refusal::Caller("the call token has expired: make another"));
    }
    Ok(())
}
