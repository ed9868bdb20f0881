//! The money rules of the design in 128 bits, written apart from the program.

use leasehold::math::settlement::{Burned, Leaving, Left, Outcome, Payment, Service, Terms};

const BPS: u128 = 10_000;
const HOUR: u128 = 3_600;

/// An outcome, and what is owed in all and was owed before it.
pub struct Spec {
    pub outcome: Outcome,
    pub before: u128,
    pub owed: u128,
}

fn narrow(amount: u128) -> u64 {
    u64::try_from(amount).expect("fits the deposit")
}

fn gross(service: &Service, terms: &Terms, rounds: u128) -> u128 {
    cost(service, u128::from(terms.round_secs) * rounds)
}

fn cost(service: &Service, secs: u128) -> u128 {
    u128::from(service.price) * secs / HOUR
}

fn kept(service: &Service, terms: &Terms, up: u32) -> u128 {
    let pay = gross(service, terms, up.into());
    let grace = 2 * u128::from(service.price);
    (pay * u128::from(terms.hold_bps) / BPS).max(pay.min(grace))
}

fn allow(rounds: u32, terms: &Terms) -> u128 {
    (u128::from(rounds) * (BPS - u128::from(terms.sla_bps)) / BPS).max(1)
}

fn covering(secs: u128, terms: &Terms) -> u128 {
    secs.div_ceil(terms.round_secs.into())
}

fn difference(owed: u128, before: u128, terms: &Terms) -> Payment {
    let fee = |amount: u128| amount * u128::from(terms.fee_bps) / BPS;
    let fee = fee(owed) - fee(before);
    Payment { net: narrow(owed - before - fee), fee: narrow(fee) }
}

/// What settlements in mid-term have paid.
pub fn before(service: &Service, terms: &Terms) -> u128 {
    gross(service, terms, service.settled.into()) - kept(service, terms, service.settled)
}

/// What one settlement in mid-term pays.
pub fn interim(service: &Service, terms: &Terms) -> Payment {
    let owed = gross(service, terms, service.up.into()) - kept(service, terms, service.up);
    difference(owed, before(service, terms), terms)
}

/// How the machine leaves its lease.
pub fn outcome(service: &Service, terms: &Terms) -> Spec {
    let (up, rounds, agreed) =
        (u128::from(service.up), u128::from(service.rounds), u128::from(service.agreed));
    let (down, unseen) = (u128::from(service.down), u128::from(service.unseen));
    let secs = |rounds: u128| u128::from(terms.round_secs) * rounds;
    let gave_up = matches!(service.leaving, Leaving::Forfeited | Leaving::Barred);
    let served = service.leaving == Leaving::Served;
    let promised = service.agreed.max(terms.min_rounds);
    let rest = agreed - rounds;

    let counted = if gave_up { rounds - up } else { down };
    let stay = if service.left == Left::No { promised } else { service.rounds };
    let over = counted.saturating_sub(allow(stay, terms));
    let blameless = served && over == 0 && !service.dark;

    let pay = gross(service, terms, up);
    let damages = (pay * u128::from(terms.hold_bps) / BPS).min(gross(service, terms, over));
    let judged = up + down + unseen;
    let void = if gave_up || up == 0 || 2 * judged < rounds { 0 } else { (rounds - judged) * up / judged };
    let contestable = service.contested && !gave_up;
    let contested = if contestable {
        let grace = 2 * u128::from(service.price);
        (kept(service, terms, service.up) - damages).min(grace).min(gross(service, terms, rest))
    } else {
        0
    };

    let length = secs(terms.rounds.into());
    let cap = (length.saturating_sub(144 * HOUR) / 24).clamp(HOUR, 24 * HOUR);
    let at_most = (secs(rest) * 500 / BPS).min(cap);
    let replaced = matches!(service.left, Left::Replaced { .. });
    let leaving = match service.left {
        Left::Cancelled => at_most,
        Left::Replaced { cheaper_q16 } => at_most.min((secs(rest) * u128::from(cheaper_q16)) >> 16),
        Left::Ended { owes_hour: true } => HOUR.saturating_sub(secs(rounds)),
        Left::Ended { owes_hour: false } | Left::No => 0,
    };
    let owes = up > 0 && served;
    let exit = if owes { cost(service, leaving.saturating_sub(secs(over))) } else { 0 };
    let due_exit = if blameless && !replaced { exit } else { 0 };
    let paid_exit = if contestable { 0 } else { due_exit };
    let penalty = if contestable { (contested + due_exit).div_ceil(2) } else { 0 };

    let owed = gross(service, terms, up + void) - damages - contested + paid_exit;
    let before = before(service, terms);
    let week = covering(7 * 24 * HOUR, terms);
    let is_bound = service.left != Left::No && served && (!blameless || service.contested);
    let outcome = Outcome {
        payment: difference(owed, before, terms),
        burned: Burned {
            damages: if service.leaving == Leaving::Forfeited { 0 } else { narrow(damages) },
            contested: narrow(contested),
            exit: narrow(exit - paid_exit),
            penalty: narrow(penalty),
        },
        slash: slash(service, terms, promised),
        bound: if is_bound { up.min(rest).min(week) as u32 } else { 0 },
    };
    Spec { outcome, before, owed }
}

fn slash(service: &Service, terms: &Terms, promised: u32) -> u64 {
    if service.leaving != Leaving::Served {
        return service.bond;
    }
    let over = u128::from(service.down).saturating_sub(allow(promised, terms));
    let measure = u128::from(promised).max(covering(3 * 24 * HOUR, terms));
    let (part, whole) = (u128::from(terms.slash_multiplier_bps) * over, BPS * measure);
    if part >= whole { service.bond } else { narrow(u128::from(service.bond) * part / whole) }
}
