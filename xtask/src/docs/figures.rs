//! The README's figures: usual case and worst case, side by side.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::grouped;

#[derive(Deserialize)]
struct Figure {
    cu: u64,
}

/// docs/bench.json: figures by row and number of slots.
type Bench = BTreeMap<String, BTreeMap<String, Figure>>;

/// A line of the table: rows of the benchmark, all on a full board unless their only size is another.
struct Line {
    what: &'static str,
    usual: &'static str,
    /// The dearest way to do the same: its rows, one for each transaction that it takes.
    worst: &'static [&'static str],
    when: &'static str,
}

const LINES: [Line; 6] = [
    Line {
        what: "vote on 6,144 machines",
        usual: "submit_round",
        worst: &["submit_round"],
        when: "whatever the answers",
    },
    Line {
        what: "count the votes of a round",
        usual: "close_round",
        worst: &["close_round_all_down"],
        when: "every machine is down",
    },
    Line {
        what: "lease the cheapest machine",
        usual: "open_lease",
        worst: &["open_lease_no_hint"],
        when: "the board changed since the quote",
    },
    Line {
        what: "lease the cheapest 6,000",
        usual: "open_lease_6000",
        worst: &["open_lease_6000_no_hint"],
        when: "the board changed since the quote",
    },
    Line {
        what: "settle a lease of 6,000",
        usual: "settle_lease_final_6000",
        worst: &[
            "settle_lease_all_slashed_6000",
            "settle_lease_all_slashed_6000_part_2",
            "settle_lease_all_slashed_6000_part_3",
            "settle_lease_all_slashed_6000_part_4",
            "settle_lease_all_slashed_6000_part_5",
            "settle_lease_all_slashed_6000_part_6",
        ],
        when: "every machine is slashed",
    },
    Line {
        what: "prove a receipt to a program",
        usual: "verify_receipt",
        worst: &["verify_receipt_of_a_million"],
        when: "one of 1,024 batches of 1,024",
    },
];

/// Rows of docs/bench.md that are copied as they stand, by how they begin, with their names in the README.
const COPIED: [(&str, &str); 3] = [
    ("| rent of a machine |", "rent deposited for a machine"),
    ("| recording an inference, 1,000 a batch |", "record an inference, 1,000 in a batch"),
    ("| recording an inference, 65,536 a batch |", "record an inference, 65,536 in a batch"),
];

/// The table, from docs/bench.json and docs/bench.md.
pub fn table(json: &str, markdown: &str) -> Result<String> {
    let bench: Bench = serde_json::from_str(json).context("docs/bench.json is not a table")?;
    let units = |row: &str| {
        let sizes = bench.get(row).with_context(|| format!("docs/bench.json has no row {row}"))?;
        let figure = sizes.get("6144").or_else(|| sizes.values().next());
        figure.map(|figure| figure.cu).with_context(|| format!("row {row} of docs/bench.json is empty"))
    };
    let mut text = String::from("| what | usual | worst case | when |\n|---|--:|--:|---|\n");
    for Line { what, usual, worst, when } in LINES {
        let usual = grouped(units(usual)?);
        let parts = worst.iter().map(|row| units(row)).collect::<Result<Vec<_>>>()?;
        let mut worst = format!("{} CU", grouped(parts.iter().sum()));
        if parts.len() > 1 {
            let most = grouped(parts.iter().copied().max().unwrap_or_default());
            worst += &format!(" in {} transactions, at most {most} each", parts.len());
        }
        text += &format!("| {what} | {usual} CU | {worst} | {when} |\n");
    }
    for (row, what) in COPIED {
        let line = markdown.lines().find(|line| line.starts_with(row));
        let measured = line.and_then(|line| line.split('|').nth(4));
        let measured = measured.with_context(|| format!("docs/bench.md has no row `{row}`"))?.trim();
        text += &format!("| {what} | {measured} | the same | |\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_stands_beside_the_usual_one_and_parts_are_summed() {
        let row = |name: &str, cu: u64| format!("\"{name}\": {{\"6144\": {{\"cu\": {cu}}}}}");
        let mut rows = BTreeMap::new();
        for line in LINES {
            rows.insert(line.usual, row(line.usual, 1_000));
            rows.extend(line.worst.iter().map(|name| (*name, row(name, 2_000_000))));
        }
        let json = format!("{{{}}}", rows.into_values().collect::<Vec<_>>().join(","));
        let markdown: String =
            COPIED.iter().map(|(row, _)| format!("{row} 6,144 | 9 | 7 lamports | yes |\n")).collect();
        let text = table(&json, &markdown).unwrap();
        assert!(
            text.contains("| count the votes of a round | 1,000 CU | 2,000,000 CU | every machine is down |")
        );
        assert!(text.contains("| 12,000,000 CU in 6 transactions, at most 2,000,000 each |"));
        assert!(text.contains("| rent deposited for a machine | 7 lamports | the same | |"));
        let error = table(&json, "").unwrap_err().to_string();
        assert!(error.contains("rent of a machine"), "{error}");
        assert!(table("{}", &markdown).is_err());
    }
}
