//! `math::settlement`, `math::pricing` and `math::slashing` equal the formulas of the design, written out in 128 bits.

use leasehold::math::{
    Overflow,
    pricing::{self, Span, gross, rate},
    settlement::{
        Burned, Leaving, Left, Outcome, Payment, Service, Terms, exit_at_most, interim, interim_within, kept,
        last, last_within,
    },
    slashing::{abandon_allowance, allowance, slash},
};
use proptest::prelude::*;

/// ⌊price × round_secs × x / 3600⌋.
fn naive_gross(price: u64, round_secs: u32, rounds: u128) -> u128 {
    u128::from(price) * u128::from(round_secs) * rounds / 3_600
}

/// deposit = ⌈price × round_secs × rounds / 3600⌉.
fn naive_deposit(price: u64, round_secs: u32, rounds: u32) -> u128 {
    (u128::from(price) * u128::from(round_secs) * u128::from(rounds)).div_ceil(3_600)
}

/// max(1, ⌊X × (1 − SLA)⌋).
fn naive_allowance(rounds: u128, sla_bps: u16) -> u128 {
    (rounds * u128::from(10_000 - sla_bps) / 10_000).max(1)
}

/// Rounds that cover a time, at least one.
fn naive_rounds(round_secs: u32, secs: u128) -> u128 {
    secs.div_ceil(u128::from(round_secs)).max(1)
}

fn naive_rate(amount: u128, bps: u16) -> u128 {
    amount * u128::from(bps) / 10_000
}

/// max(⌊gross(U) × hold⌋, min(gross(U), grace)).
fn naive_kept(pay: u128, price: u64, hold_bps: u16) -> u128 {
    naive_rate(pay, hold_bps).max(pay.min(2 * u128::from(price)))
}

/// The design's names for a machine of a lease.
struct Design<'a> {
    service: &'a Service,
    terms: &'a Terms,
    u: u128,
    d: u128,
    h: u128,
    r: u128,
    /// Rounds agreed on, and those that its allowance when paid is measured on.
    a: u128,
    s: u128,
    broken: bool,
}

impl<'a> Design<'a> {
    fn new(service: &'a Service, terms: &'a Terms) -> Self {
        let broken = matches!(service.leaving, Leaving::Forfeited | Leaving::Barred);
        let (u, r) = (u128::from(service.up), u128::from(service.rounds));
        let a = u128::from(service.agreed.max(terms.min_rounds));
        Design {
            service,
            terms,
            u,
            d: if broken { r - u } else { service.down.into() },
            h: service.unseen.into(),
            r,
            a,
            s: if service.left == Left::No { a } else { r },
            broken,
        }
    }

    fn gross(&self, rounds: u128) -> u128 {
        naive_gross(self.service.price, self.terms.round_secs, rounds)
    }

    fn excess(&self) -> u128 {
        self.d.saturating_sub(naive_allowance(self.s, self.terms.sla_bps))
    }

    fn kept(&self) -> u128 {
        naive_kept(self.gross(self.u), self.service.price, self.terms.hold_bps)
    }

    fn damages(&self) -> u128 {
        naive_rate(self.gross(self.u), self.terms.hold_bps).min(self.gross(self.excess()))
    }

    fn void(&self) -> u128 {
        let judged = self.u + self.d + self.h;
        if self.broken || self.u == 0 || 2 * judged < self.r {
            return 0;
        }
        (self.r - judged) * self.u / judged
    }

    fn rest(&self) -> u128 {
        u128::from(self.service.agreed - self.service.rounds)
    }

    /// Payment units that the owner owes for leaving.
    fn exit(&self) -> u128 {
        let secs = |rounds: u128| u128::from(self.terms.round_secs) * rounds;
        if self.u == 0 || self.service.leaving != Leaving::Served {
            return 0;
        }
        let longer = secs(self.terms.rounds.into()).saturating_sub(144 * 3_600);
        let cap = (longer / 24).clamp(3_600, 86_400);
        let part = (secs(self.rest()) * 500 / 10_000).min(cap);
        let most = match self.service.left {
            Left::No | Left::Ended { owes_hour: false } => 0,
            Left::Cancelled => part,
            Left::Replaced { cheaper_q16 } => part.min((secs(self.rest()) * u128::from(cheaper_q16)) >> 16),
            Left::Ended { owes_hour: true } => 3_600u128.saturating_sub(secs(self.r)),
        };
        u128::from(self.service.price) * most.saturating_sub(secs(self.excess())) / 3_600
    }

    fn is_blameless(&self) -> bool {
        self.service.leaving == Leaving::Served && !self.service.dark && self.excess() == 0
    }

    /// Payment units owed in all, and those burned.
    fn money(&self) -> (u128, [u128; 4]) {
        let grace = 2 * u128::from(self.service.price);
        let contests = self.service.contested && !self.broken;
        let damages = self.damages();
        let lost = if contests { (self.kept() - damages).min(grace).min(self.gross(self.rest())) } else { 0 };
        let exit = self.exit();
        let is_replaced = matches!(self.service.left, Left::Replaced { .. });
        let due = if self.is_blameless() && !is_replaced { exit } else { 0 };
        let paid = if contests { 0 } else { due };
        let penalty = if contests { (lost + due).div_ceil(2) } else { 0 };
        let owed = self.gross(self.u + self.void()) - damages - lost + paid;
        let burned = if self.service.leaving == Leaving::Forfeited { 0 } else { damages };
        (owed, [burned, lost, exit - paid, penalty])
    }

    fn slash(&self) -> u128 {
        let bond = u128::from(self.service.bond);
        if self.service.leaving != Leaving::Served {
            return bond;
        }
        let over = u128::from(self.service.down).saturating_sub(naive_allowance(self.a, self.terms.sla_bps));
        let whole = 10_000 * self.a.max(naive_rounds(self.terms.round_secs, 3 * 86_400));
        let part = (u128::from(self.terms.slash_multiplier_bps) * over).min(whole);
        bond * part / whole
    }

    fn bound(&self) -> u128 {
        let Service { left, leaving, contested, .. } = *self.service;
        if left == Left::No || leaving != Leaving::Served || self.is_blameless() && !contested {
            return 0;
        }
        self.u.min(self.rest()).min(naive_rounds(self.terms.round_secs, 7 * 86_400))
    }

    /// What settlements in mid-term have paid for the first `settled` rounds up.
    fn before(&self) -> u128 {
        let paid = self.gross(self.service.settled.into());
        paid - naive_kept(paid, self.service.price, self.terms.hold_bps)
    }
}

fn burned(outcome: &Outcome) -> [u128; 4] {
    let Burned { damages, contested, exit, penalty } = outcome.burned;
    [damages, contested, exit, penalty].map(u128::from)
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
        let judged = prop_oneof![Just((1_000u32, 1_000u32)), (0..=1_000u32, 0..=1_000u32)];
        let fractions =
            (came_late, 0..=1_000u32, judged, prop_oneof![800..=1_000u32, 0..=1_000u32], 0..=1_000u32);
        let rates =
            (0..=3_000u16, 1_000..=5_000u16, prop_oneof![Just(9_950u16), 0..=10_000u16], 1_000..=100_000u32);
        let bond = prop_oneof![Just(0u64), 1..1_000u64, any::<u64>()];
        let leaving = prop_oneof![
            7 => Just(Leaving::Served),
            1 => Just(Leaving::Abandoned),
            1 => Just(Leaving::Forfeited),
            1 => Just(Leaving::Barred),
        ];
        let left = prop_oneof![
            2 => Just(Left::No),
            2 => Just(Left::Cancelled),
            2 => any::<u16>().prop_map(|cheaper_q16| Left::Replaced { cheaper_q16 }),
        ];
        (price, fractions, rates, bond, (leaving, left), any::<(bool, bool)>()).prop_map(
            move |(
                price,
                (late, served, (known, seen), up, settled),
                (fee, hold, sla, multiplier),
                bond,
                (leaving, left),
                (dark, contested),
            )| {
                // Nested fractions, so that up ≤ seen ≤ known ≤ served ≤ agreed ≤ rounds; the whole is frequent.
                let part = |whole: u32, thousandths: u32| {
                    (u64::from(whole) * u64::from(thousandths.min(900)) / 900) as u32
                };
                let agreed = rounds - part(rounds, late);
                let served = if left == Left::No { agreed } else { part(agreed, served) };
                let known = part(served, known);
                let seen = part(known, seen);
                let up = part(seen, up);
                let service = Service {
                    price,
                    agreed,
                    rounds: served,
                    up,
                    down: seen - up,
                    unseen: known - seen,
                    settled: part(up, settled),
                    bond,
                    leaving,
                    left,
                    dark: dark && left != Left::No,
                    contested: contested && left != Left::No,
                };
                let terms = Terms {
                    round_secs,
                    phase_secs: 0,
                    rounds,
                    min_rounds: 1,
                    slash_multiplier_bps: multiplier,
                    fee_bps: fee,
                    keeper_share_bps: 4_000,
                    sla_bps: sla,
                    hold_bps: hold,
                    standby_bps: 1_000,
                };
                (service, terms)
            },
        )
    })
}

fn paid(outcome: &Outcome) -> u64 {
    outcome.payment.gross().expect("fits")
}

/// Payment units that the owner doesn't get back: paid since the last settlement, and burned.
fn spent(outcome: &Outcome) -> u128 {
    u128::from(paid(outcome)) + burned(outcome).iter().sum::<u128>()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn the_last_settlement_equals_the_designs_formula((service, terms) in lease(), min_rounds in 1..2_000u32) {
        for terms in [terms, Terms { min_rounds, ..terms }] {
            let design = Design::new(&service, &terms);
            let outcome = last(&service, &terms).expect("a deposit that fits");
            let ((owed, expected), before) = (design.money(), design.before());
            let fee = naive_rate(owed, terms.fee_bps) - naive_rate(before, terms.fee_bps);
            let Payment { net, fee: found } = outcome.payment;
            prop_assert_eq!((u128::from(net), u128::from(found)), (owed - before - fee, fee));
            prop_assert_eq!(burned(&outcome), expected);
            prop_assert_eq!(u128::from(outcome.slash), design.slash());
            prop_assert_eq!(u128::from(outcome.bound), design.bound());
        }
    }

    /// Invariant 2: deposit = paid + burned + refund for each machine, with nothing below zero.
    #[test]
    fn a_machine_never_costs_more_than_its_deposit((service, terms) in lease()) {
        let paid_in = Span::of_rounds(terms.round_secs, service.agreed).cost_ceil(service.price).expect("fits");
        prop_assert_eq!(u128::from(paid_in), naive_deposit(service.price, terms.round_secs, service.agreed));
        let spent = Design::new(&service, &terms).before() + spent(&last(&service, &terms).expect("fits"));
        prop_assert!(spent <= paid_in.into(), "{} of {}", spent, paid_in);
    }

    /// Invariant 8.
    #[test]
    fn a_slash_is_never_more_than_the_bond((service, terms) in lease()) {
        let lost = last(&service, &terms).expect("fits").slash;
        prop_assert!(lost <= service.bond);
        prop_assert!(lost == 0 || service.down > 1 || service.leaving != Leaving::Served, "one round is always allowed");
    }

    /// Invariant 4. Settlements in mid-term change neither the payment nor the fee.
    #[test]
    fn settling_in_between_changes_nothing((service, terms) in lease(), stops in prop::collection::vec(0..=1_000u32, 0..8)) {
        let once = last(&Service { settled: 0, ..service }, &terms).expect("fits");
        let mut stops: Vec<u32> = stops.iter().map(|stop| (u64::from(service.up) * u64::from(*stop) / 1_000) as u32).collect();
        stops.sort_unstable();
        let (mut settled, mut sum) = (0, Payment::default());
        for up in stops {
            sum = sum.plus(interim(&Service { up, settled, ..service }, &terms).expect("fits"));
            settled = up;
            let pay = gross(service.price, terms.round_secs, up).expect("fits");
            let held = kept(pay, service.price, terms.hold_bps).expect("fits");
            prop_assert_eq!(u128::from(held), naive_kept(pay.into(), service.price, terms.hold_bps));
            prop_assert_eq!(sum.gross().expect("fits"), pay - held);
        }
        let end = last(&Service { settled, ..service }, &terms).expect("fits");
        prop_assert_eq!(sum.plus(end.payment), once.payment);
        prop_assert_eq!((end.slash, end.burned, end.bound), (once.slash, once.burned, once.bound));
    }

    /// The deposit of a metered lease bounds what is paid and burned, whenever it is settled.
    #[test]
    fn a_metered_lease_spends_no_more_than_its_deposit(
        (service, terms) in lease(), most in edges(), owes_hour in any::<bool>(), stop in 0..=1_000u32, then in 0..=1_000u64,
    ) {
        let left = if service.left == Left::No { Left::No } else { Left::Ended { owes_hour } };
        let service = Service { left, contested: false, settled: 0, ..service };
        let most = most % (gross(service.price, terms.round_secs, service.agreed).expect("fits").saturating_mul(2)).max(1);
        let Ok(once) = last_within(&service, &terms, 0, most) else {
            // The rest of an hour does not fit.
            prop_assert!(owes_hour && service.price > u64::MAX / 2);
            return Ok(());
        };
        prop_assert!(spent(&once) <= most.into());
        let settled = (u64::from(service.up) * u64::from(stop) / 1_000) as u32;
        // Settled in mid-term, when the deposit was less: it was topped up since.
        let short = (u128::from(most) * u128::from(then) / 1_000) as u64;
        let before = interim_within(&Service { up: settled, ..service }, &terms, 0, short).expect("fits");
        let paid = before.gross().expect("fits");
        prop_assert!(paid <= short);
        let end = last_within(&Service { settled, ..service }, &terms, paid, most).expect("fits");
        prop_assert_eq!(before.plus(end.payment), once.payment);
        prop_assert_eq!(end.burned, once.burned);
        let unbounded = last_within(&service, &terms, 0, u64::MAX).expect("fits");
        prop_assert_eq!(unbounded, last(&service, &terms).expect("fits"));
    }

    /// What a machine is judged on is its own promise, whatever the length of the lease; only the cap on leaving is the lease's.
    #[test]
    fn rounds_before_a_machine_joined_do_not_count_for_it((service, terms) in lease(), rounds in 1..=1_000_000u32) {
        let service = Service { left: Left::No, rounds: service.agreed, dark: false, contested: false, ..service };
        let elsewhere = Terms { rounds, ..terms };
        prop_assert_eq!(last(&service, &elsewhere).expect("fits"), last(&service, &terms).expect("fits"));
    }

    /// One more round up, instead of down or unseen, never pays less, but for a base unit of rounding, and never slashes more. Void
    /// rounds are paid for rounded down to whole rounds; instead of one of them, it never pays less by a round.
    #[test]
    fn being_up_never_costs((service, terms) in lease(), instead_of in 0..3) {
        let service = Service { settled: 0, ..service };
        let void = service.rounds - service.up - service.down - service.unseen;
        let better = match instead_of {
            0 if service.down > 0 => Service { up: service.up + 1, down: service.down - 1, ..service },
            1 if service.unseen > 0 => Service { up: service.up + 1, unseen: service.unseen - 1, ..service },
            2 if void > 0 => Service { up: service.up + 1, ..service },
            _ => return Ok(()),
        };
        let (worse, better) = (last(&service, &terms).expect("fits"), last(&better, &terms).expect("fits"));
        let remainder = if instead_of == 2 { naive_deposit(service.price, terms.round_secs, 1) } else { 1 };
        prop_assert!(u128::from(paid(&better)) + remainder >= paid(&worse).into());
        prop_assert!(better.slash <= worse.slash);
    }

    /// Invariant 19, for one machine: of a round down instead of an unseen one, its supplier gets no more, and its owner nothing
    /// but the round by which `exit` shrinks. Not where its supplier itself signed a forfeiture.
    #[test]
    fn nobody_is_paid_because_a_machine_was_down((service, terms) in lease()) {
        if service.unseen == 0 || service.contested || service.leaving == Leaving::Forfeited {
            return Ok(());
        }
        let service = Service { settled: 0, ..service };
        let worse = Service { down: service.down + 1, unseen: service.unseen - 1, ..service };
        let (before, after) = (last(&service, &terms).expect("fits"), last(&worse, &terms).expect("fits"));
        prop_assert!(paid(&after) <= paid(&before));
        prop_assert!(after.slash >= before.slash);
        let round = naive_deposit(service.price, terms.round_secs, 1);
        prop_assert!(spent(&after) + round >= spent(&before), "{} and {}, then {}", spent(&before), round, spent(&after));
    }

    /// Contesting never leaves the owner with more, and costs it at least half of what it takes from the machine.
    #[test]
    fn contesting_costs_half_of_what_it_destroys((service, terms) in lease()) {
        if service.left == Left::No {
            return Ok(());
        }
        let [plain, contested] =
            [false, true].map(|contested| last(&Service { contested, ..service }, &terms).expect("fits"));
        let lost = paid(&plain) - paid(&contested);
        let cost = spent(&contested) - spent(&plain);
        prop_assert!(2 * cost >= lost.into(), "{} for {}", cost, lost);
        prop_assert_eq!(cost, u128::from(contested.burned.penalty));
    }

    /// Invariant 10.
    #[test]
    fn a_lease_without_rounds_up_and_down_pays_nobody_and_slashes_nobody((service, terms) in lease()) {
        let unseen = Service {
            up: 0,
            down: 0,
            settled: 0,
            unseen: service.unseen + service.up + service.down,
            leaving: Leaving::Served,
            ..service
        };
        prop_assert_eq!(last(&unseen, &terms).expect("fits"), Outcome::default());
    }

    /// Arbitrary numbers give a result or an overflow error, never a panic or a wrong sum.
    #[test]
    fn no_numbers_break_a_settlement(
        price in any::<u64>(), round_secs in 1..=u32::MAX, rounds in any::<u32>(), counters in any::<[u32; 6]>(),
        bond in any::<u64>(), flags in any::<(bool, bool, bool)>(), multiplier in any::<u32>(), cheaper_q16 in any::<u16>(),
    ) {
        let [agreed, served, up, down, unseen, settled] = counters;
        let (dark, contested, replaced) = flags;
        let left = if replaced { Left::Replaced { cheaper_q16 } } else { Left::Cancelled };
        let service = Service {
            price, agreed, rounds: served, up, down, unseen, settled, bond, leaving: Leaving::Served, left, dark, contested,
        };
        let terms = Terms {
            round_secs, phase_secs: 0, rounds, min_rounds: 1, slash_multiplier_bps: multiplier,
            fee_bps: 300, keeper_share_bps: 4_000, sla_bps: 9_500, hold_bps: 2_000, standby_bps: 1_000,
        };
        if let Ok(outcome) = last(&service, &terms) {
            prop_assert!(outcome.slash <= bond);
        }
        if let Ok(payment) = interim(&service, &terms) {
            let owed = |rounds: u32| {
                let pay = naive_gross(price, round_secs, rounds.into());
                pay - naive_kept(pay, price, 2_000)
            };
            prop_assert_eq!(u128::from(payment.gross().expect("fits")), owed(up) - owed(settled));
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
        prop_assert_eq!(rate(amount, bps).ok(), fits(naive_rate(amount.into(), bps)));
    }

    #[test]
    fn bonds_equal_128_bit_arithmetic(unit in edges(), weight in any::<u32>(), gpus in any::<u8>()) {
        // unit × (weight × GPUs) is below 2¹⁰⁴.
        let naive = (u128::from(unit) * u128::from(weight) * u128::from(gpus)).div_ceil(10_000);
        prop_assert_eq!(pricing::bond(unit, weight, gpus).ok(), fits(naive));
    }

    #[test]
    fn leaving_costs_a_twentieth_of_the_rest_up_to_a_cap(
        round_secs in any::<u32>(), rounds in any::<u32>(), rest in any::<u32>(),
    ) {
        let secs = |rounds: u32| u128::from(round_secs) * u128::from(rounds);
        let cap = (secs(rounds).saturating_sub(144 * 3_600) / 24).clamp(3_600, 86_400);
        let naive = (secs(rest) * 500 / 10_000).min(cap);
        prop_assert_eq!(u128::from(exit_at_most(round_secs, rounds, rest)), naive);
    }

    #[test]
    fn slashes_equal_128_bit_arithmetic(
        bond in edges(), down in edges(), rounds in edges(), round_secs in 1..=1_000_000u32, sla_bps in 0..=10_000u16,
        multiplier in edges(),
    ) {
        let (down, rounds, multiplier) = (down as u32, (rounds as u32).max(1), multiplier as u32);
        let down = down.min(rounds);
        let over = u128::from(down).saturating_sub(naive_allowance(rounds.into(), sla_bps));
        let most = u128::from(rounds).max(naive_rounds(round_secs, 3 * 86_400));
        let (part, whole) = (u128::from(multiplier) * over, most * 10_000);
        // In this order, because bond × part may overflow 128 bits.
        let naive = match (over, part >= whole) {
            (0, _) => 0,
            (_, true) => u128::from(bond),
            (_, false) => u128::from(bond) * part / whole,
        };
        let found = slash(bond, down, rounds, round_secs, sla_bps, multiplier).expect("fits");
        prop_assert_eq!(u128::from(found), naive);
        prop_assert_eq!(u128::from(allowance(rounds, sla_bps)), naive_allowance(rounds.into(), sla_bps));
        let week = u128::from(rounds).max(naive_rounds(round_secs, 7 * 86_400));
        let found = abandon_allowance(rounds, round_secs, sla_bps);
        prop_assert_eq!(u128::from(found), naive_allowance(week, sla_bps));
    }
}

#[test]
fn a_deposit_that_does_not_fit_is_refused() {
    let error = Span::of_rounds(3_600, 2).cost_ceil(u64::MAX / 2 + 1).unwrap_err();
    assert_eq!(error, Overflow);
    assert_eq!(Span::of_rounds(3_600, 2).cost_ceil(u64::MAX / 2).expect("fits"), u64::MAX - 1);
}

/// The design's defaults, by hand: an hour, a day and a month of rounds of ten minutes at 3.00.
#[test]
fn leaving_costs_an_hour_for_short_leases_and_a_day_for_a_month() {
    let secs = |rounds: u32| exit_at_most(600, rounds, rounds - 1);
    assert_eq!([6, 144, 720, 864].map(secs), [150, 3_600, 3_600, 3_600]);
    // Longer than six days by a day or two: an hour or two. A month: a day.
    assert_eq!([864 + 144, 864 + 288, 30 * 144].map(secs), [3_600, 7_200, 86_400]);
    // Late in a month, 5 percent of the rest are less.
    assert_eq!(exit_at_most(600, 30 * 144, 144), 4_320);
}
