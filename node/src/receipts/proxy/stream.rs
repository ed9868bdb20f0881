//! A streamed answer: passed event by event, with the receipt before the last event.
//!
//! The receipt has the hash of every byte before the comment that carries it.

use super::answer::Answer;
use super::events::{self, Events, Piece};
use super::forward::{self, Head};
use super::request::Asked;
use super::tally::Tally;
use super::{Proxy, headers};
use crate::receipts::refusal::Refusal;
use crate::receipts::settings::Patience;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::warn;

/// Events that are buffered for a slow client.
const AHEAD: usize = 8;
const DONE: &str = "[DONE]";
/// Time for sending the receipt before the connection is closed.
const FLUSH: Duration = Duration::from_millis(100);

type Client = mpsc::Sender<io::Result<Bytes>>;

/// Passes the stream to the client. In a task of its own, so that an answer gets its receipt, as far as it went, even if
/// the client disconnects.
pub(super) fn relay(proxy: &Proxy, answer: Answer, asked: Asked, head: Head) -> Response {
    let (status, kept) = (head.response.status(), headers::to_return(head.response.headers()));
    let (client, mut events) = mpsc::channel(AHEAD);
    let relay = Relay {
        hasher: Sha256::new().chain_update(answer.salt),
        answer,
        asked,
        client,
        patience: proxy.own.patience,
        readable: !headers::is_encoded(&kept),
        strip_usage: head.strips_usage,
        tally: Tally::default(),
        last: Vec::new(),
    };
    tokio::spawn(relay.run(head, proxy.deadline.clone()));
    let body = futures::stream::poll_fn(move |context| events.poll_recv(context));
    (status, kept, Body::from_stream(body)).into_response()
}

struct Relay {
    answer: Answer,
    asked: Asked,
    client: Client,
    /// Hashes the salt and all bytes that were passed.
    hasher: Sha256,
    patience: Patience,
    /// False if the stream is compressed, though that was not asked for.
    readable: bool,
    /// Leave out the usage, since the client did not ask for it.
    strip_usage: bool,
    tally: Tally,
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
    async fn run(mut self, head: Head, deadline: watch::Receiver<bool>) {
        // Ends the connection to the inference server before the receipt is written.
        let (tail, failure) = self.pass_all(head, deadline).await;
        self.finish(tail, failure).await;
    }

    /// Passes the stream. Returns what is to be sent after the receipt: the last event, or the failure.
    async fn pass_all(
        &mut self,
        mut head: Head,
        mut deadline: watch::Receiver<bool>,
    ) -> (Vec<u8>, Option<io::Error>) {
        let mut buffer = Events::default();
        loop {
            let bytes = tokio::select! {
                biased;
                // A dropped sender sets no deadline.
                Ok(_) = deadline.wait_for(|now| *now) => {
                    return (buffer.rest(), Some(io::Error::other("the node is stopping")));
                }
                () = self.client.closed() => return (Vec::new(), None),
                bytes = forward::piece(&mut head.response, &self.patience, head.end) => bytes,
            };
            match bytes {
                Ok(Some(bytes)) if self.readable => buffer.push(&bytes),
                Ok(Some(bytes)) => {
                    self.tally.bytes(bytes.len());
                    if !self.pass(bytes.to_vec()).await {
                        return (Vec::new(), None);
                    }
                }
                Ok(None) => return self.ended(buffer.rest()).await,
                Err(error) => return (buffer.rest(), Some(io::Error::other(error.to_string()))),
            }
            match self.take(&mut buffer).await {
                Next::More => {}
                Next::Done(event) => return ([event, buffer.rest()].concat(), None),
                Next::ClientGone => return (Vec::new(), None),
                Next::TooLong => {
                    let error = io::Error::other("the answer is longer than its request allowed");
                    return (Vec::new(), Some(error));
                }
            }
        }
    }

    /// The end of the stream, with bytes that no empty line ends.
    async fn ended(&mut self, rest: Vec<u8>) -> (Vec<u8>, Option<io::Error>) {
        if let Some(data) = events::data(&rest)
            && (is_done(&data) || self.tally.event(&data).is_last)
        {
            return (rest, None);
        }
        self.pass(rest).await;
        (Vec::new(), None)
    }

    /// Passes all whole events.
    async fn take(&mut self, buffer: &mut Events) -> Next {
        while let Some(piece) = buffer.next() {
            let bytes = match piece {
                Piece::Part(bytes) => {
                    self.tally.bytes(bytes.len());
                    bytes
                }
                Piece::Event(event) => {
                    let data = events::data(&event);
                    if data.as_deref().is_some_and(is_done) {
                        return Next::Done(event);
                    }
                    let meaning = data.map(|data| self.tally.event(&data)).unwrap_or_default();
                    if meaning.is_last {
                        return Next::Done(event);
                    }
                    if self.strip_usage && meaning.is_usage_alone {
                        continue;
                    }
                    event
                }
            };
            if !self.pass(bytes).await {
                return Next::ClientGone;
            }
            if self.answer.is_beyond_bound(&self.tally) {
                warn!("a stream was cut off: the inference server exceeds the token limit of the request");
                return Next::TooLong;
            }
        }
        Next::More
    }

    /// Returns false if the client has disconnected, or takes nothing for too long.
    async fn pass(&mut self, bytes: Vec<u8>) -> bool {
        if bytes.is_empty() {
            return true;
        }
        self.hasher.update(&bytes);
        self.last = bytes.get(bytes.len().saturating_sub(2)..).unwrap_or_default().to_vec();
        self.send(Ok(bytes.into())).await
    }

    async fn send(&self, bytes: io::Result<Bytes>) -> bool {
        matches!(timeout(self.patience.idle, self.client.send(bytes)).await, Ok(Ok(())))
    }

    /// Signs the receipt and sends it with the last event.
    async fn finish(mut self, tail: Vec<u8>, failure: Option<io::Error>) {
        // A comment begins a line.
        if self.readable && !self.last.is_empty() && !self.last.ends_with(b"\n") {
            self.pass(b"\n\n".to_vec()).await;
        }
        let Self { answer, asked, client, hasher, patience, readable, tally, .. } = self;
        let comment = match tally.count(&asked) {
            Some(count) => match answer.sign(hasher.finalize().into(), count).await {
                Ok(signed) => signed.comment(),
                Err(refusal) => unsigned(&refusal),
            },
            None => ": leasehold-error the inference server failed: nothing is billed\n\n".to_owned(),
        };
        // `None`: the client has disconnected, or takes nothing; the receipt is stored all the same.
        let send = async |bytes| timeout(patience.idle, client.send(bytes)).await.ok()?.ok();
        // Nothing can be added to what is compressed.
        let comment = if readable { comment.into() } else { Bytes::new() };
        for bytes in [comment, tail.into()].into_iter().filter(|bytes| !bytes.is_empty()) {
            if send(Ok(bytes)).await.is_none() {
                return;
            }
        }
        if let Some(failure) = failure {
            // Closing the connection discards bytes that were not sent by then.
            tokio::time::sleep(FLUSH).await;
            send(Err(failure)).await;
        }
    }
}

fn unsigned(refusal: &Refusal) -> String {
    warn!("a streamed answer has no receipt: {refusal}");
    format!(": leasehold-error {refusal}\n\n")
}

fn is_done(data: &str) -> bool {
    data.trim() == DONE
}
