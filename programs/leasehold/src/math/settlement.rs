//! What machines are paid for the rounds of a lease, and what their bonds lose.
//!
//! Payments are cumulative: a machine is owed a function of its counters, and is paid what it is owed less what it was
//! paid. So the number and order of settlements never change the result.

use anchor_lang::prelude::*;

use crate::{
    constants::{HOUR, SECS_PER_HOUR, VOUCHER_ROUNDS, WHOLE},
    math::{
        Exact, Overflow, add,
        pricing::{Span, gross, rate},
        slashing::{SlashSplit, allowance, slash},
        sub, wide,
    },
};

/// Terms of a lease, taken from the market's parameters.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub round_secs: u32,
    /// Number of rounds agreed on.
    pub rounds: u32,
    /// Seconds of machine time owed to each machine because the lease was cancelled.
    pub cancel_secs: u32,
    /// Part of its bond that a machine loses if it is down in all rounds.
    pub slash_multiplier_bps: u32,
    pub fee_bps: u16,
    pub keeper_share_bps: u16,
    pub sla_bps: u16,
    pub split: SlashSplit,
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

/// Service of a machine in a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Payment units per hour.
    pub price: u64,
    /// Rounds it promised to serve: its uptime is measured against these, even if the lease is cancelled.
    pub agreed: u32,
    /// Rounds it had to serve until it left the lease, all of them closed.
    pub rounds: u32,
    /// Of those, rounds in which it was up, and down.
    pub up: u32,
    pub down: u32,
    /// Rounds up that are already paid.
    pub settled: u32,
    /// Stake units that can be slashed.
    pub bond: u64,
    /// It was forfeited, barred or abandoned: loses the whole bond and is paid only for rounds up.
    pub broke_promise: bool,
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

/// How a machine leaves a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub payment: Payment,
    /// Stake units lost.
    pub slash: u64,
}

/// A lease until round `until`, exclusive, can be settled for good once all rounds before this one are closed: if it is
/// metered, its last voucher is waited for.
#[inline(always)]
pub fn settles_from(until: u32, metered: bool) -> u32 {
    let grace = if metered { VOUCHER_ROUNDS } else { 0 };
    until.saturating_add(grace)
}

/// Payment in mid-term: for the rounds up that are not paid yet.
#[inline(always)]
pub fn interim(service: &Service, terms: &Terms) -> Exact<Payment> {
    let secs = u64::from(terms.round_secs).wrapping_mul(u64::from(service.up));
    if (service.price | secs) >> 32 != 0 {
        return interim_wide(service, terms);
    }
    let cost = |secs: u64| service.price.wrapping_mul(secs) / HOUR;
    let (owed, before) =
        (cost(secs), cost(u64::from(terms.round_secs).wrapping_mul(u64::from(service.settled))));
    if owed >> 48 != 0 {
        return interim_wide(service, terms);
    }
    // As `Payment::difference`, where nothing can overflow: `owed` is at least `before`, and a fee of less
    // than the whole, rounded down twice, grows by no more than what it is taken of.
    let fee = |amount: u64| amount.wrapping_mul(u64::from(terms.fee_bps)) / WHOLE;
    let fee = fee(owed).wrapping_sub(fee(before));
    Ok(Payment { net: owed.wrapping_sub(before).wrapping_sub(fee), fee })
}

/// [`interim`] for amounts beyond 48 bits.
#[inline(never)]
fn interim_wide(service: &Service, terms: &Terms) -> Exact<Payment> {
    Payment::difference(
        gross(service.price, terms.round_secs, service.up)?,
        gross(service.price, terms.round_secs, service.settled)?,
        terms.fee_bps,
    )
}

/// Final outcome, once every round of the machine is closed.
pub fn last(service: &Service, terms: &Terms) -> Exact<Outcome> {
    let mut owed = if service.up == service.rounds {
        gross(service.price, terms.round_secs, service.up)?
    } else {
        owed_with_unknown(service, terms)?
    };
    if terms.cancel_secs > 0 && earns_cancellation(service, terms) {
        owed = add(owed, Span::of_secs(u64::from(terms.cancel_secs)).cost_floor(service.price)?)?;
    }
    let before =
        if service.settled == 0 { 0 } else { gross(service.price, terms.round_secs, service.settled)? };
    let slash = if service.broke_promise {
        service.bond
    } else if service.down == 0 {
        0
    } else {
        slash(service.bond, service.down, service.agreed, terms.sla_bps, terms.slash_multiplier_bps)?
    };
    Ok(Outcome { payment: Payment::difference(owed, before, terms.fee_bps)?, slash })
}

/// ⌊price × round_secs × rounds × up / (up + down) / 3600⌋ if at least half of the rounds have a verdict and the machine
/// broke no promise for good: unknown rounds count at its own ratio. Otherwise the rounds up alone. Rounded down in favour
/// of the buyer.
fn owed_with_unknown(service: &Service, terms: &Terms) -> Exact<u64> {
    let known = service.up.checked_add(service.down).ok_or(Overflow)?;
    let enough = known >= service.rounds.div_ceil(2) && known > 0;
    if service.broke_promise || !enough || known == service.rounds {
        return gross(service.price, terms.round_secs, service.up);
    }
    let secs = u64::from(terms.round_secs).wrapping_mul(u64::from(service.rounds));
    // The deposit fits 64 bits, so price × secs < 2⁷⁶ and, times `up`, < 2¹⁰⁸.
    wide::scale(wide::mul(service.price, secs), u64::from(service.up))
        .and_then(|product| wide::div(product, u64::from(known).wrapping_mul(SECS_PER_HOUR)))
        .map(|(owed, _)| owed)
        .ok_or(Overflow)
}

/// True if a machine was down in no more rounds than the SLA allows.
#[inline(always)]
pub fn keeps_sla(service: &Service, terms: &Terms) -> bool {
    service.down <= allowance(service.agreed, terms.sla_bps)
}

/// True if a buyer who cancels owes the machine for leaving: it was not forfeited, barred or abandoned, was down no more
/// than allowed, and was up at least once if it had rounds to serve.
fn earns_cancellation(service: &Service, terms: &Terms) -> bool {
    let kept = keeps_sla(service, terms);
    let seen = service.rounds == 0 || service.up > 0;
    !service.broke_promise && kept && seen
}
