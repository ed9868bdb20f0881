//! `math::settlement`, `math::pricing` and `math::slashing` equal the formulas of the design, written out in 128 bits.

use leasehold::math::{
    Overflow,
    pricing::{self, Span, gross, rate},
    settlement::{Outcome, Payment, Service, Terms, interim, last},
    slashing::{SlashSplit, allowance, slash},
};
use proptest::prelude::*;

/// ⌊price × round_secs × U / 3600⌋.
fn naive_gross(price: u64, round_secs: u32, up: u32) -> u128 {
    u128::from(price) * u128::from(round_secs) * u128::from(up) / 3_600
}

/// deposit = ⌈price × round_secs × rounds / 3600⌉.
fn naive_deposit(price: u64, round_secs: u32, rounds: u32) -> u128 {
    (u128::from(price) * u128::from(round_secs) * u128::from(rounds)).div_ceil(3_600)
}

/// ⌊R × (1 − SLA)⌋.
fn naive_allowance(rounds: u32, sla_bps: u16) -> u128 {
    u128::from(rounds) * u128::from(10_000 - sla_bps) / 10_000
}

/// bond × min(1, m × max(0, D − allowance) / R); R = the rounds that the machine promised.
fn naive_slash(service: &Service, terms: &Terms) -> u128 {
    let Service { bond, down, agreed, .. } = *service;
    let over = u128::from(down).saturating_sub(naive_allowance(agreed, terms.sla_bps));
    let (part, whole) =
        (u128::from(terms.slash_multiplier_bps) * over, u128::from(agreed) * u128::from(10_000u16));
    if over > 0 { u128::from(bond) * part.min(whole) / whole } else { 0 }
}

/// Payment units that a machine is owed in all, fee included.
fn naive_owed(service: &Service, terms: &Terms) -> u128 {
    let (up, down) = (u128::from(service.up), u128::from(service.down));
    let rounds = u128::from(service.rounds);
    let known = up + down;
    let in_seconds = u128::from(service.price) * u128::from(terms.round_secs);
    // Unknown rounds at the machine's own up ratio: U + N × U / (U + D) = R × U / (U + D) rounds.
    let counts_unknown = known * 2 >= rounds && known > 0 && !service.broke_promise;
    let mut owed =
        if counts_unknown { in_seconds * rounds * up / (known * 3_600) } else { in_seconds * up / 3_600 };
    let kept = down <= naive_allowance(service.agreed, terms.sla_bps);
    let seen = rounds == 0 || up > 0;
    if kept && seen && !service.broke_promise {
        owed += u128::from(service.price) * u128::from(terms.cancel_secs) / 3_600;
    }
    owed
}

fn naive_fee(amount: u128, fee_bps: u16) -> u128 {
    amount * u128::from(fee_bps) / 10_000
}

fn naive_last(service: &Service, terms: &Terms) -> (u128, u128, u128) {
    let owed = naive_owed(service, terms);
    let before = naive_gross(service.price, terms.round_secs, service.settled);
    let fee = naive_fee(owed, terms.fee_bps) - naive_fee(before, terms.fee_bps);
    let slash = if service.broke_promise { service.bond.into() } else { naive_slash(service, terms) };
    (owed - before - fee, fee, slash)
}

/// A machine in a lease. Its deposit fits 64 bits, as every deposit that can be paid.
fn lease() -> impl Strategy<Value = (Service, Terms)> {
    let round_secs = prop_oneof![Just(10u32), Just(600), Just(3_600), 10..100_000u32];
    let rounds = prop_oneof![Just(1u32), 1..20u32, 1..2_000u32, 1..=1_000_000u32];
    (round_secs, rounds).prop_flat_map(|(round_secs, rounds)| {
        let dearest = (u128::from(u64::MAX) * 3_600 / (u128::from(round_secs) * u128::from(rounds)))
            .min(u128::from(u64::MAX)) as u64;
        let price = prop_oneof![1..10u64, 1..10_000_000u64, Just(dearest), 1..=dearest];
        // A machine that replaced another promised less than the whole lease.
        let came_late = prop_oneof![Just(0u32), 0..=890u32];
        let fractions = (came_late, 0..=1_000u32, 0..=1_000u32, 0..=1_000u32, 0..=1_000u32);
        let rates = (0..=3_000u16, 0..=10_000u16, 0..=10_000u16, prop_oneof![Just(10_000u32), any::<u32>()]);
        let bond = prop_oneof![Just(0u64), 1..1_000u64, any::<u64>()];
        (price, fractions, rates, bond, prop::bool::weighted(0.15), prop::bool::weighted(0.3)).prop_map(
            move |(
                price,
                (late, served, known, up, settled),
                (fee, share, sla, multiplier),
                bond,
                broke_promise,
                cancelled,
            )| {
                // Nested fractions, so that up ≤ known ≤ served ≤ agreed ≤ rounds; the whole is frequent.
                let part = |whole: u32, thousandths: u32| {
                    (u64::from(whole) * u64::from(thousandths.min(900)) / 900) as u32
                };
                let agreed = rounds - part(rounds, late);
                let served = if cancelled { part(agreed, served) } else { agreed };
                let known = part(served, known);
                let up = part(known, up);
                let cancel_secs = if cancelled {
                    let rest = u64::from(round_secs) * u64::from(agreed - served);
                    (rest * 500 / 10_000).min(3_600) as u32
                } else {
                    0
                };
                let service = Service {
                    price,
                    agreed,
                    rounds: served,
                    up,
                    down: known - up,
                    settled: part(up, settled),
                    bond,
                    broke_promise,
                };
                let terms = Terms {
                    round_secs,
                    rounds,
                    cancel_secs,
                    slash_multiplier_bps: multiplier,
                    fee_bps: fee,
                    keeper_share_bps: share,
                    sla_bps: sla,
                    split: SlashSplit::DEFAULT,
                };
                (service, terms)
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn the_last_settlement_equals_the_designs_formula((service, terms) in lease()) {
        let Outcome { payment, slash } = last(&service, &terms).expect("a deposit that fits");
        let found = (payment.net.into(), payment.fee.into(), slash.into());
        prop_assert_eq!(found, naive_last(&service, &terms));
    }

    /// deposit = Σ paid + refund for each machine, with nothing below zero.
    #[test]
    fn nobody_is_owed_more_than_the_deposit((service, terms) in lease()) {
        let owed = naive_owed(&service, &terms);
        let deposit = naive_deposit(service.price, terms.round_secs, service.agreed);
        prop_assert!(owed <= deposit, "{} of {}", owed, deposit);
        let before = gross(service.price, terms.round_secs, service.settled).expect("fits");
        let paid = before + last(&service, &terms).expect("fits").payment.gross().expect("fits");
        let paid_in = Span::of_rounds(terms.round_secs, service.agreed).cost_ceil(service.price).expect("fits");
        prop_assert_eq!(u128::from(paid_in), deposit);
        prop_assert!(paid <= paid_in, "{} of {}", paid, paid_in);
    }

    #[test]
    fn a_slash_is_never_more_than_the_bond((service, terms) in lease()) {
        let lost = last(&service, &terms).expect("fits").slash;
        prop_assert!(lost <= service.bond);
        prop_assert!(lost == 0 || service.down > 0 || service.broke_promise);
        let split = terms.split.of(lost).expect("fits");
        prop_assert_eq!(split.total().expect("fits"), lost);
        prop_assert!(lost < 10 || split.buyer + split.caller < lost, "a supplier that slashes itself loses");
    }

    /// Interim settlements change neither the payment nor the fee.
    #[test]
    fn settling_in_between_changes_nothing((service, terms) in lease(), stops in prop::collection::vec(0..=1_000u32, 0..8)) {
        let once = last(&Service { settled: 0, ..service }, &terms).expect("fits");
        let mut stops: Vec<u32> = stops.iter().map(|stop| (u64::from(service.up) * u64::from(*stop) / 1_000) as u32).collect();
        stops.sort_unstable();
        let (mut settled, mut sum) = (0, Payment::default());
        for up in stops {
            sum = sum.plus(interim(&Service { up, settled, ..service }, &terms).expect("fits"));
            settled = up;
        }
        let end = last(&Service { settled, ..service }, &terms).expect("fits");
        prop_assert_eq!(sum.plus(end.payment), once.payment);
        prop_assert_eq!(end.slash, once.slash);
    }

    /// A slash is measured against the machine's own promise, whatever the length of the lease.
    #[test]
    fn rounds_before_a_machine_joined_do_not_count_for_it((service, terms) in lease(), rounds in 1..=1_000_000u32) {
        let elsewhere = Terms { rounds, ..terms };
        prop_assert_eq!(last(&service, &elsewhere).expect("fits"), last(&service, &terms).expect("fits"));
    }

    /// One more round up, instead of unknown or down, never pays less.
    #[test]
    fn being_up_never_costs((service, terms) in lease(), instead_of_down in any::<bool>()) {
        let service = Service { settled: 0, ..service };
        let worse = last(&service, &terms).expect("fits");
        let unknown = service.rounds - service.up - service.down;
        let better = match instead_of_down {
            true if service.down > 0 => Service { up: service.up + 1, down: service.down - 1, ..service },
            false if unknown > 0 => Service { up: service.up + 1, ..service },
            _ => return Ok(()),
        };
        let better = last(&better, &terms).expect("fits");
        prop_assert!(better.payment.gross().expect("fits") >= worse.payment.gross().expect("fits"));
        prop_assert!(better.slash <= worse.slash);
    }

    /// One more round down, instead of unknown, never slashes less.
    #[test]
    fn being_down_never_slashes_less((service, terms) in lease()) {
        prop_assume!(service.up + service.down < service.rounds);
        let worse = Service { down: service.down + 1, ..service };
        let (before, after) = (last(&service, &terms).expect("fits"), last(&worse, &terms).expect("fits"));
        prop_assert!(after.slash >= before.slash);
    }

    #[test]
    fn all_unknown_pays_nobody_and_slashes_nobody((service, terms) in lease()) {
        let unseen = Service { up: 0, down: 0, settled: 0, broke_promise: false, rounds: service.rounds.max(1), ..service };
        prop_assert_eq!(last(&unseen, &terms).expect("fits"), Outcome::default());
    }

    /// Arbitrary numbers give a result or an overflow error, never a panic or a wrong sum.
    #[test]
    fn no_numbers_break_a_settlement(
        price in any::<u64>(), round_secs in any::<u32>(), rounds in any::<u32>(), counters in any::<[u32; 5]>(),
        bond in any::<u64>(), broke_promise in any::<bool>(), cancel_secs in any::<u32>(), multiplier in any::<u32>(),
    ) {
        let [agreed, served, up, down, settled] = counters;
        let service = Service { price, agreed, rounds: served, up, down, settled, bond, broke_promise };
        let terms = Terms {
            round_secs, rounds, cancel_secs, slash_multiplier_bps: multiplier,
            fee_bps: 300, keeper_share_bps: 4_000, sla_bps: 9_500, split: SlashSplit::DEFAULT,
        };
        if let Ok(outcome) = last(&service, &terms) {
            prop_assert!(outcome.slash <= bond);
        }
        if let Ok(payment) = interim(&service, &terms) {
            let owed = naive_gross(price, round_secs, up) - naive_gross(price, round_secs, settled);
            prop_assert_eq!(u128::from(payment.gross().expect("fits")), owed);
        }
    }
}

/// A u64, often at or next to a power of two or the largest value.
fn edges() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..10u64,
        u64::MAX - 10..=u64::MAX,
        (0..64u32, -2..=2i64).prop_map(|(power, off)| (1u64 << power).wrapping_add_signed(off)),
    ]
}

fn fits(value: u128) -> Option<u64> {
    u64::try_from(value).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn costs_of_spans_equal_128_bit_arithmetic(price in edges(), secs in edges(), off in 0..8u64) {
        // Also the prices at which 64-bit arithmetic begins to overflow.
        for price in [price, (u64::MAX / secs.max(1)).saturating_sub(3_604).saturating_add(off)] {
            let (span, product) = (Span::of_secs(secs), u128::from(price) * u128::from(secs));
            prop_assert_eq!(span.cost_floor(price).ok(), fits(product / 3_600));
            prop_assert_eq!(span.cost_ceil(price).ok(), fits(product.div_ceil(3_600)));
        }
    }

    #[test]
    fn costs_of_rounds_equal_128_bit_arithmetic(price in edges(), round_secs in edges(), rounds in edges()) {
        let (round_secs, rounds) = (round_secs as u32, rounds as u32);
        let secs = u128::from(round_secs) * u128::from(rounds);
        let Some(product) = u128::from(price).checked_mul(secs) else { return Ok(()) };
        prop_assert_eq!(gross(price, round_secs, rounds).ok(), fits(product / 3_600));
        let span = Span::of_rounds(round_secs, rounds);
        prop_assert_eq!(span.cost_ceil(price).ok(), fits(product.div_ceil(3_600)));
    }

    #[test]
    fn rates_equal_128_bit_arithmetic(amount in edges(), bps in any::<u16>()) {
        prop_assert_eq!(rate(amount, bps).ok(), fits(u128::from(amount) * u128::from(bps) / 10_000));
    }

    #[test]
    fn bonds_equal_128_bit_arithmetic(unit in edges(), weight in any::<u32>(), gpus in any::<u8>()) {
        // unit × (weight × GPUs) is below 2¹⁰⁴.
        let naive = (u128::from(unit) * u128::from(weight) * u128::from(gpus)).div_ceil(10_000);
        prop_assert_eq!(pricing::bond(unit, weight, gpus).ok(), fits(naive));
    }

    #[test]
    fn cancelling_costs_an_hour_or_a_twentieth_of_the_rest(round_secs in any::<u32>(), rest in any::<u32>()) {
        let naive = (u128::from(round_secs) * u128::from(rest) * 500 / 10_000).min(3_600);
        prop_assert_eq!(u128::from(pricing::cancel_secs(round_secs, rest).expect("fits")), naive);
    }

    #[test]
    fn slashes_equal_128_bit_arithmetic(
        bond in edges(), down in edges(), rounds in edges(), sla_bps in 0..=10_000u16, multiplier in edges(),
    ) {
        let (down, rounds, multiplier) = (down as u32, (rounds as u32).max(1), multiplier as u32);
        let down = down.min(rounds);
        let over = u128::from(down).saturating_sub(naive_allowance(rounds, sla_bps));
        let (part, whole) = (u128::from(multiplier) * over, u128::from(rounds) * 10_000);
        // In this order, because bond × part may overflow 128 bits.
        let naive = match (over, part >= whole) {
            (0, _) => 0,
            (_, true) => u128::from(bond),
            (_, false) => u128::from(bond) * part / whole,
        };
        prop_assert_eq!(u128::from(slash(bond, down, rounds, sla_bps, multiplier).expect("fits")), naive);
        prop_assert_eq!(u128::from(allowance(rounds, sla_bps)), naive_allowance(rounds, sla_bps));
    }
}

#[test]
fn a_deposit_that_does_not_fit_is_refused() {
    let error = Span::of_rounds(3_600, 2).cost_ceil(u64::MAX / 2 + 1).unwrap_err();
    assert_eq!(error, Overflow);
    assert_eq!(Span::of_rounds(3_600, 2).cost_ceil(u64::MAX / 2).expect("fits"), u64::MAX - 1);
}
