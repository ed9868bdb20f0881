//! `leasehold lease extend`, `cancel`, `transfer` and `replace`: changes that a lease's owner may make.

use leasehold::{
    error::LeaseholdError,
    rules::{extend::Allowance, replace::Wish},
    state::Lease,
};
use leasehold_client::{
    error::Refusal,
    instruction,
    quote::{Cancellation, Extension, cancellation, extension, replacement},
};
use leasehold_operate::{
    act::act,
    amount::Money,
    chain::Chain,
    failure::Failure,
    plan::Plan,
    table::{count, some_slots},
    time::{rfc3339, start_of},
};
use solana_pubkey::Pubkey;

use super::{
    CancelArgs, ExtendArgs, ReplaceArgs, TransferArgs,
    leased::{Leased, plan_each, rounds},
    leaving::{self, Departed},
};
use crate::burned;

pub async fn extend(chain: &Chain, args: ExtendArgs) -> Result<(), Failure> {
    let (leased, now) = (args.lease.load(chain).await?, chain.fetch().now().await?);
    let rounds = args.length.rounds(leased.lease.terms.round_secs)?;
    let most = most(&leased, args.max_deposit.as_deref())?;
    act(chain, plan_extension(&leased, now, chain.wallet()?, rounds, most, args.allow_leaving)?).await
}

pub async fn cancel(chain: &Chain, args: CancelArgs) -> Result<(), Failure> {
    let CancelArgs { leases, contest } = args;
    let (leases, now, owner) = (leases.load(chain).await?, chain.fetch().now().await?, chain.wallet()?);
    act(chain, plan_each(&leases, "Cancel", |leased| plan_cancellation(leased, now, owner, &contest))?).await
}

pub async fn transfer(chain: &Chain, args: TransferArgs) -> Result<(), Failure> {
    let leased = args.lease.load(chain).await?;
    act(chain, plan_transfer(&leased, chain.wallet()?, args.new_owner)?).await
}

pub async fn replace(chain: &Chain, args: ReplaceArgs) -> Result<(), Failure> {
    let (leased, now) = (args.lease.load(chain).await?, chain.fetch().now().await?);
    let most = most(&leased, args.max_deposit.as_deref())?;
    let min_bond = args.min_bond.as_deref().map(|bond| leased.market.stake.parse(bond)).transpose()?;
    let wish = Wish {
        avoid: &args.avoid,
        min_bond: min_bond.map_or(0, |bond| bond.amount),
        contest: args.contest,
        ..Wish::any(args.slot)
    };
    act(chain, plan_replacement(&leased, now, chain.wallet()?, wish, most)?).await
}

/// The most that was allowed to be deposited.
fn most(leased: &Leased, text: Option<&str>) -> Result<Option<Money>, Failure> {
    Ok(text.map(|most| leased.market.payment.parse(most)).transpose()?)
}

/// The most that is deposited: the cost now, or the limit that was given, which must not be lower.
fn limit(what: &str, deposit: Money, most: Option<Money>) -> Result<Money, Failure> {
    let most = most.unwrap_or(deposit);
    if most.amount < deposit.amount {
        let (takes, most) = (deposit.token.number(deposit.amount), most.token.number(most.amount));
        let text = format!("{what} costs {takes} now, more than --max-deposit {most}: raise --max-deposit");
        return Err(Failure::Refused(text));
    }
    Ok(most)
}

fn plan_extension(
    leased: &Leased,
    now: i64,
    owner: Pubkey,
    rounds: u32,
    most: Option<Money>,
    allow_leaving: u32,
) -> Result<Plan, Failure> {
    leased.require_owner(&owner)?;
    let Leased { lease, market, board, .. } = leased;
    let extended = extension(&market.account, &leased.view()?, now, lease, rounds, allow_leaving);
    let Extension { until, deposit, total, leaving, .. } =
        extended.map_err(|refusal| refused_extension(leased, rounds, allow_leaving, refusal))?;
    let [deposit, total] = [deposit, total].map(|amount| market.payment.money(amount));
    let most = limit("the extension", deposit, most)?;
    let wallet = market.reference.payment_account(&owner);
    let allowed = Allowance { max_deposit: most.amount, max_leaving: allow_leaving };
    let extend = instruction::extend_lease(board, owner, owner, leased.address, wallet, rounds, allowed);
    let mut plan = Plan::new(format!("Extend {}", leased.name()))
        .fact("Lease:", "lease", leased.address)
        .fact_as("Rounds:", "rounds", format!("{rounds} more, to {}", until.saturating_sub(1)), rounds)
        .fact("To:", "end", rfc3339(start_of(&lease.terms, until)));
    if !leaving.is_empty() {
        let old_end = rfc3339(start_of(&lease.terms, lease.until));
        let text = format!("{} ({}) at {old_end}", count(leaving.len(), "machine"), some_slots(&leaving));
        plan = plan.fact_as("Leaving:", "leaving", text, leaving);
    }
    Ok(plan
        .money("Deposit now:", "deposit", deposit)
        .money("Deposit in all:", "total", total)
        .spend("deposit", most, wallet)
        .step("extend lease", vec![extend]))
}

/// Refusal of an extension, with the values that broke the rule.
fn refused_extension(leased: &Leased, rounds: u32, allow_leaving: u32, refusal: Refusal) -> Failure {
    let Leased { lease, market, .. } = leased;
    match refusal.error() {
        Some(LeaseholdError::LeaseLength) if rounds == 0 => {
            Failure::rule(refusal, "extend by one round or more")
        }
        Some(LeaseholdError::LeaseLength) => {
            let total = lease.terms.rounds.saturating_add(rounds);
            let longest = market.account.params.max_rounds;
            let values =
                format!("the lease would have {total} rounds in total, at most {longest} are allowed");
            Failure::rule(refusal, values)
        }
        Some(LeaseholdError::MachineNotCommitted) => {
            Failure::rule(refusal, format!("--allow-leaving {allow_leaving} lets {allow_leaving} leave"))
        }
        _ => refusal.into(),
    }
}

/// Plans to cancel or replace count the rounds that are not closed yet in this way.
const ASSUMED: &str = "every machine is up until it leaves; one that is not is paid less, and loses more";

fn plan_cancellation(leased: &Leased, now: i64, owner: Pubkey, contest: &[u16]) -> Result<Plan, Failure> {
    leased.require_owner(&owner)?;
    let Leased { lease, market, board, .. } = leased;
    let cancelled = cancellation(&leased.view()?, now, lease, contest);
    let cancelled = cancelled.map_err(|refusal| match refusal.error() {
        Some(LeaseholdError::LeaseOver) => {
            Failure::rule(refusal, format!("its last round is {}", lease.until.saturating_sub(1)))
        }
        Some(LeaseholdError::NotInLease) => {
            Failure::rule(refusal, format!("--contest {}", some_slots(contest)))
        }
        _ => refusal.into(),
    })?;
    let Cancellation { until, rest, ref machines, ref settlement, ref burned, .. } = cancelled;
    let last = until.saturating_sub(1);
    let remaining = lease.remaining().map_err(Refusal::from)?;
    let [total, refund, owed, paid, fee] = [
        lease.deposit,
        cancelled.refund(),
        remaining.saturating_sub(cancelled.refund()),
        settlement.payment.net,
        settlement.payment.fee,
    ]
    .map(|amount| market.payment.money(amount));
    let departed = machines.iter().map(|machine| Departed::new(leased, machine));
    let departed = departed.collect::<Result<Vec<_>, _>>()?;
    let plan = Plan::new(format!("Cancel {}", leased.name()))
        .fact("Lease:", "lease", leased.address)
        .fact_as("Last round:", "last_round", format!("{last} ({} earlier than before)", rounds(rest)), last)
        .fact("To:", "end", rfc3339(start_of(&lease.terms, until)))
        .money("Deposit in all:", "total", total)
        .money("Back at least:", "refund_at_least", refund)
        .money("Owed at most:", "owed_at_most", owed);
    let plan = leaving::owed(plan, market, &departed)
        .money_as("Machines are paid:", "paid_at_most", format!("{paid} at most, after the fee"), paid)
        .money_as("Market's fee:", "fee_at_most", format!("{fee} at most"), fee);
    let plan = burned::shown(plan, market, burned)?.note("Assuming:", ASSUMED);
    let plan = plan.money("Machines lose:", "slashed", market.stake.money(settlement.slashed));
    let plan = leaving::shown(plan, departed);
    let cancel = instruction::cancel_lease(board, owner, leased.address, contest.to_vec());
    Ok(plan.step("cancel lease", vec![cancel]))
}

fn plan_transfer(leased: &Leased, owner: Pubkey, new_owner: Pubkey) -> Result<Plan, Failure> {
    leased.require_owner(&owner)?;
    leased.lease.require_hourly().map_err(Refusal::from)?;
    if new_owner == owner {
        return Err(Failure::Refused(format!("{owner} owns it already")));
    }
    // As a multisig's vault is, but a mistyped address or an account of tokens as well.
    let warning = if new_owner.is_on_curve() {
        ""
    } else {
        "; WARNING: it is not a keypair's address, only a program can sign for it"
    };
    Ok(Plan::new(format!("Transfer {}", leased.name()))
        .fact("Lease:", "lease", leased.address)
        .fact_as(
            "New owner:",
            "new_owner",
            format!("{new_owner}, with all refunds; this can't be undone{warning}"),
            new_owner.to_string(),
        )
        .note("Access:", "all sessions are cut, and what runs is frozen until the new owner lets a key in")
        .step("transfer lease", vec![instruction::transfer_lease(owner, leased.address, new_owner)]))
}

fn plan_replacement(
    leased: &Leased,
    now: i64,
    owner: Pubkey,
    wish: Wish,
    most: Option<Money>,
) -> Result<Plan, Failure> {
    leased.require_owner(&owner)?;
    let Wish { old_slot: old, avoid, .. } = wish;
    let (Leased { lease, market, board, .. }, view) = (leased, leased.view()?);
    let found = replacement(&view, now, lease, &wish).map_err(|refusal| {
        if refusal == LeaseholdError::NotEnoughGpus.into() {
            let asked = [(!avoid.is_empty(), "--avoid"), (wish.min_bond > 0, "--min-bond")];
            let asked: Vec<_> = asked.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect();
            let without = if asked.is_empty() {
                String::new()
            } else {
                format!("leave out {}, or ", asked.join(" and "))
            };
            let text = "no idle machine of its board with as many GPUs fits the lease until its end";
            return Failure::Refused(format!("{text}: {without}cancel the lease and open another"));
        }
        Failure::rule(refusal, format!("slot {old}"))
    })?;
    let wallet = market.reference.payment_account(&owner);
    let payment = found.old.outcome.payment;
    let [deposit, total, refund, paid, fee] =
        [found.deposit, found.total, found.refund, payment.net, payment.fee]
            .map(|amount| market.payment.money(amount));
    let most = limit("the replacement", deposit, most)?;
    let args = found.args(most.amount);
    let replace = instruction::replace_node(board, owner, owner, leased.address, wallet, args);
    let price = view.slot(found.slot).map(|machine| market.payment.number(machine.price));
    let new = format!("{} at {} per GPU and hour", found.slot, price.unwrap_or_default());
    let mut plan = Plan::new(format!("Replace slot {old} in {}", leased.name()))
        .fact("Lease:", "lease", leased.address)
        .fact_as("New slot:", "new_slot", new, found.slot)
        .fact("From:", "start", rfc3339(start_of(&lease.terms, found.from)));
    if !avoid.is_empty() {
        plan = plan.fact_as("Not taken:", "avoid", some_slots(avoid), avoid.to_vec());
    }
    let departed = vec![Departed::new(leased, &found.old)?];
    let plan = leaving::owed(plan, market, &departed)
        .money_as("Old one is paid:", "paid_at_most", format!("{paid} at most, after the fee"), paid)
        .money_as("Market's fee:", "fee_at_most", format!("{fee} at most"), fee);
    let plan = burned::shown(plan, market, &found.old.outcome.burned)?
        .note("Assuming:", ASSUMED)
        .money("Old one loses:", "slashed", market.stake.money(found.old.outcome.slash))
        .money("Back at least:", "refund_at_least", refund)
        .money("Deposit now:", "deposit", deposit)
        .money("Deposit in all:", "total", total);
    let plan = leaving::shown(plan, departed);
    let replaced = lease.replaced.len();
    Ok(plan
        .spend("deposit", most, wallet)
        .grows(Lease::len(replaced), Lease::len(replaced.saturating_add(1)))
        .step("replace machine", vec![replace]))
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator};
    use leasehold::{instruction as data, instructions::ReplaceNodeArgs};
    use leasehold_client::sample::{change, wallet};
    use leasehold_operate::sample::rule;
    use solana_instruction::Instruction;

    use super::{super::leased::tests::sample, *};

    /// Round 1,000 of 990 to 1,009 runs; two machines at 60 a round.
    const NOW: i64 = 600_000;

    /// To replace that machine by any.
    fn wish(old: u16) -> Wish<'static> {
        Wish::any(old)
    }

    fn only(plan: &Plan) -> &Instruction {
        let [step] = &plan.steps[..] else { panic!("{plan:?}") };
        let [instruction] = &step.instructions[..] else { panic!("{plan:?}") };
        instruction
    }

    #[test]
    fn an_extension_costs_what_was_quoted() {
        let mut leased = sample(1);
        let plan = plan_extension(&leased, NOW, wallet(9), 10, None, 0).unwrap();
        assert_eq!(plan.spends[0].money.amount, 2 * 10 * 60);
        assert!(only(&plan).data.starts_with(data::ExtendLease::DISCRIMINATOR));
        assert_eq!(<(u32, u64, u32)>::try_from_slice(&only(&plan).data[8..]).unwrap(), (10, 1_200, 0));
        assert_eq!(plan.details()["rounds"], 10);
        for (owner, rounds, expected) in
            [(8, 10, "WrongAuthority"), (9, 0, "LeaseLength"), (9, 9_981, "LeaseLength")]
        {
            assert_eq!(
                rule(plan_extension(&leased, NOW, wallet(owner), rounds, None, 0).unwrap_err()),
                expected
            );
        }
        assert_eq!(
            rule(plan_extension(&leased, NOW, wallet(9), 2_000, None, 0).unwrap_err()),
            "MachineNotCommitted"
        );
        leased.market.account.paused = true;
        assert_eq!(rule(plan_extension(&leased, NOW, wallet(9), 1, None, 0).unwrap_err()), "MarketPaused");
    }

    #[test]
    fn a_cancellation_tells_what_it_costs() {
        let leased = sample(1);
        let plan = plan_cancellation(&leased, NOW, wallet(9), &[]).unwrap();
        assert_eq!(plan.details()["last_round"], 1_000);
        assert_eq!(plan.facts[1].text, "1000 (9 rounds earlier than before)");
        // Two machines at 60 a round serve 11 of 20. Slot 0 is up in 9 of them, and the price of its round down beyond the one
        // that is allowed is burned. Slot 1 is paid 5 percent of the other nine besides: 270 seconds.
        let back = 2 * 20 * 60 - 9 * 60 - (11 * 60 + 27);
        assert_eq!(plan.details()["burned"]["damages"]["amount"], "60");
        assert_eq!(plan.details()["burned"]["total"]["amount"], "60");
        let owed = plan.facts.iter().find(|fact| fact.label == "For leaving:").unwrap();
        assert!(owed.text.ends_with(", paid to the machines") && plan.details()["exit"]["amount"] == "27");
        let bound = plan.facts.iter().find(|fact| fact.label == "Bound:").unwrap();
        assert_eq!(
            bound.text,
            "slot 0 can't be withheld, retired or made dearer until 1970-01-08T00:20:00Z at the latest"
        );
        let machines = &plan.details()["machines"];
        assert_eq!(
            (&machines[0]["exit"]["amount"], &machines[1]["exit"]["amount"]),
            (&"0".into(), &"27".into())
        );
        assert_eq!(machines[0]["bound_to"], "1970-01-08T00:20:00Z", "it was down in its last hour");
        assert_eq!(machines[1]["bound_to"], serde_json::Value::Null);
        assert_eq!(plan.details()["refund_at_least"]["amount"], back.to_string());
        assert_eq!(
            plan.details()["owed_at_most"]["amount"],
            (leased.lease.remaining().unwrap() - back).to_string()
        );
        // Before it begins, its first round is owed.
        let mut early = sample(1);
        change(&mut early.data.account, |board, slots| {
            board.next_round = 985;
            for slot in slots {
                (slot.lease_settled, slot.lease_up, slot.lease_down) = (0, 0, 0);
            }
        });
        let early = plan_cancellation(&early, 985 * 600, wallet(9), &[]).unwrap();
        assert_eq!(early.details()["last_round"], 990);
        // 5 percent of nineteen rounds are 570 seconds.
        assert_eq!(early.details()["refund_at_least"]["amount"], (2 * (20 * 60 - 60 - 57)).to_string());
        assert!(only(&plan).data.starts_with(data::CancelLease::DISCRIMINATOR) && plan.spends.is_empty());
        let over = plan_cancellation(&leased, 1_009 * 600, wallet(9), &[]).unwrap_err();
        assert_eq!(rule(over), "LeaseOver");
        assert_eq!(rule(plan_cancellation(&sample(2), NOW, wallet(9), &[]).unwrap_err()), "LeaseNotOpen");
    }

    #[test]
    fn a_contest_burns_the_last_two_hours_of_a_machine_and_half_as_much_of_its_owners_money() {
        let leased = sample(1);
        let plan = plan_cancellation(&leased, NOW, wallet(9), &[1]).unwrap();
        // Slot 1 was up in 11 rounds; its pay for the nine that are left is burned out of the two hours that are kept.
        let (lost, exit) = (9 * 60, 27);
        let penalty = (lost + exit + 1) / 2;
        let burned = plan.details()["burned"].clone();
        let amounts = ["damages", "contested", "exit", "penalty"].map(|name| burned[name]["amount"].clone());
        assert_eq!(amounts, [60, lost, exit, penalty].map(|amount| serde_json::json!(amount.to_string())));
        let back = 2 * 20 * 60 - 9 * 60 - (11 * 60 + 27) - penalty;
        assert_eq!(plan.details()["refund_at_least"]["amount"], back.to_string());
        let contested = plan.facts.iter().find(|fact| fact.label == "Contested:").unwrap();
        let mint = leasehold_operate::amount::short(&leased.market.payment.mint);
        let expected = format!(
            "slot 1 loses 0.000567 of {mint}, namely 0.00054 of its pay and 0.000027 for leaving; you pay half as much, \
             0.000284; all of it is burned"
        );
        assert_eq!(contested.text, expected);
        let owed = plan.facts.iter().find(|fact| fact.label == "For leaving:").unwrap();
        assert_eq!(owed.text, format!("0.000027 of {mint}, burned"));
        assert_eq!(plan.details()["machines"][1]["contested"], true);
        assert_eq!(<Vec<u16>>::try_from_slice(&only(&plan).data[8..]).unwrap(), [1]);
        assert_eq!(rule(plan_cancellation(&leased, NOW, wallet(9), &[3]).unwrap_err()), "NotInLease");
    }

    #[test]
    fn machines_that_are_not_committed_leave_an_extension_if_their_owner_allows_it() {
        let mut leased = sample(1);
        change(&mut leased.data.account, |_, slots| slots[1].committed_until = 1_015);
        let refused = plan_extension(&leased, NOW, wallet(9), 10, None, 0).unwrap_err();
        assert!(refused.to_string().contains("--allow-leaving 0"), "{refused}");
        let plan = plan_extension(&leased, NOW, wallet(9), 10, None, 1).unwrap();
        assert_eq!((&plan.details()["leaving"], plan.spends[0].money.amount), (&serde_json::json!([1]), 600));
    }

    #[test]
    fn a_transfer_names_the_new_owner() {
        let plan = plan_transfer(&sample(1), wallet(9), wallet(5)).unwrap();
        assert!(only(&plan).data.starts_with(data::TransferLease::DISCRIMINATOR));
        assert_eq!(Pubkey::try_from(&only(&plan).data[8..]).unwrap(), wallet(5));
        assert_eq!(rule(plan_transfer(&sample(1), wallet(5), wallet(5)).unwrap_err()), "WrongAuthority");
        assert_eq!(plan.details()["new_owner"], wallet(5).to_string());
        let told = |to| plan_transfer(&sample(1), wallet(9), to).unwrap().facts[1].text.contains("WARNING");
        let key = leasehold_client::probe::SigningKey::from_bytes(&[1; 32]).verifying_key();
        assert!(told(sample(1).address) && !told(Pubkey::new_from_array(key.to_bytes())));
    }

    #[test]
    fn a_machine_that_is_up_is_replaced_too_and_contested_if_that_is_said() {
        let leased = sample(1);
        let plan = plan_replacement(&leased, NOW, wallet(9), wish(1), None).unwrap();
        let details = plan.details();
        assert_eq!((&details["new_slot"], &details["deposit"]["amount"]), (&3.into(), &"540".into()));
        // It is paid for 11 rounds less the fee; of its deposit, the other nine come back.
        assert_eq!(
            (&details["paid_at_most"]["amount"], &details["refund_at_least"]["amount"]),
            (&"594".into(), &"540".into())
        );
        assert_eq!(details["fee_at_most"]["amount"], "66");
        assert_eq!(details["burned"]["total"]["amount"], "0", "the new one costs as much");
        let args = ReplaceNodeArgs::try_from_slice(&only(&plan).data[8..]).unwrap();
        assert_eq!((args.old_slot, args.max_deposit, args.contest, args.avoid), (1, 540, false, vec![]));
        assert_eq!((plan.growths[0].from, plan.growths[0].to), (Some(Lease::len(0)), Lease::len(1)));

        let contest = Wish { contest: true, avoid: &[7], min_bond: 50, ..wish(1) };
        let plan = plan_replacement(&leased, NOW, wallet(9), contest, None).unwrap();
        let args = ReplaceNodeArgs::try_from_slice(&only(&plan).data[8..]).unwrap();
        assert_eq!((args.contest, args.avoid, args.min_bond), (true, vec![7], 50));
        let burned = plan.details()["burned"].clone();
        // A replacement that costs no less owes no exit: nine rounds of what is kept are lost, and half of that besides.
        assert_eq!(
            (&burned["contested"]["amount"], &burned["penalty"]["amount"]),
            (&"540".into(), &"270".into())
        );
        assert_eq!(plan.details()["refund_at_least"]["amount"], (540 - 270).to_string());
        assert!(plan.facts.iter().any(|fact| fact.text.starts_with("slot 1 loses ")));
    }

    #[test]
    fn a_replacement_that_the_program_would_refuse_is_refused_with_its_slot() {
        let mut leased = sample(1);
        let refused =
            |leased: &Leased, wish| plan_replacement(leased, NOW, wallet(9), wish, None).unwrap_err();
        assert_eq!(rule(refused(&leased, wish(3))), "NotInLease");
        assert_eq!(rule(refused(&leased, wish(99))), "NoSuchSlot");
        assert!(refused(&leased, wish(99)).to_string().contains("slot 99"));
        let richer = refused(&leased, Wish { min_bond: u64::MAX, ..wish(1) });
        assert!(richer.to_string().contains("no idle machine of its board"), "{richer}");
        let none = refused(&leased, Wish { avoid: &[3], ..wish(1) });
        assert!(none.to_string().starts_with("no idle machine of its board"), "{none}");
        assert!(
            none.to_string().ends_with(": leave out --avoid, or cancel the lease and open another"),
            "{none}"
        );
        change(&mut leased.data.account, |_, slots| slots[1].flags = leasehold::state::Slot::ABANDONED);
        let plan = plan_replacement(&leased, NOW, wallet(9), wish(1), None).unwrap();
        assert_eq!(plan.details()["slashed"]["amount"], "100");
    }

    #[test]
    fn more_is_deposited_only_where_that_was_allowed() {
        let leased = sample(1);
        let now = plan_extension(&leased, NOW, wallet(9), 10, None, 0).unwrap();
        let cost = now.spends[0].money;
        let more = leased.market.payment.money(cost.amount + 5);
        let plan = plan_extension(&leased, NOW, wallet(9), 10, Some(more), 0).unwrap();
        assert_eq!(plan.spends[0].money, more);
        assert_eq!(plan.details()["deposit"]["amount"], cost.amount.to_string());
        let data = &plan.steps[0].instructions[0].data;
        assert_eq!(<(u32, u64, u32)>::try_from_slice(&data[8..]).unwrap(), (10, more.amount, 0));
        let less = leased.market.payment.money(cost.amount - 1);
        let refused = plan_extension(&leased, NOW, wallet(9), 10, Some(less), 0).unwrap_err();
        assert!(refused.code() == 3 && refused.to_string().contains("the extension costs"), "{refused}");
    }
}
