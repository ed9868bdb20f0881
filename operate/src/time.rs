//! Times of rounds.

use chrono::{DateTime, SecondsFormat};

pub use leasehold::rules::round::start as start_of;

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
        assert_eq!(start_of(600, 1_001), 600_600);
        assert_eq!(rfc3339(600_600), "1970-01-07T22:50:00Z");
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
    }
}
