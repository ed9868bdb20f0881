//! Enforces a demand for a receipt that nobody answered in time.

use leasehold_client::{BoardRef, instruction};
use solana_pubkey::Pubkey;

use super::{Step, Task, gone};
use crate::snapshot::DemandSnapshot;

pub(super) fn step(board: &BoardRef, me: Pubkey, demand: &DemandSnapshot) -> Step {
    let DemandSnapshot { address, claimant, lease, .. } = *demand;
    Step {
        task: Task::EnforceDemand,
        text: format!("enforced demand {address}"),
        instructions: vec![instruction::enforce_demand(board, me, claimant, lease, address)],
        overtaken: vec![gone()],
    }
}
