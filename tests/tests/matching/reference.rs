//! The design's rule, word for word: sort all fitting machines, take, complete, leave out.

use leasehold::{
    math::matching::{Place, Policy, Request},
    state::{Slot, SlotState, Traits},
};

/// The machines that a lease must get, in order, with the last machine at the end.
#[derive(Clone, Debug)]
pub struct Picked {
    pub machines: Vec<usize>,
    /// The first machine in order that was not taken in order.
    pub next: usize,
}

/// `None` if fewer GPUs fit than are asked for.
pub fn pick(slots: &[Slot], request: &Request) -> Option<Picked> {
    let fitting = in_order(slots, request, |slot| fits(slot, request));
    let wanted = u64::from(request.gpus);
    let gpus = |index: usize| u64::from(slots[index].traits.gpus);
    let mut machines = Vec::new();
    let mut sum = 0;
    for index in &fitting {
        if sum + gpus(*index) >= wanted {
            break;
        }
        sum += gpus(*index);
        machines.push(*index);
    }
    let next = *fitting.get(machines.len())?;
    let last = complete(slots, request, fitting[machines.len()..].to_vec(), wanted - sum)?;
    sum += gpus(last);
    for place in (0..machines.len()).rev() {
        if sum - gpus(machines[place]) >= wanted {
            sum -= gpus(machines.remove(place));
        }
    }
    machines.push(last);
    Some(Picked { machines, next })
}

/// The machine that replaces one with as many GPUs as are asked for.
pub fn replacement(slots: &[Slot], request: &Request) -> Option<usize> {
    let fitting = in_order(slots, request, |slot| fits(slot, request));
    complete(slots, request, fitting, u64::from(request.gpus))
}

/// The last machine, of those left in order.
fn complete(slots: &[Slot], request: &Request, mut left: Vec<usize>, needed: u64) -> Option<usize> {
    left.retain(|index| u64::from(slots[*index].traits.gpus) >= needed);
    match request.criteria.policy {
        Policy::Best => left.first().copied(),
        // Of equal ones the first.
        Policy::Cheapest => {
            left.into_iter().min_by_key(|index| u64::from(slots[*index].traits.gpus) * slots[*index].price)
        }
    }
}

fn in_order(slots: &[Slot], request: &Request, fits: impl Fn(&Slot) -> bool) -> Vec<usize> {
    let free = |index: &usize| !request.avoid.iter().any(|avoided| usize::from(*avoided) == *index);
    let mut fitting: Vec<usize> =
        (0..slots.len()).filter(free).filter(|index| fits(&slots[*index])).collect();
    match request.criteria.policy {
        Policy::Cheapest => {
            fitting.sort_by_key(|index| (slots[*index].price, u16::MAX - slots[*index].score, *index));
        }
        Policy::Best => {
            fitting.sort_by_key(|index| (u16::MAX - slots[*index].score, slots[*index].price, *index));
        }
    }
    fitting
}

fn fits(slot: &Slot, request: &Request) -> bool {
    let criteria = request.criteria;
    let placed = match criteria.place {
        Place::Anywhere => true,
        Place::Country(country) => slot.traits.country == country,
        Place::Region(region) => slot.traits.region == region,
    };
    let rested = i64::from(request.from) - i64::from(slot.lease_until);
    let seen = request.seen.is_some_and(|round| slot.history_up & (1 << (round % 64)) != 0);
    slot.state == SlotState::Idle as u8
        && !slot.has(Slot::ABANDONED)
        && criteria.class.is_none_or(|class| slot.traits.class == class)
        && (criteria.min_gpus..=criteria.max_gpus).contains(&slot.traits.gpus)
        && slot.traits.speed >= criteria.min_speed
        && placed
        && slot.score >= criteria.min_score
        && slot.price <= criteria.max_price
        && u128::from(slot.bond) >= u128::from(criteria.min_bond) * u128::from(slot.traits.gpus)
        && slot.committed_until >= request.until
        && (!criteria.metered || slot.traits.flags & Traits::METERED != 0)
        && (slot.lease_until == 0
            || rested * i64::from(request.round_secs) >= i64::from(slot.turnaround) * 60)
        && (criteria.allow_unseen || seen)
}
