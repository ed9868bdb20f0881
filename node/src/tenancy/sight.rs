//! What the chain says of a machine's lease, as far as its tenancy depends on it.

use leasehold_client::probe::Pubkey;
use leasehold_client::text;
use serde::{Deserialize, Serialize};

/// A lease, told from every other one: a closed account's address can come back, a serial does not on the same fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseId {
    /// Address of the lease's account.
    #[serde(with = "text::key")]
    pub address: Pubkey,
    /// Serial of the lease on its board.
    pub serial: u32,
}

/// A lease that a machine is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    pub id: LeaseId,
    /// Index of the board in its market.
    pub board: u32,
    /// SHA-256 of the SSH public key that is let in; `None`: nobody.
    pub access: Option<Access>,
    /// Raised by every `set_access` and `transfer_lease`.
    pub access_epoch: u32,
    /// Access epoch in which the machine was last to be wiped.
    pub data_epoch: u32,
    /// Unix second of the cluster at which the machine begins to serve it, and the first after its end.
    pub begins: i64,
    pub ends: i64,
}

/// Fingerprint of an SSH public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Access(#[serde(with = "text::hex")] pub [u8; 32]);

impl Lease {
    /// True if nobody is let in and nothing may run: its new owner has not said yet who gets in.
    pub fn is_withheld(&self) -> bool {
        self.access.is_none() && self.access_epoch > 0
    }
}

/// A machine as the chain shows it, confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sight {
    /// Solana slot as of which it holds.
    pub slot: u64,
    /// Unix second of the cluster's clock then.
    pub now: i64,
    /// `None` if the machine is in no lease, or was forfeited, barred or retired.
    pub lease: Option<Lease>,
}

/// The lease of a machine's tenancy as the chain shows it, finalized: nothing takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finalized {
    /// Solana slot as of which it holds.
    pub slot: u64,
    /// Unix second of the cluster's clock, read before the lease.
    pub now: i64,
    /// `None` if the machine is not in that lease.
    pub lease: Option<Lease>,
}
