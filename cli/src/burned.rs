//! Payment units that are burned, with the reasons.

use leasehold::math::settlement::Burned;
use leasehold_client::{error::Refusal, quote::reasons};
use leasehold_operate::{amount::Money, failure::Failure, market::MarketView, plan::Plan};
use serde::Serialize;

/// Payments that are burned, by reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedBurned {
    pub total: Money,
    /// Of machines' pay: for rounds down beyond their allowance, and because their owner contested them.
    pub damages: Money,
    pub contested: Money,
    /// Of the owner's money: for leaving, and for contesting.
    pub exit: Money,
    pub penalty: Money,
}

impl NamedBurned {
    pub fn new(market: &MarketView, burned: &Burned) -> Result<Self, Failure> {
        let Burned { damages, contested, exit, penalty } = *burned;
        let money = |amount| market.payment.money(amount);
        Ok(NamedBurned {
            total: money(burned.total().map_err(Refusal::from)?),
            damages: money(damages),
            contested: money(contested),
            exit: money(exit),
            penalty: money(penalty),
        })
    }
}

/// The amounts that are burned, each with its reason in a line.
pub fn reasoned(market: &MarketView, burned: &Burned) -> Vec<String> {
    let line = |(amount, reason)| format!("{} {reason}", market.payment.money(amount));
    reasons(burned).into_iter().map(line).collect()
}

/// Adds what is burned, and why.
pub fn shown(plan: Plan, market: &MarketView, burned: &Burned) -> Result<Plan, Failure> {
    let value = serde_json::to_value(NamedBurned::new(market, burned)?).unwrap_or_default();
    let mut lines = reasoned(market, burned).into_iter();
    let first = lines.next().unwrap_or_else(|| "nothing".to_owned());
    let plan = plan.fact_as("Burned:", "burned", first, value);
    Ok(lines.fold(plan, |plan, line| plan.note("Burned:", line)))
}

#[cfg(test)]
mod tests {
    use leasehold_operate::{amount::short, sample::view};

    use super::*;

    #[test]
    fn what_is_burned_is_shown_with_its_reasons() {
        let burned = Burned { damages: 360, penalty: 18, ..Burned::default() };
        let plan = shown(Plan::default(), &view(), &burned).unwrap();
        let texts: Vec<_> = plan.facts.iter().map(|fact| fact.text.as_str()).collect();
        let mint = short(&view().payment.mint);
        assert_eq!(
            texts,
            [
                format!("0.00036 of {mint} of the machines' pay, for rounds down beyond their allowance"),
                format!(
                    "0.000018 of {mint} of the owner's money, for contesting: half of what that takes from the machines"
                ),
            ]
        );
        let json = plan.details()["burned"].clone();
        assert_eq!((&json["total"]["amount"], &json["exit"]["amount"]), (&"378".into(), &"0".into()));
        let none = shown(Plan::default(), &view(), &Burned::default()).unwrap();
        assert_eq!((none.facts.len(), none.facts[0].text.as_str()), (1, "nothing"));
    }
}
