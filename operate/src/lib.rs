//! Operating Leasehold from a terminal: code shared by `leasehold` and `deploy`. A pure function makes a [`plan::Plan`]
//! of the accounts that were read; [`act::act`] shows it with the most that it can cost, asks, and sends its
//! transactions.

pub mod act;
pub mod amount;
pub mod chain;
pub mod config;
pub mod costs;
pub mod executor;
pub mod failure;
pub mod flags;
pub mod format;
pub mod market;
pub mod outcome;
pub mod output;
pub mod parse;
pub mod payee;
pub mod plan;
pub mod progress;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
pub mod send;
pub mod stop;
pub mod table;
pub mod text;
pub mod time;
pub mod transaction;
pub mod undo;
