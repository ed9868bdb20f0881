//! Counts machines that accept TCP connections at their endpoints, where tenants log in. It runs beside the probes, and is for
//! the metrics alone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::{StreamExt, stream};
use leasehold_client::port;
use rand::seq::SliceRandom;

/// Time to connect.
const LIMIT: Duration = Duration::from_secs(3);
/// Connections at a time.
const PARALLEL: usize = 64;

/// Machines whose port was tried so far.
#[derive(Debug, Default)]
pub struct Ports {
    open: AtomicU64,
    shut: AtomicU64,
}

impl Ports {
    /// Tries all of them, in random order: a round that is too short for all is long enough for a sample.
    pub(crate) async fn count(&self, mut endpoints: Vec<SocketAddr>) {
        endpoints.shuffle(&mut rand::rng());
        let tried = stream::iter(endpoints).for_each_concurrent(PARALLEL, async |endpoint| {
            let counter = if port::answers(endpoint, LIMIT).await { &self.open } else { &self.shut };
            counter.fetch_add(1, Relaxed);
        });
        tried.await;
    }

    /// Machines that accepted a connection.
    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Machines that did not.
    pub fn shut(&self) -> u64 {
        self.shut.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn ports_are_open_if_something_listens_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let shut = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let ports = Ports::default();
        ports.count([open, shut, open].into_iter().cycle().take(150).collect()).await;
        assert_eq!((ports.open(), ports.shut()), (100, 50));
    }
}
