//! Machines and leases, for the services that follow them while the node runs.

use crate::leases::{Leases, LeasesReceiver};
use crate::machines::{Machine, MachinesReceiver, Serving};
use std::sync::Arc;
use tokio::sync::watch;

/// Sending ends of the machines, by the configuration, and of the leases, by the lease watch or a file.
#[derive(Debug)]
pub struct Feed {
    machines: watch::Sender<Arc<Vec<Arc<Machine>>>>,
    leases: watch::Sender<Arc<Leases>>,
    signable: watch::Sender<Arc<Leases>>,
}

impl Feed {
    /// These machines, and no leases.
    pub fn new(serving: &Serving) -> Self {
        Self {
            machines: watch::Sender::new(shared(serving)),
            leases: watch::Sender::default(),
            signable: watch::Sender::default(),
        }
    }

    /// Replaces the machines.
    pub fn set_serving(&self, serving: &Serving) {
        self.machines.send_replace(shared(serving));
    }

    /// Replaces the leases, those for which receipts may be signed as well.
    pub fn set_leases(&self, leases: Leases) {
        let leases = Arc::new(leases);
        self.leases.send_replace(leases.clone());
        self.signable.send_replace(leases);
    }

    /// The machines.
    pub fn machines(&self) -> MachinesReceiver {
        self.machines.subscribe()
    }

    /// The leases that run.
    pub fn leases(&self) -> LeasesReceiver {
        self.leases.subscribe()
    }

    /// The leases for which receipts may be signed.
    pub fn signable(&self) -> LeasesReceiver {
        self.signable.subscribe()
    }

    /// Sending end of [`Feed::leases`], for a [`LeaseWatch`](crate::leases::LeaseWatch).
    pub fn leases_sender(&self) -> watch::Sender<Arc<Leases>> {
        self.leases.clone()
    }

    /// Sending end of [`Feed::signable`], for a `Chain`.
    pub fn signable_sender(&self) -> watch::Sender<Arc<Leases>> {
        self.signable.clone()
    }
}

fn shared(serving: &Serving) -> Arc<Vec<Arc<Machine>>> {
    Arc::new(serving.machines.iter().cloned().map(Arc::new).collect())
}
