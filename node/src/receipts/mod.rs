//! Signs a receipt for each answer of the inference server and stores it.
//!
//! The inference server reports its answers to the API, or the proxy in front of it does. [`crate::leases`] says which
//! lease an answer belongs to; module `chain` appends the receipts to the supplier's log and redeems vouchers, both
//! from [`store::Store`].

mod api;
pub mod bench;
mod issuer;
mod proxy;
mod refusal;
mod service;
pub mod settings;
pub mod signer;
pub mod store;

pub use service::{Receipts, ReceiptsError};
pub use settings::{Model, ProxySettings, Settings, SettingsError, read_leases};
pub use store::{Store, StoreError};
