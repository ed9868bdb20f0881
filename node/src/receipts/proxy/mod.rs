//! Stands in front of any server with OpenAI's API: counts tokens, signs for each answer, changes nothing
//! that a client sees but three headers, or one comment at the end of a stream.

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
use reqwest::Url;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Requests carry pictures and long texts.
const REQUEST_LIMIT: usize = 64 << 20;
/// What is counted; everything else passes.
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
    /// Turns true when answers under way must come to their end at once.
    pub(crate) deadline: watch::Receiver<bool>,
    /// Held by everything that is still to write a receipt.
    pub(crate) alive: mpsc::Sender<()>,
}

/// Redirects are the client's to follow, and a server on this host needs no proxy of the environment.
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
    url.and_then(|url| url.parse().ok()).ok_or_else(|| Refusal::malformed("the path is not one of a URL"))
}

/// What is counted at that path, in any spelling that a server may take for it.
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
        // Some servers know parameters of a segment, after a semicolon.
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
        // The path as it is sent on, and not as it came, says what it is.
        let url = url(&self.own.upstream, request.uri())?;
        match counted(url.path()).filter(|_| request.method() == Method::POST) {
            Some(kind) => self.count(request, url, kind).await,
            None => self.pass(request, url).await,
        }
    }

    /// Hands a request on as it is.
    async fn pass(&self, request: Request, url: Url) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let forward = self.client.request(parts.method, url).headers(headers::to_pass(&parts.headers));
        let body = reqwest::Body::wrap_stream(body.into_data_stream());
        Ok(handed_back(forward.body(body).send().await.map_err(upstream)?))
    }

    /// Hands a request on if there is a lease to bill it to, and signs for the answer.
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
        let model = self.settings.model(name).ok_or(Refusal::NotFound("this model is not offered here"))?;
        let metered = answer.ask(self, model, kind, &body, &mut asked).await?;

        let strip_usage = tokens::ask_for_usage(&mut asked);
        // What credit is held for must be what the server reads, also where a field is there twice.
        let body = if metered || strip_usage { Bytes::from(asked.to_string()) } else { body };
        let forward = self.client.post(url).headers(headers::to_count(&parts.headers)).body(body);
        // A task of its own, so that an answer whose client hangs up is signed for all the same.
        let task = tokio::spawn(finish(answer, forward, strip_usage, self.deadline.clone()));
        let lost = |_| Refusal::Request(StatusCode::INTERNAL_SERVER_ERROR, "the answer was lost".into());
        task.await.map_err(lost)?
    }
}

/// Waits for the answer and signs for it.
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

/// What the inference server sends, if it does so before the node must stop.
async fn until<T>(
    deadline: &mut watch::Receiver<bool>,
    sent: impl Future<Output = reqwest::Result<T>>,
) -> Result<T, Refusal> {
    tokio::select! {
        sent = sent => sent.map_err(upstream),
        // A sender that is gone sets no deadline any more.
        Ok(_) = deadline.wait_for(|now| *now) => {
            Err(Refusal::Request(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping".into()))
        }
    }
}

fn upstream(error: reqwest::Error) -> Refusal {
    // Without the URL, which is nobody's business outside.
    Refusal::Upstream(error.without_url().to_string())
}

/// The inference server's response as it is.
fn handed_back(response: reqwest::Response) -> Response {
    let (status, kept) = (response.status(), headers::to_pass(response.headers()));
    (status, kept, Body::from_stream(response.bytes_stream())).into_response()
}

#[cfg(test)]
mod tests {
    use super::{Kind, counted, url};

    /// What is counted of a request for that path, by the URL that it goes to.
    fn of_request(path: &str) -> Option<Kind> {
        let upstream = "http://127.0.0.1:8000/base/".parse().unwrap();
        counted(url(&upstream, &path.parse().unwrap()).unwrap().path())
    }

    #[test]
    fn no_spelling_of_a_counted_path_passes_uncounted() {
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
