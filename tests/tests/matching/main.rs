//! `math::matching` equals the design's rule followed word for word, on any board and with any hint.

mod boards;
mod reference;

use boards::{FROM, SEEN, UNTIL, anything, criteria, policies, prices, scores, slots};
use leasehold::{
    constants::MAX_SLOTS,
    error::LeaseholdError,
    math::{
        Overflow,
        matching::{Criteria, CutOff, Policy, Request, replacement, select},
        pricing::Span,
    },
    state::{Slot, SlotState},
};
use leasehold_tests::hostile::{hostile, machine_of as machine, scatter};
use proptest::{prelude::*, sample};

fn request<'a>(criteria: &'a Criteria, gpus: u32, avoid: &'a [u16]) -> Request<'a> {
    Request { criteria, gpus, from: FROM, until: UNTIL, round_secs: 600, seen: Some(SEEN), avoid }
}

fn cut_off(slots: &[Slot], index: usize) -> CutOff {
    CutOff { price: slots[index].price, score: slots[index].score, slot: index as u16 }
}

fn sorted(mut slots: Vec<usize>) -> Vec<usize> {
    slots.sort_unstable();
    slots
}

/// Selects with every kind of hint, and compares with the reference.
fn check(slots: &[Slot], request: &Request, wrong: CutOff, other: usize) -> Result<(), TestCaseError> {
    let expected = reference::pick(slots, request);
    let right = expected.as_ref().map(|picked| cut_off(slots, picked.next));
    let near = (!slots.is_empty()).then(|| cut_off(slots, other % slots.len()));
    for hint in [None, right, near, Some(wrong)] {
        let found = select(slots, request, hint);
        match &expected {
            None => prop_assert_eq!(found.unwrap_err(), LeaseholdError::NotEnoughGpus.into()),
            Some(picked) => {
                let found = found.expect("enough GPUs");
                let machines = sorted(picked.machines.clone());
                let gpus: u32 = machines.iter().map(|index| u32::from(slots[*index].traits.gpus)).sum();
                prop_assert_eq!(found.slots().collect::<Vec<_>>(), machines, "with hint {:?}", hint);
                prop_assert_eq!(Some(found.cut_off), right);
                prop_assert_eq!(found.machines as usize, picked.machines.len());
                prop_assert_eq!(found.gpus, gpus);
                prop_assert!(gpus >= request.gpus);
                prop_assert_eq!(found.words.len(), slots.len().div_ceil(64));
            }
        }
        let expected = reference::replacement(slots, request);
        match (replacement(slots, request, hint), expected) {
            (Ok(found), Some(_)) => {
                prop_assert_eq!(found.only(), expected, "with hint {:?}", hint);
                prop_assert_eq!(found.machines, 1);
            }
            (Err(error), None) => prop_assert_eq!(error, LeaseholdError::NotEnoughGpus.into()),
            (found, expected) => prop_assert!(false, "found {found:?}, expected {expected:?}"),
        }
    }
    Ok(())
}

fn wrong() -> impl Strategy<Value = CutOff> {
    (prices(), scores(), any::<u16>()).prop_map(|(price, score, slot)| CutOff { price, score, slot })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn select_takes_what_the_rule_says(
        slots in slots(0..200usize),
        criteria in criteria(),
        gpus in prop_oneof![4 => 1..40u32, 2 => 1..400u32, 2 => 1..8_000u32],
        avoid in prop::collection::vec(0..220u16, 0..16),
        wrong in wrong(),
        other in any::<usize>(),
    ) {
        check(&slots, &request(&criteria, gpus, &avoid), wrong, other)?;
        check(&slots, &request(&anything(criteria.policy), gpus, &avoid), wrong, other)?;
    }

    /// Invariant 12, whatever the reference says.
    #[test]
    fn no_machine_taken_is_superfluous(slots in slots(1..200usize), gpus in 1..2_000u32) {
        let criteria = anything(Policy::Cheapest);
        let Ok(found) = select(&slots, &request(&criteria, gpus, &[]), None) else { return Ok(()) };
        for index in found.slots() {
            prop_assert!(found.gpus - u32::from(slots[index].traits.gpus) < gpus);
        }
    }

    /// Of machines with equal price and score, the lowest slots are taken.
    #[test]
    fn equals_are_taken_from_the_lowest_slot_on(size in 1..300usize, taken in 1..300usize) {
        let (slots, taken) = (vec![machine(350_000, 1, 5_000); size], taken.min(size));
        for policy in [Policy::Cheapest, Policy::Best] {
            let criteria = anything(policy);
            let found = select(&slots, &request(&criteria, taken as u32, &[]), None).expect("enough GPUs");
            prop_assert_eq!(found.slots().collect::<Vec<_>>(), (0..taken).collect::<Vec<_>>());
        }
    }

    #[test]
    fn deposit_is_the_sum_of_what_each_machine_costs(
        slots in slots(1..200usize),
        policy in policies(),
        gpus in 1..500u32,
        round_secs in prop_oneof![Just(10u32), Just(600), any::<u32>()],
        rounds in prop_oneof![1..200u32, any::<u32>()],
    ) {
        let criteria = anything(policy);
        let Ok(found) = select(&slots, &request(&criteria, gpus, &[]), None) else { return Ok(()) };
        let secs = u128::from(round_secs) * u128::from(rounds);
        let cost = |index: usize| {
            let slot = &slots[index];
            (u128::from(slot.price) * u128::from(slot.traits.gpus) * secs).div_ceil(3_600)
        };
        let deposit = found.deposit(&slots, Span::of_rounds(round_secs, rounds));
        match u64::try_from(found.slots().map(cost).sum::<u128>()) {
            Ok(naive) => prop_assert_eq!(deposit.expect("fits"), naive),
            Err(_) => prop_assert_eq!(deposit.unwrap_err(), Overflow),
        }
    }

    #[test]
    fn take_changes_the_machines_taken_and_no_other(slots in slots(1..200usize), gpus in 1..500u32) {
        let criteria = anything(Policy::Cheapest);
        let Ok(found) = select(&slots, &request(&criteria, gpus, &[]), None) else { return Ok(()) };
        let mut changed = slots.clone();
        let span = Span::of_rounds(600, UNTIL - 3);
        let deposit = found.take(&mut changed, 7, 3, UNTIL, span);
        prop_assert_eq!(deposit, found.deposit(&slots, span));
        if deposit.is_err() {
            return Ok(()); // the instruction fails, and nothing is changed
        }
        let taken: Vec<usize> = found.slots().collect();
        for (index, (before, after)) in slots.iter().zip(&changed).enumerate() {
            if taken.contains(&index) {
                let mut expected = *before;
                expected.begin_lease(7, 3, UNTIL);
                prop_assert_eq!(after, &expected);
                prop_assert_eq!(after.state, SlotState::Leased as u8);
            } else {
                prop_assert_eq!(before, after);
            }
        }
    }
}

proptest! {
    // Sorting full boards is slow without optimisation.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn select_takes_what_the_rule_says_on_a_full_board(
        slots in slots(MAX_SLOTS),
        criteria in criteria(),
        gpus in prop_oneof![1..10_000u32, 1..400_000u32],
        wrong in wrong(),
        other in any::<usize>(),
    ) {
        check(&slots, &request(&criteria, gpus, &[]), wrong, other)?;
        check(&slots, &request(&anything(criteria.policy), gpus, &[]), wrong, other)?;
    }

    #[test]
    fn select_takes_what_the_rule_says_on_a_hostile_board(
        board in 0..hostile(1).len(),
        gpus in prop_oneof![sample::select(vec![1, 2, 40, 1_000, 6_000]), 1..MAX_SLOTS as u32],
        policy in policies(),
        wrong in wrong(),
        other in any::<usize>(),
    ) {
        let (_, slots) = hostile(MAX_SLOTS).swap_remove(board);
        check(&slots, &request(&anything(policy), gpus, &[]), wrong, other)?;
    }
}

/// A machine that was repriced since the quote changes what is picked as the rule says.
#[test]
fn a_hint_that_one_reprice_made_stale_changes_nothing() {
    let mut slots: Vec<Slot> = (0..500).map(|index| machine(scatter(index) % 900, 4, 5_000)).collect();
    let criteria = anything(Policy::Cheapest);
    let request = request(&criteria, 333, &[]);
    for index in 0..slots.len() {
        let hint = select(&slots, &request, None).expect("enough GPUs").cut_off;
        let price = scatter(slots[index].price ^ 5) % 900;
        slots[index].price = price;
        assert_eq!(select(&slots, &request, Some(hint)), select(&slots, &request, None));
        let picked = reference::pick(&slots, &request).expect("enough GPUs");
        let found = select(&slots, &request, Some(hint)).expect("enough GPUs");
        assert_eq!(found.slots().collect::<Vec<_>>(), sorted(picked.machines));
    }
}

/// A large machine at a slightly lower price does not make anybody pay for 255 GPUs.
#[test]
fn a_bait_of_255_gpus_is_not_taken_where_fewer_complete_the_number() {
    let mut slots = vec![machine(100, 8, 5_000); 50];
    slots.push(machine(99, 255, 5_000));
    let criteria = anything(Policy::Cheapest);
    let found = select(&slots, &request(&criteria, 8, &[]), None).expect("enough GPUs");
    assert_eq!((found.only(), found.gpus, found.cut_off.slot), (Some(0), 8, 50));
}

/// Prices 10 to 14 in slots 0 to 4, and a last machine of 7 GPUs: what it makes superfluous leaves from the dearest on.
#[test]
fn superfluous_machines_are_left_out_from_the_last_in_order_on() {
    let sizes = [3, 1, 4, 2, 1, 7];
    let slots: Vec<Slot> = (10..).zip(sizes).map(|(price, gpus)| machine(price, gpus, 0)).collect();
    let criteria = anything(Policy::Cheapest);
    // 11 are below 12, 7 complete them, 6 are to spare: 1, 2, then not 4, then 1.
    let found = select(&slots, &request(&criteria, 12, &[]), None).expect("enough GPUs");
    assert_eq!(found.slots().collect::<Vec<_>>(), [0, 2, 5]);
    assert_eq!((found.gpus, found.machines), (14, 3));
}

#[test]
fn a_board_without_a_quorum_opens_no_leases_but_for_who_waives_it() {
    let slots = [machine(1, 1, 0)];
    let (strict, lax) = (Criteria { allow_unseen: false, ..anything(Policy::Best) }, anything(Policy::Best));
    let at = |criteria, seen| select(&slots, &Request { seen, ..request(criteria, 1, &[]) }, None);
    assert!(at(&strict, Some(SEEN)).is_ok());
    assert_eq!(at(&strict, None).unwrap_err(), LeaseholdError::BoardUnseen.into());
    assert!(at(&lax, None).is_ok());
}

/// Prices that differ by one at the top of the range.
#[test]
fn prices_next_to_the_largest_rank_apart() {
    let prices = [u64::MAX, u64::MAX - 1, u64::MAX, u64::MAX - 2, 0, u64::MAX];
    let slots: Vec<Slot> = prices.iter().map(|price| machine(*price, 1, 5_000)).collect();
    let order = [4, 3, 1, 0, 2, 5];
    let criteria = anything(Policy::Cheapest);
    for count in 1..=slots.len() {
        let found = select(&slots, &request(&criteria, count as u32, &[]), None).expect("enough GPUs");
        assert_eq!(found.slots().collect::<Vec<_>>(), sorted(order[..count].to_vec()));
        assert_eq!(found.cut_off.price, prices[order[count - 1]]);
    }
}
