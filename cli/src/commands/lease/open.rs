//! `leasehold lease open`.

use leasehold::state::Lease;
use leasehold_client::{fetch::Fetched, instruction};
use solana_pubkey::Pubkey;

use super::OpenArgs;
use crate::{
    act::act,
    amount::Money,
    chain::{Chain, MarketView},
    commands::quote::Offer,
    failure::Failure,
    pick::{Picked, pick},
    plan::Plan,
};
use anchor_lang::Space;

pub async fn run(chain: &Chain, args: OpenArgs) -> Result<(), Failure> {
    if args.wish.meter.metered {
        return super::meter::open(chain, args).await;
    }
    let market = chain.market(args.wish.market.id.0).await?;
    let boards = chain.boards(&args.wish.market.id.0, args.wish.board).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    let now = chain.fetch().now().await?;
    let picked = pick(&market, &views, now, &args.wish.wish(&market)?)?;
    let most = args.max_deposit.as_deref().map(|most| market.payment.parse(most)).transpose()?;
    act(chain, plan(&market, &picked, chain.wallet()?, most, args.cluster)?).await
}

/// Opens the lease that was quoted, or one that costs at most `most`.
fn plan(
    market: &MarketView,
    picked: &Picked,
    buyer: Pubkey,
    most: Option<Money>,
    cluster: Option<u64>,
) -> Result<Plan, Failure> {
    let quote = &picked.quote;
    let offer = Offer::new(market, picked);
    let most = most.unwrap_or(offer.total);
    if most.amount < quote.deposit {
        let total = market.payment.number(quote.deposit);
        return Err(Failure::Refused(format!("it costs {total} now: pass a larger --max-deposit")));
    }
    let board = market.board(picked.board);
    let lease = board.lease(quote.serial);
    let wallet = market.reference.payment_account(&buyer);
    let open = instruction::open_lease(&board, buyer, wallet, quote.args(most.amount, cluster));
    let slots: Vec<_> = quote.slots.iter().map(u16::to_string).collect();
    let rounds = format!("{} to {}", quote.from, quote.until.saturating_sub(1));
    Ok(Plan::new(format!("Open lease {} on board {}", quote.serial, picked.board))
        .fact("Lease:", "lease", lease)
        .fact_as(
            "Machines:",
            "slots",
            format!("{} (slots {})", slots.len(), slots.join(", ")),
            quote.slots.clone(),
        )
        .fact("Rounds:", "rounds", rounds)
        .fact("From:", "start", &offer.start)
        .fact("To:", "end", &offer.end)
        .money("Deposit now:", "deposit", offer.total)
        .money("Refundable:", "refundable", offer.refundable)
        .spend("deposit", most)
        .creates(8 + Lease::INIT_SPACE)
        .step("open lease", vec![open]))
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator};
    use leasehold::instructions::OpenLeaseArgs;
    use leasehold_client::sample::wallet;

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
        assert_eq!(plan.title, "Open lease 3 on board 0");
        assert_eq!((plan.spends.len(), plan.spends[0].money.amount, plan.growths.len()), (1, 720, 1));
        let [step] = &plan.steps[..] else { panic!() };
        let [open] = &step.instructions[..] else { panic!() };
        assert!(open.data.starts_with(leasehold::instruction::OpenLease::DISCRIMINATOR));
        let args = OpenLeaseArgs::try_from_slice(&open.data[8..]).unwrap();
        assert_eq!((args.serial, args.machines, args.rounds), (3, 2, 6));
        assert_eq!((args.max_deposit, args.cluster), (720, Some(5)));
        let lease = view().board(0).lease(3);
        assert!(open.accounts.iter().any(|meta| meta.pubkey == lease));
        assert_eq!(plan.details()["lease"], lease.to_string());
        assert_eq!(plan.details()["slots"], serde_json::json!([1, 2]));
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
