//! HTTP servers for strangers: bounded in time, connections, requests and memory, for each caller and in all. They stop
//! after the requests under way.

mod body;
mod connection;
mod gate;
mod open;
mod quota;

pub use body::{BodyError, Received, body_refusal};
pub use gate::{Gate, Limits};
pub use quota::{Caller, Peer, Quota, Share};

use crate::tasks::stopped;
use axum::Router;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

/// Pause after a failure to accept, which may be for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on TCP {address} ({source}): choose another address or port")]
pub struct ListenError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Listens on an address; port 0 takes a free one. Returns the address with its port as well.
///
/// # Errors
/// [`ListenError`].
pub async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let bound = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (local, listener) = bound.map_err(|source| ListenError { address, source })?;
    Ok((listener, local))
}

/// Serves within the limits of `gate` until `stop` is true or its sender is dropped, then finishes the requests under way.
/// Dropping the future cuts them off.
pub async fn serve(listener: TcpListener, router: Router, gate: Arc<Gate>, mut stop: watch::Receiver<bool>) {
    let (mut connections, stopping) = (JoinSet::new(), stop.clone());
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => admit(&mut connections, stream, address, &router, &gate, &stopping),
                Err(error) => {
                    warn!(%error, server = gate.name(), "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // Whoever connects from now on is refused by the kernel.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves a connection if there is room for it, or another one that is idle gives way; else closes it.
fn admit(
    connections: &mut JoinSet<()>,
    stream: TcpStream,
    address: SocketAddr,
    router: &Router,
    gate: &Arc<Gate>,
    stop: &watch::Receiver<bool>,
) {
    let peer = gate.peer(address.ip());
    if let Some(open) = gate.connect(peer) {
        connections.spawn(connection::serve(
            stream,
            peer,
            open,
            router.clone(),
            Arc::clone(gate),
            stop.clone(),
        ));
    }
}
