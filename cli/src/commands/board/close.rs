//! `leasehold board trim` and `close`.

use leasehold::{error::LeaseholdError, rules};
use leasehold_client::{board::BoardView, instruction, listing};
use leasehold_operate::{
    act::act, chain::Chain, failure::Failure, market::MarketView, payee::Payee, plan::Plan, table::count,
};
use solana_pubkey::Pubkey;

use super::BoardArgs;

pub async fn trim(chain: &Chain, args: BoardArgs) -> Result<(), Failure> {
    let market = chain.market(args.market.id.0).await?;
    let board = chain.board(&market.reference.address, args.board).await?;
    act(chain, plan_trim(&market, &board.view()?, chain.wallet()?)?).await
}

pub async fn close(chain: &Chain, args: BoardArgs) -> Result<(), Failure> {
    let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
    let board = chain.board(&market.reference.address, args.board).await?;
    act(chain, plan_close(&market, &board.view()?, &chain.payee(&market, wallet).await?)?).await
}

fn plan_trim(market: &MarketView, view: &BoardView, payer: Pubkey) -> Result<Plan, Failure> {
    let board = market.board(view.header.index);
    let trims = listing::trim(&board, view, payer);
    // Besides the board, each names a supplier for each slot.
    let slots = trims.iter().map(|trim| trim.accounts.len().saturating_sub(1)).fold(0, usize::saturating_add);
    if slots == 0 {
        return Err(Failure::Refused(format!(
            "nothing to trim: board {} has no vacant slot at its end (it has {})",
            board.index,
            count(view.slots.len(), "slot")
        )));
    }
    let text = format!("{slots} of {}", view.slots.len());
    let mut plan = Plan::new(format!("Trim board {}", board.index))
        .fact("Board:", "board", board.address)
        .fact_as("Slots removed:", "slots", text, slots)
        .fact("Rent goes to:", "rent_to", "the suppliers that left them");
    for (place, trim) in trims.into_iter().enumerate() {
        let what = format!("part {}", place.saturating_add(1));
        // The last slots are cut off first.
        plan = if place == 0 { plan.step(what, vec![trim]) } else { plan.step_after(what, vec![trim]) };
    }
    Ok(plan)
}

fn plan_close(market: &MarketView, view: &BoardView, payee: &Payee) -> Result<Plan, Failure> {
    let (header, board) = (view.header, market.board(view.header.index));
    if header.creator != payee.owner {
        let values = format!("board {} was created by {}", board.index, header.creator);
        return Err(Failure::rule(LeaseholdError::WrongAuthority, values));
    }
    rules::board::require_closable(header).map_err(|error| {
        let seats = header.taken_seats().count_ones();
        let money = if header.ledger.is_empty() { "no" } else { "some" };
        let values =
            format!("slots: {}, leases: {}, seats held: {seats}, {money} money", header.slots, header.leases);
        Failure::rule(error, values)
    })?;
    let plan = Plan::new(format!("Close board {}", board.index)).fact("Board:", "board", board.address).fact(
        "Rent goes to:",
        "rent_to",
        payee.owner,
    );
    let mut instructions = Vec::new();
    // Payments that somebody sent to the vault unasked go there.
    let plan = payee.prepare(plan, &mut instructions);
    instructions.push(instruction::close_board(&board, payee.owner, payee.account));
    Ok(plan.step("close board", instructions))
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::{
        instruction as data,
        state::{Board, Slot},
    };
    use leasehold_client::{
        board::BoardData,
        sample::{board_data, change, slot, snapshot, wallet},
    };
    use leasehold_operate::sample::view;

    use super::*;

    /// A board that wallet 8 created, without money.
    fn board(slots: &[Slot]) -> BoardData {
        let sample = snapshot().boards.remove(0).data;
        let mut header: Board = *sample.view().unwrap().header;
        header.creator = wallet(8);
        header.ledger = bytemuck::Zeroable::zeroed();
        header.seats = bytemuck::Zeroable::zeroed();
        (header.slots, header.leases) = (u32::try_from(slots.len()).unwrap(), 0);
        board_data(&header, slots)
    }

    fn payee(owner: u8) -> Payee {
        let [payer, owner, account, mint] = [wallet(1), wallet(owner), wallet(30), wallet(31)];
        Payee { payer, owner, account, mint, token_program: Pubkey::default(), exists: false }
    }

    #[test]
    fn vacant_slots_are_cut_off_the_end() {
        let vacant = |supplier| {
            let mut slot = slot(supplier);
            slot.vacate().unwrap();
            slot
        };
        let kept = board(&[vacant(0), slot(1)]);
        assert_eq!(plan_trim(&view(), &kept.view().unwrap(), wallet(1)).unwrap_err().code(), 3);
        let end = board(&[vacant(0), slot(1), vacant(0), vacant(1)]);
        let plan = plan_trim(&view(), &end.view().unwrap(), wallet(1)).unwrap();
        assert_eq!(plan.details()["slots"], 2);
        let [step] = &plan.steps[..] else { panic!("{plan:?}") };
        assert!(step.instructions[0].data.starts_with(data::TrimBoard::DISCRIMINATOR));
        let many = board(&vec![vacant(0); 2_000]);
        let plan = plan_trim(&view(), &many.view().unwrap(), wallet(1)).unwrap();
        assert_eq!(plan.details()["slots"], 2_000);
        assert!(!plan.steps[0].builds && plan.steps.len() > 1);
        assert!(plan.steps[1..].iter().all(|step| step.builds));
    }

    #[test]
    fn an_empty_board_is_closed_by_its_creator() {
        let mut empty = board(&[]);
        let stranger = plan_close(&view(), &empty.view().unwrap(), &payee(1)).unwrap_err();
        assert!(stranger.code() == 3 && stranger.to_string().contains(&wallet(8).to_string()));
        let plan = plan_close(&view(), &empty.view().unwrap(), &payee(8)).unwrap();
        assert_eq!((plan.steps[0].instructions.len(), plan.growths.len()), (2, 1));
        assert!(plan.steps[0].instructions[1].data.starts_with(data::CloseBoard::DISCRIMINATOR));
        change(&mut empty, |board, _| board.ledger.fees = 1);
        let money = plan_close(&view(), &empty.view().unwrap(), &payee(8)).unwrap_err();
        assert!(money.to_string().ends_with("(slots: 0, leases: 0, seats held: 0, some money)"), "{money}");
        let used = board(&[slot(0)]);
        assert_eq!(plan_close(&view(), &used.view().unwrap(), &payee(8)).unwrap_err().code(), 3);
    }
}
