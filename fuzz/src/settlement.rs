//! Target `settlement`: the arithmetic of settlements, against a specification in 128 bits.

mod spec;

use leasehold::{
    constants::{BPS, HOLD_BPS, MAX_FEE_BPS, MAX_LEASE_SECS, MULTIPLIER_BPS, ROUND_SECS, STANDBY_BPS},
    math::settlement::{self, Leaving, Left, Outcome, Payment, Service, Terms},
};

use crate::input::Input;

/// Settles one machine, in one go and in steps, and compares every number with the specification.
pub fn run(data: &[u8]) {
    let input = &mut Input::new(data);
    if input.bool() {
        return unbounded(input);
    }
    let terms = terms(input);
    let service = service(input, &terms);
    // Nobody can open a lease whose deposit does not fit.
    let Ok(deposit) = terms.span(service.agreed).cost_ceil(service.price) else { return };
    let Ok(outcome) = settlement::last(&service, &terms) else {
        panic!("a machine that was deposited for can't be settled: {service:?} {terms:?}")
    };

    let spec = spec::outcome(&service, &terms);
    assert_eq!(outcome, spec.outcome, "{service:?} {terms:?}");
    let context = || format!("{service:?} {terms:?} {outcome:?}");
    let before = spec.before;
    let owed = before + u128::from(gross(outcome.payment));
    let burned = u128::from(outcome.burned.total().expect("within the deposit"));
    // The owner of a metered lease chooses its deposit: see `within`.
    let metered = matches!(service.left, Left::Ended { .. });
    let is_within = metered || owed + burned <= u128::from(deposit);
    assert!(is_within, "more than the deposit {deposit}: {}", context());
    assert!(outcome.slash <= service.bond, "a slash beyond the bond: {}", context());

    in_steps(input, &service, &terms, outcome);
    interim(&service, &terms);
    whole(&service, &terms);
    more_rounds_up(&service, &terms, owed);
    within(input, &service, &terms, deposit);
}

/// Numbers out of all bounds: they may be refused, and nothing else.
fn unbounded(input: &mut Input) {
    let terms = Terms {
        round_secs: input.u32(),
        phase_secs: input.u32(),
        rounds: input.u32(),
        min_rounds: input.u32(),
        slash_multiplier_bps: input.u32(),
        fee_bps: input.between16(0, BPS),
        keeper_share_bps: input.u16(),
        sla_bps: input.u16(),
        hold_bps: input.between16(0, BPS),
        standby_bps: input.u16(),
    };
    let up = input.u32();
    let service = Service {
        price: input.u64(),
        agreed: input.u32(),
        rounds: input.u32(),
        up,
        down: input.u32(),
        unseen: input.u32(),
        settled: input.between32(0, up),
        bond: input.u64(),
        leaving: leaving(input),
        left: left(input),
        dark: input.bool(),
        contested: input.bool(),
    };
    let most = input.u64();
    let _ = settlement::last(&service, &terms);
    let _ = settlement::last_within(&service, &terms, 0, most);
    let _ = settlement::interim(&service, &terms);
    let _ = settlement::interim_within(&service, &terms, 0, most);
    let _ = settlement::paid_between(service.price, service.settled, service.up, &terms, true);
}

/// Terms that a market can have.
pub fn terms(input: &mut Input) -> Terms {
    let round_secs = input.between32(*ROUND_SECS.start(), *ROUND_SECS.end());
    let rounds = input.between32(1, MAX_LEASE_SECS / round_secs);
    Terms {
        round_secs,
        phase_secs: input.between32(0, round_secs - 1),
        rounds,
        min_rounds: input.between32(1, rounds),
        slash_multiplier_bps: input.between32(*MULTIPLIER_BPS.start(), *MULTIPLIER_BPS.end()),
        fee_bps: input.between16(0, MAX_FEE_BPS),
        keeper_share_bps: input.between16(0, BPS),
        sla_bps: input.between16(0, BPS),
        hold_bps: input.between16(*HOLD_BPS.start(), *HOLD_BPS.end()),
        standby_bps: input.between16(*STANDBY_BPS.start(), *STANDBY_BPS.end()),
    }
}

/// Service that a machine can have given.
fn service(input: &mut Input, terms: &Terms) -> Service {
    let agreed = input.between32(1, terms.rounds);
    let left = left(input);
    let rounds = if left == Left::No { agreed } else { input.between32(1, agreed) };
    let up = input.between32(0, rounds);
    let down = input.between32(0, rounds - up);
    let unseen = input.between32(0, rounds - up - down);
    let settled = input.between32(0, up);
    let leaving = leaving(input);
    let may_contest = matches!(left, Left::Cancelled | Left::Replaced { .. });
    Service {
        price: input.u64(),
        agreed,
        rounds,
        up,
        down,
        unseen,
        settled,
        bond: if leaving == Leaving::Barred { 0 } else { input.u64() },
        leaving,
        left,
        dark: input.bool(),
        contested: input.bool() && may_contest,
    }
}

fn leaving(input: &mut Input) -> Leaving {
    input.pick(&[Leaving::Served, Leaving::Abandoned, Leaving::Forfeited, Leaving::Barred])
}

fn left(input: &mut Input) -> Left {
    match input.u8() % 4 {
        0 => Left::No,
        1 => Left::Cancelled,
        2 => Left::Replaced { cheaper_q16: input.u16() },
        _ => Left::Ended { owes_hour: input.bool() },
    }
}

fn gross(payment: Payment) -> u64 {
    payment.gross().expect("within the deposit")
}

fn plus(one: Payment, other: Payment) -> Payment {
    Payment { net: one.net + other.net, fee: one.fee + other.fee }
}

/// Invariant 4: settlements in mid-term never change the sum.
fn in_steps(input: &mut Input, service: &Service, terms: &Terms, last: Outcome) {
    let mut settled = service.settled;
    let mut paid = Payment::default();
    for _ in 0..input.between8(0, 3) {
        let up = input.between32(settled, service.up);
        let step = Service { settled, up, ..*service };
        let payment = settlement::interim(&step, terms).expect("no more than is owed at the end");
        (paid, settled) = (plus(paid, payment), up);
    }
    let outcome =
        settlement::last(&Service { settled, ..*service }, terms).expect("no more than is owed at the end");
    assert_eq!(plus(paid, outcome.payment), last.payment, "in steps to {settled}: {service:?} {terms:?}");
    assert_eq!(Outcome { payment: last.payment, ..outcome }, last);
}

/// The fast path of interim payments is the wide one.
fn interim(service: &Service, terms: &Terms) {
    let fast = settlement::interim(service, terms).expect("no more than is owed at the end");
    assert_eq!(fast, spec::interim(service, terms), "{service:?} {terms:?}");
}

/// A machine that was up all the time is owed for that and nothing else: the fast path is the general one.
fn whole(service: &Service, terms: &Terms) {
    let served = Service {
        rounds: service.agreed,
        up: service.agreed,
        down: 0,
        unseen: 0,
        leaving: Leaving::Served,
        left: Left::No,
        dark: false,
        contested: false,
        ..*service
    };
    let fast = settlement::paid_between(served.price, served.settled, served.up, terms, true);
    let general = settlement::last(&served, terms).expect("within the deposit");
    assert_eq!(Outcome { payment: fast.expect("within the deposit"), ..Outcome::default() }, general);
}

/// One more round up, which was unseen or void before, never pays less, but for a unit by rounding; or for a round's price
/// where it was void, since the void rounds that are paid are rounded down.
fn more_rounds_up(service: &Service, terms: &Terms, owed: u128) {
    let Service { rounds, up, down, unseen, price, .. } = *service;
    let judged = up + down + unseen;
    let slack = u128::from(price) * u128::from(terms.round_secs) / 3_600 + 1;
    let better = Service { up: up + 1, ..*service };
    let from_void = (judged < rounds).then_some((better, slack));
    let from_unseen = (unseen > 0).then_some((Service { unseen: unseen.saturating_sub(1), ..better }, 1));
    for (better, slack) in from_void.into_iter().chain(from_unseen) {
        let better_owed = spec::outcome(&better, terms).owed;
        assert!(
            better_owed + slack >= owed,
            "{better_owed} < {owed} with one more round up: {service:?} {terms:?}"
        );
    }
}

/// A metered lease pays no more than vouchers left. More settlements change nothing, though its deposit may have been short in
/// one and topped up before the next.
fn within(input: &mut Input, service: &Service, terms: &Terms, deposit: u64) {
    let left = Left::Ended { owes_hour: input.bool() };
    let service = Service { contested: false, left, settled: 0, ..*service };
    let (short, most) = (input.between(0, deposit), input.between(0, deposit));
    let (short, most) = (short.min(most), short.max(most));
    let outcome = settlement::last_within(&service, terms, 0, most).expect("fits");
    let spent = gross(outcome.payment) + outcome.burned.total().expect("fits");
    assert!(spent <= most, "{spent} of {most}: {service:?} {terms:?}");
    let settled = input.between32(0, service.up);
    let early = Service { up: settled, ..service };
    let interim = settlement::interim_within(&early, terms, 0, short).expect("fits");
    assert!(gross(interim) <= short, "{service:?} {terms:?}");
    let rest = Service { settled, ..service };
    let rest = settlement::last_within(&rest, terms, gross(interim), most).expect("no less than was paid");
    assert_eq!(
        plus(interim, rest.payment),
        outcome.payment,
        "{service:?} {terms:?} short {short} most {most}"
    );
    assert_eq!(rest.burned, outcome.burned);
}
