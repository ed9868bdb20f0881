//! The HTTP API: the inference server reports answers, buyers hand in vouchers, archives download batches.
//!
//! The local address serves all of it, the public one everything but reports.

mod batches;
mod receipts;
mod status;
mod vouchers;

use super::issuer::Issuer;
use super::proxy::{self, Proxy};
use super::refusal::Refusal;
use super::settings::Settings;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use leasehold_daemon::http::Quota;
use std::sync::Arc;

/// Size limit of requests in bytes: reports and vouchers have a few hundred.
const BODY_LIMIT: usize = 16 << 10;

/// Downloads of batches at a time: in all, and by one caller.
const DOWNLOADS: usize = 16;
const DOWNLOADS_EACH: usize = 4;

/// State shared by the handlers.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) settings: Arc<Settings>,
    /// Downloads of batches under way.
    pub(crate) downloads: Arc<Quota>,
}

impl Api {
    pub(crate) fn new(issuer: Arc<Issuer>, settings: Arc<Settings>) -> Arc<Self> {
        Arc::new(Self { issuer, settings, downloads: Quota::new(DOWNLOADS, DOWNLOADS_EACH) })
    }
}

/// Clients that can reach a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Programs on this host.
    Local,
    /// Anybody.
    Public,
}

pub(crate) fn router(api: Arc<Api>, audience: Audience, proxy: Option<Arc<Proxy>>) -> Router {
    let mut router = Router::new()
        .route("/v1/receipts/{id}", get(receipts::find))
        .route("/v1/batches/{board}/{slot}/{generation}/{number}", get(batches::leaves))
        .route("/v1/vouchers", post(vouchers::take))
        .route("/v1/tabs/{slot}", get(vouchers::tab))
        .route("/v1/status", get(status::show));
    if audience == Audience::Local {
        router = router.route("/v1/receipts", post(receipts::report));
    }
    let router = router.method_not_allowed_fallback(wrong_method).layer(DefaultBodyLimit::max(BODY_LIMIT));
    let router = router.with_state(api);
    match proxy {
        Some(proxy) => router.fallback_service(axum::routing::any(proxy::handle).with_state(proxy)),
        None => router.fallback(unknown),
    }
}

async fn unknown() -> Refusal {
    Refusal::NotFound("there is nothing at this path")
}

async fn wrong_method() -> Refusal {
    Refusal::Request(axum::http::StatusCode::METHOD_NOT_ALLOWED, "this path takes another method".into())
}
