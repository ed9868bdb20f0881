//! The cluster that a daemon began to work on.

use std::time::Duration;

use solana_hash::Hash;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use tokio::time::Instant;

use crate::fetch::{Fetch, FetchError};

/// How long an RPC node is taken to be of the cluster that it was of.
const AGE: Duration = Duration::from_secs(60);

/// The RPC node answers for another cluster than before: whoever goes on would sign for the one what it read of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the RPC node is of another cluster than before (genesis {found}, before {known}): check its URL, and start again"
)]
pub struct OtherCluster {
    pub known: Hash,
    pub found: Hash,
}

/// Why the cluster could not be confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Other(#[from] OtherCluster),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// Remembers the genesis hash of the first answer, and asks for it again each minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClusterGuard(Option<(Hash, Instant)>);

impl ClusterGuard {
    /// Genesis hash of the cluster.
    ///
    /// # Errors
    /// [`ClusterError::Other`] if it is another one than before, or that it can't be read.
    pub async fn confirm(&mut self, rpc: &RpcClient) -> Result<Hash, ClusterError> {
        if let Some((known, asked)) = self.0
            && asked.elapsed() < AGE
        {
            return Ok(known);
        }
        let found = Fetch::new(rpc).genesis_hash().await?;
        let known = self.0.map_or(found, |(known, _)| known);
        if known != found {
            return Err(OtherCluster { known, found }.into());
        }
        self.0 = Some((known, Instant::now()));
        Ok(known)
    }

    /// Asks again the next time, as after a failure: the RPC node may have been replaced.
    pub fn doubt(&mut self) {
        if let Some((_, asked)) = &mut self.0
            && let Some(before) = asked.checked_sub(AGE)
        {
            *asked = before;
        }
    }
}
