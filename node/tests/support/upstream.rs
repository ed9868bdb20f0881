//! A small server with OpenAI's API on a socket of its own.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use futures::StreamExt;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Requests that it received: path, headers, body.
pub type Seen = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

/// The words of every answer.
pub const WORDS: [&str; 4] = ["Hello", " there", ",", " you"];

pub struct Upstream {
    pub address: SocketAddr,
    pub seen: Seen,
}

impl Upstream {
    pub async fn start() -> Self {
        let seen = Seen::default();
        let router = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/embeddings", post(embed))
            .route("/v1/echo", any(echo))
            .with_state(seen.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, seen }
    }

    pub fn last(&self) -> (String, HeaderMap, Bytes) {
        self.seen.lock().unwrap().last().cloned().unwrap()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn note(seen: &Seen, request: Request) -> (HeaderMap, Bytes) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.to_string();
    seen.lock().unwrap().push((path, parts.headers.clone(), body.clone()));
    (parts.headers, body)
}

async fn echo(State(seen): State<Seen>, request: Request) -> Response {
    let (_, body) = note(&seen, request).await;
    (StatusCode::IM_A_TEAPOT, [("x-upstream", "yes")], body).into_response()
}

async fn embed(State(seen): State<Seen>, request: Request) -> Response {
    note(&seen, request).await;
    let usage = json!({"prompt_tokens": 9, "total_tokens": 9});
    axum::Json(json!({"object": "list", "data": [{"embedding": [0.5]}], "usage": usage})).into_response()
}

/// `x-key: wrong` is refused; `x-usage: none` leaves the usage out; `x-pace` is the time between chunks in
/// milliseconds; `x-times` is how often a stream says its words; `x-end: cut` breaks the connection off before the end, `x-end: bare` ends without a mark.
async fn chat(State(seen): State<Seen>, request: Request) -> Response {
    let (headers, body) = note(&seen, request).await;
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    if header("x-key").as_deref() == Some("wrong") {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({"error": {"message": "wrong key"}})))
            .into_response();
    }
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let pace = Duration::from_millis(header("x-pace").map_or(0, |pace| pace.parse().unwrap()));
    let usage = (header("x-usage").as_deref() != Some("none"))
        .then(|| json!({"prompt_tokens": 11, "completion_tokens": 6, "total_tokens": 17}));
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
    let times = header("x-times").map_or(1, |times| times.parse().unwrap());
    for word in [WORDS].repeat(times).into_flattened() {
        events.push(event(&json!({"choices": [{"index": 0, "delta": {"content": word}}]})));
    }
    events.push(event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})));
    if let Some(usage) = usage.filter(|_| asked["stream_options"]["include_usage"] == true) {
        events.push(event(&json!({"choices": [], "usage": usage})));
    }
    let end = header("x-end");
    if end.is_none() {
        events.push("data: [DONE]\n\n".to_owned());
    }
    let cut = end.as_deref() == Some("cut");
    let paced = futures::stream::iter(events).then(move |event| async move {
        tokio::time::sleep(pace).await;
        Ok::<_, Infallible>(event)
    });
    let failing = futures::stream::iter(cut.then(|| std::io::Error::other("cut off")));
    let body = paced.map(|event| Ok(event.unwrap())).chain(failing.map(Err::<String, _>));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}

fn event(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}
