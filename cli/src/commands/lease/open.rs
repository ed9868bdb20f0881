//! `leasehold lease open`.

use leasehold::state::Lease;
use leasehold_client::{fetch::Fetched, instruction};
use solana_pubkey::Pubkey;

use super::{OpenArgs, cluster};
use crate::{
    act::act,
    amount::Money,
    chain::{Chain, MarketView},
    commands::quote::Offer,
    criteria,
    failure::Failure,
    kinds,
    pick::{Choice, Picked, pick},
    plan::Plan,
    table::some_slots,
};
use anchor_lang::Space;

pub async fn run(chain: &Chain, args: OpenArgs) -> Result<(), Failure> {
    if args.wish.meter.metered {
        return super::meter::open(chain, args).await;
    }
    let market = chain.market(args.wish.market.id.0).await?;
    let boards = chain.boards(&args.wish.market.id.0, args.wish.board).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    let (now, buyer) = (chain.fetch().now().await?, chain.wallet()?);
    let choice = pick(&market, &views, now, &args.wish.wish(&market)?)?;
    let most = args.max_deposit.as_deref().map(|most| market.payment.parse(most)).transpose()?;
    act(chain, plan(&market, &choice, buyer, most, args.cluster)?).await
}

/// Opens the leases that were quoted, or such that cost at most `most`.
fn plan(
    market: &MarketView,
    choice: &Choice,
    buyer: Pubkey,
    most: Option<Money>,
    cluster: Option<u64>,
) -> Result<Plan, Failure> {
    let most = most.unwrap_or(market.payment.money(choice.deposit));
    if most.amount < choice.deposit {
        let total = market.payment.number(choice.deposit);
        return Err(Failure::Refused(format!("it costs {total} now: pass a larger --max-deposit")));
    }
    match &choice.parts[..] {
        [picked] => Ok(plan_one(market, picked, buyer, most, cluster)),
        _ => cluster::plan(market, choice, buyer, most, cluster),
    }
}

fn plan_one(market: &MarketView, picked: &Picked, buyer: Pubkey, most: Money, cluster: Option<u64>) -> Plan {
    let quote = &picked.quote;
    let offer = Offer::new(market, picked);
    let board = market.board(picked.board);
    let lease = board.lease(quote.serial);
    let wallet = market.reference.payment_account(&buyer);
    let open = instruction::open_lease(&board, buyer, wallet, quote.args(most.amount, cluster));
    let rounds = format!("{} to {}", quote.from, quote.until.saturating_sub(1));
    let mut plan = Plan::new(format!("Open lease {}:{}", picked.board, quote.serial))
        .item("Lease:", "leases", lease, cluster::opened(market, picked))
        .note("Machines:", format!("{} ({})", quote.slots.len(), some_slots(&quote.slots)));
    for (label, text) in kinds::lines(&picked.kinds) {
        plan = plan.note(label, text);
    }
    if let Some(cluster) = cluster {
        plan = plan.fact("Cluster:", "cluster", cluster);
    }
    criteria::shown(plan, market, &quote.criteria)
        .fact_as("Rounds:", "rounds", rounds, quote.rounds)
        .fact("From:", "start", &offer.start)
        .fact("To:", "end", &offer.end)
        .money("Deposit now:", "deposit", offer.total)
        .money_as(
            "Refundable:",
            "refundable",
            format!("{} where cancelled in its first round", offer.refundable),
            offer.refundable,
        )
        .spend("deposit", most, wallet)
        .creates(8 + Lease::INIT_SPACE)
        .step("open lease", vec![open])
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator};
    use leasehold::instructions::OpenLeaseArgs;
    use leasehold_client::{quote::ANY, sample::wallet};

    use super::*;
    use crate::{
        chain::tests::view,
        pick::tests::{NOW, priced, wish},
    };

    fn opened(most: Option<u64>) -> Result<Plan, Failure> {
        let board = priced(0, &[720, 360, 360]);
        let picked = pick(&view(), &[board.view().unwrap()], NOW, &wish(2)).unwrap();
        plan(&view(), &picked, wallet(9), most.map(|most| view().payment.money(most)), Some(5))
    }

    #[test]
    fn a_lease_is_opened_for_what_was_quoted() {
        let plan = opened(None).unwrap();
        assert_eq!(plan.title, "Open lease 0:3");
        assert_eq!((plan.spends.len(), plan.spends[0].money.amount, plan.growths.len()), (1, 720, 1));
        let [step] = &plan.steps[..] else { panic!() };
        let [open] = &step.instructions[..] else { panic!() };
        assert!(open.data.starts_with(leasehold::instruction::OpenLease::DISCRIMINATOR));
        let args = OpenLeaseArgs::try_from_slice(&open.data[8..]).unwrap();
        assert_eq!((args.serial, args.machines, args.rounds), (3, 2, 6));
        assert_eq!((args.max_deposit, args.group), (720, Some(5)));
        let lease = view().board(0).lease(3);
        assert!(open.accounts.iter().any(|meta| meta.pubkey == lease));
        let opened = &plan.details()["leases"][0];
        assert_eq!((&opened["lease"], &opened["serial"]), (&lease.to_string().into(), &3.into()));
        assert_eq!(opened["slots"], serde_json::json!([1, 2]));
        assert_eq!(plan.details()["cluster"], "5");
        let criteria = plan.facts.iter().find(|fact| fact.label == "Criteria:").unwrap();
        assert_eq!((criteria.text.as_str(), args.criteria), ("any class, the cheapest first", ANY));
    }

    #[test]
    fn machines_of_several_boards_make_a_cluster() {
        let boards = [priced(0, &[720]), priced(1, &[360])];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let choice = pick(&view(), &views, NOW, &wish(2)).unwrap();
        let most = |most| Some(view().payment.money(most));
        let plan = plan(&view(), &choice, wallet(9), most(2_000), None).unwrap();
        assert_eq!((plan.steps[0].instructions.len(), plan.spends[0].money.amount), (2, 2_000));
        let refused = super::plan(&view(), &choice, wallet(9), most(1_079), None).unwrap_err();
        assert!(refused.to_string().contains("it costs 0.00108 now"), "{refused}");
    }

    #[test]
    fn a_larger_deposit_may_be_allowed_and_a_smaller_is_refused() {
        let plan = opened(Some(800)).unwrap();
        let args = OpenLeaseArgs::try_from_slice(&plan.steps[0].instructions[0].data[8..]).unwrap();
        assert_eq!((args.max_deposit, plan.spends[0].money.amount), (800, 800));
        let refused = opened(Some(719)).unwrap_err();
        assert_eq!(refused.code(), 3);
        assert!(refused.to_string().contains("it costs 0.00072 now"), "{refused}");
    }
}
