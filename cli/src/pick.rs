//! Which boards machines are taken from.

use std::cmp::Reverse;

use leasehold::{
    error::LeaseholdError,
    math::{
        add,
        matching::{Criteria, Policy},
    },
    rules::open,
    state::{Board, Slot},
};
use leasehold_client::{
    board::BoardView,
    error::Refusal,
    quote::{Quote, fits, quote, refundable},
};

use crate::{
    chain::MarketView,
    criteria::Length,
    failure::Failure,
    kinds::{Kind, kinds},
    spread::spread,
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
    /// What the machines are.
    pub kinds: Vec<Kind>,
    /// Payment units back, where it is cancelled in its first round.
    pub refundable: u64,
    /// Length of a round in seconds.
    pub round_secs: u32,
}

/// Something like what was asked for, that can be had.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// How it differs: "fewer machines".
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
        let found = quote(&market.account, board, now, &wish.criteria, wish.machines, rounds);
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
    let params = &market.account.params;
    open::require_allowed(&market.account, rounds).map_err(|error| {
        let refusal = Refusal::from(error);
        if refusal != LeaseholdError::LeaseLength.into() {
            return refusal.into();
        }
        let (least, most) = (params.min_rounds, params.max_rounds);
        Failure::rule(refusal, format!("{rounds} rounds asked for, {least} to {most} allowed"))
    })
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
    Ok(open::until(board.header, now, rounds)?)
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
    let refundable = refundable(board, &quote)?;
    let kinds = kinds(market, board, &quote.slots);
    let Board { index: board, round_secs, .. } = *board.header;
    Ok(Picked { board, quote, kinds, refundable, round_secs })
}

/// How many machines of all boards fit.
pub fn most(boards: &[BoardView], now: i64, wish: &Wish) -> Option<u32> {
    u32::try_from(fitting(boards, now, wish).count()).ok()
}

/// Machines of all boards that fit.
pub fn fitting<'a>(boards: &'a [BoardView<'a>], now: i64, wish: &'a Wish) -> impl Iterator<Item = &'a Slot> {
    let until = move |board: &BoardView| {
        let rounds = wish.length.rounds(board.header.round_secs).ok()?;
        until(board, now, rounds).ok()
    };
    let boards = boards.iter().filter_map(move |board| Some((board, until(board)?)));
    boards.flat_map(move |(board, until)| {
        board.slots.iter().filter(move |slot| fits(slot, &wish.criteria, until))
    })
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
}
