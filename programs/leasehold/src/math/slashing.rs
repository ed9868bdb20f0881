//! Slashes for broken promises, and how they are shared out.

use anchor_lang::prelude::*;

use crate::{
    constants::{BPS, WHOLE},
    math::{Exact, add, mul_div_floor, pricing::rate, sub},
};

/// How slashed stake is shared out, in parts that sum to 10,000.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlashSplit {
    /// To the lease's owner.
    pub buyer_bps: u16,
    /// Burned.
    pub burn_bps: u16,
    /// To the market.
    pub market_bps: u16,
    /// To whoever settles.
    pub caller_bps: u16,
}

impl SlashSplit {
    /// 60 percent to the buyer, 20 burned, 15 to the market, 5 to the caller: who slashes himself gets back 65 percent
    /// at most.
    pub const DEFAULT: SlashSplit =
        SlashSplit { buyer_bps: 6_000, burn_bps: 2_000, market_bps: 1_500, caller_bps: 500 };

    /// True if the parts sum to the whole, and a tenth is burned: a supplier that is its own buyer and caller must lose.
    pub fn is_whole(&self) -> bool {
        let parts = [self.buyer_bps, self.burn_bps, self.market_bps, self.caller_bps];
        let whole: u32 = parts.iter().fold(0, |sum, part| sum.wrapping_add(u32::from(*part)));
        whole == u32::from(BPS) && self.burn_bps >= BPS / 10
    }

    /// Splits `amount` stake units; the buyer gets the rounding remainder.
    pub fn of(&self, amount: u64) -> Exact<Split> {
        let (burn, market, caller) =
            (rate(amount, self.burn_bps)?, rate(amount, self.market_bps)?, rate(amount, self.caller_bps)?);
        let buyer = [burn, market, caller].into_iter().try_fold(amount, sub)?;
        Ok(Split { buyer, burn, market, caller })
    }
}

/// Slashed stake, shared out; in stake units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    pub buyer: u64,
    pub burn: u64,
    pub market: u64,
    pub caller: u64,
}

impl Split {
    pub fn total(&self) -> Exact<u64> {
        [self.burn, self.market, self.caller].into_iter().try_fold(self.buyer, add)
    }
}

/// Rounds of a lease in which a machine may be down without losing stake: ⌊rounds × (1 − SLA)⌋.
pub fn allowance(rounds: u32, sla_bps: u16) -> u32 {
    let allowed = u64::from(rounds).wrapping_mul(u64::from(BPS.saturating_sub(sla_bps))) / WHOLE;
    u32::try_from(allowed).unwrap_or(u32::MAX)
}

/// ⌊bond × min(1, multiplier × (down − allowance) / rounds)⌋ in stake units, rounded down in favour of
/// the supplier.
pub fn slash(bond: u64, down: u32, rounds: u32, sla_bps: u16, multiplier_bps: u32) -> Exact<u64> {
    let over = down.saturating_sub(allowance(rounds, sla_bps));
    let part = u64::from(over).wrapping_mul(u64::from(multiplier_bps)); // 32-bit factors always fit
    let whole = u64::from(rounds).wrapping_mul(u64::from(BPS));
    if part >= whole && over > 0 {
        return Ok(bond);
    }
    if over == 0 { Ok(0) } else { mul_div_floor(bond, part, whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_never_exceeds_the_bond() {
        assert_eq!(slash(1_000, 10, 100, 9_900, 10_000).unwrap(), 90);
        assert_eq!(slash(1_000, 1, 100, 9_900, 10_000).unwrap(), 0);
        assert_eq!(slash(1_000, 100, 100, 9_900, 50_000).unwrap(), 1_000);
        assert_eq!(slash(u64::MAX, u32::MAX, u32::MAX, 0, u32::MAX).unwrap(), 0); // all of it is allowed
        assert_eq!(slash(u64::MAX, u32::MAX, u32::MAX, 10_000, u32::MAX).unwrap(), u64::MAX);
    }

    #[test]
    fn the_split_sums_exactly_and_self_slashing_loses() {
        for amount in [0, 1, 3, 7, 99, 10_001, u64::MAX] {
            let split = SlashSplit::DEFAULT.of(amount).unwrap();
            assert_eq!(split.total().unwrap(), amount);
            if amount >= 10 {
                assert!(split.buyer + split.caller < amount);
            }
        }
        assert!(!SlashSplit { buyer_bps: 9_500, burn_bps: 0, market_bps: 0, caller_bps: 500 }.is_whole());
    }
}
