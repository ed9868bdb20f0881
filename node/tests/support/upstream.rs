//! An inference server with OpenAI's API on a socket of its own, which does what its script says.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// A request that it received: method, path, headers, body.
pub type Received = (Method, String, HeaderMap, Bytes);

/// The words of every answer.
pub const WORDS: [&str; 4] = ["Hello", " there", ",", " you"];

/// What the server does with requests.
#[derive(Clone, Debug)]
pub struct Script {
    /// Time between chunks.
    pub pace: Duration,
    /// The usage that it says; `None` if it says none.
    pub usage: Option<Value>,
    /// How often a stream says its words.
    pub times: usize,
    pub end: End,
    /// True if it refuses requests with `stream_options`.
    pub refuses_options: bool,
    /// An answer to everything, as it is.
    pub raw: Option<Raw>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Done,
    /// A stream ends without a mark.
    Bare,
    /// The connection breaks off.
    Cut,
}

#[derive(Clone, Debug)]
pub struct Raw {
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub pieces: Vec<Vec<u8>>,
    pub hangs: Hangs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangs {
    Never,
    /// It takes the request, and says nothing.
    BeforeHead,
    /// It stops after its pieces, and keeps the connection.
    AfterPieces,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            pace: Duration::ZERO,
            usage: Some(json!({"prompt_tokens": 11, "completion_tokens": 6, "total_tokens": 17})),
            times: 1,
            end: End::Done,
            refuses_options: false,
            raw: None,
        }
    }
}

impl Script {
    /// An answer as it is, in JSON.
    pub fn json(body: impl Into<String>) -> Self {
        Self::raw(&[("content-type", "application/json")], &[&body.into()])
    }

    /// A stream as it is, in those pieces.
    pub fn stream(pieces: &[&str]) -> Self {
        Self::raw(&[("content-type", "text/event-stream")], pieces)
    }

    pub fn raw(headers: &[(&'static str, &'static str)], pieces: &[&str]) -> Self {
        let pieces = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        let raw = Raw { status: 200, headers: headers.to_vec(), pieces, hangs: Hangs::Never };
        Self { raw: Some(raw), ..Self::default() }
    }

    pub fn hangs(mut self, hangs: Hangs) -> Self {
        self.raw.as_mut().unwrap().hangs = hangs;
        self
    }

    pub fn status(mut self, status: u16) -> Self {
        self.raw.as_mut().unwrap().status = status;
        self
    }
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    script: Mutex<Script>,
    /// Requests under way.
    open: watch::Sender<usize>,
}

/// A request under way.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.send_modify(|open| *open += 1);
        Self(shared.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

pub struct Upstream {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Upstream {
    pub async fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared }
    }

    /// What it does from now on.
    pub fn play(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    pub fn last(&self) -> Received {
        self.shared.received.lock().unwrap().last().cloned().unwrap()
    }

    /// The last request's body.
    pub fn last_body(&self) -> String {
        String::from_utf8(self.last().3.to_vec()).unwrap()
    }

    pub fn count(&self) -> usize {
        self.shared.received.lock().unwrap().len()
    }

    /// Waits until so many requests are under way.
    pub async fn until_open(&self, count: usize) {
        let mut open = self.shared.open.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(60), open.wait_for(|open| *open == count));
        let _ = waited.await.unwrap_or_else(|_| panic!("{count} requests should be under way")).unwrap();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let open = Open::new(&shared);
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.to_string();
    shared.received.lock().unwrap().push((parts.method, path.clone(), parts.headers, body.clone()));
    let script = shared.script.lock().unwrap().clone();
    if let Some(raw) = script.raw {
        return play(raw, open).await;
    }
    match path.split('?').next().unwrap() {
        "/v1/chat/completions" => chat(script, &serde_json::from_slice(&body).unwrap(), open).await,
        "/v1/embeddings" => {
            let usage = json!({"prompt_tokens": 9, "total_tokens": 9});
            axum::Json(json!({"object": "list", "data": [{"embedding": [0.5]}], "usage": usage}))
                .into_response()
        }
        "/v1/echo" => (StatusCode::IM_A_TEAPOT, [("content-language", "eo"), ("x-upstream", "yes")], body)
            .into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The answer as the script has it.
async fn play(raw: Raw, open: Open) -> Response {
    if raw.hangs == Hangs::BeforeHead {
        std::future::pending::<()>().await;
    }
    // In pieces, so that the head and each piece leave by themselves.
    let pieces = futures::stream::iter(raw.pieces.into_iter().map(Ok::<_, Infallible>));
    let rest: Pin<Box<dyn Stream<Item = _> + Send>> = match raw.hangs {
        Hangs::AfterPieces => Box::pin(futures::stream::pending()),
        _ => Box::pin(futures::stream::empty()),
    };
    let body = pieces.chain(rest).inspect(move |_| {
        let _ = &open;
    });
    let mut response = Response::builder().status(raw.status);
    for (name, value) in raw.headers {
        response = response.header(name, value);
    }
    response.body(Body::from_stream(body)).unwrap()
}

async fn chat(script: Script, asked: &Value, open: Open) -> Response {
    if script.refuses_options && !asked["stream_options"].is_null() {
        let error = json!({"error": {"message": "Unrecognized request argument supplied: stream_options"}});
        return (StatusCode::BAD_REQUEST, axum::Json(error)).into_response();
    }
    let Script { pace, usage, .. } = script;
    if asked["stream"] != true {
        tokio::time::sleep(pace).await;
        let message = json!({"role": "assistant", "content": WORDS.concat()});
        let mut whole = json!({"id": "chatcmpl-1", "choices": [{"index": 0, "message": message}]});
        if let Some(usage) = usage {
            whole["usage"] = usage;
        }
        return axum::Json(whole).into_response();
    }
    let mut events =
        vec![event(&json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}))];
    for word in [WORDS].repeat(script.times).into_flattened() {
        events.push(event(&json!({"choices": [{"index": 0, "delta": {"content": word}}]})));
    }
    events.push(event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})));
    if let Some(usage) = usage.filter(|_| asked["stream_options"]["include_usage"] == true) {
        events.push(event(&json!({"choices": [], "usage": usage})));
    }
    if script.end == End::Done {
        events.push("data: [DONE]\n\n".to_owned());
    }
    let cut = script.end == End::Cut;
    let paced = futures::stream::iter(events).then(move |event| async move {
        tokio::time::sleep(pace).await;
        Ok::<_, Infallible>(event)
    });
    let failing = futures::stream::iter(cut.then(|| std::io::Error::other("cut off")));
    let body =
        paced.map(|event| Ok(event.unwrap())).chain(failing.map(Err::<String, _>)).inspect(move |_| {
            let _ = &open;
        });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}

pub fn event(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}
