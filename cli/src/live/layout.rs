//! Fitting a frame to a terminal.

use console::truncate_str;

use super::Size;
use leasehold_operate::table::Table;

/// Lines of a frame, cut to the terminal: wrapped lines could not be drawn over.
pub(super) fn fitted(text: &str, size: Size) -> Vec<String> {
    text.lines().take(size.rows).map(|line| truncate_str(line, size.columns, "").into_owned()).collect()
}

/// The items that have room, and how many are left out. The line that says so takes room too.
pub fn capped<T>(all: &[T], room: usize) -> (&[T], usize) {
    if all.len() <= room {
        return (all, 0);
    }
    let (shown, left_out) = all.split_at(room.saturating_sub(1).min(all.len()));
    (shown, left_out.len())
}

/// A table with the latest verdicts behind each row, as far as there is room.
pub fn with_strips(table: &Table, strips: &[&str], columns: usize) -> String {
    const HEAD: &str = "LAST ROUNDS";
    let text = table.to_string();
    let width = text.lines().map(|line| line.chars().count()).max().unwrap_or_default() + 2;
    let room = columns.saturating_sub(width);
    let tail = |strip: &str| {
        let count = strip.chars().count();
        strip.chars().skip(count.saturating_sub(room)).collect::<String>()
    };
    let tails = std::iter::once(HEAD.to_owned()).chain(strips.iter().map(|strip| tail(strip)));
    let lines = text.lines().zip(tails).map(|(line, tail)| format!("{line:<width$}{tail}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A length of time in its two largest units.
pub fn span(secs: u64) -> String {
    let (minutes, hours, days) = (secs / 60, secs / 3_600, secs / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", secs % 60),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_have_no_room_are_counted() {
        let all = [1, 2, 3, 4];
        assert_eq!(capped(&all, 4), (&all[..], 0));
        assert_eq!(capped(&all, 3), (&all[..2], 2), "one of three rows says so");
        assert_eq!(capped(&all, 0), (&all[..0], 4));
    }

    #[test]
    fn the_latest_rounds_are_shown_where_not_all_have_room() {
        let mut table = Table::new(&[">SLOT"]);
        table.row(vec!["7".to_owned()]);
        assert_eq!(with_strips(&table, &["x.####"], 80), "SLOT  LAST ROUNDS\n   7  x.####");
        let narrow = with_strips(&table, &["x.####"], 10);
        assert_eq!(narrow.lines().last(), Some("   7  ####"));
        let size = Size { rows: 2, columns: 10 };
        assert_eq!(fitted(&(narrow + "\nmore"), size), ["SLOT  LAST", "   7  ####"]);
    }

    #[test]
    fn time_is_printed_in_its_two_largest_units() {
        for (secs, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3_600, "1 h 0 min"),
            (86_399, "23 h 59 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(secs), text);
        }
    }
}
