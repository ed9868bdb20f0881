//! Refusals of requests, with their HTTP status.

use super::store::StoreError;
use crate::leases::Unsigned;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use leasehold_client::wire::ErrorBody;
use leasehold_daemon::http::body_refusal;
use serde_json::json;
use tracing::error;

/// Longest sentence about a malformed request, in characters.
const SENTENCE: usize = 400;

/// Why a request is refused. Sent as `{"error": "..."}`, or by the proxy in OpenAI's form.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("this node has no machine in slot {0}: check the slot")]
    NoSuchMachine(u32),
    #[error("several machines match: give `board` and `slot`")]
    SeveralMachines,
    #[error("slot {0} serves no lease now: wait until the lease begins, or check the slot")]
    NoLease(u32),
    #[error(
        "the tenant of slot {slot} is paused: its machine was not up in two rounds in a row, or is cut off, and what is not \
         paid is not served; try again in {retry_secs} s"
    )]
    Paused { slot: u32, retry_secs: u32 },
    #[error(
        "this request may cost more than the buyer of the lease has signed for: send a voucher, top up the lease, or \
         ask for fewer tokens"
    )]
    Exhausted,
    #[error(
        "this request may cost more than the leases of this spender may still use in this hour: send vouchers for what \
         they have used, or ask for fewer tokens"
    )]
    SpenderExhausted,
    #[error(
        "the node can't read the chain, and gives no credit until it can: send a voucher that covers this request, or try \
         again later"
    )]
    Silent,
    #[error("nothing is signed for slot {slot}: {reason}")]
    Unsigned { slot: u32, reason: Unsigned },
    #[error("as many downloads are under way as the node allows: try again later")]
    Downloads,
    #[error("{0}")]
    Caller(&'static str),
    #[error("{1}")]
    Request(StatusCode, String),
    #[error("{0}")]
    NotFound(&'static str),
    #[error("the voucher is for no metered lease of this node: check the lease and the node")]
    UnknownLease,
    #[error("the inference server does not answer: {0}")]
    Upstream(String),
    #[error("{0}")]
    Late(String),
    #[error("the node has as many requests under way as it takes: try again in a second")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal {
    /// A malformed request. What the sentence repeats of it is cut.
    pub(crate) fn malformed(sentence: impl Into<String>) -> Self {
        let mut sentence = sentence.into();
        if let Some((end, _)) = sentence.char_indices().nth(SENTENCE) {
            sentence.truncate(end);
            sentence.push_str("...");
        }
        Self::Request(StatusCode::BAD_REQUEST, sentence)
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchMachine(_) | Self::NotFound(_) | Self::UnknownLease => StatusCode::NOT_FOUND,
            Self::SeveralMachines => StatusCode::BAD_REQUEST,
            Self::Caller(_) => StatusCode::UNAUTHORIZED,
            Self::NoLease(_) | Self::Store(StoreError::LeaseOver { .. }) => StatusCode::CONFLICT,
            Self::Exhausted
            | Self::SpenderExhausted
            | Self::Silent
            | Self::Store(StoreError::Exposure { .. } | StoreError::SpenderExposure { .. }) => {
                StatusCode::PAYMENT_REQUIRED
            }
            Self::Paused { .. } | Self::Unsigned { .. } | Self::Downloads | Self::Busy => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Store(StoreError::Pruned) => StatusCode::GONE,
            Self::Request(status, _) => *status,
            Self::Upstream(_) => StatusCode::BAD_GATEWAY,
            Self::Late(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Store(StoreError::NumbersUsedUp { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(error) if error.is_refusal() => StatusCode::BAD_REQUEST,
            Self::Store(StoreError::Closed) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The response in OpenAI's form.
    pub(crate) fn openai(&self) -> Response {
        let (kind, code) = match self.status() {
            _ if matches!(self, Self::Paused { .. }) => ("server_error", "paused"),
            StatusCode::UNAUTHORIZED => ("invalid_request_error", "invalid_api_key"),
            StatusCode::PAYMENT_REQUIRED => ("insufficient_quota", "exposure_limit"),
            StatusCode::CONFLICT => ("invalid_request_error", "no_lease"),
            StatusCode::NOT_FOUND => ("invalid_request_error", "not_found"),
            StatusCode::METHOD_NOT_ALLOWED => ("invalid_request_error", "wrong_method"),
            StatusCode::PAYLOAD_TOO_LARGE => ("invalid_request_error", "too_large"),
            status if status.is_client_error() => ("invalid_request_error", "malformed"),
            _ => ("server_error", "unavailable"),
        };
        self.log();
        let error = json!({ "message": self.to_string(), "type": kind, "param": null, "code": code });
        let mut response = (self.status(), Json(json!({ "error": error }))).into_response();
        if let Self::Caller(_) = self {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let retry_secs = match self {
            Self::Paused { retry_secs, .. } => Some(*retry_secs),
            Self::Busy => Some(1),
            _ => None,
        };
        if let Some(secs) = retry_secs {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }

    fn log(&self) {
        // These are logged when they begin, or are the caller's doing.
        let is_expected = matches!(
            self,
            Self::Paused { .. }
                | Self::Unsigned { .. }
                | Self::Downloads
                | Self::Busy
                | Self::Request(StatusCode::SERVICE_UNAVAILABLE, _)
        );
        if self.status().is_server_error() && !is_expected {
            error!("a request failed: {self}");
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.log();
        (self.status(), Json(ErrorBody { error: self.to_string() })).into_response()
    }
}

macro_rules! rejected {
    ($($rejection:ty),*) => {$(
        impl From<$rejection> for Refusal {
            fn from(rejection: $rejection) -> Self {
                if let Some(refused) = body_refusal(&rejection) {
                    return Self::Request(refused.status(), refused.to_string());
                }
                Self::Request(rejection.status(), rejection.body_text())
            }
        }
    )*};
}

rejected!(JsonRejection, PathRejection, QueryRejection);
