//! The metrics page: Prometheus' text format over HTTP, on a loopback address.

pub use crate::exposition::{Kind, write_head, write_metric};
use crate::http::{Gate, Limits, serve};
use axum::Router;
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::routing::get;
use std::fmt::{self, Display};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// Why metrics are not served.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error("cannot serve metrics on {address} ({source}): choose another address or port with --metrics")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("--metrics {0} can be reached from outside: choose a loopback address such as 127.0.0.1:9464")]
    NotLoopback(SocketAddr),
}

/// Refuses addresses that other hosts can reach.
///
/// # Errors
/// [`MetricsError::NotLoopback`].
pub fn check_loopback(address: SocketAddr) -> Result<SocketAddr, MetricsError> {
    if address.ip().to_canonical().is_loopback() {
        Ok(address)
    } else {
        Err(MetricsError::NotLoopback(address))
    }
}

/// Parts of a metrics page; clones share them.
#[derive(Clone, Default)]
pub struct Page(Arc<RwLock<Vec<Arc<dyn Display + Send + Sync>>>>);

impl Page {
    /// Adds a part, which is written anew for each request.
    pub fn add(&self, part: Arc<dyn Display + Send + Sync>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(part);
    }
}

impl Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        parts.iter().try_for_each(|part| part.fmt(f))
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    page: Page,
}

impl Server {
    /// Listens on a loopback address; port 0 takes a free one.
    ///
    /// # Errors
    /// Any [`MetricsError`].
    pub fn bind(address: SocketAddr, page: Page) -> Result<Self, MetricsError> {
        check_loopback(address)?;
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (local, listener) = bound.map_err(|source| MetricsError::Listen { address, source })?;
        Ok(Self { listener, address: local, page })
    }

    /// The address with its port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers `GET /metrics` until the future is dropped.
    pub async fn run(self) {
        let Self { listener, page, .. } = self;
        let metrics = async move || ([(CONTENT_TYPE, "text/plain; version=0.0.4")], page.to_string());
        let other = async || (StatusCode::NOT_FOUND, "ask for /metrics\n");
        let router = Router::new().route("/metrics", get(metrics)).fallback(other);
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                let gate =
                    Gate::new("metrics", Limits { connections: 64, requests: 16, ..Limits::default() });
                let (_stop, never) = watch::channel(false);
                serve(listener, router, gate, never).await;
            }
            Err(error) => tracing::error!("metrics are not served: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    struct Part(&'static str);

    impl Display for Part {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write_metric(f, self.0, Kind::Gauge, "Seats held.", 3)
        }
    }

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_page_has_all_parts_and_a_silent_client_holds_nobody_up() {
        let page = Page::default();
        page.add(Arc::new(Part("first")));
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), page.clone()).unwrap();
        let address = server.local_addr();
        let task = tokio::spawn(server.run());
        let _silent = TcpStream::connect(address).await.unwrap();
        page.add(Arc::new(Part("second")));
        let answer = ask(address, "/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-type: text/plain; version=0.0.4\r\n"), "{answer}");
        assert!(
            answer.ends_with("first 3\n# HELP second Seats held.\n# TYPE second gauge\nsecond 3\n"),
            "{answer}"
        );
        let other = ask(address, "/").await;
        assert!(other.starts_with("HTTP/1.1 404 ") && other.ends_with("ask for /metrics\n"), "{other}");
        task.abort();
    }

    #[test]
    fn only_loopback_addresses_are_taken_and_a_taken_port_is_named() {
        let bind = |address: &str| Server::bind(address.parse().unwrap(), Page::default());
        let public = bind("0.0.0.0:0").unwrap_err();
        assert!(
            public.to_string().starts_with("--metrics 0.0.0.0:0 can be reached from outside"),
            "{public}"
        );
        assert!(bind("[::ffff:127.0.0.1]:0").is_ok());
        let taken = bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr();
        let error = bind(&address.to_string()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot serve metrics on {address} (")), "{error}");
    }
}
