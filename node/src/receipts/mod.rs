//! Proof of compute, the machines' side: a signed receipt for each answer, kept until it is in the log.
//!
//! The inference server reports its answers to the API, or the proxy in front of it does. What follows which
//! lease runs, posts batches and redeems vouchers is elsewhere and meets this at [`store::Store`] and
//! [`leases::LeasesReceiver`].

mod api;
pub mod bench;
mod feed;
mod issuer;
pub mod leases;
mod proxy;
mod refusal;
mod service;
pub mod settings;
pub mod signer;
pub mod store;

pub use feed::Feed;
pub use issuer::MachinesReceiver;
pub use leases::{Leases, LeasesReceiver, Meter, RunningLease};
pub use service::{Receipts, ReceiptsError};
pub use settings::{Model, ProxySettings, Settings, SettingsError, read_leases};
pub use store::{Store, StoreError};
