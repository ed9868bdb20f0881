//! `leasehold keeper seat`, `leave` and `claim`.

use leasehold::{
    error::LeaseholdError,
    math::add,
    rules::{claim::due, seat::require_free},
    state::Keeper,
};
use leasehold_client::{board::BoardView, error::Refusal, fetch::FetchedBoard, instruction, search::Bonds};
use leasehold_operate::{
    act::act, chain::Chain, failure::Failure, market::MarketView, payee::Payee, plan::Plan, table::count,
};
use solana_pubkey::Pubkey;

use super::{FundArgs, LeaveArgs, SeatArgs, ShowArgs, account, exit};
use crate::bonds;

pub async fn take(chain: &Chain, args: SeatArgs) -> Result<(), Failure> {
    let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
    let keeper = account(chain, &market.reference.address, &wallet).await?;
    let board = chain.board(&market.reference.address, args.board).await?;
    act(chain, plan_seat(&market, &keeper, &board.view()?, args.seat)?).await
}

pub async fn leave(chain: &Chain, args: LeaveArgs) -> Result<(), Failure> {
    let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
    let keeper = account(chain, &market.reference.address, &wallet).await?;
    let board = chain.board(&market.reference.address, args.board).await?;
    let view = board.view()?;
    if view.seat_of(&wallet).is_none() {
        let advice = "see `leasehold keeper show`";
        return Err(Failure::Refused(format!("{wallet} has no seat of board {}: {advice}", args.board)));
    }
    act(
        chain,
        exit::leave(&market, &keeper, &[view], &chain.payee(&market, wallet).await?, args.forfeit_fees)?,
    )
    .await
}

pub async fn claim(chain: &Chain, args: ShowArgs) -> Result<(), Failure> {
    let market = chain.market(args.market.id.0).await?;
    let owner = chain.wallet_or(args.keeper)?;
    let boards = chain.boards(&args.market.id.0, None).await?;
    act(chain, plan_claim(&market, &boards, chain.wallet()?, &chain.payee(&market, owner).await?)?).await
}

pub async fn fund(chain: &Chain, args: FundArgs) -> Result<(), Failure> {
    let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
    let board = chain.board(&market.reference.address, args.board).await?;
    act(chain, plan_fund(&market, &board.view()?, wallet, &args.amount)?).await
}

/// Adds to a board's keeper pool.
fn plan_fund(market: &MarketView, board: &BoardView, funder: Pubkey, amount: &str) -> Result<Plan, Failure> {
    let money = market.payment.parse(amount)?;
    if money.amount == 0 {
        return Err(Refusal::from(LeaseholdError::AmountIsZero).into());
    }
    let index = board.header.index;
    let pool = add(board.header.ledger.keeper_pool, money.amount).map_err(Refusal::from)?;
    let wallet = market.reference.payment_account(&funder);
    let fund = instruction::fund_keepers(&market.board(index), funder, wallet, money.amount);
    Ok(Plan::new(format!("Fund the keepers of board {index}"))
        .fact_as("Board:", "board", index, index)
        .money("Pool then:", "pool", market.payment.money(pool))
        .note("Refundable:", "no; what the pool holds beyond four weeks of the highest pay is burned")
        .spend("keepers' pay", money, wallet)
        .step("fund keepers", vec![fund]))
}

/// Takes the seat that was named, or the first that is vacant.
fn plan_seat(
    market: &MarketView,
    keeper: &Keeper,
    board: &BoardView,
    named: Option<u8>,
) -> Result<Plan, Failure> {
    let (index, wallet, header) = (board.header.index, keeper.authority, board.header);
    let refused = |refusal: Refusal, values: String| {
        let seats = count(header.seat_count.into(), "seat");
        Err(Failure::rule(refusal, format!("board {index}, which has {seats}: {values}")))
    };
    if let Some((held, _)) = board.seat_of(&wallet) {
        return refused(LeaseholdError::SecondSeat.into(), format!("the wallet holds seat {held}"));
    }
    let Some(seat) = named.or_else(|| board.vacant_seat()) else {
        let seats = header.seat_count;
        return Err(Failure::Refused(format!(
            "board {index} has no vacant seat ({seats} of {seats} taken): try another board"
        )));
    };
    if let Err(error) = require_free(header, seat, &wallet) {
        return refused(
            error.into(),
            match header.seat(seat) {
                Ok(held) => format!("{} holds seat {seat}", held.keeper),
                Err(_) => format!("there is no seat {seat}"),
            },
        );
    }
    let bond = Bonds::of_seat(&market.account);
    if let Err(error) = { keeper.stake }.bond(bond.now) {
        let free = market.stake.number(keeper.stake.free);
        let bond = market.stake.number(bond.now);
        let refusal = Refusal::from(error);
        return Err(Failure::Refused(format!(
            "{refusal} (a seat takes {bond}, free is {free}): run `leasehold keeper bond`"
        )));
    }
    let take = instruction::take_seat(&market.board(index), wallet, seat);
    let plan = Plan::new(format!("Take seat {seat} of board {index}"))
        .fact_as("Board:", "board", index, index)
        .fact_as("Seat:", "seat", seat, seat);
    let plan = bonds::shown(bond, plan, market, "Bond it takes:", "bond");
    Ok(bonds::left(bond, plan, market, keeper.stake.free).step("take seat", vec![take]))
}

/// Claims what the seats of the keeper `payee.owner` have earned.
fn plan_claim(
    market: &MarketView,
    boards: &[FetchedBoard],
    signer: Pubkey,
    payee: &Payee,
) -> Result<Plan, Failure> {
    let (mut prepared, mut steps, mut total) = (Vec::new(), Vec::new(), 0u64);
    for board in boards {
        let view = board.view()?;
        let Some((number, seat)) = view.seat_of(&payee.owner) else { continue };
        let Ok(earned) = due(seat.earned) else { continue };
        total = total.saturating_add(earned);
        let board = market.board(view.header.index);
        let earned = market.payment.money(earned);
        let claim = instruction::claim_keeper_fees(&board, signer, payee.account, number);
        steps.push((format!("seat {number} of board {}, {earned}", board.index), claim));
    }
    let total = due(total).map_err(Refusal::from)?;
    let plan = Plan::new("Claim a keeper's fees")
        .fact("Keeper:", "keeper", payee.owner)
        .money("Paid out:", "amount", market.payment.money(total))
        .fact("To:", "account", payee.account);
    let mut plan = payee.prepare(plan, &mut prepared);
    for (what, claim) in steps {
        // Each has the account created, as far as the plan lets it.
        plan = plan.step(what, prepared.iter().cloned().chain([claim]).collect());
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::{instruction as data, state::Seat};
    use leasehold_client::{
        board::BoardData,
        fetch::Fetched,
        sample::{change, snapshot, wallet},
    };
    use leasehold_operate::sample::{announcing, view};

    use super::*;

    /// Keeper 2 holds seat 0 of board 0 and keeper 3 seat 1; seat 2 of 3 is vacant. Keeper 5 has free stake.
    fn sample() -> (Keeper, BoardData) {
        let mut snapshot = snapshot();
        let keeper = Keeper { authority: wallet(5), seats: 0, locked: 0, ..snapshot.keepers.remove(0).1 };
        (keeper, snapshot.boards.remove(0).data)
    }

    fn refusal(keeper: &Keeper, board: &BoardData, seat: Option<u8>) -> String {
        let failure = plan_seat(&view(), keeper, &board.view().unwrap(), seat).unwrap_err();
        assert_eq!(failure.code(), 3);
        failure.to_string()
    }

    #[test]
    fn the_first_vacant_seat_is_taken_and_its_bond_shown() {
        let (keeper, board) = sample();
        for seat in [None, Some(2)] {
            let plan = plan_seat(&view(), &keeper, &board.view().unwrap(), seat).unwrap();
            let expected = [data::TakeSeat::DISCRIMINATOR, &[2]].concat();
            assert_eq!(plan.steps[0].instructions[0].data, expected);
            assert_eq!(plan.details()["bond"]["amount"], "50");
            assert_eq!(plan.details()["free"]["amount"], "950");
        }
    }

    #[test]
    fn a_seat_may_take_the_bond_of_announced_parameters() {
        let (mut keeper, board) = sample();
        let market = announcing(|params| params.keeper_bond = 80);
        keeper.stake.free = 50;
        let plan = plan_seat(&market, &keeper, &board.view().unwrap(), None).unwrap();
        let (bond, left) = (&plan.details()["bond"], &plan.details()["free"]);
        assert_eq!((&bond["amount"], &left["amount"]), (&"80".into(), &"0".into()));
        keeper.stake.free = 49;
        assert_eq!(plan_seat(&market, &keeper, &board.view().unwrap(), None).unwrap_err().code(), 3);
    }

    #[test]
    fn seats_that_can_not_be_taken_are_refused_with_the_reason() {
        let (keeper, mut board) = sample();
        assert!(refusal(&keeper, &board, Some(1)).contains(&format!("{} holds seat 1", wallet(3))));
        assert!(refusal(&keeper, &board, Some(3)).contains("which has 3 seats"));
        let seated = Keeper { authority: wallet(2), ..keeper.clone() };
        assert!(refusal(&seated, &board, None).contains("the wallet holds seat 0"));
        let mut poor = keeper.clone();
        poor.stake.free = 49;
        assert!(refusal(&poor, &board, None).contains("a seat takes 0.5, free is 0.49"));
        change(&mut board, |board, _| board.seats[2] = Seat { keeper: wallet(4), ..board.seats[1] });
        assert!(refusal(&keeper, &board, None).starts_with("board 0 has no vacant seat (3 of 3 taken)"));
    }

    #[test]
    fn fees_are_claimed_without_leaving_by_anybody() {
        let (_, data) = sample();
        let boards = [Fetched { address: view().board(0).address, lamports: 1, account: data }];
        let payee = |owner: u8| Payee {
            payer: wallet(1),
            owner: wallet(owner),
            account: wallet(30),
            mint: wallet(31),
            token_program: Pubkey::default(),
            exists: false,
        };
        let plan = plan_claim(&view(), &boards, wallet(1), &payee(3)).unwrap();
        let [step] = &plan.steps[..] else { panic!("{plan:?}") };
        assert_eq!(step.instructions[1].data, [data::ClaimKeeperFees::DISCRIMINATOR, &[1]].concat());
        assert_eq!(plan.details()["amount"]["amount"], "4");
        assert_eq!(plan_claim(&view(), &boards, wallet(1), &payee(5)).unwrap_err().code(), 3);
    }
}
