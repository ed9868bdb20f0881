//! Amounts of a mint as decimal numbers, never rounded.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};
use solana_pubkey::Pubkey;

/// Base units as a decimal number: `decimals` places, without zeros at the end.
pub fn decimal(base_units: u64, decimals: u8) -> String {
    let places = usize::from(decimals);
    let digits = format!("{base_units:0>width$}", width = places.saturating_add(1));
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(places));
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// Basis points in words: "2.5 percent".
pub fn percent(bps: impl Into<u64>) -> String {
    format!("{} percent", decimal(bps.into(), 2))
}

/// Base units of a decimal number: digits, at most one point, and no more decimals than the mint has.
pub fn parse(text: &str, decimals: u8) -> Result<u64, AmountError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
        return Err(AmountError::NotANumber { text: text.to_owned() });
    }
    let fraction = fraction.trim_end_matches('0');
    let places = usize::from(decimals);
    if fraction.len() > places {
        return Err(AmountError::TooFine { text: text.to_owned(), decimals });
    }
    let units = format!("{whole}{fraction:0<places$}");
    // Zeros in front would make it look too long.
    match units.trim_start_matches('0') {
        "" => Ok(0),
        units => units.parse().map_err(|_| AmountError::TooLarge { text: text.to_owned() }),
    }
}

/// Why a text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("invalid amount {text:?}: write it as 12 or 12.5")]
    NotANumber { text: String },
    #[error("{text} has too many decimals: the mint has {decimals}")]
    TooFine { text: String, decimals: u8 },
    #[error("{text} is more than any account can hold: give a smaller amount")]
    TooLarge { text: String },
}

/// A mint with its decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub mint: Pubkey,
    pub decimals: u8,
}

impl Token {
    pub fn money(self, amount: u64) -> Money {
        Money { amount, token: self }
    }

    /// Reads an amount of this mint.
    pub fn parse(self, text: &str) -> Result<Money, AmountError> {
        Ok(self.money(parse(text, self.decimals)?))
    }

    /// An amount of this mint as a number alone.
    pub fn number(self, amount: u64) -> String {
        decimal(amount, self.decimals)
    }
}

/// An amount of a mint. JSON has its base units as an integer string, and the mint in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// Base units.
    pub amount: u64,
    pub token: Token,
}

impl Money {
    /// With the mint's full address, for amounts about to be spent.
    pub fn full(&self) -> String {
        format!("{} of mint {}", self.token.number(self.amount), self.token.mint)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} of {}", self.token.number(self.amount), short(&self.token.mint))
    }
}

/// First and last four characters of an address that is printed in full elsewhere.
pub fn short(address: &Pubkey) -> String {
    let text = address.to_string();
    match (text.get(..4), text.len().checked_sub(4).and_then(|end| text.get(end..))) {
        (Some(first), Some(last)) => format!("{first}..{last}"),
        _ => text,
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Money", 4)?;
        fields.serialize_field("amount", &self.amount.to_string())?;
        fields.serialize_field("decimals", &self.token.decimals)?;
        fields.serialize_field("display", &self.token.number(self.amount))?;
        fields.serialize_field("mint", &self.token.mint.to_string())?;
        fields.end()
    }
}

/// Lamports as SOL.
pub fn sol(lamports: u64) -> String {
    format!("{} SOL", decimal(lamports, 9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_printed() {
        for (text, decimals, expected) in [
            ("0", 0, 0),
            ("1.5", 6, 1_500_000),
            ("1.500000000", 6, 1_500_000),
            (".5", 1, 5),
            ("5.", 1, 50),
            ("000000000000000000000000007", 0, 7),
            ("18446744073.709551615", 9, u64::MAX),
            ("0.18446744073709551615", 20, u64::MAX),
        ] {
            assert_eq!(parse(text, decimals), Ok(expected), "{text}");
        }
        for base_units in [0, 1, 10, 999_999, 1_000_000, u64::MAX] {
            assert_eq!(parse(&decimal(base_units, 6), 6), Ok(base_units));
        }
    }

    #[test]
    fn an_invalid_amount_is_refused() {
        for text in ["", ".", "-1", "+1", "1e3", "1,5", "1.2.3", " 1", "0x1", "\u{661}"] {
            assert_eq!(parse(text, 6), Err(AmountError::NotANumber { text: text.to_owned() }), "{text:?}");
        }
        assert_eq!(parse("0.1", 0), Err(AmountError::TooFine { text: "0.1".to_owned(), decimals: 0 }));
        let large = "18446744073709551616";
        assert_eq!(parse(large, 0), Err(AmountError::TooLarge { text: large.to_owned() }));
    }

    #[test]
    fn money_is_integer_strings_in_json() {
        let token = Token { mint: Pubkey::default(), decimals: 6 };
        let money = serde_json::to_value(token.parse("1.5").unwrap()).unwrap();
        assert_eq!((&money["amount"], &money["display"]), (&"1500000".into(), &"1.5".into()));
        assert_eq!(money["decimals"], 6);
        assert_eq!(token.money(5).full(), format!("0.000005 of mint {}", Pubkey::default()));
        assert_eq!(token.money(5).to_string(), "0.000005 of 1111..1111");
        assert_eq!(sol(5_000), "0.000005 SOL");
    }

    #[test]
    fn amounts_are_exact_at_any_number_of_decimals() {
        for (base_units, decimals, expected) in [
            (0, 0, "0"),
            (0, 6, "0"),
            (1, 6, "0.000001"),
            (1_500_000, 6, "1.5"),
            (1_000_000, 6, "1"),
            (10, 0, "10"),
            (u64::MAX, 9, "18446744073.709551615"),
            (u64::MAX, 20, "0.18446744073709551615"),
            (7, 21, "0.000000000000000000007"),
        ] {
            assert_eq!(decimal(base_units, decimals), expected);
        }
    }
}
