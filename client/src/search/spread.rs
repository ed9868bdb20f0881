//! Machines of several boards, where no board has enough GPUs.

use leasehold::{
    error::LeaseholdError,
    math::matching::Policy,
    state::{Market, Slot},
};

use super::{
    allocation::Part,
    fit::of_board,
    request::{Request, avoided},
};
use crate::{
    board::BoardView,
    error::Refusal,
    quote::{Moment, quote},
};

/// A machine that fits.
struct Candidate<'a> {
    /// Place of its board among those searched.
    place: usize,
    slot: &'a Slot,
}

/// The machines of all boards that the program's rule takes, as if they were on one board; of equal ones, those of the lower
/// board come first. Each part is the quote of its board for as many GPUs as were taken there: the program opens the same
/// there.
pub fn spread(
    market: &Market,
    boards: &[BoardView],
    now: i64,
    request: &Request,
    rounds: u32,
) -> Result<Vec<Part>, Refusal> {
    if request.gpus == 0 {
        return Err(LeaseholdError::NoGpus.into());
    }
    let mut ranked = Vec::new();
    for (place, board) in boards.iter().enumerate() {
        let moment = Moment::new(board, now, rounds)?;
        for (index, slot) in of_board(board, moment, request) {
            let rank = (request.criteria.policy.rank(slot), board.header.index, index);
            ranked.push((rank, Candidate { place, slot }));
        }
    }
    ranked.sort_unstable_by_key(|(rank, _)| *rank);
    let candidates: Vec<_> = ranked.into_iter().map(|(_, candidate)| candidate).collect();
    let taken = take(&candidates, u64::from(request.gpus), request.criteria.policy);
    let taken = taken.ok_or(LeaseholdError::NotEnoughGpus)?;
    let part = |(place, board): (usize, &BoardView)| {
        let here = taken.iter().filter(|candidate| candidate.place == place);
        let here = here.map(|candidate| u32::from(candidate.slot.traits.gpus)).sum::<u32>();
        let avoid = avoided(board, &request.avoid);
        let quote = || quote(market, board, now, &request.criteria, here, rounds, &avoid);
        (here > 0).then(|| quote().and_then(|quote| Part::new(board, quote)))
    };
    let mut parts = boards.iter().enumerate().filter_map(part).collect::<Result<Vec<_>, _>>()?;
    parts.sort_by_key(|part| part.board);
    Ok(parts)
}

/// The candidates that the program would take, which are in its order; `None` if they have too few GPUs. See
/// [`select`](leasehold::math::matching::select).
fn take<'a, 'b>(
    candidates: &'a [Candidate<'b>],
    wanted: u64,
    policy: Policy,
) -> Option<Vec<&'a Candidate<'b>>> {
    let gpus = |candidate: &Candidate| u64::from(candidate.slot.traits.gpus);
    let mut sum = 0;
    let below = |candidate: &&Candidate| {
        let next = gpus(candidate).saturating_add(sum);
        let is_below = next < wanted;
        sum = if is_below { next } else { sum };
        is_below
    };
    let mut taken: Vec<_> = candidates.iter().take_while(below).collect();
    let left = candidates.get(taken.len()..).unwrap_or_default();
    let missing = wanted.saturating_sub(sum);
    let mut completing = left.iter().filter(|candidate| gpus(candidate) >= missing);
    let last = match policy {
        Policy::Cheapest => completing.min_by_key(|candidate| candidate.slot.hourly()),
        Policy::Best => completing.next(),
    }?;
    let mut spare = gpus(last).saturating_sub(missing);
    for place in (0..taken.len()).rev() {
        let gpus = taken.get(place).map_or(0, |candidate| gpus(candidate));
        if gpus <= spare {
            spare = spare.saturating_sub(gpus);
            taken.remove(place);
        }
    }
    taken.push(last);
    Some(taken)
}

#[cfg(test)]
mod tests {
    use leasehold::math::matching::{Criteria, Policy};
    use proptest::{collection::vec, prelude::*};

    use super::{
        super::{error::SearchError, pick::pick},
        *,
    };
    use crate::{
        board::BoardData,
        quote::ANY,
        sample::{NOW, change, priced, request, snapshot, taken},
    };

    fn market() -> Market {
        snapshot().market
    }

    #[test]
    fn where_no_board_has_enough_the_cheapest_machines_of_all_are_taken() {
        let boards = [priced(0, &[900, 700]), priced(1, &[360, 720, 1_000]), priced(2, &[5_000])];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let found = pick(&market(), &views, NOW, &request(4)).unwrap();
        assert_eq!(taken(&found), [(0, vec![0, 1]), (1, vec![0, 1])], "and no machine of board 2");
        assert_eq!(found.deposit, 900 + 700 + 360 + 720);
        assert_eq!(taken(&pick(&market(), &views, NOW, &request(6)).unwrap()).len(), 3);
        assert!(pick(&market(), &views, NOW, &request(7)).is_err());
        assert!(
            pick(&market(), &views[..1], NOW, &request(3)).is_err(),
            "a board that was named stays alone"
        );
        assert!(pick(&market(), &[], NOW, &request(0)).is_err());
    }

    #[test]
    fn a_machine_of_a_price_beyond_all_sums_hides_no_others() {
        for prices in [[&[900, 700][..], &[360, u64::MAX]], [&[360, u64::MAX], &[900, 700]]] {
            let boards = [priced(0, prices[0]), priced(1, prices[1])];
            let views = boards.each_ref().map(|board| board.view().unwrap());
            // Two machines can be leased from one board, three only from both.
            assert_eq!(pick(&market(), &views, NOW, &request(3)).unwrap().deposit, 900 + 700 + 360);
            let overflow = SearchError::from(Refusal::from(LeaseholdError::MathOverflow));
            assert_eq!(pick(&market(), &views, NOW, &request(4)).unwrap_err(), overflow);
        }
    }

    #[test]
    fn of_machines_at_one_price_the_higher_score_and_then_the_lower_board_is_taken() {
        let mut good = priced(2, &[500]);
        change(&mut good, |_, slots| slots[0].score = 6_000);
        let boards = [good, priced(1, &[500]), priced(0, &[500])];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let found = pick(&market(), &views, NOW, &request(2)).unwrap();
        assert_eq!(taken(&found), [(0, vec![0]), (2, vec![0])]);
    }

    #[test]
    fn gpus_are_counted_over_all_boards_and_no_machine_is_superfluous() {
        let sized = |index, machines: &[(u64, u8)]| {
            let prices: Vec<_> = machines.iter().map(|machine| machine.0).collect();
            let mut board = priced(index, &prices);
            change(&mut board, |_, slots| {
                slots.iter_mut().zip(machines).for_each(|(slot, machine)| slot.traits.gpus = machine.1);
            });
            board
        };
        let boards = [sized(0, &[(10, 1), (30, 8)]), sized(1, &[(20, 4), (90, 2)])];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let slots = |gpus| {
            let parts = spread(&market(), &views, NOW, &request(gpus), 6).unwrap();
            parts.iter().map(|part| (part.board, part.quote.slots.clone())).collect::<Vec<_>>()
        };
        assert_eq!(slots(5), [(0, vec![0]), (1, vec![0])]);
        // One and four GPUs, and the cheapest in all that completes seven: two at 90 are less than eight at 30.
        assert_eq!(slots(7), [(0, vec![0]), (1, vec![0, 1])]);
        assert_eq!(slots(12), [(0, vec![1]), (1, vec![0])], "without the machine of one GPU");
        assert_eq!(slots(15), [(0, vec![0, 1]), (1, vec![0, 1])]);
        assert!(spread(&market(), &views, NOW, &request(16), 6).is_err());
    }

    /// Price, score, and whether it is promised long enough.
    type Machine = (u64, u16, bool);

    fn board(index: u32, machines: &[Machine]) -> BoardData {
        let prices: Vec<_> = machines.iter().map(|machine| machine.0).collect();
        let mut board = priced(index, &prices);
        change(&mut board, |_, slots| {
            for (slot, (_, score, promised)) in slots.iter_mut().zip(machines) {
                (slot.score, slot.committed_until) = (*score, if *promised { 1_008 } else { 1_007 });
            }
        });
        board
    }

    /// A board's machines until round 1,008: seven rounds of ten minutes.
    fn seven(gpus: u32, policy: Policy) -> Request {
        let criteria = Criteria { policy, ..ANY };
        Request { criteria, length: "7r".parse().unwrap(), gpus, avoid: vec![] }
    }

    /// Every choice of so many of these machines.
    fn choices(machines: &[Machine], wanted: usize) -> impl Iterator<Item = Vec<Machine>> + '_ {
        (0u32..1 << machines.len()).filter(move |bits| bits.count_ones() as usize == wanted).map(
            move |bits| {
                (0..)
                    .zip(machines)
                    .filter(|(bit, _)| bits >> bit & 1 == 1)
                    .map(|(_, machine)| *machine)
                    .collect()
            },
        )
    }

    fn deposit(machines: &[Machine]) -> u64 {
        machines.iter().map(|(price, ..)| (price * 4_200).div_ceil(3_600)).sum()
    }

    proptest! {
        #[test]
        fn no_choice_of_as_many_is_cheaper_or_better_and_parts_sum_up(
            machines in vec(vec((1u64..12, 0u16..4, any::<bool>()), 0..4), 1..5),
            wanted in 1u32..9,
        ) {
            let boards: Vec<_> = (0..).zip(&machines).map(|(index, of)| board(index, of)).collect();
            let views: Vec<_> = boards.iter().map(|board| board.view().unwrap()).collect();
            let free: Vec<Machine> = machines.concat().into_iter().filter(|(.., promised)| *promised).collect();
            let count = wanted as usize;
            let cheapest = choices(&free, count).map(|choice| deposit(&choice)).min();
            let score = |choice: &[Machine]| choice.iter().map(|(_, score, _)| u32::from(*score)).sum::<u32>();
            let best = choices(&free, count).map(|choice| score(&choice)).max();
            let alone = machines.iter().any(|of| of.iter().filter(|(.., promised)| *promised).count() >= count);

            for policy in [Policy::Cheapest, Policy::Best] {
                let request = seven(wanted, policy);
                let found = spread(&market(), &views, NOW, &request, 7).ok();
                prop_assert_eq!(found.is_some(), cheapest.is_some());
                let Some(parts) = found else { continue };
                let mut picked = Vec::new();
                for part in &parts {
                    let index = part.board as usize;
                    let same = quote(&market(), &views[index], NOW, &request.criteria, part.quote.gpus, 7, &[]);
                    prop_assert_eq!(&part.quote, &same.unwrap(), "the program opens the same");
                    let here: Vec<_> =
                        part.quote.slots.iter().map(|slot| machines[index][usize::from(*slot)]).collect();
                    prop_assert_eq!(part.quote.deposit, deposit(&here));
                    picked.extend(here);
                }
                prop_assert_eq!(picked.len(), count);
                match policy {
                    Policy::Cheapest => prop_assert_eq!(Some(deposit(&picked)), cheapest),
                    Policy::Best => prop_assert_eq!(Some(score(&picked)), best),
                }
                let whole = pick(&market(), &views, NOW, &request).unwrap();
                prop_assert_eq!(whole.parts.len() == 1, alone || parts.len() == 1);
                let sum = |of: fn(&Part) -> u64| whole.parts.iter().map(of).sum::<u64>();
                prop_assert_eq!(whole.deposit, sum(|part| part.quote.deposit));
                prop_assert_eq!(whole.refundable, sum(|part| part.refundable));
                prop_assert!(whole.parts.is_sorted_by_key(|part| part.board));
            }
        }
    }
}
