//! Amounts of a mint as people write them, without rounding.

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

#[cfg(test)]
mod tests {
    use super::*;

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
