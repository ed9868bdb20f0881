//! `leasehold lease top-up` and `notice`.

use clap::Args;
use leasehold::{
    error::LeaseholdError,
    rules::meter::{self, Ender, ender},
};
use leasehold_client::{
    error::Refusal,
    instruction,
    quote::{Notice, notice as notice_of},
};
use leasehold_operate::{
    act::act,
    chain::Chain,
    failure::Failure,
    plan::Plan,
    time::{rfc3339, start_of},
};
use solana_pubkey::Pubkey;

use crate::{
    burned,
    commands::lease::{
        leased::{Leased, rounds},
        selection::LeaseArgs,
    },
};

#[derive(Args)]
pub struct TopUpArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Amount to add, in the market's payment mint. The part that vouchers don't use goes back to the lease's
    /// owner.
    pub amount: String,
}

pub async fn top_up(chain: &Chain, args: TopUpArgs) -> Result<(), Failure> {
    let leased = args.lease.load(chain).await?;
    act(chain, plan_top_up(&leased, chain.wallet()?, &args.amount)?).await
}

pub async fn notice(chain: &Chain, args: LeaseArgs) -> Result<(), Failure> {
    let (leased, now) = (args.load(chain).await?, chain.fetch().now().await?);
    act(chain, plan_notice(&leased, now, chain.wallet()?)?).await
}

fn plan_top_up(leased: &Leased, payer: Pubkey, amount: &str) -> Result<Plan, Failure> {
    let Leased { lease, market, board, address, .. } = leased;
    let money = market.payment.parse(amount)?;
    let deposit = meter::topped_up(lease, money.amount).map_err(Refusal::from)?;
    let wallet = market.reference.payment_account(&payer);
    let others = if lease.owner == payer { "" } else { ", who gets back what is not spent" };
    Ok(Plan::new(format!("Top up {}", leased.name()))
        .fact("Lease:", "lease", address)
        .fact_as("Owner:", "owner", format!("{}{others}", lease.owner), lease.owner.to_string())
        .money("Deposit then:", "deposit", market.payment.money(deposit))
        .spend("deposit", money, wallet)
        .step("top up lease", vec![instruction::top_up_lease(board, payer, *address, wallet, money.amount)]))
}

fn plan_notice(leased: &Leased, now: i64, signer: Pubkey) -> Result<Plan, Failure> {
    let Leased { lease, market, board, address, .. } = leased;
    let view = leased.view()?;
    let (_, machine) = view.leased(lease.serial).next().ok_or(Refusal::from(LeaseholdError::NotInLease))?;
    // A wallet that supplies the machine and owns the lease gives notice as the owner does, unless it is another's.
    let account = market.reference.supplier(&signer);
    let supplier = (signer != lease.owner && machine.supplier == account).then_some(account);
    let ender = ender(lease, machine, &signer, supplier);
    let end = |round| rfc3339(start_of(&lease.terms, round));
    let given = notice_of(&view, now, lease, ender).map_err(|refusal| match refusal.error() {
        Some(LeaseholdError::NoticeTooLate) => {
            Failure::rule(refusal, format!("it ends at {}", end(lease.until)))
        }
        Some(LeaseholdError::StandbyCovered) => {
            Failure::rule(refusal, format!("its owner is {}, and {signer} signs", lease.owner))
        }
        _ => refusal.into(),
    })?;
    let Notice { until, machine: left, settlement } = given;
    let last = until.saturating_sub(1);
    let settles = lease.settles_from(until);
    let side = match ender {
        Ender::Owner => "its owner",
        Ender::Supplier => "the machine's supplier",
        Ender::Anybody => "somebody else, since the deposit is short",
    };
    let exit = market.payment.money(left.exit);
    let plan = Plan::new(format!("Give notice to {}", leased.name()))
        .fact("Lease:", "lease", address)
        .fact("Given by:", "side", side)
        .fact_as(
            "Last round:",
            "last_round",
            format!("{last} ({} earlier than before)", rounds(lease.until - until)),
            last,
        )
        .fact("To:", "end", end(until))
        .fact_as("Vouchers:", "vouchers_until", format!("redeemed until {}", end(settles)), end(settles))
        .money_as("Owed for the hour:", "exit", format!("{exit} for the rest of its first hour"), exit)
        .money_as(
            "Machine is paid:",
            "paid_at_most",
            format!("{}, besides vouchers", market.payment.money(settlement.payment.net)),
            market.payment.money(settlement.payment.net),
        )
        .money("Market's fee:", "fee_at_most", market.payment.money(settlement.payment.fee));
    let back = market.payment.money(settlement.refunded);
    Ok(burned::shown(plan, market, &left.outcome.burned)?
        .money_as(
            "Back at least:",
            "refund_at_least",
            format!("{back}, less what vouchers take until then"),
            back,
        )
        .step("give notice", vec![instruction::give_notice(board, signer, *address, supplier)]))
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::instruction as data;
    use leasehold_client::sample::wallet;
    use leasehold_operate::sample::rule;
    use solana_instruction::Instruction;

    use super::*;
    use crate::commands::lease::{leased::tests::sample, meter::tests::metered};

    fn only(plan: &Plan) -> &Instruction {
        let [step] = &plan.steps[..] else { panic!("{plan:?}") };
        let [instruction] = &step.instructions[..] else { panic!("{plan:?}") };
        instruction
    }

    #[test]
    fn anybody_tops_up_a_metered_lease_for_its_owner() {
        let plan = plan_top_up(&metered(), wallet(5), "0.0004").unwrap();
        assert_eq!(
            (plan.spends[0].money.amount, &plan.details()["deposit"]["amount"]),
            (400, &"2800".into())
        );
        assert_eq!(plan.details()["owner"], wallet(9).to_string());
        assert!(plan.facts[1].text.ends_with("who gets back what is not spent"));
        let top_up = only(&plan);
        assert_eq!(top_up.data, [data::TopUpLease::DISCRIMINATOR, &400u64.to_le_bytes()].concat());
        let paid_by = metered().market.reference.payment_account(&wallet(5));
        assert!(top_up.accounts.iter().any(|meta| meta.pubkey == paid_by));
        let own = plan_top_up(&metered(), wallet(9), "1").unwrap();
        assert_eq!(own.facts[1].text, wallet(9).to_string());
        assert_eq!(rule(plan_top_up(&metered(), wallet(9), "0").unwrap_err()), "AmountIsZero");
        assert_eq!(rule(plan_top_up(&sample(1), wallet(9), "1").unwrap_err()), "LeaseNotMetered");
        let mut over = metered();
        over.lease.state = leasehold::state::LeaseState::Cancelled;
        assert_eq!(rule(plan_top_up(&over, wallet(9), "1").unwrap_err()), "LeaseNotOpen");
    }

    #[test]
    fn notice_is_given_by_either_side_and_tells_the_end() {
        // Round 1,000 runs; six more make 1,006 the last of 1,009.
        let leased = metered();
        let by_owner = plan_notice(&leased, 600_000, wallet(9)).unwrap();
        assert_eq!(by_owner.details()["last_round"], 1_006);
        assert_eq!(by_owner.facts[2].text, "1006 (3 rounds earlier than before)");
        assert_eq!(by_owner.details()["end"], "1970-01-07T23:50:00Z");
        assert_eq!(by_owner.details()["vouchers_until"], "1970-01-08T00:10:00Z");
        assert!(only(&by_owner).data.starts_with(data::GiveNotice::DISCRIMINATOR));
        let account = leased.market.reference.supplier(&wallet(0));
        let names = |plan: &Plan| only(plan).accounts.iter().any(|meta| meta.pubkey == account);
        assert!(!names(&by_owner));
        let by_supplier = plan_notice(&leased, 600_000, wallet(0)).unwrap();
        assert!(names(&by_supplier));
        assert_eq!(by_supplier.details()["side"], "the machine's supplier");
        let stranger = plan_notice(&leased, 600_000, wallet(1)).unwrap_err();
        assert!(stranger.code() == 3 && stranger.to_string().contains(&wallet(9).to_string()), "{stranger}");
        // Round 1,003 would end it with 1,009, as it does anyway.
        assert!(plan_notice(&leased, 1_002 * 600, wallet(9)).is_ok());
        assert_eq!(rule(plan_notice(&leased, 1_003 * 600, wallet(9)).unwrap_err()), "NoticeTooLate");
        assert_eq!(rule(plan_notice(&sample(1), 600_000, wallet(9)).unwrap_err()), "LeaseNotMetered");
    }
}
