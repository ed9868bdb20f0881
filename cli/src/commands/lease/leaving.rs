//! Machines that their owner leaves early, as plans show them.

use leasehold_client::quote::Departure;
use leasehold_operate::{
    amount::Money,
    failure::Failure,
    market::MarketView,
    plan::Plan,
    table::{count, some_slots},
    time::{rfc3339, start_of},
};
use serde::Serialize;

use super::leased::Leased;
use crate::burned::NamedBurned;

/// How a machine leaves a lease, if it is up in every round until then.
#[derive(Debug, Serialize)]
pub struct Departed {
    pub slot: u16,
    /// First round that it does not serve any more.
    pub until: u32,
    pub contested: bool,
    /// Owed by the owner for leaving it: paid to a blameless machine that is not contested, else burned.
    pub exit: Money,
    /// To its supplier, and to market and keepers, besides what was paid already.
    pub paid: Money,
    pub fee: Money,
    pub burned: NamedBurned,
    /// Part of its bond that it loses.
    pub slashed: Money,
    /// Until when it is bound: it can't be withheld or retired, nor its price be raised. `None` if it is not.
    pub bound_to: Option<String>,
    /// Effect of contesting it, whether or not it is contested.
    pub contest: Contested,
}

/// Effect of contesting a machine; all of it is burned.
#[derive(Debug, Serialize)]
pub struct Contested {
    /// Payment that the machine loses, before the market's fee: pay that is contested, and `exit` if it would get that.
    pub machine_loses: Money,
    /// What its owner pays besides.
    pub owner_pays: Money,
}

impl Departed {
    pub fn new(leased: &Leased, departure: &Departure) -> Result<Self, Failure> {
        let Leased { lease, market, .. } = leased;
        let Departure { slot, until, contested, exit, outcome, contest } = *departure;
        let bound_until = until.saturating_add(outcome.bound);
        let bound_to = || rfc3339(start_of(&lease.terms, bound_until));
        Ok(Departed {
            slot,
            until,
            contested,
            exit: market.payment.money(exit),
            paid: market.payment.money(outcome.payment.net),
            fee: market.payment.money(outcome.payment.fee),
            burned: NamedBurned::new(market, &outcome.burned)?,
            slashed: market.stake.money(outcome.slash),
            bound_to: (outcome.bound > 0).then(bound_to),
            contest: Contested {
                machine_loses: market.payment.money(contest.machine_loses),
                owner_pays: market.payment.money(contest.owner_pays),
            },
        })
    }

    fn contested(&self) -> String {
        let Departed { slot, contest: Contested { machine_loses, owner_pays }, .. } = self;
        let number = |amount| machine_loses.token.number(amount);
        let pay = self.burned.contested.amount;
        let lost = match machine_loses.amount.saturating_sub(pay) {
            0 => format!("{machine_loses} of its pay"),
            exit => {
                format!("{machine_loses}, namely {} of its pay and {} for leaving", number(pay), number(exit))
            }
        };
        let owner_pays = number(owner_pays.amount);
        format!("slot {slot} loses {lost}; you pay half as much, {owner_pays}; all of it is burned")
    }
}

/// Adds what is owed for leaving, and who gets it.
pub fn owed(plan: Plan, market: &MarketView, machines: &[Departed]) -> Plan {
    let sum = |of: fn(&Departed) -> &Money| {
        market.payment.money(machines.iter().map(|machine| of(machine).amount).fold(0, u64::saturating_add))
    };
    let (exit, burned) = (sum(|machine| &machine.exit), sum(|machine| &machine.burned.exit));
    let text = match burned.amount {
        _ if exit.amount == 0 => "nothing".to_owned(),
        0 => format!("{exit}, paid to the machines"),
        all if all == exit.amount => format!("{exit}, burned"),
        some => {
            format!("{exit}, paid to the machines but for {}, which are burned", market.payment.number(some))
        }
    };
    plan.money_as("For leaving:", "exit", text, exit)
}

/// Adds the machines: those that are contested and those that stay bound by line, all of them for programs.
pub fn shown(plan: Plan, machines: Vec<Departed>) -> Plan {
    let mut plan = plan;
    for machine in machines.iter().filter(|machine| machine.contested) {
        plan = plan.note("Contested:", machine.contested());
    }
    let bound = || machines.iter().filter(|machine| machine.bound_to.is_some());
    if let Some(last) = bound().filter_map(|machine| machine.bound_to.as_ref()).max() {
        let slots: Vec<_> = bound().map(|machine| machine.slot).collect();
        let text = format!(
            "{} can't be withheld, retired or made dearer until {last} at the latest",
            some_slots(&slots)
        );
        plan = plan.note("Bound:", text);
    }
    let text = count(machines.len(), "machine");
    let value = serde_json::to_value(machines).unwrap_or_default();
    plan.fact_as("Leaving:", "machines", text, value)
}
