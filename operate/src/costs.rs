//! The most that a plan costs, and whether the wallet has it.

use std::collections::{BTreeMap, btree_map::Entry};

use leasehold_client::{fetch::FetchError, instruction::is_idempotent, packet::MAX_UNITS};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use crate::{
    amount::{Money, sol},
    chain::Chain,
    failure::Failure,
    plan::{Growth, Plan, Spend, Step},
};

/// Fee for each signature of a transaction, in lamports.
const SIGNATURE: u64 = 5_000;

/// The program that checks the signatures that instructions carry. Each costs as much as a signature of the
/// transaction.
const ED25519: Pubkey = Pubkey::from_str_const("Ed25519SigVerify111111111111111111111111111");

/// The most that a plan costs besides tokens, in lamports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Most {
    pub rent: u64,
    pub fees: u64,
}

impl Most {
    /// `attempts`: how many times an idempotent transaction is signed at most.
    pub async fn of(chain: &Chain, plan: &Plan, attempts: u32) -> Result<Self, Failure> {
        Ok(Most { rent: rent(chain, plan).await?, fees: fees(plan, chain.settings.price, attempts) })
    }

    fn sum(&self) -> u64 {
        self.rent.saturating_add(self.fees)
    }

    /// Refuses a wallet that has less than `needed`. The error names the most, as the summary does.
    fn require(&self, lamports: u64, needed: u64) -> Result<(), Failure> {
        if lamports >= needed {
            return Ok(());
        }
        let [has, most, rent, fees] = [lamports, self.sum(), self.rent, self.fees].map(sol);
        Err(Failure::Refused(format!(
            "the paying wallet has {has}, and this may cost {most} ({rent} rent and {fees} fees): fund it first"
        )))
    }
}

/// Refuses a plan that the wallet lacks SOL or tokens for, before asking for confirmation.
pub async fn require_funds(chain: &Chain, plan: &Plan, most: &Most) -> Result<(), Failure> {
    let lamports = chain.rpc.get_balance(&chain.wallet()?).await.map_err(FetchError::from)?;
    // Without an undo, whatever is missing can be sent by a second run.
    let needed = if plan.is_undone() { *most } else { Most { fees: SIGNATURE, ..*most } };
    most.require(lamports, needed.sum())?;
    for (account, needed) in spent(&plan.spends) {
        let has = chain.fetch().balance(account).await?.unwrap_or_default();
        require_tokens(account, has, needed)?;
    }
    Ok(())
}

/// Tokens that leave each token account, in the order of their first spend. Saturates: no wallet has that much.
fn spent(spends: &[Spend]) -> Vec<(Pubkey, Money)> {
    let mut sums: Vec<(Pubkey, Money)> = Vec::new();
    for Spend { from, money, .. } in spends {
        match sums.iter_mut().find(|(account, _)| account == from) {
            Some((_, sum)) => sum.amount = sum.amount.saturating_add(money.amount),
            None => sums.push((*from, *money)),
        }
    }
    sums
}

fn require_tokens(account: Pubkey, has: u64, needed: Money) -> Result<(), Failure> {
    if has >= needed.amount {
        return Ok(());
    }
    let has = needed.token.number(has);
    Err(Failure::Refused(format!(
        "the wallet's account {account} holds {has}, and this may cost {needed}: add tokens, or ask for less"
    )))
}

/// Rent for the accounts that a plan creates and enlarges, in lamports.
async fn rent(chain: &Chain, plan: &Plan) -> Result<u64, Failure> {
    // A plan may create hundreds of accounts of one size.
    let mut rents = BTreeMap::new();
    for bytes in plan.growths.iter().flat_map(|growth| growth.from.into_iter().chain([growth.to])) {
        if let Entry::Vacant(rent) = rents.entry(bytes) {
            rent.insert(chain.rent(bytes).await?);
        }
    }
    let of = |bytes: usize| rents.get(&bytes).copied().unwrap_or_default();
    let one = |growth: &Growth| of(growth.to).saturating_sub(growth.from.map_or(0, of));
    Ok(plan.growths.iter().map(one).fold(0, u64::saturating_add))
}

/// Fees at most, in lamports: an idempotent transaction may be signed `attempts` times and fail on the chain each time.
/// Undos count as well.
fn fees(plan: &Plan, price: u64, attempts: u32) -> u64 {
    let priority = price.saturating_mul(u64::from(MAX_UNITS)).div_ceil(1_000_000);
    let signed = |instructions: &[Instruction]| if is_idempotent(instructions) { attempts } else { 1 };
    let one = |instructions: &[Instruction]| {
        let checks = instructions.iter().filter(|instruction| instruction.program_id == ED25519);
        // The first byte is the number of signatures.
        let checked: u64 = checks.map(|check| check.data.first().copied().map_or(0, u64::from)).sum();
        let one = checked.saturating_add(1).saturating_mul(SIGNATURE).saturating_add(priority);
        one.saturating_mul(signed(instructions).into())
    };
    let step = |step: &Step| {
        let times = u64::try_from(step.transactions()).unwrap_or(u64::MAX);
        let undoing = step.undo.as_ref().map_or(0, |undo| one(&undo.instructions));
        one(&step.instructions).saturating_mul(times).saturating_add(undoing)
    };
    plan.steps.iter().map(step).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::instruction::{ExtendLease, OpenLease};
    use leasehold_client::record::{SignedReceipt, receipt};

    use super::*;
    use crate::amount::Token;

    #[test]
    fn what_the_chain_takes_once_may_be_signed_a_few_times_at_the_price_of_its_units() {
        let of =
            |data: &[u8]| Instruction { program_id: leasehold::ID, accounts: vec![], data: data.to_vec() };
        let (open, extend) = (of(OpenLease::DISCRIMINATOR), of(ExtendLease::DISCRIMINATOR));
        let plan = Plan::new("").step("lease", vec![open]);
        // 1,400,000 units at 2 micro-lamports are 3 lamports.
        assert_eq!(fees(&plan, 2, 3), 3 * 5_003);
        assert_eq!(fees(&plan.step("more", vec![extend]), 2, 3), 3 * 5_003 + 5_003, "and others once");
    }

    #[test]
    fn what_leaves_one_account_is_summed() {
        let (first, second) = (Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32]));
        let money = |amount| Token { mint: Pubkey::default(), decimals: 2 }.money(amount);
        let plan = Plan::new("").spend("deposit", money(100), first).spend("bond", money(7), second).spend(
            "deposit",
            money(51),
            first,
        );
        let sums: Vec<_> = spent(&plan.spends).into_iter().map(|(from, sum)| (from, sum.amount)).collect();
        assert_eq!(sums, [(first, 151), (second, 7)]);
    }

    #[test]
    fn signatures_that_instructions_bring_along_cost_as_well() {
        let check = Instruction { program_id: ED25519, accounts: vec![], data: vec![2, 0] };
        let other = Instruction { program_id: Pubkey::default(), accounts: vec![], data: vec![9] };
        let plan = Plan::new("Demand").step("demand", vec![check, other]);
        assert_eq!(fees(&plan, 0, 1), 3 * SIGNATURE);
        let receipt = SignedReceipt { receipt: receipt::blank(), signature: [0; 64] };
        assert_eq!(fees(&Plan::new("").step("", vec![receipt.instruction()]), 0, 1), 2 * SIGNATURE);
    }

    #[test]
    fn what_takes_steps_back_is_paid_for_as_well() {
        let mut plan = Plan::new("").step("lease", vec![]).step("more", vec![]);
        plan.steps[0].undo = Some(crate::undo::tests::undo(1));
        let most = Most { rent: 10, fees: fees(&plan, 0, 3) };
        assert_eq!(most.fees, 3 * 3 * 5_000);
        assert!(most.require(45_010, most.sum()).is_ok());
        let poor = most.require(45_009, most.sum()).unwrap_err();
        assert!(poor.code() == 3 && poor.to_string().contains("may cost 0.00004501 SOL"), "{poor}");
    }

    #[test]
    fn what_is_to_be_funded_is_what_the_summary_shows() {
        let most = Most { rent: 2_268_960, fees: 15_000 };
        let needed = most.rent + SIGNATURE;
        assert!(most.require(needed, needed).is_ok());
        let poor = most.require(needed - 1, needed).unwrap_err().to_string();
        let expected = "may cost 0.00228396 SOL (0.00226896 SOL rent and 0.000015 SOL fees): fund it first";
        assert!(poor.ends_with(expected), "{poor}");
    }

    #[test]
    fn a_wallet_without_enough_tokens_sees_its_balance() {
        let token = Token { mint: Pubkey::default(), decimals: 2 };
        assert!(require_tokens(Pubkey::default(), 150, token.money(150)).is_ok());
        let poor = require_tokens(Pubkey::default(), 149, token.money(150)).unwrap_err();
        assert!(
            poor.code() == 3 && poor.to_string().contains("holds 1.49, and this may cost 1.5 of"),
            "{poor}"
        );
    }
}
