//! Enforces a demand for a receipt that nobody answered in time, for its fee.

use leasehold_client::instruction;
use solana_pubkey::Pubkey;

use super::{Step, Task, gone};
use crate::snapshot::DemandSnapshot;

pub(super) fn step(me: Pubkey, demand: &DemandSnapshot) -> Step {
    Step {
        task: Task::EnforceDemand,
        text: format!("enforced demand {}", demand.address),
        instructions: vec![instruction::enforce_demand(me, demand.address, &demand.account)],
        overtaken: vec![gone()],
    }
}
