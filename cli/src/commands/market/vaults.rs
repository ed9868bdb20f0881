//! A market's fees, what is burned, and closing the market.

use leasehold::{
    math::{add, sub},
    rules::{self, claim},
    state::Board,
};
use leasehold_client::{board::BoardView, error::Refusal, fetch::Fetched, instruction};
use leasehold_operate::{
    act::act,
    amount::{Money, Token},
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::{MarketView, require_authority},
    payee::{Payee, require_payee},
    plan::Plan,
};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{BurnArgs, WithdrawArgs};

pub async fn withdraw(chain: &Chain, args: WithdrawArgs) -> Result<(), Failure> {
    let (market, signer) = (chain.market(args.boards.market.id.0).await?, chain.wallet()?);
    let owner = args.authority.unwrap_or(signer);
    require_payee("market", &market.account.authority, &owner, "authority")?;
    let boards = chain.boards(&market.reference.address, args.boards.board).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    act(chain, plan_fees(&market, &views, signer, &chain.payee(&market, owner).await?)?).await
}

pub async fn burn(chain: &Chain, args: BurnArgs) -> Result<(), Failure> {
    let market = chain.market(args.boards.market.id.0).await?;
    let boards = chain.boards(&market.reference.address, args.boards.board).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    let creator = args.pool.then(|| chain.wallet()).transpose()?;
    act(chain, plan_burn(&market, &views, creator)?).await
}

pub async fn close(chain: &Chain, args: MarketArgs) -> Result<(), Failure> {
    let (market, wallet) = (chain.market(args.id.0).await?, chain.wallet()?);
    act(chain, plan_close(&market, wallet, &chain.stake_payee(&market, wallet).await?)?).await
}

fn plan_fees(
    market: &MarketView,
    boards: &[BoardView],
    signer: Pubkey,
    payee: &Payee,
) -> Result<Plan, Failure> {
    let due = Due::of(market.payment, boards, |board| Ok(board.ledger.fees))?;
    let plan = Plan::new(format!("Withdraw fees of market {}", market.account.id));
    pay(plan, &due, payee, |index| instruction::withdraw_fees(&market.board(index), signer, payee.account))
}

/// Burns slashed stake, and the payments that are set aside for it. `creator`: burns the keeper pools of unused boards that
/// this wallet created, too, so that they can be closed.
fn plan_burn(market: &MarketView, boards: &[BoardView], creator: Option<Pubkey>) -> Result<Plan, Failure> {
    let stake = Due::of(market.stake, boards, |board| Ok(board.ledger.slashed));
    let closes = |board: &Board| creator.filter(|creator| board.creator == *creator);
    let burnable = |board: &Board| rules::board::burnable(board, closes(board).is_some());
    let payments = Due::of(market.payment, boards, burnable);
    if stake.is_err() && payments.is_err() {
        let pool = if creator.is_some() {
            ""
        } else {
            ", or pass --pool as the creator of boards that are not used any more"
        };
        let text = "no stake is slashed and no payments are set aside, so there is nothing to burn";
        return Err(Failure::Refused(format!("{text}: try again after the next settlement{pool}")));
    }
    let none = |token: Token| Due { boards: Vec::new(), total: token.money(0) };
    let (stake, payments) =
        (stake.unwrap_or_else(|_| none(market.stake)), payments.unwrap_or_else(|_| none(market.payment)));
    let pool = |index: u32| {
        let board = boards.iter().find(|board| board.header.index == index).map(|board| board.header);
        // What is burned besides what is set aside.
        let pool =
            |board: &Board| Ok::<_, anchor_lang::error::Error>(sub(burnable(board)?, board.ledger.burning)?);
        board.map_or(Ok(0), pool).map_err(Refusal::from)
    };
    let mut plan = Plan::new(format!("Burn what was slashed or set aside on market {}", market.account.id))
        .money("Stake burned:", "stake", stake.total)
        .money("Payments burned:", "payments", payments.total);
    for (index, _) in &payments.boards {
        let pool = pool(*index)?;
        if pool > 0 {
            let text = format!(
                "{} of the payments are the keepers' pool of board {index}",
                market.payment.number(pool)
            );
            plan = plan.note("Pool:", text);
        }
    }
    for (index, money) in stake.boards {
        let burn = instruction::burn_slashed(&market.board(index));
        plan = plan.step(format!("stake of board {index}, {money}"), vec![burn]);
    }
    for (index, money) in payments.boards {
        let board = boards.iter().find(|board| board.header.index == index);
        let creator = board.and_then(|board| closes(board.header));
        let burn = instruction::burn_payments(&market.board(index), creator);
        let what = if pool(index)? > 0 { "payments and keepers' pool" } else { "payments" };
        plan = plan.step(format!("{what} of board {index}, {money}"), vec![burn]);
    }
    Ok(plan)
}

/// What a market can withdraw or burn.
struct Due {
    /// Boards of which something is due, by number, with the amount.
    boards: Vec<(u32, Money)>,
    total: Money,
}

impl Due {
    /// The amount `of` each board. A refusal if nothing is due.
    fn of(
        token: Token,
        boards: &[BoardView],
        of: impl Fn(&Board) -> anchor_lang::Result<u64>,
    ) -> Result<Self, Refusal> {
        let (mut due, mut total) = (Vec::new(), 0);
        for board in boards {
            if let Ok(amount) = claim::due(of(board.header)?) {
                total = add(total, amount)?;
                due.push((board.header.index, token.money(amount)));
            }
        }
        Ok(Due { boards: due, total: token.money(claim::due(total)?) })
    }
}

/// Pays to the market's authority, a transaction for each board.
fn pay(plan: Plan, due: &Due, payee: &Payee, build: impl Fn(u32) -> Instruction) -> Result<Plan, Failure> {
    let mut prepared = Vec::new();
    let plan = plan
        .money("Paid out:", "amount", due.total)
        .fact("To authority:", "authority", payee.owner)
        .fact("Account:", "account", payee.account);
    let mut plan = payee.prepare(plan, &mut prepared);
    for (index, money) in &due.boards {
        // Each has the account created, as far as the plan lets it.
        let instructions = prepared.iter().cloned().chain([build(*index)]).collect();
        plan = plan.step(format!("board {index}, {money}"), instructions);
    }
    Ok(plan)
}

fn plan_close(market: &MarketView, wallet: Pubkey, payee: &Payee) -> Result<Plan, Failure> {
    require_authority(market, &wallet)?;
    let account = &market.account;
    rules::market::require_closable(account).map_err(|error| {
        let values = format!("boards: {}, suppliers and keepers: {}", account.boards, account.members);
        Failure::rule(error, values)
    })?;
    let plan = Plan::new(format!("Close market {}", account.id))
        .fact("Market:", "market", market.reference.address)
        .fact("Rent goes to:", "rent_to", wallet);
    let mut instructions = Vec::new();
    let created = if payee.exists { "" } else { ", which is created" };
    let account =
        format!("{}{created}: stake that somebody sent to the vault unasked goes there", payee.account);
    let plan = plan.fact_as("Account:", "account", account, payee.account.to_string());
    let plan = payee.prepare(plan, &mut instructions);
    instructions.push(instruction::close_market(&market.reference, wallet, payee.account));
    Ok(plan.step("close market", instructions))
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::instruction as data;
    use leasehold_client::{
        board::BoardData,
        sample::{change, snapshot, wallet},
    };
    use leasehold_operate::sample::view;

    use super::*;

    /// The market's authority is wallet 8.
    const AUTHORITY: u8 = 8;

    fn payee(exists: bool) -> Payee {
        let [payer, owner, account, mint] = [wallet(1), wallet(AUTHORITY), wallet(30), wallet(31)];
        Payee { payer, owner, account, mint, token_program: Pubkey::default(), exists }
    }

    /// Fees are 30, the keepers' pool is 22; 10 of the stake and 4 of the payments are to be burned.
    fn board() -> BoardData {
        snapshot().boards.remove(0).data
    }

    fn starts(plan: &Plan, amount: &str, discriminators: &[&[u8]]) {
        assert_eq!(plan.details()["amount"]["amount"], amount);
        let [step] = &plan.steps[..] else { panic!("{plan:?}") };
        assert_eq!(step.instructions.len(), discriminators.len());
        for (instruction, start) in step.instructions.iter().zip(discriminators) {
            assert!(instruction.data.starts_with(start), "{plan:?}");
        }
    }

    #[test]
    fn fees_go_to_the_authority_and_the_keepers_pool_never() {
        let mut board = board();
        let fees = data::WithdrawFees::DISCRIMINATOR;
        let plan = plan_fees(&view(), &[board.view().unwrap()], wallet(1), &payee(false)).unwrap();
        starts(&plan, "30", &[&[1], fees]);
        assert_eq!(plan.details()["authority"], wallet(AUTHORITY).to_string());
        change(&mut board, |board, _| (board.machines, board.leases) = (0, 0));
        let plan = plan_fees(&view(), &[board.view().unwrap()], wallet(1), &payee(true)).unwrap();
        starts(&plan, "30", &[fees]);
        change(&mut board, |board, _| board.ledger.fees = 0);
        let nothing = plan_fees(&view(), &[board.view().unwrap()], wallet(1), &payee(true)).unwrap_err();
        assert_eq!(nothing.code(), 3);
    }

    #[test]
    fn slashed_stake_and_payments_are_burned_and_the_pool_of_an_unused_board() {
        let mut board = board();
        let burned = |board: &BoardData, creator| {
            let plan = plan_burn(&view(), &[board.view().unwrap()], creator).unwrap();
            let [stake, payments] = &plan.steps[..] else { panic!("{plan:?}") };
            assert!(stake.instructions[0].data.starts_with(data::BurnSlashed::DISCRIMINATOR));
            assert!(payments.instructions[0].data.starts_with(data::BurnPayments::DISCRIMINATOR));
            let signed = payments.instructions[0].accounts.iter().any(|meta| meta.is_signer);
            let amount = |name: &str| plan.details()[name]["amount"].as_str().unwrap().to_owned();
            (amount("stake"), amount("payments"), signed)
        };
        assert_eq!(burned(&board, None), ("10".to_owned(), "4".to_owned(), false));
        change(&mut board, |board, _| {
            (board.machines, board.leases, board.creator) = (0, 0, wallet(8));
        });
        assert_eq!(burned(&board, None), ("10".to_owned(), "4".to_owned(), false));
        assert_eq!(burned(&board, Some(wallet(8))), ("10".to_owned(), "26".to_owned(), true));
        assert_eq!(
            burned(&board, Some(wallet(7))),
            ("10".to_owned(), "4".to_owned(), false),
            "not its creator"
        );
        let told = |creator| {
            let plan = plan_burn(&view(), &[board.view().unwrap()], creator).unwrap();
            let pool = plan.facts.iter().find(|fact| fact.label == "Pool:").map(|fact| fact.text.clone());
            (pool, plan.steps[1].what.starts_with("payments and keepers' pool of board 0, "))
        };
        let pool = "0.000022 of the payments are the keepers' pool of board 0".to_owned();
        assert_eq!((told(Some(wallet(8))), told(None)), ((Some(pool), true), (None, false)));
        let nothing = plan_burn(&view(), &[], None).unwrap_err();
        assert!(
            nothing.code() == 3 && nothing.to_string().contains(", so there is nothing to burn: "),
            "{nothing}"
        );
    }

    #[test]
    fn a_market_is_closed_by_its_authority_when_nobody_is_in_it() {
        let mut market = view();
        let used = plan_close(&market, wallet(AUTHORITY), &payee(true)).unwrap_err();
        assert!(used.to_string().ends_with("(boards: 1, suppliers and keepers: 4)"), "{used}");
        (market.account.boards, market.account.members) = (0, 0);
        assert_eq!(plan_close(&market, wallet(1), &payee(true)).unwrap_err().code(), 3);
        let plan = plan_close(&market, wallet(AUTHORITY), &payee(false)).unwrap();
        let account = plan.facts.iter().find(|fact| fact.label == "Account:").unwrap();
        assert!(account.text.contains(", which is created: stake that "), "{}", account.text);
        assert_eq!((plan.steps[0].instructions.len(), plan.growths.len()), (2, 1));
        assert!(plan.steps[0].instructions[1].data.starts_with(data::CloseMarket::DISCRIMINATOR));
    }
}
