//! What the receipts' side is told while it runs: the machines by the configuration, the leases by whatever
//! follows the chain.

use super::issuer::MachinesReceiver;
use super::leases::{Leases, LeasesReceiver};
use crate::{Machine, Serving};
use std::sync::Arc;
use tokio::sync::watch;

/// The sending ends.
#[derive(Debug)]
pub struct Feed {
    machines: watch::Sender<Arc<Vec<Arc<Machine>>>>,
    leases: watch::Sender<Arc<Leases>>,
}

impl Feed {
    /// With these machines, and no lease on any of them.
    pub fn new(serving: &Serving) -> Self {
        Self { machines: watch::Sender::new(shared(serving)), leases: watch::Sender::default() }
    }

    /// The machines are others now.
    pub fn set_serving(&self, serving: &Serving) {
        self.machines.send_replace(shared(serving));
    }

    /// The leases are others now.
    pub fn set_leases(&self, leases: Leases) {
        self.leases.send_replace(Arc::new(leases));
    }

    /// The end that the chain's watcher sends to.
    pub fn leases_sender(&self) -> watch::Sender<Arc<Leases>> {
        self.leases.clone()
    }

    pub fn machines(&self) -> MachinesReceiver {
        self.machines.subscribe()
    }

    pub fn leases(&self) -> LeasesReceiver {
        self.leases.subscribe()
    }
}

fn shared(serving: &Serving) -> Arc<Vec<Arc<Machine>>> {
    Arc::new(serving.machines.iter().cloned().map(Arc::new).collect())
}
