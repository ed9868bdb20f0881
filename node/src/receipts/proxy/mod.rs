//! Proxy for an inference server with OpenAI's API: counts tokens and signs a receipt for each answer. Clients see no
//! difference but four headers, or one comment at the end of a stream.

mod answer;
mod caller;
mod events;
mod headers;
mod stream;
pub mod tokens;

use super::issuer::Issuer;
use super::refusal::Refusal;
use super::settings::{ProxySettings, Settings};
use answer::Answer;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use leasehold_daemon::unix_ms;
use reqwest::Url;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Size limit of requests in bytes: they may hold pictures and long texts.
const REQUEST_LIMIT: usize = 64 << 20;
/// Kinds of requests that are billed; all others pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Chats and completions.
    Text,
    Embeddings,
}

/// A proxy for one inference server.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) own: ProxySettings,
    pub(crate) client: reqwest::Client,
    /// True once answers under way must end.
    pub(crate) deadline: watch::Receiver<bool>,
    /// Held until the receipt is stored.
    pub(crate) alive: mpsc::Sender<()>,
}

/// Redirects are passed to the client, and a server on this host needs no proxy from the environment.
pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()
}

pub(crate) async fn handle(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    proxy.answer(request).await.unwrap_or_else(|refusal| refusal.openai())
}

/// The inference server's URL for a request.
fn url(upstream: &Url, uri: &Uri) -> Result<Url, Refusal> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let url = path.starts_with('/').then(|| [upstream.as_str().trim_end_matches('/'), path].concat());
    url.and_then(|url| url.parse().ok()).ok_or_else(|| Refusal::malformed("the path is not valid in a URL"))
}

/// Kind of a request for a path, in any spelling that a server may accept; `None` if it is not billed.
fn counted(path: &str) -> Option<Kind> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte =
            escaped.and_then(|digits| hex::decode(digits).ok()).and_then(|bytes| bytes.first().copied());
        rest = if byte.is_some() { tail.get(2..).unwrap_or(&[]) } else { tail };
        plain.push(byte.unwrap_or(*first).to_ascii_lowercase());
    }
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in plain.split(|byte| matches!(byte, b'/' | b'\\')) {
        // Some servers treat the text after a semicolon as parameters of the segment.
        match segment.split(|byte| *byte == b';').next().unwrap_or_default() {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    match segments.last() {
        Some(&b"completions") => Some(Kind::Text),
        Some(&b"embeddings") => Some(Kind::Embeddings),
        _ => None,
    }
}

impl Proxy {
    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        // Decide by the path that is sent, not by the one that came.
        let url = url(&self.own.upstream, request.uri())?;
        self.refuse_paused()?;
        match counted(url.path()).filter(|_| request.method() == Method::POST) {
            Some(kind) => self.count(request, url, kind).await,
            None => self.pass(request, url).await,
        }
    }

    /// Refuses every request while the machine's tenant is paused. Answers under way go on: each was begun while the tenant
    /// was served, ends within its token limit and gets its receipt.
    fn refuse_paused(&self) -> Result<(), Refusal> {
        let machine = self.issuer.machine(self.own.slot, self.own.board)?;
        match self.issuer.lease(&machine, unix_ms()) {
            Ok(lease) if lease.paused => {
                Err(Refusal::Paused { slot: machine.slot, retry_secs: lease.round_secs })
            }
            _ => Ok(()),
        }
    }

    /// Passes a request unchanged.
    async fn pass(&self, request: Request, url: Url) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let forward = self.client.request(parts.method, url).headers(headers::to_pass(&parts.headers));
        let body = reqwest::Body::wrap_stream(body.into_data_stream());
        Ok(handed_back(forward.body(body).send().await.map_err(upstream)?))
    }

    /// Passes a request if there is a lease to bill, and signs a receipt for the answer.
    async fn count(&self, request: Request, url: Url, kind: Kind) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let mut answer = Answer::begin(self, &parts.headers)?;
        let body = to_bytes(body, REQUEST_LIMIT).await.map_err(|_| {
            Refusal::Request(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a request has {REQUEST_LIMIT} bytes at most"),
            )
        })?;
        let mut asked: Value =
            serde_json::from_slice(&body).map_err(|_| Refusal::malformed("the request is not JSON"))?;
        let name = asked.get("model").and_then(Value::as_str);
        let model =
            self.settings.model(name).ok_or(Refusal::NotFound("this node does not offer the model"))?;
        let metered = answer.ask(self, model, kind, &body, &mut asked).await?;

        let strip_usage = tokens::ask_for_usage(&mut asked);
        // The server must read the same fields as this proxy, even if one is there twice.
        let body = if metered || strip_usage { Bytes::from(asked.to_string()) } else { body };
        let forward = self.client.post(url).headers(headers::to_count(&parts.headers)).body(body);
        // In a task of its own, so that an answer gets its receipt even if the client disconnects.
        let task = tokio::spawn(finish(answer, forward, strip_usage, self.deadline.clone()));
        let lost = |_| Refusal::Request(StatusCode::INTERNAL_SERVER_ERROR, "the answer was lost".into());
        task.await.map_err(lost)?
    }
}

/// Waits for the answer and signs its receipt.
async fn finish(
    answer: Answer,
    forward: reqwest::RequestBuilder,
    strip_usage: bool,
    mut deadline: watch::Receiver<bool>,
) -> Result<Response, Refusal> {
    let response = until(&mut deadline, forward.send()).await?;
    if !response.status().is_success() {
        return Ok(handed_back(response));
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        return Ok(stream::relay(answer, response, strip_usage, deadline));
    }
    let (status, mut kept) = (response.status(), headers::to_return(response.headers()));
    let body = until(&mut deadline, response.bytes()).await?;
    let signed = answer.sign_whole(&body).await?;
    signed.write(&mut kept);
    Ok((status, kept, body).into_response())
}

/// Waits for the inference server, or until the node must stop.
async fn until<T>(
    deadline: &mut watch::Receiver<bool>,
    sent: impl Future<Output = reqwest::Result<T>>,
) -> Result<T, Refusal> {
    tokio::select! {
        sent = sent => sent.map_err(upstream),
        // A dropped sender sets no deadline.
        Ok(_) = deadline.wait_for(|now| *now) => {
            Err(Refusal::Request(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping".into()))
        }
    }
}

fn upstream(error: reqwest::Error) -> Refusal {
    // Without the URL, which is internal.
    Refusal::Upstream(error.without_url().to_string())
}

/// Passes the inference server's response unchanged.
fn handed_back(response: reqwest::Response) -> Response {
    let (status, kept) = (response.status(), headers::to_pass(response.headers()));
    (status, kept, Body::from_stream(response.bytes_stream())).into_response()
}

#[cfg(test)]
mod tests {
    use super::{Kind, counted, url};

    /// Kind of a request for that path, by the URL that it is sent to.
    fn of_request(path: &str) -> Option<Kind> {
        let upstream = "http://127.0.0.1:8000/base/".parse().unwrap();
        counted(url(&upstream, &path.parse().unwrap()).unwrap().path())
    }

    #[test]
    fn every_spelling_of_a_billed_path_is_billed() {
        for path in [
            "/v1/chat/completions",
            "/v1/completions/",
            "/v1/chat/%63ompletions",
            "/v1/chat%2Fcompletions",
            "/V1/Chat/Completions",
            "/v1/chat\\completions",
            "/v1/chat%5Ccompletions",
            "/v1/chat/completions/.",
            "/v1/chat/completions/./?x=/models",
            "/v1/chat/completions/%2e",
            "/v1/chat/completions/x/..",
            "/v1/chat/completions/x/%2E.",
            "/v1/chat/completions%2Fx%2F..",
            "/v1/chat/completions\\x\\..\\",
            "/v1/chat/completions;x=1",
        ] {
            assert_eq!(of_request(path), Some(Kind::Text), "{path}");
        }
        assert_eq!(of_request("//v1//embeddings"), Some(Kind::Embeddings));
        for path in [
            "/v1/models",
            "/v1/chat/completions/x",
            "/v1/chat/completions/..",
            "/v1/chat/completion",
            "/v1/models?x=/completions",
            "/%",
            "/%6",
            "/",
        ] {
            assert_eq!(of_request(path), None, "{path}");
        }
        assert!(url(&"http://127.0.0.1".parse().unwrap(), &"*".parse().unwrap()).is_err());
    }
}
