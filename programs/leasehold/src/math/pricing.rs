//! Prices of machine time, rates and bonds.

use crate::{
    constants::{BPS, HOUR, SECS_PER_HOUR, WHOLE},
    math::{Exact, mul_div_ceil, mul_div_floor},
};

/// A span of machine time, and the largest price at which its cost fits 64-bit arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    secs: u64,
    narrow: u64,
}

impl Span {
    pub fn of_secs(secs: u64) -> Self {
        Span { secs, narrow: u64::MAX.checked_div(secs).unwrap_or(u64::MAX).saturating_sub(SECS_PER_HOUR) }
    }

    pub fn of_rounds(round_secs: u32, rounds: u32) -> Self {
        // Two 32-bit factors always fit.
        Span::of_secs(u64::from(round_secs).wrapping_mul(u64::from(rounds)))
    }

    /// ⌈price × time / 3600⌉ in payment units: what a buyer deposits, rounded up in favour of escrow.
    #[inline(always)]
    pub fn cost_ceil(&self, price: u64) -> Exact<u64> {
        if price <= self.narrow {
            return Ok(price.wrapping_mul(self.secs).wrapping_add(SECS_PER_HOUR.wrapping_sub(1)) / HOUR);
        }
        mul_div_ceil(price, self.secs, SECS_PER_HOUR)
    }

    /// ⌊price × time / 3600⌋ in payment units: what a machine earned, rounded down in favour of the buyer.
    #[inline(always)]
    pub fn cost_floor(&self, price: u64) -> Exact<u64> {
        if price <= self.narrow {
            return Ok(price.wrapping_mul(self.secs) / HOUR);
        }
        mul_div_floor(price, self.secs, SECS_PER_HOUR)
    }
}

/// ⌊price × round_secs × rounds / 3600⌋ in payment units: what a machine earned in that many rounds.
#[inline(always)]
pub fn gross(price: u64, round_secs: u32, rounds: u32) -> Exact<u64> {
    let secs = u64::from(round_secs).wrapping_mul(u64::from(rounds));
    // Both below 2³²: the product fits. Prices above that take the long way.
    if price <= u64::from(u32::MAX) && secs <= u64::from(u32::MAX) {
        return Ok(price.wrapping_mul(secs) / HOUR);
    }
    mul_div_floor(price, secs, SECS_PER_HOUR)
}

/// ⌊amount × bps / 10,000⌋, rounded down in favour of whoever pays the rate.
#[inline(always)]
pub fn rate(amount: u64, bps: u16) -> Exact<u64> {
    // A factor below 2¹⁶ leaves 48 bits.
    if amount >> 48 == 0 {
        return Ok(amount.wrapping_mul(u64::from(bps)) / WHOLE);
    }
    mul_div_floor(amount, u64::from(bps), u64::from(BPS))
}

/// ⌈bond_unit × weight × GPUs⌉ in stake units, rounded up in favour of the market.
pub fn bond(bond_unit: u64, weight_bps: u32, gpus: u8) -> Exact<u64> {
    mul_div_ceil(bond_unit, u64::from(weight_bps).wrapping_mul(u64::from(gpus)), u64::from(BPS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_agrees_with_128_bits_at_the_edges() {
        for secs in [0, 1, 10, 600, 3_599, 3_600, 604_800, u64::from(u32::MAX)] {
            let span = Span::of_secs(secs);
            let edge = u64::MAX.checked_div(secs).unwrap_or(u64::MAX);
            for price in
                [0, 1, 3_599, 350_000, edge.saturating_sub(3_601), edge.saturating_sub(1), edge, u64::MAX]
            {
                assert_eq!(
                    span.cost_floor(price).ok(),
                    mul_div_floor(price, secs, 3_600).ok(),
                    "{price} {secs}"
                );
                assert_eq!(
                    span.cost_ceil(price).ok(),
                    mul_div_ceil(price, secs, 3_600).ok(),
                    "{price} {secs}"
                );
            }
        }
    }

    #[test]
    fn bonds_round_up() {
        assert_eq!(bond(3, 5_000, 1).unwrap(), 2);
        assert_eq!(bond(1_000, 20_000, 8).unwrap(), 16_000);
        assert!(bond(u64::MAX, 20_000, 2).is_err());
    }
}
