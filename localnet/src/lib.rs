//! An embedded Solana network with Leasehold on it, for tests, the demo and `cargo localnet`.
//!
//! The virtual machine, its JSON-RPC and its websockets are surfpool's, which runs them in this process:
//! no validator is installed, and nothing is asked of any other machine. Everything that happens on the
//! network happens by transactions, except that the program and the payer's lamports are there when it
//! starts.

mod clock;
pub mod demo;
pub mod genesis;
pub mod network;
mod surfnet;
mod tokens;

pub use genesis::{Genesis, open_market, program};
pub use network::{Grant, Network, NetworkError, Options, Program};
