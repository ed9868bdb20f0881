//! Countries.

use std::{fmt, str::FromStr};

use isocountry::CountryCode;

/// A country by its ISO 3166-1 numeric code; people know it by its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country(pub u16);

impl FromStr for Country {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = match (text.parse(), text.len()) {
            (Ok(number), _) => CountryCode::for_id(number),
            (Err(_), 3) => CountryCode::for_alpha3_caseless(text),
            (Err(_), _) => CountryCode::for_alpha2_caseless(text),
        };
        let number = code.ok().and_then(|code| u16::try_from(code.numeric_id()).ok());
        number.map(Country).ok_or("give a code of ISO 3166-1, such as DE, DEU or 276")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match CountryCode::for_id(self.0.into()) {
            Ok(code) => f.write_str(code.alpha2()),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_read_by_any_of_their_codes() {
        for text in ["DE", "de", "DEU", "276"] {
            assert_eq!(text.parse(), Ok(Country(276)), "{text}");
        }
        for text in ["", "XX", "Germany", "999", "-1"] {
            assert!(text.parse::<Country>().is_err(), "{text}");
        }
        assert_eq!((Country(276).to_string(), Country(999).to_string()), ("DE".into(), "999".into()));
    }
}
