//! Leasehold's client: addresses, instructions, boards, quotes, errors, events and records of what was computed.
//!
//! The default features have no network, no threads and no async runtime: the crate compiles to
//! `wasm32-unknown-unknown`, so a web page computes the same quote as the program. Feature `rpc` adds modules that
//! talk to others: connections to RPC nodes (`rpc`), reading accounts (`fetch`), sending transactions (`sender`), the
//! history of compute logs (`history`), HTTP clients of nodes and archives (`http`), proving receipts (`prove`), and
//! asking nvidia-smi (`gpu`).

pub mod access;
pub mod account;
pub mod address;
pub mod board;
pub mod clock;
mod decode;
pub mod error;
pub mod event;
#[cfg(feature = "rpc")]
pub mod fetch;
pub mod gpu;
#[cfg(feature = "rpc")]
pub mod history;
#[cfg(feature = "rpc")]
pub mod http;
pub mod instruction;
pub mod invariants;
#[cfg(feature = "rpc")]
pub mod keypair;
pub mod listing;
pub mod market;
pub mod meter;
pub mod network;
pub mod packet;
#[cfg(feature = "rpc")]
pub mod port;
pub mod probe;
#[cfg(feature = "rpc")]
pub mod prove;
pub mod quote;
pub mod record;
#[cfg(feature = "rpc")]
pub mod redact;
pub mod rounds;
#[cfg(feature = "rpc")]
pub mod rpc;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
pub mod search;
#[cfg(feature = "rpc")]
pub mod sender;
pub mod slash;
pub mod text;
pub mod wire;

pub use market::{BoardRef, MarketRef};
