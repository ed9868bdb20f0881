//! Errors of the local network.

use std::io;

use leasehold_client::sender::SendError;
use solana_rpc_client_api::client_error::Error as RpcError;

/// An error of the local network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A port cannot be opened.
    #[error("cannot open port {port}: {reason}; choose another port, or 0 for any free one")]
    Port {
        /// The port asked for.
        port: u16,
        /// The system's reason.
        reason: io::Error,
    },
    /// The compiled program cannot be read.
    #[error("cannot read the compiled program: {0}; run `cargo xtask build`")]
    Program(io::Error),
    /// The embedded machine did not start.
    #[error("the local network did not start: {0}")]
    Start(String),
    /// A transaction that creates mints or funds wallets failed.
    #[error("cannot prepare the local network: {0}")]
    Prepare(SendError),
    /// An RPC call failed.
    #[error("the local network does not answer: {0}")]
    Rpc(RpcError),
    /// The chain's time cannot be read, or did not advance.
    #[error("the local network's clock does not advance")]
    Clock,
}

// Not by `#[from]`: the cause would be a source as well, and printed twice.
impl From<SendError> for NetworkError {
    fn from(error: SendError) -> Self {
        Self::Prepare(error)
    }
}

impl From<RpcError> for NetworkError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}
