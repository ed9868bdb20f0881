//! Which boards machines are taken from, and what could be had where there are too few.

use std::cmp::Reverse;

use leasehold::{
    error::LeaseholdError,
    math::{
        add,
        matching::{Criteria, Place, Policy},
        settlement::Terms,
    },
};
use leasehold_client::{
    board::BoardView,
    error::Refusal,
    quote::{Quote, fits, quote, refundable},
};

use crate::{
    chain::MarketView,
    criteria::{Country, Length},
    failure::Failure,
    spread::spread,
    table::count,
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub criteria: Criteria,
    pub machines: u32,
    pub length: Length,
}

/// What would be had: a lease on each of these boards, in their order. One where one has enough machines.
#[derive(Clone, Debug)]
pub struct Choice {
    pub parts: Vec<Picked>,
    /// Payment units to deposit for all.
    pub deposit: u64,
    /// Payment units back, where all are cancelled in their first round.
    pub refundable: u64,
}

/// What would be had on one board.
#[derive(Clone, Debug)]
pub struct Picked {
    /// Number of the board.
    pub board: u32,
    pub quote: Quote,
    /// Payment units back, where it is cancelled in its first round.
    pub refundable: u64,
    /// Length of a round in seconds.
    pub round_secs: u32,
}

/// Something like what was asked for, that can be had.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// How it differs: "3 machines".
    pub instead: String,
    pub choice: Choice,
}

/// What a lease opened now would get: of the boards that have enough machines, on the cheapest, or on that
/// with the best machines where these are asked for. Where no board has enough, the cheapest or best machines
/// of all boards, which makes a lease on each that has one of them.
pub fn pick(market: &MarketView, boards: &[BoardView], now: i64, wish: &Wish) -> Result<Choice, Failure> {
    let rounds = wish.length.rounds(market.account.rules.round_secs)?;
    require_allowed(market, rounds)?;
    let mut best: Option<Picked> = None;
    for board in boards {
        let found = quote(board, now, &wish.criteria, wish.machines, rounds);
        // Whatever a board is refused for, as a machine of a price beyond all sums, says nothing of the others.
        if let Ok(found) = found.and_then(|quote| picked(market, board, quote))
            && best.as_ref().is_none_or(|best| rank(&found) < rank(best))
        {
            best = Some(found);
        }
    }
    let parts = match best {
        Some(one) => vec![one],
        None => spread(market, boards, now, wish, rounds).map_err(|refusal| {
            if refusal != LeaseholdError::NotEnoughMachines.into() {
                return Failure::from(refusal);
            }
            let fit = most(boards, now, wish).unwrap_or_default();
            Failure::rule(refusal, format!("{fit} fit, and {} are asked for", wish.machines))
        })?,
    };
    Ok(Choice::new(parts)?)
}

/// Refuses a lease that the market allows nobody now: none while it is paused, and none of other lengths.
pub fn require_allowed(market: &MarketView, rounds: u32) -> Result<(), Failure> {
    let account = &market.account;
    if account.paused {
        return Err(Refusal::from(LeaseholdError::MarketPaused).into());
    }
    let (least, most) = (account.params.min_rounds, account.params.max_rounds);
    if !(least..=most).contains(&rounds) {
        let values = format!("{rounds} rounds asked for, {least} to {most} allowed");
        return Err(Failure::rule(LeaseholdError::LeaseLength, values));
    }
    Ok(())
}

impl Choice {
    fn new(parts: Vec<Picked>) -> Result<Self, Refusal> {
        let sum = |of: fn(&Picked) -> u64| parts.iter().map(of).try_fold(0, add).map_err(Refusal::from);
        let (deposit, refundable) = (sum(|part| part.quote.deposit)?, sum(|part| part.refundable)?);
        Ok(Choice { parts, deposit, refundable })
    }
}

/// First round that a lease opened now would not run in.
pub fn until(board: &BoardView, now: i64, rounds: u32) -> Result<u32, Refusal> {
    let next = board.header.round_at(now)?.checked_add(1);
    Ok(next.and_then(|next| next.checked_add(rounds)).ok_or(LeaseholdError::MathOverflow)?)
}

/// The lesser is the better.
fn rank(picked: &Picked) -> (Reverse<u16>, u64) {
    let score = match picked.quote.criteria.policy {
        Policy::Cheapest => 0,
        Policy::Best => picked.quote.hint.score,
    };
    (Reverse(score), picked.quote.deposit)
}

/// What a quote comes to on its board.
pub fn picked(market: &MarketView, board: &BoardView, quote: Quote) -> Result<Picked, Refusal> {
    let params = &market.account.params;
    let terms = Terms {
        round_secs: board.header.round_secs,
        rounds: quote.rounds,
        cancel_secs: 0,
        slash_multiplier_bps: params.slash_multiplier_bps,
        fee_bps: params.fee_bps,
        keeper_share_bps: params.keeper_share_bps,
        sla_bps: params.sla_bps,
        split: params.split,
    };
    let refundable = refundable(board, &quote, &terms)?;
    Ok(Picked { board: board.header.index, quote, refundable, round_secs: board.header.round_secs })
}

/// What could be had where what was asked for can't: fewer machines, any class, any place. The cheapest first.
pub fn alternatives(market: &MarketView, boards: &[BoardView], now: i64, wish: &Wish) -> Vec<Alternative> {
    let Wish { criteria, .. } = *wish;
    let mut wishes = Vec::new();
    if let Some(machines) = most(boards, now, wish).filter(|most| (1..wish.machines).contains(most)) {
        wishes.push((
            count(usize::try_from(machines).unwrap_or_default(), "machine"),
            Wish { machines, ..*wish },
        ));
    }
    if let Some(class) = criteria.class {
        let others = (0..).zip(&market.account.params.classes).map(|(other, _)| other);
        for other in others.filter(|other| *other != class) {
            let criteria = Criteria { class: Some(other), ..criteria };
            wishes.push((format!("class {}", market.class_name(other)), Wish { criteria, ..*wish }));
        }
    }
    let place = match criteria.place {
        Place::Anywhere => None,
        Place::Country(country) => Some(format!("not only in {}", Country(country))),
        Place::Region(region) => Some(format!("not only in region {region}")),
    };
    if let Some(instead) = place {
        wishes.push((instead, Wish { criteria: Criteria { place: Place::Anywhere, ..criteria }, ..*wish }));
    }
    let had = wishes.into_iter().filter_map(|(instead, wish)| {
        Some(Alternative { instead, choice: pick(market, boards, now, &wish).ok()? })
    });
    let mut had: Vec<_> = had.collect();
    had.sort_by_key(|alternative| alternative.choice.deposit);
    had
}

/// Machines of all boards that fit.
fn most(boards: &[BoardView], now: i64, wish: &Wish) -> Option<u32> {
    let fitting = boards.iter().filter_map(|board| {
        let until = until(board, now, wish.length.rounds(board.header.round_secs).ok()?).ok()?;
        Some(board.slots.iter().filter(|slot| fits(slot, &wish.criteria, until)).count())
    });
    u32::try_from(fitting.sum::<usize>()).ok()
}

#[cfg(test)]
pub mod tests {
    use leasehold_client::{
        board::BoardData,
        quote::ANY,
        sample::{board_data, slot, snapshot},
    };

    use super::*;
    use crate::{chain::tests::view, failure::tests::rule};

    /// Round 1,000 runs.
    pub const NOW: i64 = 600_000;

    /// A board with a machine for each price.
    pub fn priced(index: u32, prices: &[u64]) -> BoardData {
        let mut header = *snapshot().boards.remove(0).data.view().unwrap().header;
        let slots: Vec<_> =
            prices.iter().map(|price| leasehold::state::Slot { price: *price, ..slot(0) }).collect();
        (header.index, header.slots) = (index, u32::try_from(slots.len()).unwrap());
        board_data(&header, &slots)
    }

    pub fn wish(machines: u32) -> Wish {
        Wish { criteria: ANY, machines, length: Length::Rounds(6) }
    }

    #[test]
    fn the_cheapest_board_with_enough_machines_is_taken() {
        let boards = [priced(0, &[900, 900]), priced(1, &[360, 720]), priced(2, &[1])];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let found = pick(&view(), &views, NOW, &wish(2)).unwrap();
        assert_eq!(taken(&found), [(1, vec![0, 1])]);
        assert_eq!(found.deposit, 360 + 720, "an hour of each");
        assert_eq!(found.refundable, 5 * (60 + 120) - 15 - 30, "a round, and 5 percent of five");
        assert_eq!(taken(&pick(&view(), &views, NOW, &wish(1)).unwrap()), [(2, vec![0])]);
        assert_eq!(taken(&pick(&view(), &views[..1], NOW, &wish(1)).unwrap()), [(0, vec![0])]);
    }

    #[test]
    fn the_best_machines_come_before_the_cheapest_where_asked_for() {
        let mut good = priced(1, &[900]);
        leasehold_client::sample::change(&mut good, |_, slots| slots[0].score = 9_999);
        let boards = [priced(0, &[1]), good];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let best = Wish { criteria: Criteria { policy: Policy::Best, ..ANY }, ..wish(1) };
        assert_eq!(taken(&pick(&view(), &views, NOW, &best).unwrap()), [(1, vec![0])]);
        let both = Wish { machines: 2, ..best };
        assert_eq!(taken(&pick(&view(), &views, NOW, &both).unwrap()), [(0, vec![0]), (1, vec![0])]);
    }

    /// Boards and slots of a choice.
    pub fn taken(choice: &Choice) -> Vec<(u32, Vec<u16>)> {
        choice.parts.iter().map(|part| (part.board, part.quote.slots.clone())).collect()
    }

    #[test]
    fn what_the_market_does_not_allow_is_refused() {
        let board = priced(0, &[1]);
        let views = [board.view().unwrap()];
        let refused = |market: &MarketView, wish: &Wish| rule(pick(market, &views, NOW, wish).unwrap_err());
        let mut market = view();
        assert_eq!(refused(&market, &wish(2)), "NotEnoughMachines");
        assert_eq!(refused(&market, &Wish { length: Length::Rounds(10_001), ..wish(1) }), "LeaseLength");
        market.account.paused = true;
        assert_eq!(refused(&market, &wish(1)), "MarketPaused");
    }

    #[test]
    fn alternatives_are_fewer_machines_other_classes_and_other_places() {
        let mut mixed = priced(0, &[360, 360, 3_600, 3_600]);
        leasehold_client::sample::change(&mut mixed, |_, slots| {
            slots[2].traits.country = 840;
            slots[3].traits.country = 840;
        });
        let views = [mixed.view().unwrap()];
        let german = Wish { criteria: Criteria { place: Place::Country(276), ..ANY }, ..wish(4) };
        let found = alternatives(&view(), &views, NOW, &german);
        let told: Vec<_> = found.iter().map(|found| (found.instead.as_str(), found.choice.deposit)).collect();
        assert_eq!(told, [("2 machines", 720), ("not only in DE", 7_920)]);
        assert!(alternatives(&view(), &views, NOW, &wish(5)).len() == 1);
        let (mixed, more) = (mixed, priced(1, &[100]));
        let views = [mixed.view().unwrap(), more.view().unwrap()];
        let all = alternatives(&view(), &views, NOW, &wish(9));
        assert_eq!((all[0].instead.as_str(), all[0].choice.parts.len()), ("5 machines", 2), "of all boards");
    }
}
