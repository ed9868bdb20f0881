//! `math::matching` equals a brute-force choice: sort all fitting machines, take the first n.

use anchor_lang::prelude::Pubkey;
use bytemuck::Zeroable;
use leasehold::{
    constants::MAX_SLOTS,
    error::LeaseholdError,
    math::{
        Overflow,
        matching::{Criteria, CutOff, Place, Policy, Selection, select},
        pricing::Span,
    },
    state::{Slot, SlotState, Traits},
};
use proptest::{prelude::*, sample};

/// End of the leases, exclusive; machines are committed until about then.
const UNTIL: u32 = 1_000;

/// The machines that a lease must get, as the design says it.
fn brute_force(slots: &[Slot], criteria: &Criteria, count: usize) -> Option<Vec<usize>> {
    let mut fitting: Vec<usize> = (0..slots.len()).filter(|index| fits(&slots[*index], criteria)).collect();
    match criteria.policy {
        Policy::Cheapest => {
            fitting.sort_by_key(|index| (slots[*index].price, u16::MAX - slots[*index].score, *index));
        }
        Policy::Best => {
            fitting.sort_by_key(|index| (u16::MAX - slots[*index].score, slots[*index].price, *index));
        }
    }
    (count > 0 && count <= fitting.len()).then(|| fitting[..count].to_vec())
}

fn fits(slot: &Slot, criteria: &Criteria) -> bool {
    let placed = match criteria.place {
        Place::Anywhere => true,
        Place::Country(country) => slot.traits.country == country,
        Place::Region(region) => slot.traits.region == region,
    };
    slot.state == SlotState::Idle as u8
        && criteria.class.is_none_or(|class| slot.traits.class == class)
        && slot.traits.gpus >= criteria.min_gpus
        && slot.traits.speed >= criteria.min_speed
        && placed
        && slot.score >= criteria.min_score
        && slot.price <= criteria.max_price
        && slot.committed_until >= UNTIL
        && (!criteria.metered || slot.traits.flags & Traits::METERED != 0)
}

/// Prices: many equal ones, some at the ends of the range, some anywhere.
fn prices() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 350_000..350_004u64,
        1 => Just(0),
        1 => 0..4u64,
        1 => u64::MAX - 3..=u64::MAX,
        1 => Just(u64::MAX),
        2 => any::<u64>(),
        2 => (0..64u32).prop_map(|power| 1 << power),
    ]
}

fn scores() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 4_999..5_002u16, 1 => Just(0), 1 => Just(10_000), 1 => Just(u16::MAX), 2 => any::<u16>()]
}

fn traits() -> impl Strategy<Value = Traits> {
    (
        sample::select(vec![0, 1, 2, 255, 256, u16::MAX]),
        // A machine has at least one GPU.
        sample::select(vec![1, 2, 8, u8::MAX]),
        sample::select(vec![0, 1, 2, 3, u8::MAX]),
        sample::select(vec![0, 276, 840, u16::MAX]),
        sample::select(vec![0, 1, 2, u8::MAX]),
        // Metered or not; the choice must ignore the reserved bits.
        sample::select(vec![0, 0, Traits::METERED, !Traits::METERED, u8::MAX]),
    )
        .prop_map(|(class, gpus, speed, country, region, flags)| Traits {
            class,
            gpus,
            speed,
            country,
            region,
            flags,
        })
}

fn slots(sizes: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Slot>> {
    let state = prop_oneof![8 => Just(SlotState::Idle as u8), 2 => 0..5u8];
    let until = prop_oneof![1 => Just(0), 2 => UNTIL - 1..=UNTIL + 1, 3 => Just(u32::MAX)];
    let slot = (prices(), scores(), traits(), state, until).prop_map(
        |(price, score, traits, state, committed_until)| Slot {
            supplier: Pubkey::new_from_array([3; 32]),
            price,
            score,
            traits,
            state,
            committed_until,
            ..Slot::zeroed()
        },
    );
    prop::collection::vec(slot, sizes)
}

fn criteria() -> impl Strategy<Value = Criteria> {
    let place = prop_oneof![
        4 => Just(Place::Anywhere),
        1 => sample::select(vec![0, 276, 840, u16::MAX]).prop_map(Place::Country),
        1 => sample::select(vec![0, 1, 2, u8::MAX]).prop_map(Place::Region),
    ];
    let class = prop_oneof![3 => Just(None), 1 => sample::select(vec![0, 1, 256, u16::MAX]).prop_map(Some)];
    let least = || prop_oneof![3 => Just(0u8), 1 => sample::select(vec![1, 2, 8, u8::MAX])];
    let score = prop_oneof![3 => Just(0), 1 => scores()];
    let price = prop_oneof![3 => Just(u64::MAX), 1 => prices()];
    let policy = sample::select(vec![Policy::Cheapest, Policy::Best]);
    (class, least(), least(), place, score, price, policy, prop::bool::weighted(0.25)).prop_map(
        |(class, min_gpus, min_speed, place, min_score, max_price, policy, metered)| Criteria {
            class,
            min_gpus,
            min_speed,
            place,
            min_score,
            max_price,
            policy,
            metered,
        },
    )
}

/// Selects with every kind of hint, and compares with brute force.
fn check(
    slots: &[Slot],
    criteria: &Criteria,
    count: usize,
    wrong: CutOff,
    other: usize,
) -> Result<(), TestCaseError> {
    let expected = brute_force(slots, criteria, count);
    let cut_off = |index: usize| CutOff { price: slots[index].price, score: slots[index].score };
    let right = expected.as_ref().map(|taken| cut_off(*taken.last().expect("not empty")));
    let near = (!slots.is_empty()).then(|| cut_off(other % slots.len()));
    for hint in [None, right, near, Some(wrong)] {
        let found = select(slots, criteria, UNTIL, u32::try_from(count).expect("small"), hint);
        match &expected {
            None => prop_assert_eq!(found.unwrap_err(), LeaseholdError::NotEnoughMachines.into()),
            Some(taken) => {
                let found = found.expect("enough machines");
                let mut taken = taken.clone();
                taken.sort_unstable();
                prop_assert_eq!(found.slots().collect::<Vec<_>>(), taken, "with hint {:?}", hint);
                prop_assert_eq!(Some(found.cut_off), right);
                prop_assert_eq!(found.words.len(), slots.len().div_ceil(64));
            }
        }
    }
    Ok(())
}

fn naive_deposit(slots: &[Slot], taken: &[usize], secs: u64) -> u128 {
    taken.iter().map(|index| (u128::from(slots[*index].price) * u128::from(secs)).div_ceil(3_600)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn select_takes_what_a_full_sort_would_take(
        slots in slots(0..200usize),
        criteria in criteria(),
        count in prop_oneof![4 => 0..40usize, 1 => 0..220usize],
        wrong in (prices(), scores()),
        other in any::<usize>(),
    ) {
        check(&slots, &criteria, count, CutOff { price: wrong.0, score: wrong.1 }, other)?;
    }

    /// Of machines with equal price and score, the lowest slots are taken.
    #[test]
    fn equals_are_taken_from_the_lowest_slot_on(size in 1..300usize, taken in 1..300usize) {
        let slot = Slot {
            price: 350_000, score: 5_000, state: SlotState::Idle as u8, committed_until: UNTIL, ..Slot::zeroed()
        };
        let (slots, taken) = (vec![slot; size], taken.min(size));
        for policy in [Policy::Cheapest, Policy::Best] {
            let found = select(&slots, &anything(policy), UNTIL, taken as u32, None).expect("enough machines");
            prop_assert_eq!(found.slots().collect::<Vec<_>>(), (0..taken).collect::<Vec<_>>());
        }
    }

    #[test]
    fn deposit_is_the_sum_of_what_each_machine_costs(
        slots in slots(1..200usize),
        policy in sample::select(vec![Policy::Cheapest, Policy::Best]),
        count in 1..100usize,
        round_secs in prop_oneof![Just(10u32), Just(600), any::<u32>()],
        rounds in prop_oneof![1..200u32, any::<u32>()],
    ) {
        let criteria = anything(policy);
        let Some(taken) = brute_force(&slots, &criteria, count) else { return Ok(()) };
        let found = select(&slots, &criteria, UNTIL, count as u32, None).expect("enough machines");
        let naive = naive_deposit(&slots, &taken, u64::from(round_secs) * u64::from(rounds));
        let deposit = found.deposit(&slots, Span::of_rounds(round_secs, rounds));
        match u64::try_from(naive) {
            Ok(naive) => prop_assert_eq!(deposit.expect("fits"), naive),
            Err(_) => prop_assert_eq!(deposit.unwrap_err(), Overflow),
        }
    }

    #[test]
    fn take_changes_the_machines_taken_and_no_other(slots in slots(1..200usize), count in 1..100usize) {
        let criteria = anything(Policy::Cheapest);
        let Ok(found) = select(&slots, &criteria, UNTIL, count as u32, None) else { return Ok(()) };
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
                prop_assert_eq!((after.lease, after.lease_from, after.lease_until), (7, 3, UNTIL));
                prop_assert_eq!(after.state, SlotState::Leased as u8);
                prop_assert_eq!((after.lease_up, after.lease_down, after.lease_settled, after.flags), (0, 0, 0, 0));
            } else {
                prop_assert_eq!(before, after);
            }
        }
    }
}

proptest! {
    // Sorting a full board four times over is slow without optimisation.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn select_takes_what_a_full_sort_would_take_on_a_full_board(
        slots in slots(MAX_SLOTS),
        criteria in criteria(),
        count in prop_oneof![1..MAX_SLOTS, 1..1_000usize],
        wrong in (prices(), scores()),
        other in any::<usize>(),
    ) {
        check(&slots, &criteria, count, CutOff { price: wrong.0, score: wrong.1 }, other)?;
        check(&slots, &anything(criteria.policy), count, CutOff { price: wrong.0, score: wrong.1 }, other)?;
    }
}

fn anything(policy: Policy) -> Criteria {
    Criteria {
        class: None,
        min_gpus: 0,
        min_speed: 0,
        place: Place::Anywhere,
        min_score: 0,
        max_price: u64::MAX,
        policy,
        metered: false,
    }
}

/// Prices that differ by one at the top of the range, in the last bucket of the histogram.
#[test]
fn prices_next_to_the_largest_rank_apart() {
    let prices = [u64::MAX, u64::MAX - 1, u64::MAX, u64::MAX - 2, 0, u64::MAX];
    let slots: Vec<Slot> = prices
        .iter()
        .map(|price| Slot {
            price: *price,
            score: 5_000,
            state: SlotState::Idle as u8,
            committed_until: UNTIL,
            ..Slot::zeroed()
        })
        .collect();
    let order = [4, 3, 1, 0, 2, 5];
    for count in 1..=slots.len() {
        let found: Selection =
            select(&slots, &anything(Policy::Cheapest), UNTIL, count as u32, None).expect("enough machines");
        let mut expected = order[..count].to_vec();
        expected.sort_unstable();
        assert_eq!(found.slots().collect::<Vec<_>>(), expected);
        assert_eq!(found.cut_off.price, prices[order[count - 1]]);
    }
}
