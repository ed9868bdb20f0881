//! What could be had where what was asked for can't.

use std::cmp::Reverse;

use leasehold::{
    math::matching::{Criteria, Place},
    state::Slot,
};
use leasehold_client::board::BoardView;

use crate::{
    chain::MarketView,
    criteria::Country,
    pick::{Alternative, Wish, fitting, most, pick},
    table::count,
};

/// What could be had where what was asked for can't: fewer machines, or one of the criteria as much looser as it has
/// to be. The cheapest first.
pub fn alternatives(market: &MarketView, boards: &[BoardView], now: i64, wish: &Wish) -> Vec<Alternative> {
    let mut wishes = Vec::new();
    if let Some(machines) = most(boards, now, wish).filter(|most| (1..wish.machines).contains(most)) {
        wishes.push(("fewer machines".to_owned(), Wish { machines, ..*wish }));
    }
    let looser = elsewhere(market, &wish.criteria).into_iter().chain(weaker(market, boards, now, wish));
    wishes.extend(looser.map(|(instead, criteria)| (instead, Wish { criteria, ..*wish })));
    let had = wishes.into_iter().filter_map(|(instead, wish)| {
        Some(Alternative { instead, choice: pick(market, boards, now, &wish).ok()? })
    });
    let mut had: Vec<_> = had.collect();
    had.sort_by_key(|alternative| alternative.choice.deposit);
    had
}

/// Other classes, and any place.
fn elsewhere(market: &MarketView, criteria: &Criteria) -> Vec<(String, Criteria)> {
    let mut looser = Vec::new();
    if let Some(class) = criteria.class {
        let others = (0..).zip(&market.account.params.classes).map(|(other, _)| other);
        for other in others.filter(|other| *other != class) {
            let criteria = Criteria { class: Some(other), ..*criteria };
            looser.push((format!("class {}", market.class_name(other)), criteria));
        }
    }
    let place = match criteria.place {
        Place::Anywhere => None,
        Place::Country(country) => Some(format!("not only in {}", Country(country))),
        Place::Region(region) => Some(format!("not only in region {region}")),
    };
    looser.extend(place.map(|instead| (instead, Criteria { place: Place::Anywhere, ..*criteria })));
    looser
}

/// A bound that alone keeps enough machines out, as near to what was asked for as can be.
fn weaker(market: &MarketView, boards: &[BoardView], now: i64, wish: &Wish) -> Vec<(String, Criteria)> {
    let criteria = wish.criteria;
    let mut looser = Vec::new();
    let any = Criteria { max_price: u64::MAX, ..criteria };
    if let Some(max_price) = last(boards, now, wish, &any, |slot| slot.price)
        && max_price > criteria.max_price
    {
        let price = market.payment.number(max_price);
        let instead = format!("at most {price} an hour (--max-price {price})");
        looser.push((instead, Criteria { max_price, ..criteria }));
    }
    let any = Criteria { min_gpus: 0, ..criteria };
    if let Some(Reverse(min_gpus)) = last(boards, now, wish, &any, |slot| Reverse(slot.traits.gpus))
        && min_gpus < criteria.min_gpus
    {
        let instead = format!("at least {} each (--min-gpus {min_gpus})", count(min_gpus.into(), "GPU"));
        looser.push((instead, Criteria { min_gpus, ..criteria }));
    }
    let any = Criteria { min_speed: 0, ..criteria };
    if let Some(Reverse(min_speed)) = last(boards, now, wish, &any, |slot| Reverse(slot.traits.speed))
        && min_speed < criteria.min_speed
    {
        let instead = format!("speed {min_speed} or more (--min-speed {min_speed})");
        looser.push((instead, Criteria { min_speed, ..criteria }));
    }
    let any = Criteria { min_score: 0, ..criteria };
    if let Some(Reverse(min_score)) = last(boards, now, wish, &any, |slot| Reverse(slot.score))
        && min_score < criteria.min_score
    {
        let instead = format!("score {min_score} or more (--min-score {min_score})");
        looser.push((instead, Criteria { min_score, ..criteria }));
    }
    looser
}

/// Of the machines that meet these criteria, the first as many as are asked for have this at most.
fn last<K: Ord>(
    boards: &[BoardView],
    now: i64,
    wish: &Wish,
    criteria: &Criteria,
    of: impl Fn(&Slot) -> K,
) -> Option<K> {
    let wish = Wish { criteria: *criteria, ..*wish };
    let mut values: Vec<K> = fitting(boards, now, &wish).map(of).collect();
    let place = usize::try_from(wish.machines).ok()?.checked_sub(1)?;
    values.sort_unstable();
    values.into_iter().nth(place)
}

#[cfg(test)]
mod tests {
    use leasehold_client::{board::BoardData, quote::ANY, sample::change};

    use super::*;
    use crate::{
        chain::tests::view,
        pick::tests::{NOW, priced, wish},
    };

    fn found(boards: &[BoardData], wish: &Wish) -> Vec<Alternative> {
        let views: Vec<_> = boards.iter().map(|board| board.view().unwrap()).collect();
        alternatives(&view(), &views, NOW, wish)
    }

    #[test]
    fn alternatives_are_fewer_machines_other_classes_and_other_places() {
        let mut mixed = priced(0, &[360, 360, 3_600, 3_600]);
        change(&mut mixed, |_, slots| {
            slots[2].traits.country = 840;
            slots[3].traits.country = 840;
        });
        let german = Wish { criteria: Criteria { place: Place::Country(276), ..ANY }, ..wish(4) };
        let boards = [mixed, priced(1, &[100])];
        let told: Vec<_> = found(&boards[..1], &german);
        let told: Vec<_> = told.iter().map(|found| (found.instead.as_str(), found.choice.deposit)).collect();
        assert_eq!(told, [("fewer machines", 720), ("not only in DE", 7_920)]);
        assert_eq!(found(&boards[..1], &wish(5)).len(), 1);
        let all = found(&boards, &wish(9));
        assert_eq!(
            (all[0].instead.as_str(), all[0].choice.parts.len()),
            ("fewer machines", 2),
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
        for (criteria, machines, expected) in [
            (Criteria { max_price: 500, ..ANY }, 2, "at most 0.00072 an hour (--max-price 0.00072)"),
            (Criteria { max_price: 100, ..ANY }, 1, "at most 0.00036 an hour (--max-price 0.00036)"),
            (Criteria { min_gpus: 4, ..ANY }, 2, "at least 2 GPUs each (--min-gpus 2)"),
            (Criteria { min_gpus: 4, ..ANY }, 3, "at least 1 GPU each (--min-gpus 1)"),
            (Criteria { min_speed: 9, ..ANY }, 1, "speed 4 or more (--min-speed 4)"),
            (Criteria { min_score: 9_000, ..ANY }, 2, "score 6000 or more (--min-score 6000)"),
        ] {
            let had = found(&boards, &Wish { criteria, ..wish(machines) });
            let told: Vec<_> = had.iter().map(|found| found.instead.as_str()).collect();
            assert!(told.contains(&expected), "{told:?}");
            let fewer = usize::from(told.contains(&"fewer machines"));
            assert_eq!(told.len(), 1 + fewer, "{told:?}");
        }
        let both = Criteria { min_gpus: 8, min_speed: 9, ..ANY };
        assert!(found(&boards, &Wish { criteria: both, ..wish(1) }).is_empty(), "neither alone");
    }
}
