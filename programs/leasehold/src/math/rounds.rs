//! Rounds as times: round r of a board lasts from `phase + r × round_secs` to the second before the next one begins.

use anchor_lang::prelude::*;

use crate::error::LeaseholdError;

/// The round that runs at Unix time `now`.
#[inline(always)]
pub fn at(round_secs: u32, phase_secs: u32, now: i64) -> Result<u32> {
    // Unsigned: the virtual machine has no signed division.
    let since = now.saturating_sub(i64::from(phase_secs));
    let since = u64::try_from(since).map_err(|_| LeaseholdError::MathOverflow)?;
    let round = since.checked_div(u64::from(round_secs)).ok_or(LeaseholdError::MathOverflow)?;
    u32::try_from(round).map_err(|_| LeaseholdError::MathOverflow.into())
}

/// Unix second at which a round begins.
pub fn start(round_secs: u32, phase_secs: u32, round: u32) -> i64 {
    i64::from(round).saturating_mul(i64::from(round_secs)).saturating_add(i64::from(phase_secs))
}

/// Unix second at which a round ends and the next one begins.
#[inline(always)]
pub fn end(round_secs: u32, phase_secs: u32, round: u32) -> i64 {
    let rounds = i64::from(round).saturating_add(1);
    rounds.saturating_mul(i64::from(round_secs)).saturating_add(i64::from(phase_secs))
}

/// Number of rounds that cover a time, rounded up; at least one.
#[inline(always)]
pub fn covering(round_secs: u32, secs: u32) -> u32 {
    secs.checked_add(round_secs.saturating_sub(1))
        .and_then(|secs| secs.checked_div(round_secs))
        .unwrap_or(u32::MAX)
        .max(1)
}

/// Second of a round's length at which the rounds of a market's board begin, so that the votes on many boards spread over
/// the round: multiples of the golden ratio are as far from each other as they can be.
pub fn phase(index: u32, round_secs: u32) -> u32 {
    let part = u64::from(index.wrapping_mul(0x9e37_79b1));
    u32::try_from(part.wrapping_mul(u64::from(round_secs)) >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_begins_where_the_last_one_ends() {
        for (round_secs, phase, round) in
            [(600, 0, 1_000), (600, 371, 1_000), (10, 9, 0), (u32::MAX, 7, 7), (3_600, 3_599, u32::MAX - 1)]
        {
            let (begins, ends) = (start(round_secs, phase, round), end(round_secs, phase, round));
            assert_eq!(ends, start(round_secs, phase, round + 1));
            assert_eq!(at(round_secs, phase, begins).unwrap(), round);
            assert_eq!(at(round_secs, phase, ends - 1).unwrap(), round);
        }
        assert_eq!(end(10, 3, u32::MAX), (1 << 32) * 10 + 3, "the last round has an end");
        assert!(at(600, 0, -1).is_err() && at(600, 5, 4).is_err());
        assert!(at(0, 0, 1).is_err() && at(10, 0, i64::MAX).is_err());
    }

    #[test]
    fn windows_round_up() {
        assert_eq!((covering(600, 3_600), covering(600, 3_601), covering(3_600, 1_200)), (6, 7, 1));
    }

    #[test]
    fn phases_spread_over_the_round() {
        let mut phases: Vec<u32> = (0..100).map(|index| phase(index, 600)).collect();
        assert_eq!(phases[0], 0);
        phases.sort_unstable();
        let gaps = phases.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.max().unwrap() <= 12 && phases.iter().all(|phase| *phase < 600));
    }
}
