//! Fallbacks for a request that can't be met.

use std::cmp::Reverse;

use leasehold::{
    math::matching::{Criteria, Place},
    state::{Market, Slot},
};

use super::{
    allocation::Allocation,
    fit::{self, fitting},
    pick::pick,
    request::Request,
};
use crate::board::BoardView;

/// An allocation that meets a request with one change.
#[derive(Clone, Debug)]
pub struct Fallback {
    pub change: Change,
    pub allocation: Allocation,
}

/// Change of a request so that it can be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Fewer GPUs: as many as fit.
    FewerGpus(u32),
    /// Machines of another hardware class, by number.
    Class(u16),
    /// Machines of any place, and not only of this one.
    AnyPlace(Place),
    /// A higher bound for the price, in payment units per GPU and hour.
    MaxPrice(u64),
    MinGpus(u8),
    MaxGpus(u8),
    /// A lower bound for the bond, in stake units for each GPU.
    MinBond(u64),
    MinSpeed(u8),
    MinScore(u16),
    /// Machines that were not seen up lately, too.
    Unseen,
}

/// Machines that could be leased instead: fewer GPUs, or one of the criteria loosened as far as it must be. The cheapest
/// first.
pub fn fallbacks(market: &Market, boards: &[BoardView], now: i64, request: &Request) -> Vec<Fallback> {
    let mut requests = Vec::new();
    let gpus = fit::gpus(boards, now, request);
    if (1..request.gpus).contains(&gpus) {
        requests.push((Change::FewerGpus(gpus), Request { gpus, ..request.clone() }));
    }
    let looser = elsewhere(market, &request.criteria).into_iter().chain(weaker(boards, now, request));
    requests.extend(looser.map(|(change, criteria)| (change, Request { criteria, ..request.clone() })));
    let met = requests.into_iter().filter_map(|(change, request)| {
        Some(Fallback { change, allocation: pick(market, boards, now, &request).ok()? })
    });
    let mut met: Vec<_> = met.collect();
    met.sort_by_key(|fallback| fallback.allocation.deposit);
    met
}

/// Other classes, any place, and machines that were not seen.
fn elsewhere(market: &Market, criteria: &Criteria) -> Vec<(Change, Criteria)> {
    let mut looser = Vec::new();
    if let Some(class) = criteria.class {
        let others = (0..).zip(&market.params.classes).map(|(other, _)| other);
        for other in others.filter(|other| *other != class) {
            looser.push((Change::Class(other), Criteria { class: Some(other), ..*criteria }));
        }
    }
    if criteria.place != Place::Anywhere {
        let anywhere = Criteria { place: Place::Anywhere, ..*criteria };
        looser.push((Change::AnyPlace(criteria.place), anywhere));
    }
    if !criteria.allow_unseen {
        looser.push((Change::Unseen, Criteria { allow_unseen: true, ..*criteria }));
    }
    looser
}

/// A bound that alone keeps enough machines out, loosened no more than needed.
fn weaker(boards: &[BoardView], now: i64, request: &Request) -> Vec<(Change, Criteria)> {
    let criteria = request.criteria;
    let mut looser = Vec::new();
    let any = Criteria { max_price: u64::MAX, ..criteria };
    if let Some(max_price) = last(boards, now, request, &any, |slot| slot.price)
        && max_price > criteria.max_price
    {
        looser.push((Change::MaxPrice(max_price), Criteria { max_price, ..criteria }));
    }
    let any = Criteria { min_gpus: 0, ..criteria };
    if let Some(Reverse(min_gpus)) = last(boards, now, request, &any, |slot| Reverse(slot.traits.gpus))
        && min_gpus < criteria.min_gpus
    {
        looser.push((Change::MinGpus(min_gpus), Criteria { min_gpus, ..criteria }));
    }
    let any = Criteria { max_gpus: u8::MAX, ..criteria };
    if let Some(max_gpus) = last(boards, now, request, &any, |slot| slot.traits.gpus)
        && max_gpus > criteria.max_gpus
    {
        looser.push((Change::MaxGpus(max_gpus), Criteria { max_gpus, ..criteria }));
    }
    let any = Criteria { min_bond: 0, ..criteria };
    if let Some(Reverse(min_bond)) = last(boards, now, request, &any, |slot| Reverse(bond_per_gpu(slot)))
        && min_bond < criteria.min_bond
    {
        looser.push((Change::MinBond(min_bond), Criteria { min_bond, ..criteria }));
    }
    let any = Criteria { min_speed: 0, ..criteria };
    if let Some(Reverse(min_speed)) = last(boards, now, request, &any, |slot| Reverse(slot.traits.speed))
        && min_speed < criteria.min_speed
    {
        looser.push((Change::MinSpeed(min_speed), Criteria { min_speed, ..criteria }));
    }
    let any = Criteria { min_score: 0, ..criteria };
    if let Some(Reverse(min_score)) = last(boards, now, request, &any, |slot| Reverse(slot.score))
        && min_score < criteria.min_score
    {
        looser.push((Change::MinScore(min_score), Criteria { min_score, ..criteria }));
    }
    looser
}

/// Stake units that are bonded for each GPU of a machine.
fn bond_per_gpu(slot: &Slot) -> u64 {
    slot.bond.checked_div(u64::from(slot.traits.gpus)).unwrap_or_default()
}

/// The value of the machine with which the number of GPUs is reached, if machines that meet these criteria are taken in the
/// order of the value.
fn last<K: Ord>(
    boards: &[BoardView],
    now: i64,
    request: &Request,
    criteria: &Criteria,
    of: impl Fn(&Slot) -> K,
) -> Option<K> {
    let request = Request { criteria: *criteria, ..request.clone() };
    let mut values: Vec<_> =
        fitting(boards, now, &request).map(|slot| (of(slot), slot.traits.gpus)).collect();
    values.sort_unstable();
    let mut missing = request.gpus;
    let last = values.into_iter().find(|(_, gpus)| {
        missing = missing.saturating_sub(u32::from(*gpus));
        missing == 0
    });
    last.map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        board::BoardData,
        quote::ANY,
        sample::{NOW, change, priced, request, snapshot},
    };

    fn found(boards: &[BoardData], request: &Request) -> Vec<Fallback> {
        let views: Vec<_> = boards.iter().map(|board| board.view().unwrap()).collect();
        fallbacks(&snapshot().market, &views, NOW, request)
    }

    #[test]
    fn alternatives_are_fewer_gpus_other_classes_and_other_places() {
        let mut mixed = priced(0, &[360, 360, 3_600, 3_600]);
        change(&mut mixed, |_, slots| {
            slots[2].traits.country = 840;
            slots[3].traits.country = 840;
        });
        let german = Request { criteria: Criteria { place: Place::Country(276), ..ANY }, ..request(4) };
        let boards = [mixed, priced(1, &[100])];
        let told: Vec<_> = found(&boards[..1], &german);
        let told: Vec<_> = told.iter().map(|found| (found.change, found.allocation.deposit)).collect();
        assert_eq!(told, [(Change::FewerGpus(2), 720), (Change::AnyPlace(Place::Country(276)), 7_920)]);
        assert_eq!(found(&boards[..1], &request(5)).len(), 1);
        let all = found(&boards, &request(9));
        assert_eq!(
            (all[0].change, all[0].allocation.parts.len()),
            (Change::FewerGpus(5), 2),
            "of all boards"
        );
    }

    #[test]
    fn a_bound_that_alone_is_in_the_way_is_loosened_no_more_than_needed() {
        let mut strong = priced(0, &[360, 720, 900]);
        change(&mut strong, |_, slots| {
            slots[1].traits.gpus = 2;
            slots[2].traits.gpus = 4;
            (slots[1].traits.speed, slots[2].traits.speed) = (3, 4);
            (slots[1].score, slots[2].score) = (6_000, 7_000);
        });
        let boards = [strong];
        for (criteria, gpus, expected) in [
            (Criteria { max_price: 500, ..ANY }, 2, Change::MaxPrice(720)),
            (Criteria { max_price: 100, ..ANY }, 1, Change::MaxPrice(360)),
            (Criteria { min_gpus: 4, ..ANY }, 5, Change::MinGpus(2)),
            (Criteria { min_gpus: 4, ..ANY }, 7, Change::MinGpus(1)),
            (Criteria { max_gpus: 1, ..ANY }, 2, Change::MaxGpus(2)),
            (Criteria { min_bond: 80, ..ANY }, 3, Change::MinBond(50)),
            (Criteria { min_speed: 9, ..ANY }, 1, Change::MinSpeed(4)),
            (Criteria { min_score: 9_000, ..ANY }, 5, Change::MinScore(6_000)),
        ] {
            let had = found(&boards, &Request { criteria, ..request(gpus) });
            let told: Vec<_> = had.iter().map(|found| found.change).collect();
            assert!(told.contains(&expected), "{told:?}");
            let fewer = told.iter().filter(|change| matches!(change, Change::FewerGpus(_))).count();
            assert_eq!(told.len(), 1 + fewer, "{told:?}");
        }
        let both = Criteria { min_gpus: 8, min_speed: 9, ..ANY };
        assert!(found(&boards, &Request { criteria: both, ..request(1) }).is_empty(), "neither alone");
    }

    #[test]
    fn machines_that_were_not_seen_up_are_offered_as_such() {
        let mut board = priced(0, &[360, 720]);
        change(&mut board, |_, slots| slots[0].history_up = 0);
        let told: Vec<_> = found(&[board.clone()], &request(2)).iter().map(|found| found.change).collect();
        assert_eq!(told, [Change::FewerGpus(1), Change::Unseen]);
        change(&mut board, |header, _| header.quorate = 0);
        let told: Vec<_> = found(&[board], &request(1)).iter().map(|found| found.change).collect();
        assert_eq!(told, [Change::Unseen], "nobody knows what is up there");
    }
}
