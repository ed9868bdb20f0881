//! What bonds take. Anybody may apply announced parameters once their time has come, so a transaction may meet others
//! than those that were read.

use leasehold::{
    error::LeaseholdError,
    math::{add, pricing},
    state::{Market, Params, Traits},
};
use leasehold_client::error::Refusal;
use serde_json::Value;

use crate::{amount::Money, chain::MarketView, plan::Plan};

/// Stake units that bonds take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bonds {
    /// By the parameters that are in force.
    pub now: u64,
    /// By those or by the announced ones, whichever take more.
    pub most: u64,
}

impl Bonds {
    /// What `of` makes of parameters.
    pub fn new(market: &Market, of: impl Fn(&Params) -> Result<u64, Refusal>) -> Result<Self, Refusal> {
        let now = of(&market.params)?;
        let announced = market.pending_params.as_ref().map(|pending| of(&pending.params));
        // Where there is none by them, nothing is bonded.
        let most = announced.and_then(Result::ok).map_or(now, |announced| announced.max(now));
        Ok(Bonds { now, most })
    }

    /// Of a machine that has so much already.
    pub fn of_machine(market: &Market, traits: &Traits, has: u64) -> Result<Self, Refusal> {
        Bonds::new(market, |params| {
            let class = params.classes.get(usize::from(traits.class)).ok_or(LeaseholdError::UnknownClass)?;
            Ok(pricing::bond(params.bond_unit, class.weight_bps, traits.gpus)?.saturating_sub(has))
        })
    }

    /// Of a seat.
    pub fn of_seat(market: &Market) -> Self {
        let announced = market.pending_params.as_ref().map_or(0, |pending| pending.params.keeper_bond);
        let now = market.params.keeper_bond;
        Bonds { now, most: now.max(announced) }
    }

    pub fn and(self, other: Bonds) -> Result<Self, Refusal> {
        Ok(Bonds { now: add(self.now, other.now)?, most: self.most.saturating_add(other.most) })
    }

    /// Adds what they take to a plan.
    pub fn shown(self, plan: Plan, market: &MarketView, label: &'static str, name: &'static str) -> Plan {
        let most = market.stake.money(self.most);
        if self.now == self.most {
            return plan.money(label, name, most);
        }
        let now = market.stake.number(self.now);
        let text = format!("{most} at most: {now} now, more once announced parameters apply");
        plan.fact_as(label, name, text, bound(&most, "at_most"))
    }

    /// Adds what they leave of stake that is free.
    pub fn left(self, plan: Plan, market: &MarketView, free: u64) -> Plan {
        let left = market.stake.money(free.saturating_sub(self.most));
        if self.now == self.most {
            return plan.money("Left free:", "free", left);
        }
        plan.fact_as("Left free:", "free", format!("{left} at least"), bound(&left, "at_least"))
    }
}

/// An amount for programs, with a word on what it bounds.
fn bound(money: &Money, what: &str) -> Value {
    let mut value = serde_json::to_value(money).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.insert(what.to_owned(), true.into());
    }
    value
}

#[cfg(test)]
pub mod tests {
    use leasehold::state::PendingParams;

    use super::*;
    use crate::chain::tests::view;

    /// A market that has announced other parameters.
    pub fn announcing(change: impl FnOnce(&mut Params)) -> MarketView {
        let mut market = view();
        let mut params = market.account.params.clone();
        change(&mut params);
        market.account.pending_params = Some(PendingParams { params, effective_at: 60 });
        market
    }

    #[test]
    fn bonds_are_of_the_dearer_parameters_machine_by_machine() {
        let traits = Traits { class: 0, gpus: 2, ..Traits::default() };
        let of = |market: &MarketView, has| Bonds::of_machine(&market.account, &traits, has).unwrap();
        assert_eq!(of(&view(), 0), Bonds { now: 200, most: 200 });
        let dearer = announcing(|params| params.bond_unit = 150);
        assert_eq!(of(&dearer, 0), Bonds { now: 200, most: 300 });
        assert_eq!(of(&dearer, 250), Bonds { now: 0, most: 50 });
        assert_eq!(of(&announcing(|params| params.classes[0].weight_bps = 5_000), 0).most, 200);
        let sum = of(&dearer, 0).and(of(&dearer, 250)).unwrap();
        assert_eq!(sum, Bonds { now: 200, most: 350 });
        let unknown = Traits { class: 1, ..traits };
        assert!(Bonds::of_machine(&view().account, &unknown, 0).is_err());
        assert_eq!(Bonds::of_seat(&announcing(|params| params.keeper_bond = 80).account).most, 80);
    }

    #[test]
    fn what_may_take_more_is_told_as_at_most() {
        let (market, bonds) = (view(), Bonds { now: 200, most: 300 });
        let mint = crate::amount::short(&market.stake.mint);
        let plan = bonds.shown(Plan::default(), &market, "Bonded:", "bonded");
        let plan = bonds.left(plan, &market, 1_000);
        let texts: Vec<_> = plan.facts.iter().map(|fact| fact.text.as_str()).collect();
        let most = format!("3 of {mint} at most: 2 now, more once announced parameters apply");
        assert_eq!(texts, [most, format!("7 of {mint} at least")]);
        let details = plan.details();
        assert_eq!(
            (&details["bonded"]["amount"], &details["bonded"]["at_most"]),
            (&"300".into(), &true.into())
        );
        assert_eq!(details["free"]["at_least"], true);
        let exact = Bonds { most: 200, ..bonds }.shown(Plan::default(), &market, "Bonded:", "bonded");
        assert_eq!(exact.facts[0].text, format!("2 of {mint}"));
    }
}
