//! Sends a request to the inference server and receives the head of its answer.

use super::memory::Place;
use super::request::Asked;
use super::{Kind, Proxy, headers, route};
use crate::receipts::refusal::Refusal;
use crate::receipts::settings::Patience;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use futures::StreamExt;
use reqwest::{RequestBuilder, Response};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The most bytes of an error that are read to see what it is about.
const ERROR_LIMIT: usize = 64 << 10;

/// The head of an answer, and what of its body was read to understand it.
#[derive(Debug)]
pub(super) struct Head {
    pub response: Response,
    pub read: Option<Bytes>,
    /// True if the node asked for the usage on behalf of nobody but itself.
    pub strips_usage: bool,
    /// When the whole answer must have arrived.
    pub end: Instant,
}

/// Sends a counted request. A server that refuses `stream_options` is asked again without them, once for all requests.
pub(super) async fn counted(proxy: &Proxy, kind: Kind, asked: &Asked) -> Result<Head, Refusal> {
    let end = proxy.own.patience.end();
    let knows = !proxy.refuses_usage.load(Relaxed);
    let head = send(proxy, kind, asked, knows, end).await?;
    if !(knows && asked.adds_usage && is_refusal(head.response.status())) {
        return Ok(head);
    }
    let Head { mut response, .. } = head;
    let error = error_text(&mut response, &proxy.own.patience).await?;
    if !String::from_utf8_lossy(&error).contains("stream_options") {
        return Ok(Head { response, read: Some(error), strips_usage: true, end });
    }
    let head = send(proxy, kind, asked, false, end).await?;
    // Or a caller could have the word in an error by naming it in another field, and all streams were estimated from then on.
    if head.response.status().is_success() && !proxy.refuses_usage.swap(true, Relaxed) {
        tracing::warn!("the inference server refuses stream_options: streams are billed by an estimate");
    }
    Ok(head)
}

async fn send(proxy: &Proxy, kind: Kind, asked: &Asked, usage: bool, end: Instant) -> Result<Head, Refusal> {
    let url = route::counted(&proxy.own.upstream, kind)?;
    let request = proxy.client.post(url).headers(headers::to_count()).body(asked.body(usage)?);
    let response = head(proxy, request).await?;
    Ok(Head { response, read: None, strips_usage: usage && asked.adds_usage, end })
}

/// Sends a request with the server's own key.
pub(super) async fn head(proxy: &Proxy, request: RequestBuilder) -> Result<Response, Refusal> {
    let request = match &proxy.own.upstream_key {
        Some(key) => request.bearer_auth(key.expose()),
        None => request,
    };
    match timeout(proxy.own.patience.head, request.send()).await {
        Ok(sent) => sent.map_err(|error| failed(&error.without_url())),
        Err(_) => Err(late("has not begun to answer", proxy.own.patience.head)),
    }
}

/// The next piece of an answer's body; `None` at its end.
pub(super) async fn piece(
    response: &mut Response,
    patience: &Patience,
    end: Instant,
) -> Result<Option<Bytes>, Refusal> {
    let idle = timeout_at(end.min(Instant::now() + patience.idle), response.chunk()).await;
    match idle {
        Ok(piece) => piece.map_err(|error| failed(&error.without_url())),
        Err(_) if Instant::now() >= end => Err(late("has not ended its answer", patience.whole)),
        Err(_) => Err(late("has stopped in an answer", patience.idle)),
    }
}

/// A body as it comes.
fn relayed(
    response: Response,
    first: Option<Bytes>,
    patience: Patience,
) -> impl futures::Stream<Item = Result<Bytes, Refusal>> {
    let end = patience.end();
    let rest = futures::stream::try_unfold(response, move |mut response| async move {
        Ok(piece(&mut response, &patience, end).await?.map(|bytes| (bytes, response)))
    });
    futures::stream::iter(first.map(Ok)).chain(rest)
}

async fn error_text(response: &mut Response, patience: &Patience) -> Result<Bytes, Refusal> {
    let (mut text, end) = (Vec::new(), patience.end());
    while text.len() < ERROR_LIMIT {
        let Some(bytes) = piece(response, patience, end).await? else { break };
        text.extend_from_slice(&bytes);
    }
    Ok(text.into())
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
}

fn failed(error: &reqwest::Error) -> Refusal {
    // Without the URL, which is internal.
    Refusal::Upstream(error.to_string())
}

fn late(what: &str, after: Duration) -> Refusal {
    Refusal::Late(format!("the inference server {what} for {} s", after.as_secs()))
}

/// Passes an answer on that is not counted. `place` is kept until its end.
pub(super) fn handed_back(
    head: Response,
    read: Option<Bytes>,
    patience: Patience,
    place: Place,
) -> axum::response::Response {
    let (status, kept) = (head.status(), headers::to_return(head.headers()));
    let body = relayed(head, read, patience).inspect(move |_| {
        // It belongs to the stream.
        let _ = &place;
    });
    (status, kept, Body::from_stream(body)).into_response()
}
