//! How long a lease runs.

use std::str::FromStr;

use super::error::SearchError;

/// How long a lease runs, in rounds or in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Rounds(u32),
    Secs(u64),
}

impl Length {
    /// The fewest rounds that are at least this long.
    pub fn rounds(self, round_secs: u32) -> Result<u32, SearchError> {
        match self {
            Length::Rounds(rounds) => Ok(rounds),
            Length::Secs(secs) => {
                u32::try_from(secs.div_ceil(u64::from(round_secs.max(1)))).map_err(|_| SearchError::TooLong)
            }
        }
    }
}

impl FromStr for Length {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "give a number and a unit, r for rounds or s, m, h, d: 144r, 90m, 24h, 7d";
        let unit = text.chars().last().ok_or(wrong)?;
        let number = text.strip_suffix(unit).unwrap_or_default();
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong);
        }
        let number: u64 = number.parse().map_err(|_| wrong)?;
        let secs = match unit {
            'r' => return u32::try_from(number).map(Length::Rounds).map_err(|_| wrong),
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong),
        };
        number.checked_mul(secs).map(Length::Secs).ok_or(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_rounded_up_to_rounds() {
        for (text, expected) in [("144r", 144), ("24h", 144), ("90m", 9), ("601s", 2), ("7d", 1_008)] {
            assert_eq!(text.parse::<Length>().unwrap().rounds(600).unwrap(), expected, "{text}");
        }
        for text in ["", "h", "24", "1.5h", "-1h", "+1h", "4294967296r", "1w", "5\u{20ac}"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
        assert_eq!(Length::Secs(u64::MAX).rounds(600), Err(SearchError::TooLong));
    }
}
