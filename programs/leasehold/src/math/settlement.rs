//! What machines are paid for the rounds of a lease, what is burned, and what their bonds lose.
//!
//! Payments are cumulative: a machine is owed a function of its counters, and is paid what it is owed less what it was
//! paid. So the number and order of settlements never change the result. What a verdict of "down" takes is burned, so that
//! nobody gains by one.

use anchor_lang::prelude::*;

use crate::{
    constants::{
        BPS, EXIT_CAP_SECS, EXIT_FREE_SECS, EXIT_REST_BPS, GRACE_SECS, HOUR, NOTICE_SECS, SECS_PER_HOUR,
        WEEK_SECS, WHOLE,
    },
    math::{
        Exact, add, mul_div_floor,
        pricing::{Span, gross, rate},
        rounds,
        slashing::{allowance, slash},
        sub,
    },
};

/// Terms of a lease, taken from the market's parameters.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub round_secs: u32,
    /// Second of a round's length at which rounds begin on the lease's board.
    pub phase_secs: u32,
    /// Number of rounds agreed on.
    pub rounds: u32,
    /// Fewest rounds that a machine is judged on, however late it joined.
    pub min_rounds: u32,
    /// Part of its bond that a machine loses if it is down in all rounds.
    pub slash_multiplier_bps: u32,
    pub fee_bps: u16,
    pub keeper_share_bps: u16,
    pub sla_bps: u16,
    /// Part of a machine's pay that is kept until the end of its lease.
    pub hold_bps: u16,
    /// Part of its hourly price that a machine is paid for rounds up if the lease is metered.
    pub standby_bps: u16,
}

impl Terms {
    /// Time of `rounds` rounds.
    #[inline(always)]
    pub fn span(&self, rounds: u32) -> Span {
        Span::of_rounds(self.round_secs, rounds)
    }

    /// Time of all rounds that were agreed on.
    pub fn whole(&self) -> Span {
        self.span(self.rounds)
    }
}

/// Whether a machine kept its promise as far as it stayed in its lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaving {
    /// It did, but for rounds down.
    #[default]
    Served,
    /// It was down in so many rounds that it loses its whole bond.
    Abandoned,
    /// Its supplier took it out of the lease.
    Forfeited,
    /// It lost its bond over a receipt.
    Barred,
}

/// How the owner left a machine before the time agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Left {
    /// It did not.
    #[default]
    No,
    /// By cancelling the lease.
    Cancelled,
    /// By replacing the machine with one that costs less by so many parts of 65,536 of its price.
    Replaced { cheaper_q16: u16 },
    /// By ending a metered lease. `owes_hour`: it owes a blameless machine for an hour at least.
    Ended { owes_hour: bool },
}

/// Service of a machine in a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Payment units per hour of the whole machine.
    pub price: u64,
    /// Rounds it promised to serve.
    pub agreed: u32,
    /// Rounds it had to serve until it left the lease, all of them closed.
    pub rounds: u32,
    /// Of those, rounds in which it was up, down, and unseen. The others were void.
    pub up: u32,
    pub down: u32,
    pub unseen: u32,
    /// Rounds up that are already paid.
    pub settled: u32,
    /// Stake units that can be slashed.
    pub bond: u64,
    pub leaving: Leaving,
    pub left: Left,
    /// It was down in the hour before its owner left.
    pub dark: bool,
    /// Its owner contested it when leaving.
    pub contested: bool,
}

/// Payment units that leave escrow for one machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payment {
    /// To the supplier.
    pub net: u64,
    /// To market and keepers.
    pub fee: u64,
}

impl Payment {
    pub fn gross(&self) -> Exact<u64> {
        add(self.net, self.fee)
    }

    /// Payment of `owed` in all less `before`, which is paid already. Fees are rounded down on the total, in favour of the
    /// supplier.
    #[inline(always)]
    pub fn difference(owed: u64, before: u64, fee_bps: u16) -> Exact<Payment> {
        if owed == before {
            return Ok(Payment::default());
        }
        let fee = sub(rate(owed, fee_bps)?, rate(before, fee_bps)?)?;
        Ok(Payment { net: sub(sub(owed, before)?, fee)?, fee })
    }

    /// Sum of payments out of one lease: bounded by its deposit, so it always fits.
    #[inline(always)]
    pub fn plus(self, other: Payment) -> Payment {
        Payment { net: self.net.wrapping_add(other.net), fee: self.fee.wrapping_add(other.fee) }
    }
}

/// Payment units that are burned because of one machine, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Burned {
    /// Out of the machine's pay, for rounds down beyond the allowance.
    pub damages: u64,
    /// Out of the machine's pay, because its owner contested it.
    pub contested: u64,
    /// Owed by the owner for leaving, but not to the machine: it was contested or is not blameless, or was replaced by a
    /// cheaper one.
    pub exit: u64,
    /// Owed by the owner for contesting: half of what that takes from the machine, rounded up.
    pub penalty: u64,
}

impl Burned {
    pub fn total(&self) -> Exact<u64> {
        [self.contested, self.exit, self.penalty].into_iter().try_fold(self.damages, add)
    }
}

/// How a machine leaves a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub payment: Payment,
    pub burned: Burned,
    /// Stake units lost; all of them are burned.
    pub slash: u64,
    /// Rounds from its end on for which it is bound.
    pub bound: u32,
}

/// Payment units kept back until the end of the lease from a machine that was up for `up` payment units in all: `hold_bps` of
/// it, and its first two hours.
#[inline(always)]
pub fn kept(up: u64, price: u64, hold_bps: u16) -> Exact<u64> {
    Ok(rate(up, hold_bps)?.max(up.min(grace(price))))
}

/// Payment units of two hours: what the first two hours of a lease earn is paid at its end.
#[inline(always)]
fn grace(price: u64) -> u64 {
    const HOURS: u64 = GRACE_SECS / SECS_PER_HOUR;
    price.saturating_mul(HOURS)
}

/// Payment units owed in mid-term for so many rounds up: ⌊price × time / 3600⌋ less what is kept.
#[inline(always)]
pub fn owed_before_end(price: u64, up: u32, terms: &Terms) -> Exact<u64> {
    let up = gross(price, terms.round_secs, up)?;
    sub(up, kept(up, price, terms.hold_bps)?)
}

/// Payment in mid-term: for the rounds up that are not paid yet.
#[inline(always)]
pub fn interim(service: &Service, terms: &Terms) -> Exact<Payment> {
    paid_between(service.price, service.settled, service.up, terms, false)
}

/// Payment for rounds up after the first `settled` of them, in mid-term or at the end of a machine that was up in every round
/// agreed on.
pub fn paid_between(price: u64, settled: u32, up: u32, terms: &Terms, is_last: bool) -> Exact<Payment> {
    let time = secs(terms.round_secs, up);
    if (price | time) >> 32 != 0 || (price.wrapping_mul(time) / HOUR) >> 48 != 0 {
        return paid_between_wide(price, settled, up, terms, is_last);
    }
    Ok(paid_narrow(price, settled, up, terms, is_last))
}

/// [`paid_between`] where the price and the time up have 32 bits each, and the amount 48: nothing can overflow.
#[inline(always)]
pub fn paid_narrow(price: u64, settled: u32, up: u32, terms: &Terms, is_last: bool) -> Payment {
    let cost = |rounds: u32| price.wrapping_mul(secs(terms.round_secs, rounds)) / HOUR;
    let all = cost(up);
    let part = |amount: u64, bps: u16| amount.wrapping_mul(u64::from(bps)) / WHOLE;
    let early = |up: u64| up.wrapping_sub(part(up, terms.hold_bps).max(up.min(price.wrapping_mul(2))));
    let owed = if is_last { all } else { early(all) };
    let before = if settled == 0 { 0 } else { early(cost(settled)) };
    let fee = part(owed, terms.fee_bps).wrapping_sub(part(before, terms.fee_bps));
    Payment { net: owed.wrapping_sub(before).wrapping_sub(fee), fee }
}

/// [`paid_between`] for amounts beyond 48 bits.
#[inline(never)]
fn paid_between_wide(price: u64, settled: u32, up: u32, terms: &Terms, is_last: bool) -> Exact<Payment> {
    let owed = if is_last { gross(price, terms.round_secs, up)? } else { owed_before_end(price, up, terms)? };
    Payment::difference(owed, owed_before_end(price, settled, terms)?, terms.fee_bps)
}

/// Final outcome, once every round of the machine is closed.
pub fn last(service: &Service, terms: &Terms) -> Exact<Outcome> {
    let Service { price, rounds, up, leaving, contested, .. } = *service;
    let gross = |rounds: u32| gross(price, terms.round_secs, rounds);
    let pay = gross(up)?;
    let damages = damages(service, terms, pay)?;
    let contestable = contested && !matches!(leaving, Leaving::Forfeited | Leaving::Barred);
    let lost = if contestable {
        let rest = gross(service.agreed.saturating_sub(rounds))?;
        sub(kept(pay, price, terms.hold_bps)?, damages)?.min(grace(price)).min(rest)
    } else {
        0
    };

    let exit = Span::of_secs(exit_secs(service, terms)).cost_floor(price)?;
    let replaced = matches!(service.left, Left::Replaced { .. });
    let owed_exit = if is_blameless(service, terms) && !replaced { exit } else { 0 };
    let paid_exit = if contestable { 0 } else { owed_exit };
    let penalty = if contestable { add(lost, owed_exit)?.div_ceil(2) } else { 0 };

    let served = gross(up.saturating_add(void(service)))?;
    let owed = add(sub(sub(served, damages)?, lost)?, paid_exit)?;
    let before = owed_before_end(price, service.settled, terms)?;
    Ok(Outcome {
        payment: Payment::difference(owed, before, terms.fee_bps)?,
        burned: Burned {
            // What a forfeiture takes goes back to the owner: the supplier itself has signed it.
            damages: if leaving == Leaving::Forfeited { 0 } else { damages },
            contested: lost,
            exit: sub(exit, paid_exit)?,
            penalty,
        },
        slash: lost_bond(service, terms)?,
        bound: bound_rounds(service, terms),
    })
}

/// Final outcome where no more than `most` payment units can be paid in all, and `before` of them were paid: of a metered
/// lease, its deposit less what its vouchers took. What was paid can be less than settled rounds earned, since a short deposit
/// may be topped up later.
pub fn last_within(service: &Service, terms: &Terms, before: u64, most: u64) -> Exact<Outcome> {
    let outcome = last(service, terms)?;
    let earned = owed_before_end(service.price, service.settled, terms)?;
    let owed = add(earned, outcome.payment.gross()?)?.min(most);
    let left = sub(most, owed)?;
    let damages = outcome.burned.damages.min(left);
    let exit = outcome.burned.exit.min(sub(left, damages)?);
    let burned = Burned { damages, exit, ..outcome.burned };
    Ok(Outcome { payment: Payment::difference(owed, before, terms.fee_bps)?, burned, ..outcome })
}

/// As [`interim`], of no more than `most` payment units in all, of which `before` were paid.
pub fn interim_within(service: &Service, terms: &Terms, before: u64, most: u64) -> Exact<Payment> {
    let owed = owed_before_end(service.price, service.up, terms)?.min(most);
    Payment::difference(owed, before, terms.fee_bps)
}

/// Rounds down of a machine; one that was forfeited or barred was down in all rounds in which it was not up.
pub fn down(service: &Service) -> u32 {
    match service.leaving {
        Leaving::Forfeited | Leaving::Barred => service.rounds.saturating_sub(service.up),
        Leaving::Served | Leaving::Abandoned => service.down,
    }
}

/// Rounds that a machine promised: at least as many as the market's shortest lease has, however late it joined.
pub fn agreed(service: &Service, terms: &Terms) -> u32 {
    service.agreed.max(terms.min_rounds)
}

/// Rounds in which the machine may be down: the allowance of what it served if the owner left early, else of what was
/// agreed on.
pub fn allowed(service: &Service, terms: &Terms) -> u32 {
    let rounds = if service.left == Left::No { agreed(service, terms) } else { service.rounds };
    allowance(rounds, terms.sla_bps)
}

/// Rounds down beyond the allowance.
pub fn excess(service: &Service, terms: &Terms) -> u32 {
    down(service).saturating_sub(allowed(service, terms))
}

/// True if the machine was down no more than allowed, and not in its last hour: an owner who leaves it early owes it for
/// that.
pub fn is_blameless(service: &Service, terms: &Terms) -> bool {
    service.leaving == Leaving::Served && !service.dark && excess(service, terms) == 0
}

/// Void rounds that the machine is paid for: at its own ratio, if at least half of the rounds were not void.
pub fn void(service: &Service) -> u32 {
    if matches!(service.leaving, Leaving::Forfeited | Leaving::Barred) || service.up == 0 {
        return 0;
    }
    let judged = service.up.saturating_add(service.down).saturating_add(service.unseen);
    let void = service.rounds.saturating_sub(judged);
    if void == 0 || u64::from(judged).wrapping_mul(2) < u64::from(service.rounds) {
        return 0;
    }
    // 32-bit factors, and no more than the void rounds: both fit.
    let paid = u64::from(void).wrapping_mul(u64::from(service.up)).checked_div(u64::from(judged));
    u32::try_from(paid.unwrap_or_default()).unwrap_or_default()
}

/// Payment units that the machine loses for rounds down beyond the allowance: their price, `hold_bps` of its pay at most.
fn damages(service: &Service, terms: &Terms, pay: u64) -> Exact<u64> {
    let excess = excess(service, terms);
    if excess == 0 {
        return Ok(0);
    }
    Ok(rate(pay, terms.hold_bps)?.min(gross(service.price, terms.round_secs, excess)?))
}

/// Seconds of machine time that an owner owes for leaving a machine early: 5 percent of the rest, capped between an hour and
/// a day by the length of the lease; when replacing, what the new machine is cheaper by if that is less; when ending a metered
/// lease, the rest of its first hour. Less the time down beyond the allowance, always. 0 if the machine was never up or broke
/// its promise for good.
pub fn exit_secs(service: &Service, terms: &Terms) -> u64 {
    let is_owed = service.up > 0 && service.leaving == Leaving::Served;
    if !is_owed {
        return 0;
    }
    let most = match service.left {
        Left::No | Left::Ended { owes_hour: false } => 0,
        Left::Ended { owes_hour: true } => {
            u64::from(NOTICE_SECS).saturating_sub(secs(terms.round_secs, service.rounds))
        }
        Left::Cancelled | Left::Replaced { .. } => {
            exit_at_most(terms.round_secs, terms.rounds, service.agreed.saturating_sub(service.rounds))
        }
    };
    let most = match service.left {
        Left::Replaced { cheaper_q16 } => most.min(cheaper_secs(service, terms, cheaper_q16)),
        _ => most,
    };
    most.saturating_sub(secs(terms.round_secs, excess(service, terms)))
}

/// Seconds of machine time that leaving a lease of `rounds` rounds costs for each machine, `rest` rounds before its end, if
/// the machine was not down beyond its allowance.
pub fn exit_at_most(round_secs: u32, rounds: u32, rest: u32) -> u64 {
    let (least, most) = EXIT_CAP_SECS;
    let longer = secs(round_secs, rounds).saturating_sub(EXIT_FREE_SECS);
    let cap = longer.checked_div(24).unwrap_or_default().clamp(least, most);
    mul_div_floor(secs(round_secs, rest), EXIT_REST_BPS, u64::from(BPS)).unwrap_or(cap).min(cap)
}

/// Seconds of machine time by which the machine that replaced it is cheaper for the rest.
fn cheaper_secs(service: &Service, terms: &Terms, cheaper_q16: u16) -> u64 {
    let rest = secs(terms.round_secs, service.agreed.saturating_sub(service.rounds));
    mul_div_floor(rest, u64::from(cheaper_q16), 1 << 16).unwrap_or_default()
}

/// Stake units lost.
fn lost_bond(service: &Service, terms: &Terms) -> Exact<u64> {
    let Service { bond, down, leaving, .. } = *service;
    if leaving != Leaving::Served {
        return Ok(bond);
    }
    let agreed = agreed(service, terms);
    slash(bond, down, agreed, terms.round_secs, terms.sla_bps, terms.slash_multiplier_bps)
}

/// Rounds from its end on for which a machine that was left early is bound, because it was contested or is not blameless: as
/// many as it was up in, until the time agreed on and a week at most.
pub fn bound_rounds(service: &Service, terms: &Terms) -> u32 {
    let is_free = service.left == Left::No || service.leaving != Leaving::Served;
    if is_free || (is_blameless(service, terms) && !service.contested) {
        return 0;
    }
    let rest = service.agreed.saturating_sub(service.rounds);
    service.up.min(rest).min(rounds::covering(terms.round_secs, WEEK_SECS))
}

/// Seconds of so many rounds.
#[inline(always)]
fn secs(round_secs: u32, rounds: u32) -> u64 {
    u64::from(round_secs).wrapping_mul(u64::from(rounds)) // 32-bit factors always fit
}
