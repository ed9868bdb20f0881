//! Which lease runs on which machine. The chain's watcher writes it, everything that signs reads it.

use crate::Machine;
use leasehold_client::probe::Pubkey;
use leasehold_client::wire::text;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// A machine's place: board, and index of the slot on it.
pub type Place = (Pubkey, u16);

/// What the receipts' side follows.
pub type LeasesReceiver = watch::Receiver<Arc<Leases>>;

/// The leases of this host's machines, as the chain showed them last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// `None`: the machine is known and nobody leases it.
    pub machines: HashMap<Place, Option<RunningLease>>,
}

/// A lease, as far as signing receipts needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningLease {
    /// Serial of the lease on its board.
    pub serial: u32,
    /// Address of the lease's account.
    #[serde(with = "text::key")]
    pub address: Pubkey,
    /// Whom answers are billed to.
    #[serde(with = "text::key")]
    pub buyer: Pubkey,
    /// Mint of the payment units.
    #[serde(with = "text::key")]
    pub mint: Pubkey,
    /// First 8 bytes of the genesis hash of the cluster.
    #[serde(with = "text::hex")]
    pub cluster: [u8; 8],
    /// Hardware class of the machine.
    pub class: u16,
    /// First round of the lease on this machine, and the first after it.
    pub from: u32,
    pub until: u32,
    /// Length of a round in seconds.
    pub round_secs: u32,
    /// Generation of the slot that is leased: a machine with another one is not the one that is meant.
    pub generation: u16,
    /// Set where the lease is paid by use.
    pub meter: Option<Meter>,
}

/// How a metered lease is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// Ed25519 key that signs the buyer's vouchers.
    #[serde(with = "text::key")]
    pub spender: Pubkey,
    /// Payment units that were paid in. Nothing beyond them is ever paid.
    pub deposit: u64,
}

impl RunningLease {
    /// Whether the lease runs at that time, Unix milliseconds.
    pub fn runs_at(&self, unix_ms: u64) -> bool {
        let round_ms = u64::from(self.round_secs).saturating_mul(1_000);
        let start = |round: u32| u64::from(round).saturating_mul(round_ms);
        (start(self.from)..start(self.until)).contains(&unix_ms)
    }
}

impl Leases {
    /// The lease that runs on the machine at that time, Unix milliseconds.
    pub fn running(&self, machine: &Machine, unix_ms: u64) -> Option<&RunningLease> {
        let place = (machine.board, u16::try_from(machine.slot).ok()?);
        let lease = self.machines.get(&place)?.as_ref()?;
        (lease.generation == machine.generation && lease.runs_at(unix_ms)).then_some(lease)
    }

    /// The lease with that address.
    pub fn at(&self, address: &Pubkey) -> Option<(Place, &RunningLease)> {
        let leases = self.machines.iter().filter_map(|(place, lease)| Some((*place, lease.as_ref()?)));
        leases.into_iter().find(|(_, lease)| lease.address == *address)
    }
}
