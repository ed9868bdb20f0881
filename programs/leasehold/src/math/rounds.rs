//! Rounds as times: round r of a board lasts from `r × round_secs` to the second before `(r + 1) × round_secs`.

use anchor_lang::prelude::*;

use crate::error::LeaseholdError;

/// The round that runs at Unix time `now`.
#[inline(always)]
pub fn at(round_secs: u32, now: i64) -> Result<u32> {
    // Unsigned: the virtual machine has no signed division.
    let now = u64::try_from(now).map_err(|_| LeaseholdError::MathOverflow)?;
    let round = now.checked_div(u64::from(round_secs)).ok_or(LeaseholdError::MathOverflow)?;
    u32::try_from(round).map_err(|_| LeaseholdError::MathOverflow.into())
}

/// Unix second at which a round begins.
pub fn start(round_secs: u32, round: u32) -> i64 {
    i64::from(round).saturating_mul(i64::from(round_secs))
}

/// Unix second at which a round ends and the next one begins.
#[inline(always)]
pub fn end(round_secs: u32, round: u32) -> i64 {
    i64::from(round).saturating_add(1).saturating_mul(i64::from(round_secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_begins_where_the_last_one_ends() {
        for (round_secs, round) in [(600, 1_000), (10, 0), (u32::MAX, 7), (3_600, u32::MAX - 1)] {
            let (begins, ends) = (start(round_secs, round), end(round_secs, round));
            assert_eq!(ends, start(round_secs, round + 1));
            assert_eq!(at(round_secs, begins).unwrap(), round);
            assert_eq!(at(round_secs, ends - 1).unwrap(), round);
        }
        assert_eq!(end(10, u32::MAX), (1 << 32) * 10, "the last round has an end");
        assert!(at(600, -1).is_err() && at(0, 1).is_err() && at(10, i64::MAX).is_err());
    }
}
