//! Why the chain could not be read.

use std::time::Duration;

use leasehold_client::{account::DecodeError, fetch::FetchError};
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::client_error::Error as RpcError;

/// Why the chain could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("there is no market at {0} on this cluster: check --market and --rpc")]
    NoMarket(Pubkey),
    #[error("{address}: {error}")]
    Decode { address: Pubkey, error: DecodeError },
    #[error("the market's mints can't be read: {0}")]
    Mints(FetchError),
    #[error("the RPC node did not return the cluster's clock: check --rpc")]
    NoClock,
    #[error(transparent)]
    Rpc(FetchError),
    #[error("the RPC node took longer than {} s to answer: try another --rpc", _0.as_secs_f32())]
    Slow(Duration),
    #[error(
        "the market is of the cluster with genesis hash {market}, and the RPC node is of {node}: check --rpc"
    )]
    OtherCluster { market: Hash, node: Hash },
    #[error(
        "the RPC node was of the cluster with genesis hash {before}, and is of {now} now: check --rpc, and start again"
    )]
    ClusterChanged { before: Hash, now: Hash },
}

impl ReadError {
    /// True if no later poll can succeed. `known`: the market was read before; an RPC node that does not find it any more
    /// lags behind.
    pub fn is_final(&self, known: bool) -> bool {
        match self {
            Self::OtherCluster { .. } | Self::ClusterChanged { .. } => true,
            Self::NoMarket(_) | Self::Decode { .. } => !known,
            _ => false,
        }
    }
}

impl From<RpcError> for ReadError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error.into())
    }
}
