//! Selection of a lease's machines, and its price.

use leasehold::{
    error::LeaseholdError::*,
    instructions::OpenLeaseArgs,
    math::matching::{Criteria, Place, Policy},
    state::Traits,
};

use super::{Board, Lease, Machine, Model, Refusal, Verdict, naive, require};

/// What a lease asks for, and when.
pub struct Request {
    pub criteria: Criteria,
    pub gpus: u32,
    pub from: u32,
    pub until: u32,
    pub avoid: Vec<u16>,
}

impl Request {
    pub fn of(model: &Model, board: u32, args: &OpenLeaseArgs) -> Self {
        let from = model.round(board) + 1;
        let (until, avoid) = (from + args.rounds, args.avoid.clone());
        Request { criteria: args.criteria, gpus: args.gpus, from, until, avoid }
    }

    /// One machine with at least as many GPUs as the old one.
    pub fn to_replace(
        model: &Model,
        board: u32,
        lease: &Lease,
        old: &Machine,
        avoid: &[u16],
        min_bond: u64,
    ) -> Self {
        let state = &model.boards[&board];
        let left = |(slot, generation): &&(u16, u32)| {
            state.slots.get(usize::from(*slot)).is_some_and(|slot| slot.generation == *generation)
        };
        let left = lease.replaced.iter().filter(left).map(|(slot, _)| *slot);
        let min_gpus = lease.criteria.min_gpus.max(old.traits.gpus);
        let min_bond = lease.criteria.min_bond.max(min_bond);
        Request {
            criteria: Criteria { min_gpus, min_bond, ..lease.criteria },
            gpus: old.traits.gpus.into(),
            from: model.round(board) + 1,
            until: lease.until,
            avoid: avoid.iter().copied().chain(left).collect(),
        }
    }

    /// True if a machine meets the criteria, is committed for so long, has rested since its last lease, and was up in round
    /// `seen`.
    fn fits(&self, machine: &Machine, seen: Option<u32>, round_secs: u32) -> bool {
        let (criteria, traits) = (&self.criteria, &machine.traits);
        let place = match criteria.place {
            Place::Anywhere => true,
            Place::Country(country) => traits.country == country,
            Place::Region(region) => traits.region == region,
        };
        let rested = machine.last.is_none_or(|last| {
            let secs = u64::from(self.from.saturating_sub(last.until)) * u64::from(round_secs);
            secs >= u64::from(machine.turnaround) * 60
        });
        let is_up = |round: u32| machine.verdicts.get(&round) == Some(&Verdict::Up);
        let bond = u128::from(criteria.min_bond) * u128::from(traits.gpus);
        machine.is_idle()
            && place
            && criteria.class.is_none_or(|class| traits.class == class)
            && (criteria.min_gpus..=criteria.max_gpus).contains(&traits.gpus)
            && traits.speed >= criteria.min_speed
            && super::compare::SCORE >= criteria.min_score
            && machine.price <= criteria.max_price
            && (!criteria.metered || traits.flags & Traits::METERED != 0)
            && u128::from(machine.bond) >= bond
            && machine.committed_until >= self.until
            && rested
            && (criteria.allow_unseen || seen.is_some_and(is_up))
    }
}

impl Board {
    /// The last round with enough votes, if it ended lately.
    fn seen(&self, model: &Model) -> Option<u32> {
        let round = *self.quorate.last()?;
        let secs = i64::from(model.market.rules.round_secs);
        let ended = self.phase + (i64::from(round) + 1) * secs;
        (model.now <= ended + (3 * secs).max(120)).then_some(round)
    }
}

impl Model {
    /// The machines that a lease gets, in order; or why there are none.
    pub fn choose(&self, board: u32, request: &Request) -> Result<Vec<u16>, Vec<Refusal>> {
        let state = self.board(board)?;
        let seen = state.seen(self);
        require(request.criteria.allow_unseen || seen.is_some(), BoardUnseen)?;
        let round_secs = self.market.rules.round_secs;
        let gpus = |slot: u16| u32::from(state.machine(slot).expect("listed").traits.gpus);
        let hourly = |slot: u16| state.machine(slot).expect("listed").hourly();
        let mut order: Vec<(u64, u16)> = state
            .machines()
            .filter(|(index, _, machine)| {
                !request.avoid.contains(index) && request.fits(machine, seen, round_secs)
            })
            .map(|(index, _, machine)| (machine.price, index))
            .collect();
        // All scores are still equal, so both policies sort by price.
        order.sort_unstable();
        let mut order: Vec<u16> = order.into_iter().map(|(_, index)| index).collect();

        // In order while they stay below the number.
        let (mut taken, mut sum) = (vec![], 0);
        while let Some(first) = order.first().copied()
            && sum + gpus(first) < request.gpus
        {
            sum += gpus(first);
            taken.push(order.remove(0));
        }
        // Then the one that completes the number at the lowest price in all, or the first one.
        let mut complete = order.into_iter().filter(|slot| sum + gpus(*slot) >= request.gpus);
        let last = match request.criteria.policy {
            Policy::Cheapest => complete.min_by_key(|slot| hourly(*slot)), // of equals the first
            Policy::Best => complete.next(),
        };
        let Some(last) = last else { return Err(vec![Refusal::Rule(NotEnoughGpus)]) };
        sum += gpus(last);
        // From the last in order to the first, each that is not needed is left out.
        for place in (0..taken.len()).rev() {
            if sum - gpus(taken[place]) >= request.gpus {
                sum -= gpus(taken.remove(place));
            }
        }
        taken.push(last);
        Ok(taken)
    }

    /// What machines cost for so many rounds.
    pub fn cost(&self, board: u32, slots: &[u16], rounds: u32) -> u128 {
        let state = &self.boards[&board];
        let secs = u128::from(self.market.rules.round_secs) * u128::from(rounds);
        let hourly = |slot: &u16| state.machine(*slot).expect("chosen").hourly();
        slots.iter().map(|slot| naive::cost_ceil(hourly(slot), secs)).sum()
    }
}
