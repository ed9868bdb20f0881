//! Choice of the boards that machines are taken from.

use std::cmp::Reverse;

use leasehold::{
    error::LeaseholdError,
    instructions::MeterArgs,
    math::matching::{Criteria, Policy},
    rules::open,
    state::{Market, Slot},
};

use super::{
    allocation::{Allocation, Part},
    error::SearchError,
    fit,
    request::{Avoid, Request, avoided},
    spread::spread,
};
use crate::{
    board::BoardView,
    error::Refusal,
    quote::{Quote, quote, quote_metered},
};

/// The machines that leases opened now would get: of one board if one has enough GPUs, namely the cheapest, or the one with
/// the best machines under `Best`. If no board has enough, the cheapest or best machines of all boards, with a lease on
/// each board that has one of them.
pub fn pick(
    market: &Market,
    boards: &[BoardView],
    now: i64,
    request: &Request,
) -> Result<Allocation, SearchError> {
    let rounds = request.length.rounds(market.rules.round_secs)?;
    require_allowed(market, rounds)?;
    let mut best: Option<Part> = None;
    for board in boards {
        let avoid = avoided(board, &request.avoid);
        let found = quote(market, board, now, &request.criteria, request.gpus, rounds, &avoid);
        // A board's refusal, for instance because of a price beyond all sums, says nothing about the others.
        if let Ok(found) = found.and_then(|quote| Part::new(board, quote))
            && best.as_ref().is_none_or(|best| rank(&found) < rank(best))
        {
            best = Some(found);
        }
    }
    let parts = match best {
        Some(one) => vec![one],
        None => spread(market, boards, now, request, rounds).map_err(|refusal| {
            if refusal != LeaseholdError::NotEnoughGpus.into() {
                return SearchError::from(refusal);
            }
            if !request.criteria.allow_unseen && none_seen(boards, now) {
                return Refusal::from(LeaseholdError::BoardUnseen).into();
            }
            SearchError::NotEnoughGpus { fit: fit::gpus(boards, now, request), requested: request.gpus }
        })?,
    };
    Ok(Allocation::new(parts)?)
}

/// True if no board knows which of its machines are up.
fn none_seen(boards: &[BoardView], now: i64) -> bool {
    !boards.is_empty() && boards.iter().all(|board| board.header.seen_round(now).is_none())
}

/// The machine that a lease by use would get.
#[derive(Clone, Debug)]
pub struct MeteredPick<'a> {
    pub board: BoardView<'a>,
    pub quote: Quote,
}

/// The machine that a lease by use opened now would get: the one with the lowest standby price, or the best under `Best`, of
/// the first board that has it.
pub fn pick_metered<'a>(
    market: &Market,
    boards: &[BoardView<'a>],
    now: i64,
    criteria: &Criteria,
    rounds: u32,
    avoid: &[Avoid],
    meter: MeterArgs,
) -> Result<MeteredPick<'a>, SearchError> {
    require_allowed(market, rounds)?;
    let rank = |pick: &MeteredPick| {
        let machine = pick.quote.slots.first().and_then(|slot| pick.board.slot(*slot));
        let score = machine.filter(|_| criteria.policy == Policy::Best).map(|machine| machine.score);
        (Reverse(score), machine.map(Slot::hourly))
    };
    let mut best: Option<MeteredPick> = None;
    let mut refused = Refusal::from(LeaseholdError::NotEnoughGpus);
    for board in boards {
        match quote_metered(market, board, now, criteria, rounds, &avoided(board, avoid), meter) {
            Ok(quote) => {
                let found = MeteredPick { board: *board, quote };
                if best.as_ref().is_none_or(|best| rank(&found) < rank(best)) {
                    best = Some(found);
                }
            }
            Err(error) => refused = error,
        }
    }
    Ok(best.ok_or(refused)?)
}

/// Refuses a lease that the market allows nobody now: any while it is paused, and any of a length out of its range.
pub fn require_allowed(market: &Market, rounds: u32) -> Result<(), SearchError> {
    open::require_allowed(market, rounds).map_err(|error| match Refusal::from(error) {
        refusal if refusal == LeaseholdError::LeaseLength.into() => {
            let (min, max) = (market.params.min_rounds, market.params.max_rounds);
            SearchError::LeaseLength { rounds, min, max }
        }
        refusal => refusal.into(),
    })
}

/// The lesser is the better.
fn rank(part: &Part) -> (Reverse<u16>, u64) {
    let score = match part.quote.criteria.policy {
        Policy::Cheapest => 0,
        Policy::Best => part.quote.hint.score,
    };
    (Reverse(score), part.quote.deposit)
}

#[cfg(test)]
mod tests {
    use leasehold::state::Traits;

    use super::{super::length::Length, *};
    use crate::{
        board::BoardData,
        quote::ANY,
        sample::{NOW, change, priced, request, snapshot, taken, wallet},
    };

    #[test]
    fn the_cheapest_board_with_enough_machines_is_taken() {
        let boards = [priced(0, &[900, 900]), priced(1, &[360, 720]), priced(2, &[1])];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let found = pick(&snapshot().market, &views, NOW, &request(2)).unwrap();
        assert_eq!(taken(&found), [(1, vec![0, 1])]);
        assert_eq!(found.deposit, 360 + 720, "an hour of each");
        assert_eq!(found.refundable, 5 * (60 + 120) - 15 - 30, "a round, and 5 percent of five");
        assert_eq!(taken(&pick(&snapshot().market, &views, NOW, &request(1)).unwrap()), [(2, vec![0])]);
        assert_eq!(taken(&pick(&snapshot().market, &views[..1], NOW, &request(1)).unwrap()), [(0, vec![0])]);
    }

    #[test]
    fn the_best_machines_come_before_the_cheapest_where_asked_for() {
        let mut good = priced(1, &[900]);
        change(&mut good, |_, slots| slots[0].score = 9_999);
        let boards = [priced(0, &[1]), good];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let best = Request { criteria: Criteria { policy: Policy::Best, ..ANY }, ..request(1) };
        assert_eq!(taken(&pick(&snapshot().market, &views, NOW, &best).unwrap()), [(1, vec![0])]);
        let both = Request { gpus: 2, ..best };
        assert_eq!(
            taken(&pick(&snapshot().market, &views, NOW, &both).unwrap()),
            [(0, vec![0]), (1, vec![0])]
        );
    }

    #[test]
    fn what_the_market_does_not_allow_is_refused() {
        let board = priced(0, &[1]);
        let views = [board.view().unwrap()];
        let refused = |market: &Market, request: &Request| pick(market, &views, NOW, request).unwrap_err();
        let mut market = snapshot().market;
        let few = SearchError::NotEnoughGpus { fit: 1, requested: 2 };
        assert_eq!(refused(&market, &request(2)), few);
        let long = Request { length: Length::Rounds(10_001), ..request(1) };
        let (min, max) = (market.params.min_rounds, market.params.max_rounds);
        assert_eq!(refused(&market, &long), SearchError::LeaseLength { rounds: 10_001, min, max });
        market.paused = true;
        assert_eq!(refused(&market, &request(1)), Refusal::from(LeaseholdError::MarketPaused).into());
    }

    #[test]
    fn a_search_on_boards_without_a_quorum_says_so() {
        let mut boards = [priced(0, &[1]), priced(1, &[1])];
        boards.iter_mut().for_each(|board| change(board, |header, _| header.quorate = 0));
        let refused = |boards: &[BoardData]| {
            let views: Vec<_> = boards.iter().map(|board| board.view().unwrap()).collect();
            pick(&snapshot().market, &views, NOW, &request(2)).unwrap_err()
        };
        assert_eq!(refused(&boards), Refusal::from(LeaseholdError::BoardUnseen).into());
        boards[1] = priced(1, &[1]);
        assert_eq!(refused(&boards), SearchError::NotEnoughGpus { fit: 1, requested: 2 });
    }

    #[test]
    fn machines_to_be_avoided_are_not_taken_on_their_board() {
        let boards = [priced(0, &[10, 90]), priced(1, &[50])];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let avoid = |avoid: Vec<Avoid>| {
            let request = Request { avoid, ..request(1) };
            taken(&pick(&snapshot().market, &views, NOW, &request).unwrap())
        };
        let machine = |board, slot| Avoid { board, slot };
        assert_eq!(avoid(vec![]), [(0, vec![0])]);
        assert_eq!(avoid(vec![machine(0, 0)]), [(1, vec![0])]);
        assert_eq!(avoid(vec![machine(0, 0), machine(1, 0)]), [(0, vec![1])]);
    }

    /// A board of machines at these prices that allow leases by use, after one that doesn't.
    fn metered(index: u32, prices: &[u64]) -> BoardData {
        let mut data = priced(index, &[&[1], prices].concat());
        change(&mut data, |_, slots| {
            slots[1..].iter_mut().for_each(|slot| slot.traits.flags = Traits::METERED);
        });
        data
    }

    fn meter(deposit: u64) -> MeterArgs {
        MeterArgs { spender: wallet(5), deposit }
    }

    #[test]
    fn a_lease_by_use_gets_the_cheapest_or_the_best_machine_that_allows_it() {
        let mut good = metered(3, &[5_000]);
        change(&mut good, |_, slots| slots[1].score = 9_999);
        let boards = [metered(0, &[900]), metered(1, &[800, 700]), good];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let picked = |policy| {
            let criteria = Criteria { policy, ..ANY };
            let found =
                pick_metered(&snapshot().market, &views, NOW, &criteria, 6, &[], meter(1_000)).unwrap();
            (found.board.header.index, found.quote.slots)
        };
        assert_eq!((picked(Policy::Cheapest), picked(Policy::Best)), ((1, vec![2]), (3, vec![1])));
    }

    #[test]
    fn a_lease_by_use_that_the_market_does_not_allow_is_refused() {
        let boards = [metered(0, &[]), metered(1, &[360])];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let refused = |market: &Market, views: &[BoardView], rounds, deposit| {
            pick_metered(market, views, NOW, &ANY, rounds, &[], meter(deposit))
                .unwrap_err()
                .refusal()
                .unwrap()
        };
        let mut market = snapshot().market;
        assert_eq!(refused(&market, &views[..1], 6, 100), LeaseholdError::NotEnoughGpus.into());
        assert_eq!(refused(&market, &views, 6, 35), LeaseholdError::DepositTooSmall.into());
        assert_eq!(refused(&market, &views, 10_001, 1), LeaseholdError::LeaseLength.into());
        market.paused = true;
        assert_eq!(refused(&market, &views, 6, 1), LeaseholdError::MarketPaused.into());
    }
}
