//! The daemon beside the GPUs: answers the keepers' probes over UDP, for one machine or for thousands.
//!
//! A [`Node`] answers a datagram only if it is a well-formed challenge (see [`leasehold_client::probe`]) for one of its
//! machines (same program, market, board, slot and generation) and signed by the keeper that it names. Everything
//! else is counted in the metrics and gets no answer; what a keeper asks and the configuration or this host's clock does
//! not fit is told in the log. Nor is a challenge answered for a slot in which, by the board, there is
//! another machine or another supplier's. An answer is shorter than its challenge, so a forged source
//! address gains nothing.
//!
//! [`leases`] follows which lease runs on each machine, and when its tenant is paused. [`receipts`] signs and stores a receipt for each answer of the
//! inference server. [`chain`] appends batches of receipts to the supplier's log, redeems vouchers and answers demands;
//! the headers of that log, of all its machines, are rebuilt from the log's events. [`check`] tries machines before they
//! are bonded. [`access`] lets tenants in by SSH.

mod config;
mod counters;
mod feed;
mod limiter;
mod machines;
mod misfit;
mod mistake;
mod node;
mod probes;
mod responder;
mod sockets;

pub mod access;
pub mod chain;
pub mod check;
pub mod leases;
pub mod receipts;
pub mod tenancy;

pub use config::{Config, ConfigError, load, load_config};
pub use counters::Outcome;
pub use feed::Feed;
pub use machines::{Machine, MachinesReceiver, SameMachine, Serving};
pub use node::{DEFAULT_PORT, Node, NodeConfig, NodeError};
pub use probes::Probes;
