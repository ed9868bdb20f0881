//! `leasehold lease settle`, `claim` and `close`: how a lease ends.

use leasehold::{
    error::LeaseholdError,
    math::settlement::Burned,
    rules::{self, claim::due, settle::is_due},
};
use leasehold_client::{
    error::Refusal,
    instruction,
    quote::{forfeited_pay, settlement, standing, sum as burns},
};
use leasehold_operate::{
    act::act,
    chain::Chain,
    failure::Failure,
    payee::{Payee, require_payee},
    plan::{Again, Plan},
    table::count,
    time::{rfc3339, start_of},
};
use solana_pubkey::Pubkey;

use super::{
    ClaimArgs,
    leased::{Leased, plan_each},
    selection::LeasesArgs,
};
use crate::burned;

/// Machines that one transaction settles finally at least, whatever they did: the program goes by compute
/// units, and takes six transactions for 6,000 of which each lost stake (`docs/bench.md`).
const AT_ONCE: u32 = 1_000;

pub async fn settle(chain: &Chain, args: LeasesArgs) -> Result<(), Failure> {
    act(chain, plan_each(&args.load(chain).await?, "Settle", plan_settlement)?).await
}

pub async fn claim(chain: &Chain, args: ClaimArgs) -> Result<(), Failure> {
    let (leases, signer) = (args.leases.load_of(chain, args.owner).await?, chain.wallet()?);
    let Some(Leased { market, .. }) = leases.first() else { return Ok(()) };
    let owner = args.owner.unwrap_or(signer);
    for leased in &leases {
        require_payee("lease", &leased.lease.owner, &owner, "owner")?;
    }
    let payee = chain.payee(market, owner).await?;
    act(chain, plan_each(&leases, "Claim from", |leased| plan_claim(leased, signer, &payee))?).await
}

pub async fn close(chain: &Chain, args: LeasesArgs) -> Result<(), Failure> {
    let (leases, now) = (args.load(chain).await?, chain.fetch().now().await?);
    act(chain, plan_each(&leases, "Close", |leased| plan_closing(leased, now))?).await
}

fn plan_settlement(leased: &Leased) -> Result<Plan, Failure> {
    let Leased { lease, market, board, .. } = leased;
    let view = leased.view()?;
    let sum = settlement(&view, lease)?;
    let settle = instruction::settle_lease(board, leased.address);
    let how = if sum.is_final { "finally" } else { "for the rounds closed so far" };
    let money = |amount| market.payment.money(amount);
    // Only machines whose rounds are all closed are settled for good.
    let mut burned = Burned::default();
    let (mut kept, mut forfeited) = (0u64, 0u64);
    for (slot, machine) in standing(&view, lease)?.machines {
        let due = view.slot(slot).filter(|slot| is_due(view.header, lease, slot));
        if let Some(slot) = due {
            burned = burns(burned, machine.burned)?;
            forfeited = forfeited.saturating_add(forfeited_pay(lease, slot)?);
        } else {
            kept = kept.saturating_add(machine.kept);
        }
    }
    let plan = Plan::new(format!("Settle {} {how}", leased.name()))
        .fact("Lease:", "lease", leased.address)
        .fact_as("Final:", "final", if sum.is_final { "yes" } else { "no" }, sum.is_final)
        .fact_as(
            "Settled for good:",
            "machines",
            count(usize::try_from(sum.machines).unwrap_or(usize::MAX), "machine"),
            sum.machines,
        )
        .money("Machines are paid:", "paid", money(sum.payment.net))
        .money("Market's fee:", "fee", money(sum.payment.fee));
    let plan = if sum.is_final {
        plan
    } else {
        let text = format!("{} of the other machines' pay, until each leaves", money(kept));
        plan.money_as("Held back:", "kept", text, money(kept))
    };
    let mut plan = burned::shown(plan, market, &burned)?;
    if forfeited > 0 {
        let text = format!("{} of the pay of machines that their supplier forfeited", money(forfeited));
        plan = plan.money_as("Back to the owner:", "forfeited_pay", text, money(forfeited));
    }
    let mut plan = plan
        .money("Owner is refunded:", "refunded", money(sum.refunded))
        .money("Machines lose:", "slashed", market.stake.money(sum.slashed))
        .step("settle lease", vec![settle]);
    let most = usize::try_from(lease.unsettled.div_ceil(AT_ONCE)).unwrap_or(usize::MAX);
    if sum.is_final && most > 1 {
        plan.steps.iter_mut().for_each(|step| step.again = Some(Again { lease: leased.address, most }));
    }
    Ok(plan)
}

fn plan_claim(leased: &Leased, signer: Pubkey, payee: &Payee) -> Result<Plan, Failure> {
    let Leased { lease, market, board, address, .. } = leased;
    let refund = due(lease.refund_due).map_err(Refusal::from)?;
    let plan = Plan::new(format!("Claim the refund of {}", leased.name()))
        .fact("Lease:", "lease", address)
        .fact("Paid to:", "owner", lease.owner)
        .money("Refund:", "refund", market.payment.money(refund));
    let mut instructions = Vec::new();
    let plan = payee.prepare(plan, &mut instructions);
    instructions.push(instruction::claim_refund(board, signer, *address, payee.account));
    Ok(plan.step("claim", instructions))
}

fn plan_closing(leased: &Leased, now: i64) -> Result<Plan, Failure> {
    let Leased { lease, market, board, address, .. } = leased;
    let view = leased.view()?;
    rules::lease::require_closable(view.header, lease, now).map_err(|error| {
        let refusal = Refusal::from(error);
        let values = match refusal.error() {
            Some(LeaseholdError::LeaseNotSettled) => {
                format!("machines that are not settled: {}", lease.unsettled)
            }
            Some(LeaseholdError::DemandsLeft) => format!("demands: {}", lease.demands),
            Some(LeaseholdError::LeaseHoldsMoney) => {
                format!("refund: {}", market.payment.money(lease.refund_due))
            }
            Some(LeaseholdError::DisputesOpen) => {
                let end = start_of(&lease.terms, rules::lease::undisputed_from(view.header, lease));
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
    use leasehold::{instruction as data, state::SlotState};
    use leasehold_client::sample::{NEXT_ROUND, UNTIL, board_data, change, wallet};
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
        let plan = plan_settlement(&leased).unwrap();
        assert!(starts(&plan, &[data::SettleLease::DISCRIMINATOR]));
        assert_eq!(plan.details()["final"], false);
        // Slot 0 was up in 8 rounds and slot 1 in 10 at 60 each: two hours of it are kept.
        assert_eq!(
            (&plan.details()["paid"]["amount"], &plan.details()["kept"]["amount"]),
            (&"0".into(), &"1080".into())
        );
        assert_eq!(plan.details()["machines"], 0);
        change(&mut leased.data.account, |board, _| board.next_round = UNTIL);
        let last = plan_settlement(&leased).unwrap();
        assert!(last.title.ends_with("finally"), "{}", last.title);
        // The other ten rounds were void, of which each is paid its part: 8 of ten, and all ten.
        let (details, [net, fee]) = (last.details(), [1_890, 210]);
        assert!(details["machines"] == 2 && !details.contains_key("kept"));
        assert_eq!(
            (&details["paid"]["amount"], &details["fee"]["amount"]),
            (&net.to_string().into(), &fee.to_string().into())
        );
        // The price of a round down beyond the allowance is burned out of slot 0's pay, and a part of its bond.
        assert_eq!(
            (&details["burned"]["damages"]["amount"], &details["slashed"]["amount"]),
            (&"60".into(), &"2".into())
        );
        assert_eq!(details["refunded"]["amount"], (2_400 - net - fee - 60).to_string());
        assert_eq!((last.steps[0].again, last.transactions()), (None, 1));
        assert!(!details.contains_key("forfeited_pay"));
        // Forfeited, it is down in twelve of twenty rounds: a fifth of its pay is less than their price.
        change(&mut leased.data.account, |_, slots| slots[0].state = SlotState::Suspended as u8);
        let forfeited = plan_settlement(&leased).unwrap();
        let details = forfeited.details();
        assert_eq!(
            (&details["forfeited_pay"]["amount"], &details["burned"]["total"]["amount"]),
            (&"96".into(), &"0".into())
        );
        assert_eq!(details["refunded"]["amount"], (2_400 - (480 - 96) - 1_200).to_string());
        assert_eq!(rule(plan_settlement(&sample(2)).unwrap_err()), "LeaseSettled");
    }

    #[test]
    fn thousands_of_machines_are_settled_by_as_many_transactions_as_that_takes() {
        let leased = |machines: u32, next_round| {
            let mut leased = sample(1);
            let (mut header, slot) = {
                let view = leased.view().unwrap();
                (*view.header, view.slots[1])
            };
            (header.slots, header.next_round) = (machines, next_round);
            let slots = vec![slot; usize::try_from(machines).unwrap()];
            leased.data.account = board_data(&header, &slots);
            (leased.lease.machines, leased.lease.unsettled) = (machines, machines);
            leased.lease.deposit = 1_200 * u64::from(machines);
            leased
        };
        let (running, over) = (leased(6_000, NEXT_ROUND), leased(6_000, UNTIL));
        assert_eq!(plan_settlement(&running).unwrap().steps[0].again, None, "in mid-term");
        let plan = plan_settlement(&over).unwrap();
        assert_eq!(plan.steps[0].again, Some(Again { lease: over.address, most: 6 }));
        assert_eq!(plan_settlement(&leased(1_001, UNTIL)).unwrap().transactions(), 2);
    }

    #[test]
    fn only_what_is_due_is_claimed() {
        let leased = sample(2);
        let plan = plan_claim(&leased, wallet(1), &payee(true)).unwrap();
        let refund = data::ClaimRefund::DISCRIMINATOR;
        assert!(starts(&plan, &[refund]) && plan.growths.is_empty());
        assert_eq!(plan.details()["refund"]["amount"], "40");
        let created = plan_claim(&leased, wallet(1), &payee(false)).unwrap();
        // An idempotent creation of an associated account is the byte 1.
        assert!(starts(&created, &[&[1], refund]) && created.growths.len() == 1);
        let nothing = plan_claim(&sample(1), wallet(1), &payee(true)).unwrap_err();
        assert_eq!(rule(nothing), "NothingToWithdraw");
    }

    #[test]
    fn a_lease_is_closed_when_it_is_settled_empty_and_beyond_dispute() {
        let mut leased = sample(2);
        let later = i64::from(UNTIL + 144) * 600;
        assert_eq!(rule(plan_closing(&sample(1), later).unwrap_err()), "LeaseNotSettled");
        assert_eq!(rule(plan_closing(&leased, later).unwrap_err()), "LeaseHoldsMoney");
        leased.lease.refund_due = 0;
        leased.lease.demands = 1;
        assert_eq!(rule(plan_closing(&leased, later).unwrap_err()), "DemandsLeft");
        leased.lease.demands = 0;
        assert_eq!(rule(plan_closing(&leased, later - 1).unwrap_err()), "DisputesOpen");
        assert!(starts(&plan_closing(&leased, later).unwrap(), &[data::CloseLease::DISCRIMINATOR]));
    }
}
