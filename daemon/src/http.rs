//! TCP listeners, and HTTP servers that stop after the requests under way.

use axum::Router;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::error;

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

/// Serves until `stop` is true or its sender is dropped, then finishes the requests under way. `name` says in the log
/// which server failed.
pub async fn serve(name: &str, listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let stopped = async move {
        // An error means that the sender was dropped.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        error!("the HTTP server of {name} failed: {error}");
    }
}
