//! Things that go wrong again and again: one line at first, seldom ones after that, and longer pauses.

use std::fmt::Display;
use std::time::Duration;

/// Longest pause after a failure.
const LONGEST: Duration = Duration::from_secs(60);

/// Failures in a row of one thing.
#[derive(Debug, Default)]
pub(crate) struct Trouble(u32);

impl Trouble {
    /// Notes a failure and logs the first, second, fourth, eighth… in a row. Returns how long to wait: half a
    /// second, one, two… up to a minute.
    pub(crate) fn note(&mut self, what: &dyn Display) -> Duration {
        self.0 = self.0.saturating_add(1);
        if self.0.is_power_of_two() {
            match self.0 {
                1 => tracing::warn!("{what}"),
                times => tracing::warn!("{what} ({times} times in a row)"),
            }
        }
        let doubled = 2u32.saturating_pow(self.0.saturating_sub(1).min(16));
        Duration::from_millis(500).saturating_mul(doubled).min(LONGEST)
    }

    /// Notes that it works, again or as ever.
    pub(crate) fn clear(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_until_it_works() {
        let mut trouble = Trouble::default();
        let pauses: Vec<_> = (0..9).map(|_| trouble.note(&"down").as_millis()).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        trouble.clear();
        assert_eq!(trouble.note(&"down"), Duration::from_millis(500));
    }
}
