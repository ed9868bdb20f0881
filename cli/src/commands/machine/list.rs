//! `leasehold machine list`.

use std::collections::{BTreeMap, BTreeSet};

use leasehold::{
    instructions::Machine,
    rules::machine::require_listing,
    state::{Board, StakeLedger, Traits, board_len},
};
use leasehold_client::{
    board::BoardView,
    error::Refusal,
    listing,
    search::{Bonds, Length},
};
use leasehold_operate::{
    act::act,
    chain::Chain,
    failure::Failure,
    market::MarketView,
    outcome::Outcome,
    plan::Plan,
    table::count,
    text::print_stderr,
    time::{rfc3339, start_of},
};
use serde_json::json;
use solana_pubkey::Pubkey;

use super::{
    ListArgs, differing,
    endpoint::{address, is_astray},
    file, rows,
};
use crate::{bonds, commands::supplier::account};

/// Most machines whose keys are all printed.
const KEYS_SHOWN: usize = 3;

pub async fn run(chain: &Chain, args: ListArgs) -> Result<(), Failure> {
    let rows = rows::read(&args.file, args.format)?;
    let (market, wallet, fetch) = (chain.market(args.market.id.0).await?, chain.wallet()?, chain.fetch());
    let supplier = account(chain, &market.reference.address, &wallet).await?;
    let board = chain.board(&market.reference.address, args.board).await?;
    let machines = file::machines(&rows, &market)?;
    let now = fetch.now().await?;
    let plan = plan(&market, &board.view()?, wallet, &supplier.stake, now, args.length, &machines)?;
    if plan.steps.is_empty() {
        print_stderr("All machines are on the board already, as the file has them");
        let outcome = Outcome::of_nothing(&chain.on_market(plan), chain.settings.dry_run);
        return chain.settings.output.print(&outcome);
    }
    act(chain, plan).await
}

/// Lists the machines that are not on the board yet. The plan is empty if all are. Refuses those that are on the board with
/// other values than the file's.
fn plan(
    market: &MarketView,
    view: &BoardView,
    authority: Pubkey,
    stake: &StakeLedger,
    now: i64,
    length: Length,
    machines: &[Machine],
) -> Result<Plan, Failure> {
    let supplier = market.reference.supplier(&authority);
    // Of a long list, a part may be there from a run that was broken off.
    differing::refuse(market, view, supplier, machines)?;
    let there: BTreeSet<_> = view.of_supplier(supplier).map(|(_, slot)| slot.node_key).collect();
    let (there, machines): (Vec<_>, Vec<_>) =
        machines.iter().copied().partition(|machine| there.contains(&machine.node_key));
    let mut plan =
        Plan::new(format!("List {} on board {}", count(machines.len(), "machine"), view.header.index))
            .fact_as("Machines:", "machines", machines.len(), machines.len());
    if !there.is_empty() {
        let text = format!("{}, which stay as they are", there.len());
        plan = plan.fact_as("There already:", "there_already", text, there.len());
    }
    if machines.is_empty() && !there.is_empty() {
        return Ok(plan);
    }
    require_listing(&market.account, machines.len()).map_err(Refusal::from)?;
    let (until, end) = commitment(market, view, now, length)?;
    let bonds = machines.iter().try_fold(Bonds::default(), |sum, machine| {
        sum.and(Bonds::of_machine(&market.account, &machine.traits, machine.bond, 0)?)
    })?;
    { *stake }.bond(bonds.now).map_err(|error| lacking(market, error, bonds.now, stake))?;
    let board = market.board(view.header.index);
    // Slots that the supplier left itself hold their rent already.
    let own = view.vacant().filter(|(_, slot)| slot.supplier == supplier).count();
    let paid = machines.len().saturating_sub(own);
    let list = listing::list(&board, view, authority, until, &machines)?;
    let text = format!("{end} (round {until})");
    let plan = listed(plan, market, &machines).fact_as("Committed until:", "committed_until", text, until);
    let plan = bonds::shown(bonds, plan, market, "Bonded:", "bonded");
    Ok(bonds::left(bonds, plan, market, stake.free)
        .grows(board_len(0), board_len(paid))
        .steps("list machines", list))
}

/// Adds the machines and their costs.
fn listed(plan: Plan, market: &MarketView, machines: &[Machine]) -> Plan {
    let mut classes = BTreeMap::<u16, usize>::new();
    for machine in machines {
        let number = classes.entry(machine.traits.class).or_default();
        *number = number.saturating_add(1);
    }
    let named = |(class, number): (&u16, &usize)| format!("{number} {}", market.class_in_full(*class));
    let text = classes.iter().map(named).collect::<Vec<_>>().join(", ");
    let counted = |(class, number): (&u16, &usize)| json!({ "class": market.class_name(*class), "class_number": class, "machines": number });
    let value: Vec<_> = classes.iter().map(counted).collect();
    let mut plan = plan.fact_as("Classes:", "classes", text, value);
    let prices = || machines.iter().map(|machine| machine.price);
    if let Some((low, high)) = prices().min().zip(prices().max()) {
        let [low, high] = [low, high].map(|price| market.payment.money(price));
        let from = if low == high { String::new() } else { format!("{} to ", low.token.number(low.amount)) };
        let value = json!({ "lowest": low, "highest": high });
        plan = plan.fact_as("Prices:", "prices", format!("{from}{high} per GPU and hour"), value);
        let hourly = machines.iter().map(|machine| machine.price.saturating_mul(machine.traits.gpus.into()));
        let (hourly, gpus) = (
            market.payment.money(hourly.fold(0, u64::saturating_add)),
            machines.iter().map(|machine| usize::from(machine.traits.gpus)).sum::<usize>(),
        );
        plan = plan.fact_as("GPUs:", "gpus", gpus, gpus).money("All of them an hour:", "hourly", hourly);
    }
    let astray = machines.iter().map(|machine| address(&machine.endpoint)).filter(|at| is_astray(at.ip()));
    let astray: Vec<_> = astray.collect();
    if let Some(first) = astray.first() {
        let text = match astray.len() {
            1 => format!(
                "1 machine has a private or loopback address, {first}: keepers outside that network see it as down"
            ),
            many => format!(
                "{many} machines have private or loopback addresses, such as {first}: keepers outside that \
                 network see them as down"
            ),
        };
        plan = plan.fact_as("WARNING:", "private_endpoints", text, astray.len());
    }
    let metered = machines.iter().filter(|machine| machine.traits.flags & Traits::METERED != 0).count();
    let keys = machines.iter().map(|machine| Pubkey::new_from_array(machine.node_key).to_string());
    let keys: Vec<_> = keys.collect();
    let text = match &keys[..] {
        [first, .., last] if keys.len() > KEYS_SHOWN => format!("{first} to {last}, in the file's order"),
        few => few.join(", "),
    };
    plan.fact_as("Metered:", "metered", format!("{metered} of {}", machines.len()), metered).fact_as(
        "Node keys:",
        "node_keys",
        text,
        keys,
    )
}

/// Refusal of bonds of so many stake units, with the free stake.
pub fn lacking(market: &MarketView, error: impl Into<Refusal>, bonds: u64, stake: &StakeLedger) -> Failure {
    let (needed, free) = (market.stake.number(bonds), market.stake.number(stake.free));
    Failure::rule(error, format!("the bonds take {needed}, {free} free"))
}

/// First round that a commitment made now doesn't cover, and when it begins; or why it can't be made.
fn commitment(
    market: &MarketView,
    view: &BoardView,
    now: i64,
    length: Length,
) -> Result<(u32, String), Failure> {
    let secs = view.header.round_secs;
    let next = view.header.round_after(now).map_err(Refusal::from)?;
    let until = next.saturating_add(length.rounds(secs)?);
    let most = market.account.params.max_rounds;
    let refused = |error| out_of_range(view.header, next, until, error);
    view.header.require_commitment(until, next, most).map_err(refused)?;
    Ok((until, rfc3339(start_of(view.header, until))))
}

/// Refusal of a commitment, with its rounds.
pub fn out_of_range(board: &Board, next: u32, until: u32, error: impl Into<Refusal>) -> Failure {
    let end = rfc3339(start_of(board, until));
    Failure::rule(error, format!("it would begin with round {next} and end before {until}, {end}"))
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator};
    use leasehold::instruction::ListMachines;
    use leasehold_client::sample::{change, snapshot, wallet};
    use leasehold_operate::sample::{announcing, rule, view};

    use super::{
        super::file::tests::{machines, section},
        *,
    };

    /// Lists so many machines of two GPUs for supplier 0, who left slot 2, with that much free stake.
    fn listed(count: u8, free: u64, length: &str) -> Result<Plan, Failure> {
        let board = snapshot().boards.remove(0).data;
        let file: String = (1..=count).map(section).collect();
        let stake = StakeLedger { free, ..StakeLedger::default() };
        let (view, board) = (view(), board.view().unwrap());
        let machines = if count == 0 { Vec::new() } else { machines(&file).unwrap() };
        plan(&view, &board, wallet(0), &stake, 600_000, length.parse().unwrap(), &machines)
    }

    #[test]
    fn machines_take_bonds_and_rent_of_new_slots() {
        let plan = listed(40, 10_000, "144r").unwrap();
        assert_eq!(plan.title, "List 40 machines on board 0");
        assert_eq!(
            (&plan.details()["bonded"]["amount"], &plan.details()["free"]["amount"]),
            (&"8000".into(), &"2000".into())
        );
        assert_eq!(plan.growths[0].to, board_len(39), "slot 2 is its own");
        let fact = |label| plan.facts.iter().find(|fact| fact.label == label).unwrap().text.clone();
        assert_eq!((fact("Classes:"), fact("Metered:")), ("40 RTX 4090 (number 0)".into(), "0 of 40".into()));
        let classes = json!([{ "class": "RTX 4090", "class_number": 0, "machines": 40 }]);
        assert_eq!(plan.details()["classes"], classes);
        assert!(fact("Prices:").ends_with(" per GPU and hour"), "{}", fact("Prices:"));
        // 40 machines of two GPUs at 0.35 each.
        assert_eq!(
            (&plan.details()["gpus"], &plan.details()["hourly"]["amount"]),
            (&80.into(), &"28000000".into())
        );
        let keys = plan.details()["node_keys"].as_array().unwrap().clone();
        let [first, last] = [&keys[0], &keys[39]].map(|key| key.as_str().unwrap().to_owned());
        assert_eq!(fact("Node keys:"), format!("{first} to {last}, in the file's order"));
        assert!(plan.steps.len() > 2);
        let mut total = 0;
        for step in &plan.steps {
            assert!(step.instructions[0].data.starts_with(ListMachines::DISCRIMINATOR));
            let (until, machines) =
                <(u32, Vec<Machine>)>::try_from_slice(&step.instructions[0].data[8..]).unwrap();
            assert_eq!(until, 1_001 + 144);
            total += machines.len();
        }
        assert_eq!((total, &plan.details()["committed_until"]), (40, &1_145.into()));
    }

    #[test]
    fn machines_that_keepers_may_not_reach_are_named() {
        let named = |endpoints: [&str; 2]| {
            let machines = endpoints.map(|text| {
                let mut machine = machines(&section(1)).unwrap()[0];
                machine.endpoint.ip = text.parse::<std::net::Ipv6Addr>().unwrap().octets();
                machine
            });
            let plan = super::listed(Plan::new("List"), &view(), &machines);
            plan.facts.into_iter().find(|fact| fact.label == "WARNING:").map(|fact| fact.text)
        };
        assert_eq!(named(["::ffff:203.0.113.7", "2a00::7"]), None);
        let text = named(["::ffff:203.0.113.7", "::ffff:10.0.0.8"]).unwrap();
        assert!(text.starts_with("1 machine has") && text.contains("address, 10.0.0.8:"), "{text}");
        let text = named(["::ffff:10.0.0.7", "::ffff:10.0.0.8"]).unwrap();
        assert!(text.starts_with("2 machines have") && text.contains("such as 10.0.0.7:"), "{text}");
    }

    #[test]
    fn a_list_that_was_broken_off_is_gone_on_with() {
        let mut board = snapshot().boards.remove(0).data;
        change(&mut board, |_, slots| {
            let listed = machines(&section(1)).unwrap()[0];
            (slots[0].node_key, slots[0].traits) = (listed.node_key, listed.traits);
            (slots[0].price, slots[0].endpoint) = (listed.price, listed.endpoint);
            slots[2].node_key = [3; 32]; // vacant: what was there is gone
            slots[3].node_key = [2; 32]; // another supplier's
        });
        let (mut market, board, now) = (view(), board.view().unwrap(), 600_000);
        let stake = StakeLedger { free: 10_000, ..StakeLedger::default() };
        let list = |market: &MarketView, file: &str| {
            let machines = machines(file).unwrap();
            plan(market, &board, wallet(0), &stake, now, Length::Rounds(5), &machines)
        };
        let rest = list(&market, &(1..=3).map(section).collect::<String>()).unwrap();
        assert_eq!((&rest.details()["machines"], &rest.details()["there_already"]), (&2.into(), &1.into()));
        assert_eq!(rest.details()["bonded"]["amount"], "400");
        // Once it is complete nothing is left to do, also where nothing could be listed.
        market.account.paused = true;
        let all = list(&market, &section(1)).unwrap();
        assert!(all.steps.is_empty());
        let outcome = Outcome::of_nothing(&all, false);
        assert_eq!(outcome.to_string(), "List 0 machines on board 0: done");
        let json = serde_json::to_value(outcome).unwrap();
        assert_eq!((&json["machines"], &json["there_already"]), (&0.into(), &1.into()));
        assert_eq!((&json["result"], &json["transactions"]), (&"done".into(), &json!([])));
        assert_eq!(rule(list(&market, &section(4)).unwrap_err()), "MarketPaused");
        // One that differs is refused, whatever else is in the file.
        let moved = section(1).replace(":7000", ":7001") + &section(4);
        let moved = list(&view(), &moved).unwrap_err();
        assert!(moved.code() == 3 && moved.to_string().contains("`leasehold machine move`"), "{moved}");
    }

    #[test]
    fn bonds_may_take_what_announced_parameters_say() {
        let market = announcing(|params| params.bond_unit = 150);
        let data = snapshot().boards.remove(0).data;
        let list = |free| {
            let stake = StakeLedger { free, ..StakeLedger::default() };
            let machines = machines(&section(1)).unwrap();
            plan(&market, &data.view().unwrap(), wallet(0), &stake, 600_000, Length::Rounds(5), &machines)
        };
        let plan = list(1_000).unwrap();
        let (bonded, left) = (&plan.details()["bonded"], &plan.details()["free"]);
        assert_eq!((&bonded["amount"], &left["amount"]), (&"300".into(), &"700".into()));
        assert!(list(200).is_ok(), "it succeeds while they do not apply");
        assert_eq!(rule(list(199).unwrap_err()), "InsufficientStake");
    }

    #[test]
    fn what_the_program_would_refuse_is_refused_at_once() {
        for (count, free, length, expected) in [
            (0, 1_000, "1r", "NoMachines"),
            (1, 199, "1r", "InsufficientStake"),
            (1, 200, "0r", "CommitmentTooShort"),
            (1, 200, "366d", ""),
            (1, 200, "367d", "CommitmentTooLong"),
        ] {
            match listed(count, free, length) {
                Ok(plan) => assert!(expected.is_empty() && plan.steps.len() == 1),
                Err(error) => assert_eq!(rule(error), expected),
            }
        }
    }
}
