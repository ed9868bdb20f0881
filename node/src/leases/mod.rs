//! The lease that runs on each machine of this node, read from the chain.
//!
//! [`LeaseWatch`] polls the chain and publishes [`Leases`]. It needs no receipts: code that serves a machine to its
//! tenant uses these leases. Code that signs receipts uses the signable leases of module `chain`, a subset of them.

mod expiry;
mod metrics;
#[cfg(test)]
pub(crate) mod sample;
mod service;
mod view;
mod watch;

pub use metrics::Metrics;
pub use service::{LeaseWatch, WatchSettings};
pub use view::{KnownBoard, View, ViewReceiver};
pub use watch::{NotServing, leases};

use crate::machines::Machine;
use leasehold::constants::RECORD_ROUNDS;
use leasehold::rules::round;
use leasehold_client::probe::Pubkey;
use leasehold_client::text;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch as channel;

/// A machine's place: board, and index of the slot on it.
pub type Place = (Pubkey, u16);

/// Receiving end of the leases as they change.
pub type LeasesReceiver = channel::Receiver<Arc<Leases>>;

/// The leases of this node's machines at the last poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// `None`: the machine is known and serves no lease.
    pub machines: HashMap<Place, Option<RunningLease>>,
}

/// A lease on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningLease {
    /// Serial of the lease on its board.
    pub serial: u32,
    /// Address of the lease's account.
    #[serde(with = "text::key")]
    pub address: Pubkey,
    /// Wallet that opened the lease; receipts bill it.
    #[serde(with = "text::key")]
    pub buyer: Pubkey,
    /// Payment mint of the market.
    #[serde(with = "text::key")]
    pub mint: Pubkey,
    /// First 8 bytes of the cluster's genesis hash.
    #[serde(with = "text::hex")]
    pub cluster: [u8; 8],
    /// Hardware class of the machine.
    pub class: u16,
    /// First round of the lease on this machine.
    pub from: u32,
    /// First round after the lease.
    pub until: u32,
    /// Length of a round in seconds.
    pub round_secs: u32,
    /// Generation of the slot that is leased: a machine with another one is not the leased machine.
    pub generation: u16,
    /// Set if the lease is paid by use.
    pub meter: Option<Meter>,
}

/// How a metered lease is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// Ed25519 key that signs the buyer's vouchers.
    #[serde(with = "text::key")]
    pub spender: Pubkey,
    /// Payment units in the lease's deposit: the most that vouchers can pay.
    pub deposit: u64,
}

impl RunningLease {
    /// Unix millisecond at which a round begins.
    pub fn start_ms(&self, round: u32) -> u64 {
        round::start(self.round_secs, round).unsigned_abs().saturating_mul(1_000)
    }

    /// True if the lease runs at that time, in Unix milliseconds.
    pub fn runs_at(&self, unix_ms: u64) -> bool {
        (self.start_ms(self.from)..self.start_ms(self.until)).contains(&unix_ms)
    }
}

/// Half of the seconds after which a receipt can be demanded: by then it should be sealed, and its batch in the log.
pub fn half_record_secs(round_secs: u32) -> u64 {
    u64::from(round_secs).saturating_mul(u64::from(RECORD_ROUNDS)) / 2
}

impl Leases {
    /// The lease that runs on the machine at that time, in Unix milliseconds.
    pub fn running(&self, machine: &Machine, unix_ms: u64) -> Option<&RunningLease> {
        let lease = self.machines.get(&machine.place()?)?.as_ref()?;
        (lease.generation == machine.generation && lease.runs_at(unix_ms)).then_some(lease)
    }

    /// The lease with that address.
    pub fn at(&self, address: &Pubkey) -> Option<(Place, &RunningLease)> {
        let leases = self.machines.iter().filter_map(|(place, lease)| Some((*place, lease.as_ref()?)));
        leases.into_iter().find(|(_, lease)| lease.address == *address)
    }

    /// Machines that serve a lease.
    pub fn count(&self) -> usize {
        self.machines.values().flatten().count()
    }
}
