//! `leasehold lease settle`, `claim` and `close`: how a lease ends.

use leasehold::{
    error::LeaseholdError,
    rules::{self, claim::due},
};
use leasehold_client::{error::Refusal, instruction, quote::settlement};
use leasehold_operate::{
    act::act,
    chain::Chain,
    failure::Failure,
    payee::{Payee, require_payee},
    plan::{Again, Plan},
    time::{rfc3339, start_of},
};
use solana_pubkey::Pubkey;

use super::{
    ClaimArgs,
    leased::{Leased, plan_each},
    selection::LeasesArgs,
};

/// Machines that one transaction settles finally at least, whatever they did: the program goes by compute
/// units, and takes six transactions for 6,000 of which each lost stake (`docs/bench.md`).
const AT_ONCE: u32 = 1_000;

pub async fn settle(chain: &Chain, args: LeasesArgs) -> Result<(), Failure> {
    let (leases, caller) = (args.load(chain).await?, chain.wallet()?);
    let Some(Leased { market, .. }) = leases.first() else { return Ok(()) };
    let keeper = chain.fetch().keeper(&market.reference.address, &caller).await?;
    let keeper = keeper.map(|keeper| keeper.address);
    act(chain, plan_each(&leases, "Settle", |leased| plan_settlement(leased, caller, keeper))?).await
}

pub async fn claim(chain: &Chain, args: ClaimArgs) -> Result<(), Failure> {
    let (leases, signer) = (args.leases.load_of(chain, args.owner).await?, chain.wallet()?);
    let Some(Leased { market, .. }) = leases.first() else { return Ok(()) };
    let owner = args.owner.unwrap_or(signer);
    for leased in &leases {
        require_payee("lease", &leased.lease.owner, &owner, "owner")?;
    }
    let payments = chain.payee(market, owner).await?;
    let stake = chain.stake_payee(market, owner).await?;
    act(chain, plan_each(&leases, "Claim from", |leased| plan_claim(leased, signer, &payments, &stake))?)
        .await
}

pub async fn close(chain: &Chain, args: LeasesArgs) -> Result<(), Failure> {
    let (leases, now) = (args.load(chain).await?, chain.fetch().now().await?);
    act(chain, plan_each(&leases, "Close", |leased| plan_closing(leased, now))?).await
}

fn plan_settlement(leased: &Leased, caller: Pubkey, keeper: Option<Pubkey>) -> Result<Plan, Failure> {
    let Leased { lease, market, board, .. } = leased;
    let sum = settlement(&leased.view()?, lease)?;
    let settle = instruction::settle_lease(board, caller, leased.address, keeper);
    let how = if sum.is_final { "finally" } else { "for the rounds closed so far" };
    let mut plan = Plan::new(format!("Settle {} {how}", leased.name()))
        .fact("Lease:", "lease", leased.address)
        .fact_as("Final:", "final", if sum.is_final { "yes" } else { "no" }, sum.is_final)
        .money("Machines are paid:", "paid", market.payment.money(sum.payment.net))
        .money("Market's fee:", "fee", market.payment.money(sum.payment.fee))
        .money("Owner is refunded:", "refunded", market.payment.money(sum.refunded))
        .money("Machines lose:", "slashed", market.stake.money(sum.slashed))
        .step("settle lease", vec![settle]);
    let left = lease.machines.saturating_sub(lease.settled);
    let most = usize::try_from(left.div_ceil(AT_ONCE)).unwrap_or(usize::MAX);
    if sum.is_final && most > 1 {
        plan.steps.iter_mut().for_each(|step| step.again = Some(Again { lease: leased.address, most }));
    }
    Ok(plan)
}

fn plan_claim(leased: &Leased, signer: Pubkey, payments: &Payee, stake: &Payee) -> Result<Plan, Failure> {
    let Leased { lease, market, board, address, .. } = leased;
    let (refund, compensation) = (due(lease.refund_due), due(lease.compensation_due));
    let mut plan = Plan::new(format!("Claim what {} owes its owner", leased.name()))
        .fact("Lease:", "lease", address)
        .fact("Paid to:", "owner", lease.owner)
        .money("Refund:", "refund", market.payment.money(lease.refund_due))
        .money("Compensation:", "compensation", market.stake.money(lease.compensation_due));
    let mut instructions = Vec::new();
    if refund.is_ok() {
        plan = payments.prepare(plan, &mut instructions);
        instructions.push(instruction::claim_refund(board, signer, *address, payments.account));
    }
    if compensation.is_ok() {
        plan = stake.prepare(plan, &mut instructions);
        instructions.push(instruction::claim_compensation(board, signer, *address, stake.account));
    }
    refund.or(compensation).map_err(Refusal::from)?;
    Ok(plan.step("claim", instructions))
}

fn plan_closing(leased: &Leased, now: i64) -> Result<Plan, Failure> {
    let Leased { lease, market, board, address, .. } = leased;
    rules::lease::require_closable(leased.view()?.header, lease, now).map_err(|error| {
        let refusal = Refusal::from(error);
        let values = match refusal.error() {
            Some(LeaseholdError::LeaseNotSettled) => {
                format!("{} of {} machines are settled", lease.settled, lease.machines)
            }
            Some(LeaseholdError::DemandsLeft) => format!("demands: {}", lease.demands),
            Some(LeaseholdError::LeaseHoldsMoney) => {
                let refund = market.payment.money(lease.refund_due);
                format!("refund: {refund}, compensation: {}", market.stake.money(lease.compensation_due))
            }
            Some(LeaseholdError::DisputesOpen) => {
                let end = start_of(lease.terms.round_secs, rules::lease::undisputed_from(lease));
                format!("until {}", rfc3339(end))
            }
            _ => return refusal.into(),
        };
        Failure::rule(refusal, values)
    })?;
    Ok(Plan::new(format!("Close {}", leased.name()))
        .fact("Lease:", "lease", address)
        .fact("Rent goes to:", "buyer", lease.buyer)
        .step("close lease", vec![instruction::close_lease(board, lease.buyer, *address)]))
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::instruction as data;
    use leasehold_client::sample::{UNTIL, change, wallet};
    use leasehold_operate::sample::rule;

    use super::{super::leased::tests::sample, *};

    fn payee(exists: bool) -> Payee {
        let [owner, account, mint] = [wallet(9), wallet(30), wallet(31)];
        Payee { payer: wallet(1), owner, account, mint, token_program: Pubkey::default(), exists }
    }

    fn starts(plan: &Plan, discriminators: &[&[u8]]) -> bool {
        let [step] = &plan.steps[..] else { return false };
        let pairs = step.instructions.iter().zip(discriminators);
        step.instructions.len() == discriminators.len()
            && pairs.into_iter().all(|(instruction, start)| instruction.data.starts_with(start))
    }

    #[test]
    fn nobody_is_paid_who_was_not_named() {
        assert!(require_payee("lease", &wallet(9), &wallet(9), "owner").is_ok());
        let other = require_payee("lease", &wallet(9), &wallet(1), "owner").unwrap_err();
        let text = other.to_string();
        assert_eq!(other.code(), 3);
        assert!(text.contains(&wallet(9).to_string()) && text.contains(&wallet(1).to_string()), "{text}");
        assert!(text.ends_with("--owner"), "{text}");
    }

    #[test]
    fn a_settlement_tells_who_gets_what() {
        let mut leased = sample(1);
        let keeper = wallet(40);
        let plan = plan_settlement(&leased, wallet(1), Some(keeper)).unwrap();
        assert!(starts(&plan, &[data::SettleLease::DISCRIMINATOR]));
        assert!(plan.steps[0].instructions[0].accounts.iter().any(|meta| meta.pubkey == keeper));
        assert_eq!(plan.details()["final"], false);
        // Slot 0 was up in 8 rounds and slot 1 in 10 at 60 each, 5 of each are paid; a tenth is the fee.
        assert_eq!(
            (&plan.details()["paid"]["amount"], &plan.details()["fee"]["amount"]),
            (&"432".into(), &"48".into())
        );
        change(&mut leased.data.account, |board, _| board.next_round = UNTIL);
        let last = plan_settlement(&leased, wallet(1), None).unwrap();
        assert!(last.title.ends_with("finally") && last.details()["slashed"]["amount"] == "100");
        assert_eq!((last.steps[0].again, last.transactions()), (None, 1));
        assert_eq!(rule(plan_settlement(&sample(2), wallet(1), None).unwrap_err()), "LeaseSettled");
    }

    #[test]
    fn thousands_of_machines_are_settled_by_as_many_transactions_as_that_takes() {
        let mut leased = sample(1);
        leased.lease.machines = 6_000;
        assert_eq!(plan_settlement(&leased, wallet(1), None).unwrap().steps[0].again, None, "in mid-term");
        change(&mut leased.data.account, |board, _| board.next_round = UNTIL);
        let plan = plan_settlement(&leased, wallet(1), None).unwrap();
        assert_eq!(plan.steps[0].again, Some(Again { lease: leased.address, most: 6 }));
        leased.lease.settled = 4_999;
        assert_eq!(plan_settlement(&leased, wallet(1), None).unwrap().transactions(), 2);
    }

    #[test]
    fn only_what_is_due_is_claimed() {
        let mut leased = sample(2);
        let both = plan_claim(&leased, wallet(1), &payee(true), &payee(true)).unwrap();
        let (refund, compensation) =
            (data::ClaimRefund::DISCRIMINATOR, data::ClaimCompensation::DISCRIMINATOR);
        assert!(starts(&both, &[refund, compensation]));
        assert_eq!(both.details()["refund"]["amount"], "40");
        let created = plan_claim(&leased, wallet(1), &payee(false), &payee(true)).unwrap();
        // An idempotent creation of an associated account is the byte 1.
        assert!(starts(&created, &[&[1], refund, compensation]) && created.growths.len() == 1);
        leased.lease.compensation_due = 0;
        let one = plan_claim(&leased, wallet(1), &payee(true), &payee(false)).unwrap();
        assert!(starts(&one, &[refund]) && one.growths.is_empty());
        let nothing = plan_claim(&sample(1), wallet(1), &payee(true), &payee(true)).unwrap_err();
        assert_eq!(rule(nothing), "NothingToWithdraw");
    }

    #[test]
    fn a_lease_is_closed_when_it_is_settled_empty_and_beyond_dispute() {
        let mut leased = sample(2);
        let later = i64::from(UNTIL + 144) * 600;
        assert_eq!(rule(plan_closing(&sample(1), later).unwrap_err()), "LeaseNotSettled");
        assert_eq!(rule(plan_closing(&leased, later).unwrap_err()), "LeaseHoldsMoney");
        (leased.lease.refund_due, leased.lease.compensation_due) = (0, 0);
        leased.lease.demands = 1;
        assert_eq!(rule(plan_closing(&leased, later).unwrap_err()), "DemandsLeft");
        leased.lease.demands = 0;
        assert_eq!(rule(plan_closing(&leased, later - 1).unwrap_err()), "DisputesOpen");
        assert!(starts(&plan_closing(&leased, later).unwrap(), &[data::CloseLease::DISCRIMINATOR]));
    }
}
