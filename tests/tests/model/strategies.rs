//! How often each step is drawn, and with which numbers.

use proptest::{collection::vec, option, prelude::*};

use crate::{
    specs::Spec,
    steps::{Edge, Holding, Pick, Step},
};

fn pick() -> impl Strategy<Value = Pick> {
    any::<u8>()
}

/// The wallet that signs or is paid: mostly the rightful one.
fn who() -> impl Strategy<Value = Pick> {
    prop_oneof![9 => Just(0), 1 => any::<u8>()]
}

fn flaw() -> impl Strategy<Value = Pick> {
    prop_oneof![9 => Just(0), 1 => any::<u8>()]
}

/// A set of machines: mostly none, one, some, or all.
fn some() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0), 3 => (0..16u32).prop_map(|bit| 1 << bit), 2 => any::<u32>(), 1 => Just(u32::MAX)]
}

fn spec() -> impl Strategy<Value = Spec> {
    let gpus = prop_oneof![3 => Just(1u8), 1 => 2..9u8];
    let turnaround = prop_oneof![5 => Just(0u8), 1 => 1..40u8];
    let bond = prop_oneof![5 => Just(0u8), 1 => pick()];
    let traits = (0..3u8, gpus, 0..4u8, any::<bool>(), prop::bool::weighted(0.4));
    (traits, pick(), turnaround, bond).prop_map(
        |((class, gpus, speed, abroad, metered), price, turnaround, bond)| Spec {
            class,
            gpus,
            speed,
            abroad,
            price,
            metered,
            turnaround,
            bond,
        },
    )
}

fn holding() -> impl Strategy<Value = Holding> {
    prop_oneof![
        3 => Just(Holding::Deposit),
        3 => Just(Holding::Request),
        3 => Just(Holding::Withdraw),
        1 => Just(Holding::Register),
        1 => Just(Holding::Close),
    ]
}

fn edge() -> impl Strategy<Value = Edge> {
    prop_oneof![
        6 => Just(Edge::RoundEnds),
        6 => Just(Edge::VotingEnds),
        5 => Just(Edge::LeaseEnds),
        3 => Just(Edge::DisputesEnd),
        2 => Just(Edge::StakeIsFree),
        1 => Just(Edge::TimelockEnds),
        1 => Just(Edge::SeatIsIdle),
        1 => Just(Edge::BoundEnds),
        1 => Just(Edge::MachineIsEvictable),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => time(),
        26 => attesting(),
        8 => governing(),
        14 => staking(),
        16 => listing(),
        6 => seating(),
        48 => leasing(),
    ]
}

fn time() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_000u16).prop_map(|permille| Step::Pass { permille }),
        1 => (0..16u8).prop_map(|days| Step::Days { days }),
        12 => (edge(), pick(), -1..=1i8).prop_map(|(edge, pick, offset)| Step::Edge { edge, pick, offset }),
    ]
}

fn attesting() -> impl Strategy<Value = Step> {
    let absent = prop_oneof![5 => Just(0u8), 2 => (0..4u8).prop_map(|seat| 1 << seat), 1 => any::<u8>()];
    let dissent = prop_oneof![5 => Just(0u8), 2 => (0..4u8).prop_map(|seat| 1 << seat), 1 => any::<u8>()];
    let rounds = prop_oneof![30 => 1..5u8, 2 => 5..20u8, 1 => 36..70u8];
    prop_oneof![
        14 => (pick(), rounds, absent, some(), dissent).prop_map(|(board, rounds, absent, down, dissent)| {
            Step::Attest { board, rounds, absent, down, dissent }
        }),
        8 => (pick(), pick(), who(), flaw(), some(), flaw()).prop_map(|(board, seat, by, when, down, flaw)| {
            Step::Vote { board, seat, by, when, down, flaw }
        }),
        4 => pick().prop_map(|board| Step::CloseRound { board }),
    ]
}

fn governing() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (who(), pick()).prop_map(|(by, change)| Step::ProposeParams { by, change }),
        4 => prop::bool::weighted(0.1).prop_map(|early| Step::ApplyParams { early }),
        2 => (who(), pick()).prop_map(|(by, to)| Step::ProposeAuthority { by, to }),
        3 => who().prop_map(|by| Step::AcceptAuthority { by }),
        // Mostly resumed, so that leases can be opened.
        1 => (who(), prop::bool::weighted(0.3)).prop_map(|(by, paused)| Step::SetPaused { by, paused }),
        3 => (pick(), who(), who()).prop_map(|(board, by, to)| Step::WithdrawFees { board, by, to }),
        5 => (pick(), option::of(prop_oneof![3 => Just(0u8), 1 => pick()])).prop_map(|(board, payments)| Step::Burn { board, payments }),
        1 => pick().prop_map(|by| Step::CreateMarket { by }),
        1 => who().prop_map(|by| Step::CloseMarket { by }),
    ]
}

fn staking() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (pick(), holding(), pick(), who())
            .prop_map(|(who, what, amount, to)| Step::Supplier { who, what, amount, to }),
        4 => (pick(), holding(), pick(), who())
            .prop_map(|(who, what, amount, to)| Step::Keeper { who, what, amount, to }),
        2 => pick().prop_map(|who| Step::ReclaimRent { who }),
        5 => (pick(), pick(), who(), who())
            .prop_map(|(board, supplier, by, to)| Step::ClaimEarnings { board, supplier, by, to }),
    ]
}

fn listing() -> impl Strategy<Value = Step> {
    let slots = || vec(pick(), 1..4);
    prop_oneof![
        1 => pick().prop_map(|by| Step::CreateBoard { by }),
        1 => (pick(), who()).prop_map(|(board, by)| Step::CloseBoard { board, by }),
        6 => (pick(), pick(), vec(spec(), 1..4), any::<bool>(), any::<u8>(), flaw()).prop_map(
            |(board, supplier, specs, reuse, rounds, flaw)| {
                Step::List { board, supplier, specs, reuse, rounds, flaw }
            }
        ),
        5 => (pick(), slots(), who(), pick(), any::<u8>(), flaw()).prop_map(
            |(board, slots, by, price, rounds, bond)| {
                Step::Reprice { board, slots, by, price, rounds, bond }
            }
        ),
        2 => (pick(), slots(), who()).prop_map(|(board, slots, by)| Step::Withhold { board, slots, by }),
        1 => (pick(), slots(), who(), flaw())
            .prop_map(|(board, slots, by, flaw)| Step::Move { board, slots, by, flaw }),
        6 => (pick(), slots(), who()).prop_map(|(board, slots, by)| Step::Retire { board, slots, by }),
        2 => (pick(), slots(), who()).prop_map(|(board, slots, by)| Step::Forfeit { board, slots, by }),
        2 => (pick(), 0..3u8, flaw()).prop_map(|(board, count, flaw)| Step::Trim { board, count, flaw }),
    ]
}

fn seating() -> impl Strategy<Value = Step> {
    prop_oneof![
        (pick(), pick(), pick()).prop_map(|(board, who, seat)| Step::TakeSeat { board, who, seat }),
        (pick(), pick(), who(), prop::bool::weighted(0.3)).prop_map(|(board, seat, by, forfeit_fees)| {
            Step::LeaveSeat { board, seat, by, forfeit_fees }
        }),
        (pick(), pick(), pick()).prop_map(|(board, by, amount)| Step::FundKeepers { board, by, amount }),
        (pick(), pick(), who(), who()).prop_map(|(board, seat, by, to)| Step::ClaimKeeperFees {
            board,
            seat,
            by,
            to
        }),
    ]
}

fn rounds() -> impl Strategy<Value = u8> {
    prop_oneof![6 => 1..8u8, 2 => 8..40u8, 1 => any::<u8>()]
}

fn leasing() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => opening(),
        16 => leaving(),
        8 => metering(),
        18 => ending(),
    ]
}

fn opening() -> impl Strategy<Value = Step> {
    let gpus = prop_oneof![4 => 1..4u8, 2 => 4..12u8];
    let open = (pick(), pick(), gpus, rounds(), pick(), pick(), (pick(), flaw(), flaw())).prop_map(
        |(board, buyer, gpus, rounds, criteria, limit, (hint, avoid, flaw))| Step::Open {
            board,
            buyer,
            gpus,
            rounds,
            criteria,
            limit,
            hint,
            avoid,
            flaw,
        },
    );
    prop_oneof![
        10 => open,
        3 => (pick(), pick(), rounds(), pick()).prop_map(|(board, buyer, rounds, deposit)| {
            Step::OpenMetered { board, buyer, rounds, deposit }
        }),
    ]
}

fn leaving() -> impl Strategy<Value = Step> {
    let contest = prop_oneof![3 => Just(0u8), 2 => 1..8u8];
    let leaving = prop_oneof![2 => Just(0u8), 1 => 1..4u8];
    prop_oneof![
        4 => (pick(), who(), rounds(), pick(), leaving).prop_map(|(lease, by, rounds, limit, leaving)| {
            Step::Extend { lease, by, rounds, limit, leaving }
        }),
        3 => (pick(), who(), contest).prop_map(|(lease, by, contest)| Step::Cancel { lease, by, contest }),
        2 => (pick(), who(), pick()).prop_map(|(lease, by, to)| Step::Transfer { lease, by, to }),
        2 => (pick(), who(), 0..4u8, any::<bool>()).prop_map(|(lease, by, key, wipe)| {
            Step::SetAccess { lease, by, key, wipe }
        }),
        8 => (pick(), who(), pick(), pick(), pick(), flaw(), pick(), prop::bool::weighted(0.3)).prop_map(
            |(lease, by, slot, limit, hint, avoid, bond, contest)| {
                Step::Replace { lease, by, slot, limit, hint, avoid, bond, contest }
            }
        ),
    ]
}

fn metering() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (pick(), who(), pick()).prop_map(|(lease, by, amount)| Step::TopUp { lease, by, amount }),
        3 => (pick(), pick()).prop_map(|(lease, by)| Step::Notice { lease, by }),
        5 => (pick(), pick(), flaw()).prop_map(|(lease, price, flaw)| Step::Redeem { lease, price, flaw }),
        1 => (pick(), pick()).prop_map(|(lease, slot)| Step::Convict { lease, slot }),
    ]
}

fn ending() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => pick().prop_map(|lease| Step::Settle { lease }),
        4 => (pick(), who(), who()).prop_map(|(lease, by, to)| Step::ClaimRefund { lease, by, to }),
        3 => (pick(), who()).prop_map(|(lease, buyer)| Step::CloseLease { lease, buyer }),
    ]
}
