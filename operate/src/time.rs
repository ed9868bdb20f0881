//! Times of rounds.

use chrono::{DateTime, SecondsFormat};
use leasehold::{math::settlement::Terms, rules::round, state::Board};

/// When the rounds of a board begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// Length of a round in seconds.
    pub secs: u32,
    /// Second of that length at which rounds begin.
    pub phase: u32,
}

impl From<&Board> for Rounds {
    fn from(board: &Board) -> Self {
        Rounds { secs: board.round_secs, phase: board.phase_secs }
    }
}

impl From<&Terms> for Rounds {
    fn from(terms: &Terms) -> Self {
        Rounds { secs: terms.round_secs, phase: terms.phase_secs }
    }
}

/// Unix second at which a round begins.
pub fn start_of(rounds: impl Into<Rounds>, round: u32) -> i64 {
    let Rounds { secs, phase } = rounds.into();
    round::start(secs, phase, round)
}

/// A Unix second in RFC 3339, or as a number if it is out of range.
pub fn rfc3339(secs: i64) -> String {
    let time = DateTime::from_timestamp(secs, 0);
    time.map_or_else(|| secs.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_begin_where_the_last_ended() {
        assert_eq!(start_of(Rounds { secs: 600, phase: 0 }, 1_001), 600_600);
        assert_eq!(start_of(Rounds { secs: 600, phase: 7 }, 1_001), 600_607);
        assert_eq!(rfc3339(600_600), "1970-01-07T22:50:00Z");
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
    }
}
