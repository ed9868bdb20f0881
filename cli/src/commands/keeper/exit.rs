//! `leasehold keeper exit`: each run takes the next step that is possible.

use leasehold::{
    error::LeaseholdError,
    rules::{claim::due, keeper::require_closable, seat::require_counted},
    state::Keeper,
};
use leasehold_client::{board::BoardView, error::Refusal, fetch::Fetched, instruction};
use leasehold_operate::{
    act::act,
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::MarketView,
    payee::Payee,
    plan::Plan,
    time::rfc3339,
};

use super::account;

pub async fn run(chain: &Chain, args: MarketArgs) -> Result<(), Failure> {
    let (market, wallet) = (chain.market(args.id.0).await?, chain.wallet()?);
    let keeper = account(chain, &market.reference.address, &wallet).await?;
    let boards = chain.boards(&args.id.0, None).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    let payments = chain.payee(&market, wallet).await?;
    let stake = chain.stake_payee(&market, wallet).await?;
    let now = chain.fetch().now().await?;
    act(chain, plan(&market, &keeper, &views, now, &payments, &stake)?).await
}

/// The next step of leaving: seats are left, which frees bonds; these are asked back, and paid out after a time; then
/// the account is closed.
fn plan(
    market: &MarketView,
    keeper: &Keeper,
    boards: &[BoardView],
    now: i64,
    payments: &Payee,
    stake: &Payee,
) -> Result<Plan, Failure> {
    let (reference, wallet, held) = (&market.reference, keeper.authority, keeper.stake);
    let next = |plan: Plan, next: &str| plan.fact("Then:", "then", next);
    let refused = require_closable(keeper).err().and_then(|error| Refusal::from(error).error());
    if matches!(refused, Some(LeaseholdError::SeatsLeft)) {
        let plan = leave(market, keeper, boards, payments, false)?;
        return Ok(next(plan, "run it again to unbond the stake"));
    }
    if held.free > 0 {
        let mut after = held;
        after.request(held.free, now, market.account.params.unbonding_secs).map_err(Refusal::from)?;
        let from = rfc3339(after.unbonding_until);
        let plan = Plan::new("Unbond a keeper's stake")
            .money("Unbonding now:", "amount", market.stake.money(held.free))
            .fact("Withdraw from:", "withdraw_from", &from)
            .step("request unbond", vec![instruction::request_unbond(reference, wallet, held.free)]);
        return Ok(next(plan, "run it again after that time to withdraw it"));
    }
    let mut plan =
        Plan::new("Close a keeper's account").fact("Account:", "keeper", reference.keeper(&wallet));
    let mut instructions = Vec::new();
    if matches!(refused, Some(LeaseholdError::StakeLeft)) {
        // No stake is free, so all of it is unbonding.
        let amount = { held }
            .withdraw(now)
            .map_err(|error| Failure::rule(error, format!("that is {}", rfc3339(held.unbonding_until))))?;
        plan =
            stake.prepare(plan.money("Paid out:", "amount", market.stake.money(amount)), &mut instructions);
        instructions.push(instruction::withdraw_bond(reference, wallet, stake.account));
    }
    instructions.push(instruction::close_keeper(reference, wallet));
    Ok(plan.step("close keeper", instructions))
}

/// Leaves the keeper's seat of every board that is given, after its fees are claimed or, if `forfeit_fees`, without them.
pub fn leave(
    market: &MarketView,
    keeper: &Keeper,
    boards: &[BoardView],
    payments: &Payee,
    forfeit_fees: bool,
) -> Result<Plan, Failure> {
    let wallet = keeper.authority;
    let seats = boards.iter().filter_map(|view| Some((view.header, view.seat_of(&wallet)?)));
    let seats: Vec<_> = seats.collect();
    let mut plan = Plan::new("Leave a keeper's seats");
    let (mut prepared, mut fees, mut freed) = (Vec::new(), 0u64, 0u64);
    if !forfeit_fees && seats.iter().any(|(_, (_, seat))| due(seat.earned).is_ok()) {
        plan = payments.prepare(plan, &mut prepared);
    }
    for (header, (number, seat)) in seats {
        let board = market.board(header.index);
        require_counted(header, number)
            .map_err(|error| Failure::rule(error, format!("on board {}", board.index)))?;
        freed = freed.saturating_add(seat.bond);
        let mut instructions = Vec::new();
        if let Ok(earned) = due(seat.earned) {
            fees = fees.saturating_add(earned);
            if !forfeit_fees {
                instructions.clone_from(&prepared);
                instructions.push(instruction::claim_keeper_fees(&board, wallet, payments.account, number));
            }
        }
        let account = market.reference.keeper(&wallet);
        instructions.push(instruction::leave_seat(&board, wallet, account, number, forfeit_fees));
        plan = plan.step(format!("seat {number} of board {}", board.index), instructions);
    }
    let (plan, fees) =
        (plan.money("Bonds freed:", "freed", market.stake.money(freed)), market.payment.money(fees));
    Ok(if forfeit_fees {
        let text = format!("{fees}, which go to the boards' keeper pools");
        plan.money_as("Fees FORFEITED:", "fees_forfeited", text, fees)
    } else {
        plan.money("Fees paid out:", "fees_paid_out", fees)
    })
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::{instruction as data, state::StakeLedger};
    use leasehold_client::{
        board::BoardData,
        sample::{change, snapshot, wallet},
    };
    use leasehold_operate::sample::view;
    use solana_pubkey::Pubkey;

    use super::*;

    fn planned(keeper: &Keeper, board: &BoardData, now: i64, exists: bool) -> Result<Plan, Failure> {
        let [account, mint] = [wallet(30), wallet(31)];
        let (payer, owner) = (wallet(2), wallet(2));
        let payee = Payee { payer, owner, account, mint, token_program: Pubkey::default(), exists };
        plan(&view(), keeper, &[board.view().unwrap()], now, &payee, &payee)
    }

    fn starts(plan: &Plan, discriminators: &[&[u8]]) {
        let [step] = &plan.steps[..] else { panic!("{plan:?}") };
        assert_eq!(step.instructions.len(), discriminators.len());
        for (instruction, start) in step.instructions.iter().zip(discriminators) {
            assert!(instruction.data.starts_with(start), "{plan:?}");
        }
    }

    #[test]
    fn a_keeper_leaves_seats_then_stake_then_the_market() {
        let mut snapshot = snapshot();
        let mut board = snapshot.boards.remove(0).data;
        let mut keeper = snapshot.keepers.remove(0).1;
        let voted = planned(&keeper, &board, 0, true).unwrap_err();
        assert!(voted.code() == 3 && voted.to_string().ends_with("(on board 0)"), "{voted}");

        change(&mut board, |board, _| board.tally.submitted = 0b10);
        let leaving = planned(&keeper, &board, 0, false).unwrap();
        let (claim, leave) = (data::ClaimKeeperFees::DISCRIMINATOR, data::LeaveSeat::DISCRIMINATOR);
        starts(&leaving, &[&[1], claim, leave]);
        assert_eq!(
            (&leaving.details()["fees_paid_out"]["amount"], &leaving.details()["freed"]["amount"]),
            (&"4".into(), &"50".into())
        );

        (keeper.seats, keeper.locked) = (0, 0);
        let asked = planned(&keeper, &board, 0, true).unwrap();
        starts(&asked, &[data::RequestUnbond::DISCRIMINATOR]);
        assert_eq!(asked.details()["amount"]["amount"], "1000");

        keeper.stake = StakeLedger { free: 0, unbonding: 1_010, unbonding_until: 60 };
        let early = planned(&keeper, &board, 59, true).unwrap_err();
        assert!(
            early.code() == 3 && early.to_string().ends_with("(that is 1970-01-01T00:01:00Z)"),
            "{early}"
        );
        let (withdraw, close) = (data::WithdrawBond::DISCRIMINATOR, data::CloseKeeper::DISCRIMINATOR);
        starts(&planned(&keeper, &board, 60, true).unwrap(), &[withdraw, close]);
        keeper.stake = StakeLedger::default();
        starts(&planned(&keeper, &board, 0, false).unwrap(), &[close]);
    }
}
