//! Connections to RPC nodes.
//!
//! Every call has a timeout; a refusal for its rate is waited out within it. Redirects are not followed, since they would carry
//! keys and transactions elsewhere. Whoever waits longer than some seconds finds it in the log, once, and when it is over.
//! No error and no line of the log has a URL whose path, query or user name may hold a key.

mod cluster;
mod transport;
mod waiting;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::{nonblocking::rpc_client::RpcClient, rpc_client::RpcClientConfig};

pub use self::cluster::{ClusterError, ClusterGuard, OtherCluster};
use self::transport::Transport;

/// Timeout of one call, which can be changed while the connection is used, as for a market's round. Clones share it.
#[derive(Clone, Debug)]
pub struct CallTimeout(Arc<AtomicU64>);

impl CallTimeout {
    pub fn new(timeout: Duration) -> Self {
        let shared = CallTimeout(Arc::default());
        shared.set(timeout);
        shared
    }

    /// Sets the timeout of calls that begin from now on.
    pub fn set(&self, timeout: Duration) {
        self.0.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    pub fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Relaxed))
    }
}

/// Connects to an RPC node; nothing is sent yet.
pub fn connect(url: &str, timeout: CallTimeout, commitment: CommitmentConfig) -> RpcClient {
    RpcClient::new_sender(Transport::new(url, timeout), RpcClientConfig::with_commitment(commitment))
}
