//! Selection of a lease's machines, and its price.

use leasehold::math::matching::{Criteria, Place, Policy};

use super::{Board, LeaseId, Machine, Model, naive};

/// True if a machine meets the criteria and is committed until `until`.
fn fits(machine: &Machine, criteria: &Criteria, until: u32) -> bool {
    let traits = &machine.traits;
    let place = match criteria.place {
        Place::Anywhere => true,
        Place::Country(country) => traits.country == country,
        Place::Region(region) => traits.region == region,
    };
    machine.is_idle()
        && place
        && criteria.class.is_none_or(|class| traits.class == class)
        && traits.gpus >= criteria.min_gpus
        && traits.speed >= criteria.min_speed
        && super::compare::SCORE >= criteria.min_score
        && machine.price <= criteria.max_price
        && machine.committed_until >= until
}

impl Board {
    /// The machines that a lease gets, in order. `None` if too few fit. All scores are still equal, so both policies
    /// sort by price.
    pub fn choose(&self, criteria: &Criteria, until: u32, count: usize) -> Option<Vec<u16>> {
        let mut fitting: Vec<(u64, u16)> = self
            .machines()
            .filter(|(_, _, machine)| fits(machine, criteria, until))
            .map(|(index, _, machine)| (machine.price, index))
            .collect();
        match criteria.policy {
            Policy::Cheapest | Policy::Best => fitting.sort_unstable(),
        }
        fitting.truncate(count);
        (count > 0 && fitting.len() == count).then(|| fitting.into_iter().map(|(_, index)| index).collect())
    }
}

impl Model {
    /// The machines and the deposit of a lease opened now. `None` if too few machines fit.
    pub fn quote(
        &self,
        board: u32,
        criteria: &Criteria,
        machines: u32,
        rounds: u32,
    ) -> Option<(Vec<u16>, u128)> {
        let state = self.boards.get(&board)?;
        let slots = state.choose(criteria, self.round() + 1 + rounds, machines as usize)?;
        let secs = u128::from(self.market.rules.round_secs) * u128::from(rounds);
        let price = |slot: &u16| state.slots[usize::from(*slot)].machine.as_ref().expect("chosen").price;
        let deposit = slots.iter().map(|slot| naive::cost_ceil(price(slot), secs)).sum();
        Some((slots, deposit))
    }

    /// Price of `rounds` more rounds, if every machine is committed to them.
    pub fn extension(&self, id: LeaseId, rounds: u32) -> u128 {
        let Ok(lease) = self.lease(id) else { return 0 };
        let machines = self.boards[&id.board].leased(id.serial);
        machines
            .map(|(_, machine, stint)| {
                let cost = |until: u32| naive::cost_ceil(machine.price, lease.secs(until - stint.from));
                cost(lease.until + rounds) - cost(stint.until)
            })
            .sum()
    }
}
