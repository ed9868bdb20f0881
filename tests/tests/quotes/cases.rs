//! Random markets, boards, leases and times.

use leasehold::math::matching::{Criteria, Place, Policy};
use leasehold::state::LeaseState;
use leasehold_tests::anything;
use proptest::prelude::*;
use proptest::sample::select;

/// Content of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Vacant,
    Idle,
    Suspended,
    Barred,
    /// In another lease.
    Elsewhere,
    /// In the lease: and serves it, was replaced, or is abandoned, forfeited or barred.
    Serving,
    Replaced,
    Abandoned,
    Forfeited,
    Convicted,
}

impl Role {
    pub fn is_in_lease(self) -> bool {
        matches!(self, Role::Serving | Role::Replaced | Role::Abandoned | Role::Forfeited | Role::Convicted)
    }
}

#[derive(Clone, Debug)]
pub struct MachineCase {
    pub role: Role,
    pub price: u64,
    pub gpus: u8,
    pub score: u16,
    pub metered: bool,
    /// Rounds from the running one to the end of its commitment.
    pub committed: u32,
    /// Rounds after the lease's first in which it came to the lease.
    pub late: u32,
    /// Bit r mod 64: verdict of round r.
    pub up: u64,
    pub down: u64,
    /// Of its rounds up, how many hundredths are paid.
    pub settled: u32,
    pub bond: u64,
    /// If it was replaced: contested, and by a machine that costs less by so many parts of 65,536.
    pub contested: bool,
    pub cheaper_q16: u16,
    /// Minutes after a lease until it can be leased again.
    pub turnaround: u8,
    /// It is bound.
    pub bound: bool,
}

/// Mistake in a request to open a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// It has no GPUs.
    NoGpus,
    /// It avoids too many slots.
    TooManyAvoided,
    /// It has a meter, and does not ask for metered machines.
    NotMetered,
    /// It has a meter, and asks for more GPUs than a machine has.
    TwoMetered,
    /// It offers a payment unit too little.
    TooLittle,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub paused: bool,
    pub min_rounds: u32,
    pub max_rounds: u32,
    pub fee_bps: u16,
    pub keeper_share_bps: u16,
    pub sla_bps: u16,
    pub hold_bps: u16,
    pub standby_bps: u16,
    pub multiplier_bps: u32,
    pub round_secs: u32,
    /// The round that runs, and the second of it.
    pub round: u32,
    pub second: u32,
    /// Rounds that are over and not closed.
    pub lag: u32,
    /// Bit r mod 64: somebody voted in round r.
    pub voted: u64,
    pub machines: Vec<MachineCase>,
    /// Rounds from the lease's first to the one after the running, and rounds agreed on.
    pub age: u32,
    pub rounds: u32,
    pub state: LeaseState,
    pub metered: bool,
    /// Payment units left over by machines that were replaced.
    pub surplus: u64,
    pub criteria: Criteria,
    /// The request: GPUs to open with, rounds to open with or extend by, slot to replace.
    pub count: u32,
    pub more: u32,
    pub slot: u16,
    /// Machines that are not picked, those that are contested, and how many may leave at the old end: as bits, and a number.
    pub avoid: u8,
    pub contest: u8,
    pub max_leaving: u32,
    /// Hint for the program: the quote's cut-off, a wrong one, or `None`.
    pub hint: u8,
    /// Set by [`openings`] alone.
    pub mistake: Option<Mistake>,
}

pub fn prices() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 350_000..350_010u64,
        2 => 1..10u64,
        1 => Just(u64::MAX),
        1 => u64::MAX / 2..=u64::MAX,
        1 => (0..64u32).prop_map(|power| 1 << power),
        2 => 1..=u64::MAX,
    ]
}

pub fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![
        1 => Just(Role::Vacant),
        4 => Just(Role::Idle),
        1 => Just(Role::Suspended),
        1 => Just(Role::Barred),
        1 => Just(Role::Elsewhere),
        6 => Just(Role::Serving),
        1 => Just(Role::Replaced),
        1 => select(vec![Role::Abandoned, Role::Forfeited, Role::Convicted]),
    ]
}

pub fn machines() -> impl Strategy<Value = MachineCase> {
    let verdicts = prop_oneof![
        3 => Just((u64::MAX, 0)),
        1 => Just((0, u64::MAX)),
        2 => any::<(u64, u64)>().prop_map(|(up, down)| (up, down & !up)),
        // Up most of the time.
        2 => any::<(u64, u64, u64)>().prop_map(|(a, b, c)| (!(a & b & c), a & b & c)),
    ];
    (
        (roles(), prices(), select(vec![1, 2, 8]), select(vec![0, 5_000, 10_000]), any::<bool>()),
        prop_oneof![4 => 60..200u32, 1 => 0..60u32],
        prop_oneof![5 => Just(0), 1 => 0..4u32],
        verdicts,
        prop_oneof![3 => Just(100), 2 => Just(0), 2 => 0..=100u32],
        (
            prop_oneof![4 => Just(1_000_000), 1 => Just(0), 1 => 0..=u64::MAX / 64],
            any::<bool>(),
            prop_oneof![Just(0u16), any::<u16>()],
            prop_oneof![4 => Just(0u8), 1 => 0..40u8],
            prop::bool::weighted(0.1),
        ),
    )
        .prop_map(|((role, price, gpus, score, metered), committed, late, (up, down), settled, rest)| {
            let (bond, contested, cheaper_q16, turnaround, bound) = rest;
            MachineCase {
                role,
                // The price of the whole machine fits 64 bits.
                price: price.min(u64::MAX / u64::from(gpus)),
                gpus,
                score,
                metered,
                committed,
                late,
                up,
                down,
                settled,
                bond,
                contested,
                cheaper_q16,
                turnaround,
                bound,
            }
        })
}

pub fn criteria() -> impl Strategy<Value = Criteria> {
    let max_price = prop_oneof![2 => Just(u64::MAX), 1 => Just(350_005), 1 => prices()];
    let gpus = (select(vec![0, 1, 2]), select(vec![1, 2, 8, 255]));
    let least = (select(vec![0, 5_000]), select(vec![0, 0, 100_000]));
    (gpus, least, max_price, any::<bool>(), any::<bool>()).prop_map(
        |((min_gpus, max_gpus), (min_score, min_bond), max_price, best, allow_unseen)| Criteria {
            min_gpus,
            max_gpus,
            min_score,
            min_bond,
            max_price,
            allow_unseen,
            policy: if best { Policy::Best } else { Policy::Cheapest },
            place: Place::Anywhere,
            ..anything()
        },
    )
}

pub fn cases() -> impl Strategy<Value = Case> {
    let market = (
        prop::bool::weighted(0.1),
        prop_oneof![3 => Just(1), 1 => 1..12u32],
        prop_oneof![4 => Just(10_000), 1 => 12..70u32, 1 => Just(u32::MAX)],
        select(vec![0, 300, 1_111, 3_000]),
        select(vec![0, 4_000, 10_000]),
        select(vec![0, 9_000, 9_500, 10_000]),
        (select(vec![1_000, 2_000, 5_000]), select(vec![100, 1_000, 10_000])),
        select(vec![1_000, 10_000, 20_000, 100_000]),
    );
    let board = (
        select(vec![10, 60, 600, 3_600]),
        1_000..1_000_000u32,
        0..10u32,
        0..4u32,
        prop_oneof![2 => Just(u64::MAX), 1 => any::<u64>()],
        prop::collection::vec(machines(), 0..14),
    );
    let state = prop_oneof![8 => Just(LeaseState::Open), 2 => Just(LeaseState::Cancelled), 1 => Just(LeaseState::Settled)];
    let lease = (
        prop_oneof![4 => 0..30u32, 1 => 30..60u32],
        prop_oneof![3 => 8..60u32, 1 => 1..8u32],
        state,
        prop::bool::weighted(0.15),
        prop_oneof![3 => Just(0), 1 => 0..1_000_000u64],
        criteria(),
    );
    let more = prop_oneof![6 => 1..40u32, 1 => Just(0), 1 => Just(u32::MAX), 1 => 40..20_000u32];
    let few = || prop_oneof![2 => Just(0u8), 1 => any::<u8>()];
    let asked = (prop_oneof![8 => 1..5u32, 1 => 5..20u32, 1 => 20..90u32], more, 0..16u16, 0..3u8);
    let asked = (asked, few(), few(), prop_oneof![Just(0u32), 1..4u32]);
    (market, board, lease, asked).prop_map(|(market, board, lease, asked)| {
        let (paused, min_rounds, max_rounds, fee_bps, keeper_share_bps, sla_bps, pay, multiplier_bps) =
            market;
        let (hold_bps, standby_bps) = pay;
        let (round_secs, round, second, lag, voted, machines) = board;
        let (age, rounds, state, metered, surplus, criteria) = lease;
        let ((count, more, slot, hint), avoid, contest, max_leaving) = asked;
        Case {
            paused,
            min_rounds,
            max_rounds,
            fee_bps,
            keeper_share_bps,
            sla_bps,
            hold_bps,
            standby_bps,
            multiplier_bps,
            round_secs,
            round,
            second,
            lag,
            voted,
            machines,
            age,
            rounds,
            state,
            metered,
            surplus,
            criteria,
            count,
            more,
            slot,
            avoid,
            contest,
            max_leaving,
            hint,
            mistake: None,
        }
    })
}

/// Cases of which some have a mistake in the request to open a lease.
pub fn openings() -> impl Strategy<Value = Case> {
    let mistakes = prop_oneof![
        12 => Just(None),
        1 => select(vec![Mistake::NoGpus, Mistake::TooManyAvoided, Mistake::NotMetered]).prop_map(Some),
        1 => Just(Some(Mistake::TwoMetered)),
        2 => Just(Some(Mistake::TooLittle)),
    ];
    (cases(), mistakes).prop_map(|(case, mistake)| Case { mistake, ..case })
}
