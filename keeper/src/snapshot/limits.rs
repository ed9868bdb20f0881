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
        let window = Duration::from_secs(window.into());
        Some(Self { read: (window / 4).clamp(SHORTEST, LONGEST), pause: window / 4 })
    }
}
