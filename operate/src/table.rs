//! Tables for people.

use std::fmt;

/// Most items in one line, of lists that may have thousands.
const MOST: usize = 12;

/// Rows below a header. Columns are as wide as their widest text.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    head: &'static str,
    right: bool,
}

impl Table {
    /// A table with these headers. `>` before a header aligns its column to the right.
    pub fn new(heads: &[&'static str]) -> Self {
        let column = |head: &&'static str| match head.strip_prefix('>') {
            Some(head) => Column { head, right: true },
            None => Column { head, right: false },
        };
        Table { columns: heads.iter().map(column).collect(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn line<'a>(&self, widths: &[usize], cells: impl Iterator<Item = &'a str>) -> String {
        let cells = cells.zip(&self.columns).zip(widths).map(|((cell, column), width)| {
            if column.right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let widest = |(place, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(place));
            cells.map(|cell| cell.chars().count()).chain([column.head.len()]).max().unwrap_or_default()
        };
        let widths: Vec<_> = self.columns.iter().enumerate().map(widest).collect();
        f.write_str(&self.line(&widths, self.columns.iter().map(|column| column.head)))?;
        for row in &self.rows {
            write!(f, "\n{}", self.line(&widths, row.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}

/// Labels with their texts below each other.
pub fn labelled<'a>(lines: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let lines: Vec<_> = lines.into_iter().collect();
    let width = lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
    let lines = lines.iter().map(|(label, text)| format!("{label:<width$}  {text}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A count with its noun, whose plural ends in s.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Slots as ranges: 0-11, 14.
pub fn joined(slots: &[u16]) -> String {
    runs(slots).iter().map(run).collect::<Vec<_>>().join(", ")
}

/// Slots as ranges, of which there may be thousands: "slots 0-11, 14 and 40 more".
pub fn some_slots(of: &[u16]) -> String {
    let runs = runs(of);
    let Some((shown, rest)) = runs.split_at_checked(MOST).filter(|(_, rest)| !rest.is_empty()) else {
        return slots(of);
    };
    let more: usize = rest.iter().map(|(first, last)| usize::from(last.saturating_sub(*first)) + 1).sum();
    format!("slots {} and {more} more", shown.iter().map(run).collect::<Vec<_>>().join(", "))
}

/// Texts with commas, cut if there are many.
pub fn some(texts: &[String]) -> String {
    match texts.split_at_checked(MOST).filter(|(_, rest)| !rest.is_empty()) {
        Some((shown, rest)) => format!("{} and {} more", shown.join(", "), rest.len()),
        None => texts.join(", "),
    }
}

/// First and last slot of each range.
fn runs(slots: &[u16]) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for slot in slots {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*slot) => *last = *slot,
            _ => runs.push((*slot, *slot)),
        }
    }
    runs
}

fn run((first, last): &(u16, u16)) -> String {
    match last.saturating_sub(*first) {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}-{last}"),
    }
}

/// Slots as ranges with their noun: "slot 7", "slots 0-11, 14".
pub fn slots(slots: &[u16]) -> String {
    format!("slot{} {}", if slots.len() == 1 { "" } else { "s" }, joined(slots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_has_no_plural() {
        assert_eq!((count(0, "machine"), count(1, "machine")), ("0 machines".into(), "1 machine".into()));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let mut table = Table::new(&["CLASS", ">PRICE"]);
        table.row(vec!["RTX 4090".to_owned(), "0.35".to_owned()]);
        table.row(vec!["A".to_owned(), "12".to_owned()]);
        assert_eq!(table.to_string(), "CLASS     PRICE\nRTX 4090   0.35\nA            12");
        assert_eq!(labelled([("A:", "1".to_owned()), ("Long:", "2".to_owned())]), "A:     1\nLong:  2");
    }

    #[test]
    fn consecutive_slots_are_printed_as_ranges() {
        for (slots, expected) in
            [(&[][..], ""), (&[7], "7"), (&[0, 1], "0, 1"), (&[0, 1, 2, 5, u16::MAX], "0-2, 5, 65535")]
        {
            assert_eq!(joined(slots), expected);
        }
        assert_eq!((super::slots(&[7]), super::slots(&[0, 1, 2])), ("slot 7".into(), "slots 0-2".into()));
    }

    #[test]
    fn thousands_of_slots_take_one_line() {
        let scattered: Vec<u16> = (0..6_000).filter(|slot| slot % 4 < 2).collect();
        let text = some_slots(&scattered);
        assert!(
            text.starts_with("slots 0, 1, 4, 5, 8, 9,") && text.ends_with("44, 45 and 2976 more"),
            "{text}"
        );
        assert_eq!(some_slots(&(0..6_000).collect::<Vec<_>>()), "slots 0-5999");
        assert_eq!((some_slots(&[7]), some_slots(&[0, 2])), ("slot 7".into(), "slots 0, 2".into()));
        let names: Vec<_> = (0..13).map(|number| number.to_string()).collect();
        assert!(some(&names).ends_with("10, 11 and 1 more"));
        assert_eq!(some(&names[..2]), "0, 1");
    }
}
