//! The machines of the node and how they serve.

use super::Api;
use axum::Json;
use axum::extract::State;
use leasehold_client::wire::{MachineStatus, NodeStatus};
use leasehold_daemon::unix_ms;
use std::sync::Arc;

/// Every machine of the configuration, with the lease that runs on it.
pub(super) async fn show(State(api): State<Arc<Api>>) -> Json<NodeStatus> {
    let (machines, leases) = (api.issuer.machines.borrow().clone(), api.issuer.leases.borrow().clone());
    let now = unix_ms();
    let status = |machine: &Arc<crate::machines::Machine>| {
        let lease = leases.running(machine, now);
        MachineStatus {
            board: machine.board,
            slot: machine.slot,
            generation: machine.generation,
            lease: lease.map(|lease| lease.serial),
            paused: lease.is_some_and(|lease| lease.paused),
        }
    };
    Json(NodeStatus { machines: machines.iter().map(status).collect() })
}
