use super::*;
use crate::payee::Payee;

fn instruction() -> Instruction {
    Instruction { program_id: leasehold::ID, accounts: vec![], data: vec![] }
}

#[test]
fn a_plan_names_its_market_once() {
    let address = Pubkey::new_from_array([7; 32]);
    for plan in [Plan::new("Try"), Plan::new("Try").fact("Market:", "market", address)] {
        let plan = plan.note("Slot:", 5).on_market(3, address);
        let texts: Vec<_> = plan.facts.iter().map(|fact| fact.text.clone()).collect();
        assert_eq!(texts, [format!("3 ({address})"), "5".to_owned()]);
        assert_eq!(plan.details()["market"], address.to_string(), "as programs know it");
    }
}

#[test]
fn facts_are_text_for_people_and_values_for_programs() {
    let plan = Plan::new("Try").fact("Slot:", "slot", 5).fact_as("Round:", "round", "5, soon", 5);
    assert_eq!(plan.facts[1].text, "5, soon");
    assert_eq!(Value::from(plan.details()), serde_json::json!({ "slot": "5", "round": 5 }));
    let plan = plan.item("Part:", "parts", "one", 1).item("Part:", "parts", "two", 2).note("By:", "me");
    assert_eq!(plan.details()["parts"], serde_json::json!([1, 2]));
    assert_eq!((plan.details().len(), plan.facts[4].text.as_str()), (3, "me"));
}

#[test]
fn a_plan_is_independent_only_if_all_its_steps_are() {
    let many = || Plan::new("List").steps("list", vec![instruction(); 3]);
    assert!(many().is_independent());
    assert_eq!(many().steps[2].what, "list, part 3 of 3");
    assert!(!Plan::new("List").steps("list", vec![instruction()]).is_independent(), "one needs no others");
    assert!(!many().step("then", vec![]).is_independent());
    assert!(!Plan::join("Both", vec![many(), many()]).is_independent());
    let mut plans = [many(), many(), many()];
    plans[0].steps[1].builds = true;
    plans[1].steps[1].undo = Some(crate::undo::tests::undo(1));
    plans[2].steps[1].again = Some(Again { lease: Pubkey::default(), most: 6 });
    assert!(plans.iter().all(|plan| !plan.is_independent()));
}

/// Parts that each pay to an account of an owner, the payer being owner 1.
fn paying(owners: &[u8]) -> Vec<Plan> {
    let part = |owner: &u8| {
        let [payer, owner, account, mint] =
            [1, *owner, owner + 100, 9].map(|byte| Pubkey::new_from_array([byte; 32]));
        let payee = Payee { payer, owner, account, mint, token_program: Pubkey::default(), exists: false };
        let mut instructions = Vec::new();
        let plan = payee.prepare(Plan::new("Claim").creates(9), &mut instructions);
        instructions.push(instruction());
        plan.step("claim", instructions.clone()).step("and more", instructions)
    };
    owners.iter().map(part).collect()
}

#[test]
fn a_foreign_account_is_created_once_for_the_announced_rent() {
    let plan = Plan::join("All", paying(&[2, 3, 2]));
    let shared: Vec<_> = plan.growths.iter().filter_map(|growth| growth.shared).collect();
    assert_eq!((shared.len(), plan.growths.len()), (2, 5));
    let created = plan.steps.iter().map(|step| step.instructions.len() - 1);
    assert_eq!(created.collect::<Vec<_>>(), [1, 0, 1, 0, 0, 0], "more could be charged than the plan says");
    let builds = plan.steps.iter().map(|step| step.builds);
    assert_eq!(builds.collect::<Vec<_>>(), [false, true, false, true, true, true]);
}

#[test]
fn the_payers_own_account_is_seen_to_in_each_step_since_nobody_else_gets_its_rent() {
    let plan = Plan::join("All", paying(&[1, 1]));
    assert_eq!(plan.growths.iter().filter(|growth| growth.shared.is_some()).count(), 1);
    assert!(plan.steps.iter().all(|step| step.instructions.len() == 2 && !step.builds));
}

#[test]
fn plans_that_are_joined_keep_all_that_each_does_and_costs() {
    let token = crate::amount::Token { mint: Pubkey::default(), decimals: 0 };
    let part = |number: u64| {
        let plan = Plan::new(format!("Part {number}")).fact_as("Lease:", "lease", number, number);
        plan.spend("deposit", token.money(number), Pubkey::default()).creates(170).step("pay", vec![])
    };
    let mut plan = Plan::join("Both", vec![part(1), part(2)]);
    let texts: Vec<_> = plan.facts.iter().map(|fact| fact.text.as_str()).collect();
    assert_eq!(texts, ["Part 1", "1", "Part 2", "2"]);
    let expected = serde_json::json!({ "parts": [{ "lease": 1 }, { "lease": 2 }] });
    assert_eq!(Value::from(plan.details()), expected);
    assert_eq!((plan.spends.len(), plan.growths.len(), plan.steps.len()), (2, 2, 2));
    plan.steps[1].again = Some(Again { lease: Pubkey::default(), most: 6 });
    assert_eq!((plan.transactions(), plan.undoing(), plan.is_undone()), (7, 0, false));
}
