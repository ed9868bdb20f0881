//! The lease that runs on each machine of this node, read from the chain.
//!
//! [`LeaseWatch`] polls the chain and publishes [`Leases`]. It needs no receipts: code that serves a machine to its
//! tenant uses these leases, and serves none that is [paused](RunningLease::paused). Code that signs receipts uses the signable leases of module `chain`, a subset of them.

mod expiry;
mod metrics;
pub mod pause;
mod pauses;
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
use leasehold::constants::RECORD_SECS;
use leasehold::rules::round;
use leasehold::state::SKIP;
use leasehold_client::probe::Pubkey;
use leasehold_client::text;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch as channel;
use tokio::time::Instant;

/// A machine's place: board, and index of the slot on it.
pub type Place = (Pubkey, u16);

/// Receiving end of the leases as they change.
pub type LeasesReceiver = channel::Receiver<Arc<Leases>>;

/// The leases of this node's machines at the last poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// `None`: the machine is known and serves no lease.
    pub machines: HashMap<Place, Option<RunningLease>>,
    /// Machines for which nothing is signed although they may serve a lease.
    pub unsigned: HashMap<Place, Unsigned>,
    /// When metered leases get no more credit beyond what is signed, unless the chain is read again; `None`: never.
    pub credit_until: Option<Instant>,
}

/// Why nothing is signed for a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unsigned {
    #[error(
        "the supplier has no log in which receipts could be proved: create one with `leasehold log create`"
    )]
    NoLog,
    #[error(
        "`operator` in [chain] of the node is not the log's operator: run `leasehold log operator ADDRESS` as the supplier"
    )]
    NotOperator,
    #[error("the supplier's log has no lane for the slot: open one with `leasehold log lanes`")]
    NoLane,
    #[error(
        "the node's database lacks receipts that it signed in this lease: nothing is signed until the log has skipped \
         their numbers, up to {least}"
    )]
    Lost {
        /// The least number that was signed by nobody.
        least: u64,
    },
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
    /// Wallet that owns the lease now: under a lease by the hour it signs call tokens.
    #[serde(with = "text::key")]
    pub owner: Pubkey,
    /// Account of the machine's supplier.
    #[serde(with = "text::key")]
    pub supplier: Pubkey,
    /// Payment mint of the market.
    #[serde(with = "text::key")]
    pub mint: Pubkey,
    /// First 8 bytes of the cluster's genesis hash.
    #[serde(with = "text::hex")]
    pub cluster: [u8; 8],
    /// Hardware class of the machine.
    pub class: u16,
    /// First round of the lease.
    pub begins: u32,
    /// First round of the lease on this machine: a later one if it replaced another.
    pub from: u32,
    /// First round after the lease.
    pub until: u32,
    /// Length of a round in seconds.
    pub round_secs: u32,
    /// Second of a round's length at which the board's rounds begin.
    #[serde(default)]
    pub phase_secs: u32,
    /// Generation of the slot that is leased: a machine with another one is not the leased machine.
    pub generation: u32,
    /// Set if the lease is paid by use.
    pub meter: Option<Meter>,
    /// True while its tenant is paused, see [`pause`]: the lease runs, and is not served.
    #[serde(default)]
    pub paused: bool,
    /// Numbers that receipts may have.
    #[serde(default)]
    pub numbers: Numbers,
}

/// Numbers that a machine may sign in a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// The least: the log has taken lower ones, in whichever lease, or a database that was lost may have signed them.
    pub first: u64,
    /// The first that is too high. A number below it can't be signed again after a loss, see [`SKIP`].
    pub limit: u64,
}

impl Default for Numbers {
    /// Those of a machine of which the log has nothing.
    fn default() -> Self {
        Numbers { first: 0, limit: SKIP }
    }
}

/// How a metered lease is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// Ed25519 key that signs the buyer's vouchers.
    #[serde(with = "text::key")]
    pub spender: Pubkey,
    /// Most payment units that vouchers can pay in all, as things are: the deposit without the standby price.
    pub deposit: u64,
    /// Payment units and compute units that vouchers have paid.
    #[serde(default)]
    pub paid: u64,
    #[serde(default)]
    pub units: u64,
}

impl RunningLease {
    /// Key that signs the lease's call tokens: the spender if it is metered, else its owner.
    pub fn caller(&self) -> &Pubkey {
        self.meter.as_ref().map_or(&self.owner, |meter| &meter.spender)
    }

    /// Unix millisecond at which a round begins.
    pub fn start_ms(&self, round: u32) -> u64 {
        round::start(self.round_secs, self.phase_secs, round).unsigned_abs().saturating_mul(1_000)
    }

    /// True if the lease runs at that time, in Unix milliseconds.
    pub fn runs_at(&self, unix_ms: u64) -> bool {
        (self.start_ms(self.from)..self.start_ms(self.until)).contains(&unix_ms)
    }
}

/// Half of the shortest time after which a receipt can be demanded, in seconds: by then it should be sealed, and its batch in
/// the log. The time is counted from the beginning of the receipt's round.
pub fn half_record_secs(round_secs: u32) -> u64 {
    u64::from(RECORD_SECS.saturating_sub(round_secs)) / 2
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

    /// True if the chain was not read for so long that metered leases get no credit.
    pub fn is_silent(&self) -> bool {
        self.credit_until.is_some_and(|end| end <= Instant::now())
    }

    /// Machines that serve a lease.
    pub fn count(&self) -> usize {
        self.machines.values().flatten().count()
    }
}
