//! What runs beside the GPUs: answers the keepers' probes over UDP, for one machine or for thousands.
//!
//! A [`Node`] answers a datagram only if it is a well-formed challenge (see
//! [`leasehold_client::probe`]) for a machine that it serves, by program, market, board, slot and
//! generation, signed by the keeper that it names. Everything else gets no answer at all, only a count
//! in the metrics. An answer is shorter than its challenge, so a forged source address gains nothing.
//!
//! [`receipts`] signs for what the machines compute, and keeps that; [`chain`] puts it into the supplier's log
//! and sees to the money; [`archive`] follows such logs for everybody.

mod config;
mod counters;
mod limiter;
mod machines;
mod metrics;
mod node;
mod responder;

pub mod archive;
pub mod chain;
pub mod receipts;

pub use config::{Config, ConfigError, load, load_config, read_keypair};
pub use counters::Outcome;
pub use machines::{Machine, Serving};
pub use node::{DEFAULT_PORT, Node, NodeConfig, NodeError};
