//! Sends calls over HTTP.

use std::{
    future::Future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
    redirect::Policy,
};
use serde_json::Value;
use solana_rpc_client::rpc_sender::{RpcSender, RpcTransportStats};
use solana_rpc_client_api::{
    client_error::{Error, ErrorKind, Result},
    custom_error,
    error_object::RpcErrorObject,
    request::{RpcError, RpcRequest, RpcResponseErrorData},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    CallTimeout,
    waiting::{SILENT, Waiting},
};
use crate::redact::{self, Secrets};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A day in seconds.
const DAY: u64 = 86_400;
/// Shortest pause after a refusal for its rate, and the first one where the RPC node names none; that is doubled each time.
const RATE_PAUSE: Duration = Duration::from_millis(500);
/// Largest answer that is read, in bytes: all compute logs of the program have tens of megabytes.
const MAX_ANSWER: usize = 256 << 20;
/// Longest text of an RPC node that errors repeat, in characters.
const MAX_MESSAGE: usize = 1_000;

/// One RPC node.
pub(super) struct Transport {
    /// `None` if it can't be made.
    client: Option<Client>,
    url: String,
    /// The URL as it is shown.
    name: String,
    /// What of the URL may be a key, for RPC nodes that repeat it.
    secrets: Secrets,
    timeout: CallTimeout,
    next_id: AtomicU64,
    waiting: Waiting,
    stats: Mutex<RpcTransportStats>,
}

impl Transport {
    pub fn new(url: &str, timeout: CallTimeout) -> Self {
        let client = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_TIMEOUT).build();
        let parsed = Url::parse(url).ok();
        Transport {
            client: client.ok(),
            url: url.to_owned(),
            name: parsed.as_ref().map_or_else(|| "<URL>".to_owned(), redact::url),
            secrets: parsed.as_ref().map(Secrets::of).unwrap_or_default(),
            timeout,
            next_id: AtomicU64::default(),
            waiting: Waiting::default(),
            stats: Mutex::default(),
        }
    }

    /// Calls until the RPC node answers otherwise than that it was asked too often, or there is no time left.
    async fn call(&self, method: &str, body: String, until: Option<Instant>) -> Result<Value> {
        let client = self.client.as_ref().ok_or_else(|| failed("no HTTP client can be made".to_owned()))?;
        let mut pause = RATE_PAUSE;
        loop {
            let request = client.post(&self.url).header(CONTENT_TYPE, "application/json").body(body.clone());
            let response = request.send().await.map_err(unreachable)?;
            if response.status() != StatusCode::TOO_MANY_REQUESTS {
                return self.answer(method, response).await;
            }
            let wait = retry_after(&response).map_or(pause, |wait| wait.max(RATE_PAUSE));
            let awake = Instant::now().checked_add(wait);
            if awake.is_none() || until.is_some_and(|until| awake >= Some(until)) {
                let time = refused_for(wait);
                return Err(failed(format!(
                    "it refuses more requests for {time} (status 429): ask less often, or use an RPC node with a \
                     higher limit"
                )));
            }
            self.waiting.begin(&self.name, method, "it refuses so many requests (status 429)");
            sleep(wait).await;
            pause = pause.saturating_mul(2);
        }
    }

    /// Result of an answered call.
    async fn answer(&self, method: &str, mut response: Response) -> Result<Value> {
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.and_then(|to| response.url().join(to).ok()).map(|to| redact::url(&to));
            let to = to.unwrap_or_else(|| "another address".to_owned());
            return Err(failed(format!(
                "it redirects to {to} (status {}), where no request is sent: name that RPC node if it is yours",
                status.as_u16()
            )));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err(failed(format!("its answer has more than {} MiB", MAX_ANSWER >> 20)));
            }
        }
        // Anything may come: a string, a list.
        let parsed = serde_json::from_slice::<Value>(&body);
        let what = if parsed.is_ok() { "one of JSON-RPC" } else { "JSON" };
        let mut json = parsed.unwrap_or_default();
        let mut field = |name| json.get_mut(name).map(Value::take);
        let error = field("error").filter(|error| !error.is_null());
        match (error, field("result")) {
            (Some(error), _) if status.is_success() || error.is_object() && status.is_client_error() => {
                Err(self.refused(error))
            }
            (None, Some(result)) if status.is_success() => Ok(result),
            _ if status.is_success() => {
                Err(failed(format!("its answer is not {what}: check that the URL is an RPC node's")))
            }
            _ if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::GONE].contains(&status) => {
                Err(failed(format!(
                    "it refuses {method} with status {status}: check the key in its URL, and whether it serves {method}"
                )))
            }
            _ => Err(failed(format!(
                "it answers {method} with status {status}: try again, or use another RPC node"
            ))),
        }
    }

    /// The error that an RPC node answered with.
    fn refused(&self, error: Value) -> Error {
        let Ok(RpcErrorObject { code, message }) = serde_json::from_value(error.clone()) else {
            return failed("its error is malformed: check that the URL is an RPC node's".to_owned());
        };
        let data = |value: &Value| match code {
            custom_error::JSON_RPC_SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE => {
                let failure = serde_json::from_value(value.clone()).ok()?;
                Some(RpcResponseErrorData::SendTransactionPreflightFailure(failure))
            }
            custom_error::JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY => {
                let custom_error::NodeUnhealthyErrorData { num_slots_behind } =
                    serde_json::from_value(value.clone()).ok()?;
                Some(RpcResponseErrorData::NodeUnhealthy { num_slots_behind })
            }
            _ => None,
        };
        let data = data(&error["data"]).unwrap_or(RpcResponseErrorData::Empty);
        RpcError::RpcResponseError { code, message: cut(self.secrets.hide(&message)), data }.into()
    }

    /// The call's end, with a line in the log if it takes long.
    async fn observed<T>(&self, method: &str, call: impl Future<Output = T>) -> T {
        let mut call = std::pin::pin!(call);
        match timeout(SILENT, &mut call).await {
            Ok(end) => end,
            Err(_) => {
                self.waiting.begin(&self.name, method, &format!("no answer for {} s", SILENT.as_secs()));
                call.await
            }
        }
    }
}

#[async_trait]
impl RpcSender for Transport {
    async fn send(&self, request: RpcRequest, params: Value) -> Result<Value> {
        let (begun, limit) = (Instant::now(), self.timeout.get());
        let method = request.to_string();
        let body = request.build_request_json(self.next_id.fetch_add(1, Relaxed), params).to_string();
        let call = timeout(limit, self.call(&method, body, begun.checked_add(limit)));
        let answered = self.observed(&method, call).await.unwrap_or_else(|_| {
            Err(failed(format!("{method} was not answered within {} s: timed out", limit.as_secs_f32())))
        });
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        stats.request_count = stats.request_count.saturating_add(1);
        stats.elapsed_time = stats.elapsed_time.saturating_add(begun.elapsed());
        let refused = |error: &Error| matches!(error.kind(), ErrorKind::RpcError(_));
        if answered.as_ref().err().is_none_or(refused) {
            self.waiting.end(&self.name);
        }
        answered
    }

    fn get_transport_stats(&self) -> RpcTransportStats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn url(&self) -> String {
        self.name.clone()
    }
}

/// The beginning of a text.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_MESSAGE) {
        text.truncate(end);
    }
    text
}

/// A time for people; RPC nodes write what they like.
fn refused_for(wait: Duration) -> String {
    match wait.as_secs() {
        secs if secs < DAY => format!("{} s", secs.saturating_add(u64::from(wait.subsec_nanos() > 0))),
        _ => "a day or longer".to_owned(),
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The failure, with no more of the URL than the host.
fn unreachable(error: reqwest::Error) -> Error {
    let mut host = error.url().cloned();
    if let Some(url) = &mut host {
        url.set_path("");
        url.set_query(None);
        url.set_fragment(None);
        // Fails only for URLs without a host.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
    }
    let error = error.without_url();
    let error = match host {
        Some(host) => error.with_url(host),
        None => error,
    };
    ErrorKind::Reqwest(error).into()
}

fn failed(text: String) -> Error {
    ErrorKind::Custom(text).into()
}
