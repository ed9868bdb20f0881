//! Boards and requests at random, and boards made to be expensive.

use anchor_lang::prelude::Pubkey;
use bytemuck::Zeroable;
use leasehold::{
    math::matching::{Criteria, Place, Policy},
    state::{Slot, SlotState, Traits},
};
use proptest::{prelude::*, sample};

/// First round of the leases, and the first after them; machines are committed until about then.
pub const FROM: u32 = 900;
pub const UNTIL: u32 = 1_000;
/// Last quorate round.
pub const SEEN: u32 = 898;

/// Criteria that every machine meets.
pub fn anything(policy: Policy) -> Criteria {
    Criteria {
        class: None,
        min_gpus: 0,
        max_gpus: u8::MAX,
        min_speed: 0,
        place: Place::Anywhere,
        min_score: 0,
        max_price: u64::MAX,
        min_bond: 0,
        policy,
        metered: false,
        allow_unseen: true,
    }
}

pub fn policies() -> impl Strategy<Value = Policy> {
    sample::select(vec![Policy::Cheapest, Policy::Best])
}

/// Prices: many equal ones, some at the ends of the range, some anywhere.
pub fn prices() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 350_000..350_004u64,
        2 => 350_000..360_000u64,
        1 => 0..4u64,
        1 => u64::MAX - 3..=u64::MAX,
        2 => any::<u64>(),
        2 => (0..64u32).prop_map(|power| 1 << power),
    ]
}

pub fn scores() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 4_999..5_002u16, 1 => Just(0), 1 => Just(10_000), 1 => Just(u16::MAX), 2 => any::<u16>()]
}

fn gpus() -> impl Strategy<Value = u8> {
    prop_oneof![2 => sample::select(vec![1, 2, 4, 8, u8::MAX]), 1 => 1..12u8, 1 => 1..=u8::MAX]
}

fn traits() -> impl Strategy<Value = Traits> {
    (
        sample::select(vec![0, 1, 2, 255, 256, u16::MAX]),
        gpus(),
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

pub fn slots(sizes: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Slot>> {
    let state = prop_oneof![8 => Just(SlotState::Idle as u8), 1 => 0..5u8];
    let committed = prop_oneof![1 => Just(0), 2 => UNTIL - 1..=UNTIL + 1, 6 => Just(u32::MAX)];
    let bond = prop_oneof![1 => Just(u64::MAX), 1 => 0..2_000u64];
    let history = prop_oneof![4 => Just(u64::MAX), 1 => any::<u64>()];
    let rest = prop_oneof![4 => Just(0), 1 => FROM - 9..=FROM];
    let flags = prop_oneof![9 => Just(Slot::BOUND), 1 => any::<u8>()];
    let slot = (prices(), scores(), traits(), state, committed, bond, history, rest, 0..90u8, flags)
        .prop_map(
            |(
                price,
                score,
                traits,
                state,
                committed_until,
                bond,
                history_up,
                lease_until,
                turnaround,
                flags,
            )| Slot {
                supplier: Pubkey::new_from_array([3; 32]),
                // What a machine costs in all fits 64 bits.
                price: price / u64::from(traits.gpus),
                score,
                traits,
                state,
                committed_until,
                bond,
                history_up,
                lease_until,
                turnaround: if lease_until % 2 == 0 { 0 } else { turnaround },
                flags,
                ..Slot::zeroed()
            },
        );
    prop::collection::vec(slot, sizes)
}

pub fn criteria() -> impl Strategy<Value = Criteria> {
    let place = prop_oneof![
        4 => Just(Place::Anywhere),
        1 => sample::select(vec![0, 276, 840, u16::MAX]).prop_map(Place::Country),
        1 => sample::select(vec![0, 1, 2, u8::MAX]).prop_map(Place::Region),
    ];
    let class = prop_oneof![3 => Just(None), 1 => sample::select(vec![0, 1, 256, u16::MAX]).prop_map(Some)];
    let least = || prop_oneof![3 => Just(0u8), 1 => sample::select(vec![1, 2, 8, u8::MAX])];
    let most = prop_oneof![3 => Just(u8::MAX), 1 => gpus()];
    let score = prop_oneof![3 => Just(0), 1 => scores()];
    let price = prop_oneof![3 => Just(u64::MAX), 1 => prices()];
    let bond = prop_oneof![3 => Just(0), 1 => 0..500u64, 1 => any::<u64>()];
    let flags = (prop::bool::weighted(0.25), prop::bool::weighted(0.25));
    (class, least(), most, least(), place, score, (price, bond), policies(), flags).prop_map(
        |(class, min_gpus, max_gpus, min_speed, place, min_score, (max_price, min_bond), policy, flags)| {
            Criteria {
                class,
                min_gpus,
                max_gpus,
                min_speed,
                place,
                min_score,
                max_price,
                min_bond,
                policy,
                metered: flags.0,
                allow_unseen: flags.1,
            }
        },
    )
}
