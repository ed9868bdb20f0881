//! Leasehold for programs that talk to it: addresses, instructions, boards, quotes, errors, events, records of
//! what was computed.

pub mod account;
pub mod address;
pub mod board;
pub mod error;
pub mod event;
pub mod fetch;
pub mod instruction;
pub mod invariants;
pub mod listing;
pub mod market;
pub mod network;
pub mod packet;
pub mod probe;
pub mod quote;
pub mod record;
pub mod rounds;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
pub mod search;
pub mod sender;
pub mod slash;

pub use market::{BoardRef, MarketRef};
