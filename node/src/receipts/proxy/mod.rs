//! Proxy for an inference server with OpenAI's API: counts tokens and signs a receipt for each answer. Clients see no
//! difference but four headers, or one comment at the end of a stream.
//!
//! Nothing is computed uncounted: every request needs a call token, and under a metered lease only listed requests pass,
//! with fields that the server reads as they were read here.

mod answer;
mod body;
mod caller;
mod events;
mod forward;
mod headers;
mod memory;
mod request;
mod route;
mod stream;
mod tally;
pub mod tokens;

use super::issuer::Issuer;
use super::refusal::Refusal;
use super::settings::{Model, ProxySettings, Settings};
use answer::Answer;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use forward::Head;
use futures::StreamExt;
use leasehold_client::record::salted;
use leasehold_daemon::http::Received;
use memory::Memory;
use request::Asked;
use route::Route;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tally::Tally;
use tokio::sync::{mpsc, oneshot, watch};

/// Kinds of requests that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Chat,
    Completion,
    Embeddings,
    Responses,
}

/// A proxy for one inference server.
#[derive(Debug)]
pub(crate) struct Proxy {
    issuer: Arc<Issuer>,
    settings: Arc<Settings>,
    own: ProxySettings,
    client: reqwest::Client,
    /// True once answers under way must end.
    deadline: watch::Receiver<bool>,
    /// Held until the receipt is stored.
    alive: mpsc::Sender<()>,
    memory: Memory,
    /// True once the inference server has refused to send the usage of a stream.
    refuses_usage: AtomicBool,
}

/// Resolves if the caller has gone, since its handler is dropped then.
type Gone = oneshot::Receiver<()>;

pub(crate) async fn handle(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    proxy.answer(request).await.unwrap_or_else(|refusal| refusal.openai())
}

impl Proxy {
    /// # Errors
    /// If the system's TLS can't be set up.
    pub(crate) fn new(
        issuer: Arc<Issuer>,
        settings: Arc<Settings>,
        own: ProxySettings,
        deadline: watch::Receiver<bool>,
        alive: mpsc::Sender<()>,
    ) -> reqwest::Result<Self> {
        // Redirects are passed to the client, and a server on this host needs no proxy from the environment.
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(own.patience.connect)
            // Whatever other crates make of reqwest: what is passed is what came.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .build()?;
        let memory = Memory::new(own.memory, own.requests);
        Ok(Self { issuer, settings, own, client, deadline, alive, memory, refuses_usage: false.into() })
    }

    async fn answer(self: &Arc<Self>, request: Request) -> Result<Response, Refusal> {
        let answer = Answer::begin(self, &request)?;
        match route::find(request.method(), request.uri(), answer.is_metered(), &self.own.upstream)? {
            Route::Counted(kind) => self.count(request, kind, answer).await,
            Route::Models => Ok(self.models()),
            Route::Uncounted(url) => self.pass(request, url, answer).await,
        }
    }

    /// The models that the node offers, as OpenAI's API lists them.
    fn models(&self) -> Response {
        let mut names: Vec<_> = self.settings.models.keys().collect();
        names.sort();
        let model =
            |name: &&String| json!({"id": name, "object": "model", "created": 0, "owned_by": "leasehold"});
        let models: Vec<_> = names.iter().map(model).collect();
        Json(json!({"object": "list", "data": models})).into_response()
    }

    /// Passes a request under a lease by the hour.
    async fn pass(&self, request: Request, url: reqwest::Url, answer: Answer) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let forward = self.client.request(parts.method, url).headers(headers::to_pass(&parts.headers));
        // A piece that goes on takes no room here any more.
        let passed = answer.received();
        let body = body.into_data_stream().inspect(move |_| passed.iter().for_each(Received::clear));
        let body = reqwest::Body::wrap_stream(body);
        let response = forward::head(self, forward.body(body)).await?;
        Ok(forward::handed_back(response, None, self.own.patience, answer.place))
    }

    /// Passes a request, and signs a receipt for the answer.
    async fn count(
        self: &Arc<Self>,
        request: Request,
        kind: Kind,
        mut answer: Answer,
    ) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let limit = self.own.request_bytes;
        let body = body::receive(&parts.headers, body, &mut answer.place, &self.settings, limit).await?;
        let model = self.model(&body)?;
        let asked = match answer.is_metered() {
            true => Asked::metered(kind, body.clone(), &self.own)?,
            false => Asked::hourly(kind, body.clone())?,
        };
        answer.hold(self, model, &body, &asked).await?;
        drop(body);
        // In a task of its own, so that it gets its receipt even if the caller leaves.
        let (here, gone) = oneshot::channel();
        let task = tokio::spawn(self.clone().finish(answer, kind, asked, gone));
        let lost = |_| Refusal::Request(StatusCode::INTERNAL_SERVER_ERROR, "the answer was lost".into());
        let response = task.await.map_err(lost)?;
        drop(here);
        response
    }

    fn model(&self, body: &[u8]) -> Result<Arc<Model>, Refusal> {
        let name = request::model(body)?;
        self.settings.model(name.as_deref()).ok_or(Refusal::NotFound("this node does not offer the model"))
    }

    /// Waits for the answer and signs its receipt. If the caller leaves, the inference server is told, and what was served
    /// until then is billed.
    async fn finish(
        self: Arc<Self>,
        mut answer: Answer,
        kind: Kind,
        mut asked: Asked,
        gone: Gone,
    ) -> Result<Response, Refusal> {
        let mut received = Vec::new();
        let mut deadline = self.deadline.clone();
        let outcome = tokio::select! {
            outcome = self.receive(&mut answer, kind, &mut asked, &mut received) => Some(outcome?),
            // A dropped sender sets no deadline.
            Ok(_) = deadline.wait_for(|now| *now) => {
                return Err(Refusal::Request(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping".into()));
            }
            _ = gone => None,
        };
        let outcome = outcome.unwrap_or_else(|| {
            Outcome::Cut(Refusal::Request(StatusCode::REQUEST_TIMEOUT, "the caller has gone".into()))
        });
        match outcome {
            Outcome::Cut(refusal) => {
                answer.sign_unsent(&received, &Tally::of_part(received.len()), &asked).await;
                Err(refusal)
            }
            Outcome::Refused(head) => {
                Ok(forward::handed_back(head.response, head.read, self.own.patience, answer.place))
            }
            Outcome::Stream(head) => Ok(stream::relay(&self, answer, asked, head)),
            Outcome::Whole(status, mut kept) => {
                let tally = Tally::of_whole(kind, &received, !headers::is_encoded(&kept));
                if let Some(count) = tally.count(&asked) {
                    let response = salted(&answer.salt, &received);
                    answer.sign(response, count).await?.write(&mut kept);
                }
                Ok((status, kept, received).into_response())
            }
        }
    }

    /// Waits for the head of the answer, and for all of it unless it is a stream.
    async fn receive(
        &self,
        answer: &mut Answer,
        kind: Kind,
        asked: &mut Asked,
        received: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        let mut head = forward::counted(self, kind, asked).await?;
        // The request is not needed any more.
        asked.forget();
        answer.forget_request();
        if !head.response.status().is_success() {
            return Ok(Outcome::Refused(head));
        }
        let headers = head.response.headers();
        if headers::is_stream(headers) {
            return Ok(Outcome::Stream(head));
        }
        let (status, kept) = (head.response.status(), headers::to_return(headers));
        while let Some(piece) = forward::piece(&mut head.response, &self.own.patience, head.end).await? {
            if received.len().saturating_add(piece.len()) > self.own.answer_bytes {
                let sentence = format!("its answer has more than {} bytes", self.own.answer_bytes);
                return Ok(Outcome::Cut(Refusal::Upstream(sentence)));
            }
            if let Err(refusal) = answer.place.grow(piece.len()) {
                return Ok(Outcome::Cut(refusal));
            }
            received.extend_from_slice(&piece);
        }
        Ok(Outcome::Whole(status, kept))
    }
}

/// What the inference server answers.
enum Outcome {
    /// An error, which nobody pays for.
    Refused(Head),
    Stream(Head),
    /// Something that the caller does not get, and has had computed: it left, or asked for more than fits.
    Cut(Refusal),
    /// An answer in one piece, and its headers.
    Whole(StatusCode, HeaderMap),
}
