//! Tries TCP ports, such as that of a machine's endpoint, where its tenant logs in.
//!
//! For people and metrics; it never enters a vote: a tenant could shut its own door and compute for nothing.

use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::timeout};

/// True if something accepts a connection within the limit.
pub async fn answers(endpoint: SocketAddr, limit: Duration) -> bool {
    matches!(timeout(limit, TcpStream::connect(endpoint)).await, Ok(Ok(_)))
}
