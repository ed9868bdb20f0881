//! Plans of the commands of a supplier.

use anchor_lang::Space;
use leasehold::{
    error::LeaseholdError,
    math::add,
    rules::claim::due,
    state::{StakeLedger, Supplier},
};
use leasehold_client::{error::Refusal, fetch::FetchedBoard, instruction};
use leasehold_operate::{failure::Failure, market::MarketView, payee::Payee, plan::Plan, time::rfc3339};
use solana_pubkey::Pubkey;

pub fn register(market: &MarketView, wallet: Pubkey) -> Plan {
    Plan::new("Register as a supplier")
        .fact("Market:", "market", market.reference.address)
        .fact("Account:", "supplier", market.reference.supplier(&wallet))
        .creates(8 + Supplier::INIT_SPACE)
        .step("register supplier", vec![instruction::register_supplier(&market.reference, wallet)])
}

pub fn stake(market: &MarketView, wallet: Pubkey, amount: &str) -> Result<Plan, Failure> {
    let money = market.stake.parse(amount)?;
    if money.amount == 0 {
        return Err(Refusal::from(LeaseholdError::AmountIsZero).into());
    }
    let account = market.reference.stake_account(&wallet);
    let deposit = instruction::deposit_stake(&market.reference, wallet, account, money.amount);
    Ok(Plan::new("Deposit stake as a supplier")
        .fact("Market:", "market", market.reference.address)
        .spend("stake", money, account)
        .step("deposit stake", vec![deposit]))
}

pub fn unstake(
    market: &MarketView,
    wallet: Pubkey,
    held: &StakeLedger,
    now: i64,
    amount: &str,
) -> Result<Plan, Failure> {
    let money = market.stake.parse(amount)?;
    let mut after = *held;
    // The program's own rule; a second request has the first wait anew.
    after
        .request(money.amount, now, market.account.params.unbonding_secs)
        .map_err(|error| Failure::rule(error, format!("{} are free", market.stake.number(held.free))))?;
    let request = instruction::request_unstake(&market.reference, wallet, money.amount);
    Ok(Plan::new("Unbond stake of a supplier")
        .money("Unbonding now:", "amount", money)
        .money("Unbonding in total:", "unbonding", market.stake.money(after.unbonding))
        .money("Left free:", "free", market.stake.money(after.free))
        .fact("Withdraw from:", "withdraw_from", rfc3339(after.unbonding_until))
        .step("request unstake", vec![request]))
}

pub fn withdraw(market: &MarketView, held: &StakeLedger, now: i64, payee: &Payee) -> Result<Plan, Failure> {
    let amount = { *held }.withdraw(now).map_err(|error| match held.unbonding {
        0 => Refusal::from(error).into(),
        _ => Failure::rule(error, format!("that is {}", rfc3339(held.unbonding_until))),
    })?;
    let mut instructions = Vec::new();
    let plan = Plan::new("Withdraw stake as a supplier")
        .money("Paid out:", "amount", market.stake.money(amount))
        .fact("To:", "account", payee.account);
    let plan = payee.prepare(plan, &mut instructions);
    instructions.push(instruction::withdraw_stake(&market.reference, payee.owner, payee.account));
    Ok(plan.step("withdraw stake", instructions))
}

/// Claims the earnings of every board on which the supplier `payee.owner` has some.
pub fn claim(
    market: &MarketView,
    boards: &[FetchedBoard],
    signer: Pubkey,
    payee: &Payee,
) -> Result<Plan, Failure> {
    let supplier = market.reference.supplier(&payee.owner);
    let (mut steps, mut total) = (Vec::new(), 0);
    for board in boards {
        let view = board.view()?;
        let mut machines = view.of_supplier(supplier);
        let earned = machines.try_fold(0, |sum, (_, slot)| add(sum, slot.accrued)).map_err(Refusal::from)?;
        if let Ok(earned) = due(earned) {
            total = add(total, earned).map_err(Refusal::from)?;
            let board = market.board(view.header.index);
            let claim = instruction::claim_earnings(&board, signer, supplier, payee.account);
            let what = format!("board {}, {}", board.index, market.payment.money(earned));
            steps.push((what, claim));
        }
    }
    let total = due(total).map_err(Refusal::from)?;
    let mut plan = Plan::new("Claim a supplier's earnings")
        .fact("Supplier:", "supplier", payee.owner)
        .money("Paid out:", "amount", market.payment.money(total))
        .fact("To:", "account", payee.account);
    let mut prepared = Vec::new();
    plan = payee.prepare(plan, &mut prepared);
    for (what, claim) in steps {
        // Each has the account created, as far as the plan lets it.
        plan = plan.step(what, prepared.iter().cloned().chain([claim]).collect());
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::instruction as data;
    use leasehold_client::{
        fetch::Fetched,
        sample::{snapshot, wallet},
    };
    use leasehold_operate::sample::{rule, view};

    use super::*;

    fn payee(owner: u8, exists: bool) -> Payee {
        let [payer, owner, account, mint] = [wallet(1), wallet(owner), wallet(30), wallet(31)];
        Payee { payer, owner, account, mint, token_program: Pubkey::default(), exists }
    }

    #[test]
    fn stake_is_deposited_with_the_decimals_of_its_mint() {
        let plan = stake(&view(), wallet(0), "12.34").unwrap();
        assert_eq!(plan.spends[0].money.amount, 1_234);
        let instruction = &plan.steps[0].instructions[0];
        assert_eq!(instruction.data, [data::DepositStake::DISCRIMINATOR, &1_234u64.to_le_bytes()].concat());
        assert_eq!(stake(&view(), wallet(0), "0.001").unwrap_err().code(), 2);
        assert_eq!(rule(stake(&view(), wallet(0), "0").unwrap_err()), "AmountIsZero");
    }

    #[test]
    fn stake_comes_back_after_its_time() {
        let held = StakeLedger { free: 1_000, unbonding: 10, unbonding_until: 5 };
        let plan = unstake(&view(), wallet(0), &held, 0, "4").unwrap();
        assert_eq!(plan.details()["withdraw_from"], "1970-01-02T00:00:00Z");
        assert_eq!(
            (&plan.details()["unbonding"]["amount"], &plan.details()["free"]["amount"]),
            (&"410".into(), &"600".into())
        );
        assert_eq!(rule(unstake(&view(), wallet(0), &held, 0, "10.01").unwrap_err()), "InsufficientStake");

        let early = withdraw(&view(), &held, 4, &payee(0, true)).unwrap_err();
        assert_eq!(rule(early), "StakeStillUnbonding");
        let plan = withdraw(&view(), &held, 5, &payee(0, false)).unwrap();
        assert_eq!((plan.steps[0].instructions.len(), plan.growths.len()), (2, 1));
        assert!(plan.steps[0].instructions[1].data.starts_with(data::WithdrawStake::DISCRIMINATOR));
        assert_eq!(plan.details()["amount"]["amount"], "10");
    }

    #[test]
    fn earnings_of_all_machines_of_a_board_are_claimed_at_once() {
        let state = snapshot().boards.remove(0);
        let boards = [Fetched { address: state.address, lamports: 1, account: state.data }];
        let plan = claim(&view(), &boards, wallet(1), &payee(0, true)).unwrap();
        assert_eq!((plan.steps.len(), &plan.details()["amount"]["amount"]), (1, &"540".into()));
        assert!(plan.steps[0].instructions[0].data.starts_with(data::ClaimEarnings::DISCRIMINATOR));
        let created = claim(&view(), &boards, wallet(1), &payee(1, false)).unwrap();
        assert_eq!(
            (created.steps[0].instructions.len(), &created.details()["amount"]["amount"]),
            (2, &"25".into())
        );
        assert_eq!(
            rule(claim(&view(), &boards, wallet(1), &payee(7, true)).unwrap_err()),
            "NothingToWithdraw"
        );
    }

    #[test]
    fn registering_pays_the_rent_of_an_account() {
        let plan = register(&view(), wallet(0));
        assert!(plan.steps[0].instructions[0].data.starts_with(data::RegisterSupplier::DISCRIMINATOR));
        assert_eq!(plan.growths[0].to, 8 + Supplier::INIT_SPACE);
    }
}
