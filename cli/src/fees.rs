//! What the network charges for a plan.

use leasehold_client::sender::MAX_UNITS;
use solana_pubkey::Pubkey;

use crate::plan::Plan;

/// Lamports that a transaction costs for each signature.
const SIGNATURE: u64 = 5_000;
/// The program that checks signatures which instructions bring along: each costs as much as a transaction's own.
const ED25519: Pubkey = Pubkey::from_str_const("Ed25519SigVerify111111111111111111111111111");

/// Lamports of fees at most: each transaction may be signed anew a few times, and fail on the chain. Those that
/// take steps back count as well.
pub fn fees(plan: &Plan, price: u64, attempts: u32) -> u64 {
    let priority = price.saturating_mul(u64::from(MAX_UNITS)).div_ceil(1_000_000);
    let once = plan.steps.iter().fold(0u64, |sum, step| {
        let checks = step.instructions.iter().filter(|instruction| instruction.program_id == ED25519);
        // Its first byte is their number.
        let checked: u64 = checks.map(|check| check.data.first().copied().map_or(0, u64::from)).sum();
        let one = checked.saturating_add(1).saturating_mul(SIGNATURE).saturating_add(priority);
        let times = u64::try_from(step.transactions()).unwrap_or(u64::MAX);
        let undoing = if step.undo.is_some() { SIGNATURE.saturating_add(priority) } else { 0 };
        sum.saturating_add(one.saturating_mul(times)).saturating_add(undoing)
    });
    once.saturating_mul(u64::from(attempts))
}

#[cfg(test)]
mod tests {
    use leasehold_client::record::{SignedReceipt, receipt};
    use solana_instruction::Instruction;

    use super::*;

    #[test]
    fn signatures_that_instructions_bring_along_cost_as_well() {
        let check = Instruction { program_id: ED25519, accounts: vec![], data: vec![2, 0] };
        let other = Instruction { program_id: Pubkey::default(), accounts: vec![], data: vec![9] };
        let plan = Plan::new("Demand").step("demand", vec![check, other]);
        assert_eq!(fees(&plan, 0, 1), 3 * SIGNATURE);
        let receipt = SignedReceipt { receipt: receipt::blank(), signature: [0; 64] };
        assert_eq!(fees(&Plan::new("").step("", vec![receipt.instruction()]), 0, 1), 2 * SIGNATURE);
    }
}
