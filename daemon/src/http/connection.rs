//! One connection.

use super::body::{Bounded, Received};
use super::gate::{Gate, Refused};
use super::open::{Busy, Connection};
use super::quota::{Peer, Share};
use crate::tasks::stopped;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;
use tracing::debug;

/// The most bytes of a connection that are read ahead; a head must fit.
const BUFFER: usize = 64 << 10;

/// Serves a connection to its end, or until `stop` is true and the request under way is answered.
pub(super) async fn serve(
    stream: TcpStream,
    peer: Peer,
    (open, mut closed): (Arc<Connection>, oneshot::Receiver<()>),
    router: Router,
    gate: Arc<Gate>,
    mut stop: watch::Receiver<bool>,
) {
    // An error means that the connection has ended.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(gate.limits.write_idle));
    let answer = {
        let gate = Arc::clone(&gate);
        service_fn(move |request| {
            let busy = open.begin();
            answer(request, peer, busy, router.clone(), Arc::clone(&gate))
        })
    };
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(gate.limits.head).max_buf_size(BUFFER);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Box::pin(stream)), answer));
    let ended = async {
        tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    let ended = tokio::select! {
        biased;
        ended = ended => ended,
        // Cut off at once: whoever sends a head by drops has no place any more.
        _ = &mut closed => return,
    };
    if let Err(error) = ended {
        if error.is_timeout() {
            let _: Option<()> = gate.refuse(Refused::HeadTimeout);
        }
        debug!(%error, server = gate.name(), "a connection ended");
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: Peer,
    busy: Busy,
    router: Router,
    gate: Arc<Gate>,
) -> Result<Response<Body>, Infallible> {
    let (Some(share), Some(body)) = (gate.request(peer), gate.body(peer)) else { return Ok(refusal()) };
    let received = Received::new(body);
    let mut request = request.map(|body| Body::new(Bounded::new(body, Arc::clone(&gate), received.clone())));
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(received.clone());
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| Body::new(Answered { body, _shares: (share, received), _busy: busy })))
}

/// There is no room for another request.
fn refusal() -> Response<Body> {
    let headers = [(RETRY_AFTER, "1"), (CONNECTION, "close")];
    let sentence = "{\"error\":\"the server answers as many requests as it can: try again later\"}";
    (StatusCode::SERVICE_UNAVAILABLE, headers, sentence).into_response()
}

/// The body of an answer. Its request is under way until it is sent or the caller has gone.
struct Answered {
    body: Body,
    _shares: (Share, Received),
    _busy: Busy,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
