//! Bonds in a plan. Anybody may apply proposed parameters once their time has come, so a transaction may meet others
//! than those that were read.

use leasehold_client::search::Bonds;
use leasehold_operate::{amount::Money, market::MarketView, plan::Plan};
use serde_json::Value;

/// Adds the stake that bonds require to a plan.
pub fn shown(bonds: Bonds, plan: Plan, market: &MarketView, label: &'static str, name: &'static str) -> Plan {
    let most = market.stake.money(bonds.most);
    if bonds.now == bonds.most {
        return plan.money(label, name, most);
    }
    let now = market.stake.number(bonds.now);
    let text = format!("{most} at most: {now} now, more once proposed parameters apply");
    plan.fact_as(label, name, text, bound(&most, "at_most"))
}

/// Adds the free stake that remains after bonds to a plan.
pub fn left(bonds: Bonds, plan: Plan, market: &MarketView, free: u64) -> Plan {
    let left = market.stake.money(free.saturating_sub(bonds.most));
    if bonds.now == bonds.most {
        return plan.money("Left free:", "free", left);
    }
    plan.fact_as("Left free:", "free", format!("{left} at least"), bound(&left, "at_least"))
}

/// An amount for programs, marked as a bound by the field `what`: `at_most` or `at_least`.
fn bound(money: &Money, what: &str) -> Value {
    let mut value = serde_json::to_value(money).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.insert(what.to_owned(), true.into());
    }
    value
}

#[cfg(test)]
mod tests {
    use leasehold_operate::{amount::short, sample::view};

    use super::*;

    #[test]
    fn costs_that_may_vary_are_printed_as_at_most() {
        let (market, bonds) = (view(), Bonds { now: 200, most: 300 });
        let mint = short(&market.stake.mint);
        let plan = shown(bonds, Plan::default(), &market, "Bonded:", "bonded");
        let plan = left(bonds, plan, &market, 1_000);
        let texts: Vec<_> = plan.facts.iter().map(|fact| fact.text.as_str()).collect();
        let most = format!("3 of {mint} at most: 2 now, more once proposed parameters apply");
        assert_eq!(texts, [most, format!("7 of {mint} at least")]);
        let details = plan.details();
        assert_eq!(
            (&details["bonded"]["amount"], &details["bonded"]["at_most"]),
            (&"300".into(), &true.into())
        );
        assert_eq!(details["free"]["at_least"], true);
        let exact = shown(Bonds { most: 200, ..bonds }, Plan::default(), &market, "Bonded:", "bonded");
        assert_eq!(exact.facts[0].text, format!("2 of {mint}"));
    }
}
