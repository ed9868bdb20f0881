//! How long reads may take and failures may pause: as the windows of votes allow.

use std::time::Duration;

use super::BoardSnapshot;

/// Longest timeout of a read.
const LONGEST: Duration = Duration::from_secs(20);
/// Shortest: a busy host needs it, however short the rounds are.
const SHORTEST: Duration = Duration::from_secs(4);
/// Longest pause before the first board was read.
const PAUSE: Duration = Duration::from_secs(5);

/// Limits by the shortest window in which this keeper votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Timeout of a poll, and of the slots of one board.
    pub read: Duration,
    /// Longest pause after failures: a quarter of the window.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { read: LONGEST, pause: PAUSE }
    }
}

impl Limits {
    /// Limits for these boards; `None` if there are none.
    pub fn of<'a>(boards: impl Iterator<Item = &'a BoardSnapshot>) -> Option<Self> {
        let window = boards.map(|board| board.header.submit_secs.min(board.header.round_secs)).min()?;
        Some(Self::within(window))
    }

    /// Limits for a window of so many seconds.
    fn within(window: u32) -> Self {
        let pause = Duration::from_secs(window.into()) / 4;
        Self { read: pause.clamp(SHORTEST, LONGEST), pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_pause_for_a_quarter_of_the_window_at_most() {
        for (window, read, pause) in [(5, 4.0, 1.25), (60, 15.0, 15.0), (300, 20.0, 75.0)] {
            let limits = Limits::within(window);
            assert_eq!((limits.read.as_secs_f64(), limits.pause.as_secs_f64()), (read, pause));
        }
        assert_eq!(Limits::of(std::iter::empty()), None);
    }
}
