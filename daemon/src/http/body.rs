//! Bodies of requests: each byte that arrives is counted, and a body that arrives too slowly is cut off.

use super::gate::{Gate, Refused};
use super::quota::Share;
use axum::body::Bytes;
use axum::http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Why the body of a request is not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("no byte of the request's body came for {0} s: send it without pauses")]
    Idle(u64),
    #[error("the request's body did not arrive within {0} s: send it faster, or less")]
    Slow(u64),
    #[error("requests of this size are more than the server keeps at a time: try again later")]
    NoRoom,
}

impl BodyError {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Idle(_) | Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The [`BodyError`] among an error's causes.
pub fn body_refusal(error: &(dyn Error + 'static)) -> Option<BodyError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(*found);
        }
        cause = error.source();
    }
    None
}

/// Room that the bytes of a request's body take, as an extension of the request: whoever keeps the body beyond the end of
/// the answer keeps this as well.
#[derive(Clone, Debug)]
pub struct Received(Arc<Mutex<Share>>);

impl Received {
    pub(super) fn new(share: Share) -> Self {
        Self(Arc::new(Mutex::new(share)))
    }

    fn grow(&self, more: usize) -> bool {
        self.share().grow(more)
    }

    /// Gives the room back: what has arrived is not kept any more.
    pub fn clear(&self) {
        self.share().clear();
    }

    fn share(&self) -> MutexGuard<'_, Share> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body within the limits of a server.
pub(super) struct Bounded {
    body: Incoming,
    gate: Arc<Gate>,
    received: Received,
    /// When all of it must be there.
    end: Instant,
    timer: Pin<Box<Sleep>>,
    /// True if the timer was set for the next byte.
    is_waiting: bool,
    failed: Option<BodyError>,
}

impl Bounded {
    pub fn new(body: Incoming, gate: Arc<Gate>, received: Received) -> Self {
        let end = Instant::now() + gate.limits.body;
        Self { body, gate, received, end, timer: Box::pin(sleep_until(end)), is_waiting: false, failed: None }
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.failed.is_none() {
            let _: Option<()> = self.gate.refuse(match error {
                BodyError::NoRoom => Refused::Memory,
                BodyError::Idle(_) | BodyError::Slow(_) => Refused::BodyTimeout,
            });
            self.failed = Some(error);
        }
        Poll::Ready(Some(Err(axum::Error::new(error))))
    }

    /// Waits for the next byte, or until one of the limits is over.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<BodyError> {
        let idle = self.gate.limits.body_idle;
        if !self.is_waiting {
            self.timer.as_mut().reset(self.end.min(Instant::now() + idle));
            self.is_waiting = true;
        }
        let secs = |span: Duration| span.as_secs();
        self.timer.as_mut().poll(context).map(|()| {
            if self.end <= Instant::now() {
                BodyError::Slow(secs(self.gate.limits.body))
            } else {
                BodyError::Idle(secs(idle))
            }
        })
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(error) = self.failed {
            return self.fail(error);
        }
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                return match self.poll_timer(context) {
                    Poll::Ready(error) => self.fail(error),
                    Poll::Pending => Poll::Pending,
                };
            }
        };
        self.is_waiting = false;
        let Some(frame) = frame else { return Poll::Ready(None) };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Poll::Ready(Some(Err(axum::Error::new(error)))),
        };
        if !self.received.grow(frame.data_ref().map_or(0, Bytes::len)) {
            return self.fail(BodyError::NoRoom);
        }
        // Drops of water: a body that never pauses must end all the same.
        if self.end <= Instant::now() {
            let secs = self.gate.limits.body.as_secs();
            return self.fail(BodyError::Slow(secs));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
