//! What machines may be down, and what their bonds lose beyond that.

use crate::{
    constants::{BPS, SLASH_SECS, WEEK_SECS, WHOLE},
    math::{Exact, mul_div_floor, rounds},
};

/// Rounds of `rounds` in which a machine may be down without losing anything: ⌊rounds × (1 − SLA)⌋, at least one.
#[inline(always)]
pub fn allowance(rounds: u32, sla_bps: u16) -> u32 {
    let allowed = u64::from(rounds).wrapping_mul(u64::from(BPS.saturating_sub(sla_bps))) / WHOLE;
    u32::try_from(allowed).unwrap_or(u32::MAX).max(1)
}

/// Rounds down that a machine must exceed to be abandoned, which promised to serve `agreed` rounds: the allowance of a week
/// at least.
#[inline(always)]
pub fn abandon_allowance(agreed: u32, round_secs: u32, sla_bps: u16) -> u32 {
    allowance(agreed.max(rounds::covering(round_secs, WEEK_SECS)), sla_bps)
}

/// ⌊bond × min(1, multiplier × (down − allowance) / rounds)⌋ in stake units, where `rounds` are those agreed on, three
/// days' at least. Rounded down in favour of the supplier.
pub fn slash(
    bond: u64,
    down: u32,
    agreed: u32,
    round_secs: u32,
    sla_bps: u16,
    multiplier_bps: u32,
) -> Exact<u64> {
    let over = down.saturating_sub(allowance(agreed, sla_bps));
    if over == 0 {
        return Ok(0);
    }
    let part = u64::from(over).wrapping_mul(u64::from(multiplier_bps)); // 32-bit factors always fit
    let rounds = agreed.max(rounds::covering(round_secs, SLASH_SECS));
    let whole = u64::from(rounds).wrapping_mul(u64::from(BPS));
    if part >= whole { Ok(bond) } else { mul_div_floor(bond, part, whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_down_is_always_allowed() {
        assert_eq!(allowance(1, 9_500), 1);
        assert_eq!(allowance(19, 9_500), 1);
        assert_eq!(allowance(1_008, 9_500), 50);
        assert_eq!(allowance(u32::MAX, 0), u32::MAX);
    }

    #[test]
    fn a_short_lease_is_slashed_as_three_days() {
        // 432 rounds of ten minutes are three days.
        assert_eq!(slash(432_000, 2, 6, 600, 9_500, 10_000).unwrap(), 1_000);
        assert_eq!(slash(432_000, 1, 6, 600, 9_500, 10_000).unwrap(), 0);
        assert_eq!(slash(1_000, 110, 1_000, 600, 9_900, 10_000).unwrap(), 100);
    }

    #[test]
    fn a_slash_never_exceeds_the_bond() {
        assert_eq!(slash(1_000, 500, 432, 600, 9_900, 50_000).unwrap(), 1_000);
        assert_eq!(slash(u64::MAX, u32::MAX, u32::MAX, 600, 0, u32::MAX).unwrap(), 0); // all of it is allowed
        assert_eq!(slash(u64::MAX, u32::MAX, u32::MAX, 600, 10_000, u32::MAX).unwrap(), u64::MAX);
    }
}
