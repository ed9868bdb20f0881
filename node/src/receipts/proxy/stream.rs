//! A streamed answer: passed event by event, with the receipt before the last event.
//!
//! The receipt has the hash of every byte before the comment that carries it.

use super::answer::Answer;
use super::events::{self, Events};
use super::headers;
use super::tokens::{self, Count};
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tracing::warn;

/// Events that are buffered for a slow client.
const AHEAD: usize = 64;
const DONE: &str = "[DONE]";
/// Time for sending the receipt before the connection is closed.
const FLUSH: Duration = Duration::from_millis(100);

type Client = mpsc::Sender<io::Result<Bytes>>;

/// Passes the stream to the client. In a task of its own, so that an answer gets its receipt, as far as it went, even if
/// the client disconnects.
pub(super) fn relay(
    answer: Answer,
    response: reqwest::Response,
    strip_usage: bool,
    deadline: watch::Receiver<bool>,
) -> Response {
    let (status, kept) = (response.status(), headers::to_return(response.headers()));
    let (client, mut events) = mpsc::channel(AHEAD);
    let relay = Relay {
        hasher: Sha256::new().chain_update(answer.salt),
        answer,
        client,
        strip_usage,
        count: None,
        chunks: 0,
        last: Vec::new(),
    };
    tokio::spawn(relay.run(response, deadline));
    let body = futures::stream::poll_fn(move |context| events.poll_recv(context));
    (status, kept, Body::from_stream(body)).into_response()
}

struct Relay {
    answer: Answer,
    client: Client,
    /// Hashes the salt and all bytes that were passed.
    hasher: Sha256,
    /// Leave out the usage, since the client did not ask for it.
    strip_usage: bool,
    count: Option<Count>,
    /// Tokens in the chunks so far.
    chunks: u32,
    /// Last bytes that were passed.
    last: Vec<u8>,
}

/// Next step after an event.
enum Next {
    More,
    /// The stream's last event, which is sent after the receipt.
    Done(Vec<u8>),
    ClientGone,
    /// The inference server exceeds the limit.
    TooLong,
}

impl Relay {
    async fn run(mut self, response: reqwest::Response, mut deadline: watch::Receiver<bool>) {
        let mut upstream = response.bytes_stream();
        let mut buffer = Events::default();
        let (tail, failure) = loop {
            let bytes = tokio::select! {
                biased;
                // A dropped sender sets no deadline.
                Ok(_) = deadline.wait_for(|now| *now) => {
                    break (buffer.rest(), Some(io::Error::other("the node is stopping")));
                }
                () = self.client.closed() => break (Vec::new(), None),
                bytes = upstream.next() => bytes,
            };
            match bytes {
                Some(Ok(bytes)) => buffer.push(&bytes),
                Some(Err(error)) => break (buffer.rest(), Some(io::Error::other(error.without_url()))),
                None => {
                    let rest = buffer.rest();
                    if is_done(&rest) {
                        break (rest, None);
                    }
                    self.pass(rest).await;
                    break (Vec::new(), None);
                }
            }
            match self.take(&mut buffer).await {
                Next::More => {}
                Next::Done(event) => break ([event, buffer.rest()].concat(), None),
                Next::ClientGone => break (Vec::new(), None),
                Next::TooLong => {
                    let error = io::Error::other("the answer is longer than its request allowed");
                    break (Vec::new(), Some(error));
                }
            }
        };
        self.finish(tail, failure).await;
    }

    /// Passes all whole events.
    async fn take(&mut self, buffer: &mut Events) -> Next {
        while let Some(event) = buffer.next() {
            if is_done(&event) {
                return Next::Done(event);
            }
            let data = events::data(&event);
            let chunk: Value = data.and_then(|data| serde_json::from_str(&data).ok()).unwrap_or_default();
            self.count = Count::of_usage(&chunk).or(self.count);
            if self.strip_usage && tokens::is_usage_alone(&chunk) {
                continue;
            }
            if !self.pass(event).await {
                return Next::ClientGone;
            }
            self.chunks = self.chunks.saturating_add(tokens::chunk_tokens(&chunk));
            let said = self.count.map_or(0, |count| count.tokens_out);
            if self.answer.is_beyond_hold(self.chunks.max(said)) {
                warn!("a stream was cut off: the inference server exceeds the token limit of the request");
                return Next::TooLong;
            }
        }
        Next::More
    }

    /// Returns false if the client has disconnected.
    async fn pass(&mut self, bytes: Vec<u8>) -> bool {
        if bytes.is_empty() {
            return true;
        }
        self.hasher.update(&bytes);
        self.last = bytes.get(bytes.len().saturating_sub(2)..).unwrap_or_default().to_vec();
        self.client.send(Ok(bytes.into())).await.is_ok()
    }

    /// Signs the receipt and sends it with the last event.
    async fn finish(mut self, tail: Vec<u8>, failure: Option<io::Error>) {
        // A comment begins a line.
        if !self.last.is_empty() && !self.last.ends_with(b"\n") {
            self.pass(b"\n\n".to_vec()).await;
        }
        let count = self
            .count
            .unwrap_or(Count { tokens_out: self.chunks, ..Count::guess(self.answer.request_len, 0) });
        let response = self.hasher.finalize().into();
        let comment = match self.answer.sign(response, count).await {
            Ok(signed) => signed.comment(),
            Err(refusal) => {
                warn!("a streamed answer has no receipt: {refusal}");
                format!(": leasehold-error {refusal}\n\n")
            }
        };
        // An error means that the client has disconnected; the receipt is stored all the same.
        let _ = self.client.send(Ok(comment.into())).await;
        if !tail.is_empty() {
            let _ = self.client.send(Ok(tail.into())).await;
        }
        if let Some(failure) = failure {
            // Closing the connection discards bytes that were not sent by then.
            tokio::time::sleep(FLUSH).await;
            let _ = self.client.send(Err(failure)).await;
        }
    }
}

fn is_done(event: &[u8]) -> bool {
    events::data(event).as_deref().map(str::trim) == Some(DONE)
}
