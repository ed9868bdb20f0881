//! Stands in front of any server with OpenAI's API: counts tokens, signs for each answer, changes nothing
//! that a client sees but three headers, or one comment at the end of a stream.

mod answer;
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
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Requests carry pictures and long texts.
const REQUEST_LIMIT: usize = 64 << 20;
/// What is counted; everything else passes.
const COUNTED: [&str; 3] = ["/chat/completions", "/completions", "/embeddings"];

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
    let counted = request.method() == Method::POST && is_counted(request.uri().path());
    let response = if counted { proxy.count(request).await } else { proxy.pass(request).await };
    response.unwrap_or_else(|refusal| refusal.openai())
}

/// Whether the path is one that is counted, in any spelling that a server may take for it.
fn is_counted(path: &str) -> bool {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte =
            escaped.and_then(|digits| hex::decode(digits).ok()).and_then(|bytes| bytes.first().copied());
        rest = if byte.is_some() { tail.get(2..).unwrap_or(&[]) } else { tail };
        let byte = byte.unwrap_or(*first).to_ascii_lowercase();
        if byte != b'/' || plain.last() != Some(&b'/') {
            plain.push(byte);
        }
    }
    let plain = plain.strip_suffix(b"/").unwrap_or(&plain);
    COUNTED.iter().any(|counted| plain.ends_with(counted.as_bytes()))
}

impl Proxy {
    /// The inference server's URL for this request.
    fn url(&self, parts: &Parts) -> Result<reqwest::Url, Refusal> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = [self.own.upstream.as_str().trim_end_matches('/'), path].concat();
        url.parse().map_err(|_| Refusal::malformed("the path is not one of a URL"))
    }

    /// Hands a request on as it is.
    async fn pass(&self, request: Request) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let forward = self.client.request(parts.method.clone(), self.url(&parts)?);
        let forward = forward.headers(headers::to_pass(&parts.headers));
        let body = reqwest::Body::wrap_stream(body.into_data_stream());
        Ok(handed_back(forward.body(body).send().await.map_err(upstream)?))
    }

    /// Hands a request on if there is a lease to bill it to, and signs for the answer.
    async fn count(&self, request: Request) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let mut answer = Answer::begin(self)?;
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
        answer.ask(self, model, &body, &asked).await?;

        let strip_usage = tokens::ask_for_usage(&mut asked);
        let body = if strip_usage { Bytes::from(asked.to_string()) } else { body };
        let forward =
            self.client.post(self.url(&parts)?).headers(headers::to_count(&parts.headers)).body(body);
        let response = forward.send().await.map_err(upstream)?;
        if !response.status().is_success() {
            return Ok(handed_back(response));
        }
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return Ok(stream::relay(answer, response, strip_usage, self.deadline.clone()));
        }
        let (status, mut kept) = (response.status(), headers::to_return(response.headers()));
        let body = response.bytes().await.map_err(upstream)?;
        let signed = answer.sign_whole(&body).await?;
        signed.write(&mut kept);
        Ok((status, kept, body).into_response())
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
    use super::is_counted;

    #[test]
    fn no_spelling_of_a_counted_path_passes_uncounted() {
        for path in [
            "/v1/chat/completions",
            "/v1/completions/",
            "//v1//embeddings",
            "/v1/chat/%63ompletions",
            "/v1/chat%2Fcompletions",
            "/V1/Chat/Completions",
        ] {
            assert!(is_counted(path), "{path}");
        }
        for path in ["/v1/models", "/v1/chat/completions/x", "/v1/chat/completion", "/%", "/%6", ""] {
            assert!(!is_counted(path), "{path}");
        }
    }
}
