//! The table of figures: stored as JSON, compared with the committed one, and printed as Markdown.

use std::{collections::BTreeMap, fmt::Write};

use leasehold::{
    constants::MAX_SLOTS,
    state::{Slot, board_len},
};
use leasehold_client::packet::PACKET_BYTES;
use serde::{Deserialize, Serialize};

use super::SLOTS;

/// Cost of a transaction with one instruction: each figure is the largest that was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Compute units.
    pub cu: u64,
    /// Bytes of the serialised transaction.
    pub bytes: u64,
    /// Accounts that the instruction is given.
    pub accounts: u64,
}

impl Figure {
    pub fn max(self, other: Figure) -> Figure {
        Figure {
            cu: self.cu.max(other.cu),
            bytes: self.bytes.max(other.bytes),
            accounts: self.accounts.max(other.accounts),
        }
    }

    fn named(&self) -> [(&'static str, u64); 3] {
        [("cu", self.cu), ("bytes", self.bytes), ("accounts", self.accounts)]
    }
}

/// Figures by row and number of slots: `{instruction: {slots: {cu, bytes, accounts}}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Table(BTreeMap<String, BTreeMap<u16, Figure>>);

/// Percent by which a figure may exceed the committed one.
const TOLERANCE: u64 = 3;

impl Table {
    /// Adds a measurement. A row that is measured several times keeps the largest figures.
    pub fn add(&mut self, row: &str, slots: u16, figure: Figure) {
        let known = self.0.entry(row.into()).or_default().entry(slots).or_default();
        *known = known.max(figure);
    }

    fn get(&self, row: &str, slots: u16) -> Option<Figure> {
        self.0.get(row)?.get(&slots).copied()
    }

    fn figures(&self) -> impl Iterator<Item = (&str, u16, Figure)> {
        let rows = self.0.iter();
        rows.flat_map(|(row, sizes)| sizes.iter().map(|(slots, figure)| (row.as_str(), *slots, *figure)))
    }

    /// A sentence for each figure that is more than 3 percent above the committed one, and for each row that only
    /// one of the tables has.
    pub fn complaints(&self, committed: &Table) -> Vec<String> {
        let mut complaints = vec![];
        for (row, slots, figure) in self.figures() {
            let Some(before) = committed.get(row, slots) else {
                complaints.push(format!("{row} on {slots} slots is not in the committed table"));
                continue;
            };
            for ((name, now), (_, before)) in figure.named().into_iter().zip(before.named()) {
                if now * 100 > before * (100 + TOLERANCE) {
                    let above = 100.0 * (now as f64 / before as f64 - 1.0);
                    let place = format!("{row} on {slots} slots: {name} is {now}");
                    complaints.push(format!("{place}, {above:.1} percent above the committed {before}"));
                }
            }
        }
        let gone = committed.figures().filter(|(row, slots, _)| self.get(row, *slots).is_none());
        complaints
            .extend(gone.map(|(row, slots, _)| format!("{row} on {slots} slots is no longer measured")));
        complaints
    }

    /// The table as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from(INTRODUCTION);
        self.write_targets(&mut text);
        self.write_by_size(&mut text);
        self.write_single(&mut text);
        text
    }

    fn write_targets(&self, text: &mut String) {
        *text += "\n## Targets\n\n| what | slots | at most | measured | met |\n|---|--:|--:|--:|---|\n";
        for target in TARGETS {
            let Some(figure) = self.of_target(&target) else { continue };
            let (limit, measured, unit) = match target.limit {
                Limit::Units(limit) => (limit, figure.cu, "CU"),
                Limit::Bytes(limit) => (limit, figure.bytes, "bytes"),
            };
            line(text, target.what, &grouped(target.slots.into()), limit, measured, unit, target.if_missed);
        }
        let slots = grouped(MAX_SLOTS as u64);
        line(text, "rent of a machine", &slots, MAX_RENT, rent_of_a_machine(), "lamports", "");
        let bytes = self.get("append_batches", SLOTS[0]).map_or(0, |figure| figure.bytes);
        for (receipts, limit) in RECORDED {
            let (what, slots) = (format!("recording an inference, {} a batch", grouped(receipts)), "");
            let met = if LAMPORTS_PER_SIGNATURE * 10 < limit * receipts { "yes" } else { "no" };
            let (limit, fee) = (limit as f64 / 10.0, LAMPORTS_PER_SIGNATURE as f64 / receipts as f64);
            let each = bytes as f64 / receipts as f64;
            let measured = format!("{fee:.3} lamports, {each:.3} bytes");
            add(text, format_args!("| {what} | {slots} | {limit} lamports | {measured} | {met} |\n"));
        }
    }

    /// The largest figures of a target's rows; `None` if no row is measured.
    fn of_target(&self, target: &Target) -> Option<Figure> {
        let rows = self.figures().filter(|(row, slots, _)| *slots == target.slots && target.row.has(row));
        rows.map(|(_, _, figure)| figure).reduce(Figure::max)
    }

    /// Rows that were measured on boards of several sizes.
    fn write_by_size(&self, text: &mut String) {
        *text += "\n## Compute units by the size of the board\n\n| instruction |";
        SLOTS.iter().for_each(|slots| add(text, format_args!(" {} |", grouped((*slots).into()))));
        *text += " bytes | accounts |\n|---|--:|--:|--:|--:|--:|--:|\n";
        for (row, sizes) in self.0.iter().filter(|(_, sizes)| is_sized(sizes)) {
            add(text, format_args!("| `{row}` |"));
            for slots in SLOTS {
                let units = sizes.get(&slots).map_or(String::new(), |figure| grouped(figure.cu));
                add(text, format_args!(" {units} |"));
            }
            let largest = sizes.values().fold(Figure::default(), |largest, figure| largest.max(*figure));
            add(text, format_args!(" {} | {} |\n", grouped(largest.bytes), largest.accounts));
        }
        *text += ROWS;
    }

    fn write_single(&self, text: &mut String) {
        let slots = SLOTS[0];
        add(text, format_args!("\n## Every other instruction, on a board of {slots} slots\n\n"));
        *text += "| instruction | CU | bytes | accounts |\n|---|--:|--:|--:|\n";
        for (row, sizes) in self.0.iter().filter(|(_, sizes)| !is_sized(sizes)) {
            for Figure { cu, bytes, accounts } in sizes.values() {
                let (cu, bytes) = (grouped(*cu), grouped(*bytes));
                add(text, format_args!("| `{row}` | {cu} | {bytes} | {accounts} |\n"));
            }
        }
        *text += "\n`_full`: as many machines or batches as fit in a transaction or are on the board; else one. Where the \
                  Ed25519 program goes first, it is included. `verify_receipt_of_a_million`: the deepest of 1,024 batches of 1,024, as \
                  other programs call it; so long a proof is too long for a legacy transaction.\n";
    }
}

/// Rent, and the size of the program: of this build, so compared with nothing.
pub fn sizes(program_bytes: u64) -> String {
    let slot = size_of::<Slot>() as u64;
    let own = grouped(slot * LAMPORTS_PER_BYTE);
    let shared = grouped(rent_of_a_machine());
    let program = grouped(program_bytes);
    let rate = grouped(LAMPORTS_PER_BYTE);
    format!(
        "\n## Sizes\n\n| what | size |\n|---|--:|\n\
         | bytes of a machine's slot | {slot} |\n\
         | rent that the supplier of a machine deposits, in lamports | {own} |\n\
         | with its share of the header of a full board, in lamports | {shared} |\n\
         | bytes of the program | {program} |\n\n\
         Rent is {rate} lamports a byte; it comes back when the machine leaves.\n"
    )
}

fn is_sized(sizes: &BTreeMap<u16, Figure>) -> bool {
    sizes.keys().any(|slots| *slots != SLOTS[0])
}

/// Bytes that rent counts for an account besides its data.
const ACCOUNT_OVERHEAD: u64 = 128;
const LAMPORTS_PER_BYTE: u64 = 6_960;
const MAX_RENT: u64 = 1_400_000;

/// Rent of one slot of a full board in lamports, with its part of the header; rounded up.
fn rent_of_a_machine() -> u64 {
    let bytes = board_len(MAX_SLOTS) as u64 + ACCOUNT_OVERHEAD;
    (bytes * LAMPORTS_PER_BYTE).div_ceil(MAX_SLOTS as u64)
}

/// Fee of a transaction with one signature, in lamports.
pub const LAMPORTS_PER_SIGNATURE: u64 = 5_000;
/// Receipts of a batch that has its own transaction, and the target for each, in tenths of lamports.
const RECORDED: [(u64, u64); 2] = [(1_000, 100), (65_536, 2)];

/// A target of the project.
struct Target {
    what: &'static str,
    row: Row,
    slots: u16,
    limit: Limit,
    /// The reason, if the target is missed.
    if_missed: &'static str,
}

/// The row that a target bounds, or each of several.
enum Row {
    Named(&'static str),
    Containing(&'static str),
}

impl Row {
    fn has(&self, row: &str) -> bool {
        match self {
            Row::Named(name) => row == *name,
            Row::Containing(part) => row.contains(part),
        }
    }
}

enum Limit {
    Units(u64),
    Bytes(u64),
}

const TARGETS: [Target; 10] = [
    target("a vote", "submit_round", 6_144, Limit::Units(8_000)),
    target("a vote, in one legacy transaction", "submit_round", 6_144, Limit::Bytes(PACKET_BYTES as u64)),
    target("closing a round", "close_round", 6_144, Limit::Units(150_000)),
    target("closing a round in which all are down", "close_round_all_down", 6_144, Limit::Units(900_000)),
    target("opening a lease of the cheapest 1,000", "open_lease_1000", 6_144, Limit::Units(300_000)),
    Target {
        if_missed: "GPUs are summed machine by machine, so that a cluster has exactly those asked for: about 100 CU for \
                    each machine chosen",
        ..target("opening a lease of the cheapest 6,000", "open_lease_6000", 6_144, Limit::Units(500_000))
    },
    Target {
        row: Row::Containing("_hostile"),
        if_missed: "6,000 with every bound set: checking them all takes 80 CU a machine, and a wrong hint another look \
                    at the board; every row fits in a transaction's 1,400,000",
        ..target("opening or replacing on a hostile board", "", 6_144, Limit::Units(1_200_000))
    },
    Target {
        if_missed: "money kept, fees counted from the lease's beginning and the price index: about 15 CU for each \
                    machine on top",
        ..target(
            "settling a lease of 6,000 for good",
            "settle_lease_final_6000",
            6_144,
            Limit::Units(700_000),
        )
    },
    target("opening a lease of one machine", "open_lease", 64, Limit::Units(40_000)),
    target("proving a receipt among 2²⁰", "verify_receipt_of_a_million", 64, Limit::Units(60_000)),
];

const fn target(what: &'static str, row: &'static str, slots: u16, limit: Limit) -> Target {
    Target { what, row: Row::Named(row), slots, limit, if_missed: "" }
}

const INTRODUCTION: &str = "\
# What the program costs

Written by `cargo xtask bench --write` together with `bench.json`, which holds the same figures for programs.
`cargo xtask bench --check` measures again and fails where a figure is more than 3 percent above the one here.

A figure is that of a transaction with the one instruction, in the real virtual machine, in the legacy format,
with a limit and a price of compute units. The two instructions for these cost 300 compute units (CU) and have 52
bytes, which are included. Bytes are those of the whole transaction, signatures included. The network carries
1,232: where there are more, the client leaves out the price (12 bytes), and if need be the limit as well (40).
Accounts are those that the instruction is given. Keys and times are the same in every run, so the figures are too.
";

const ROWS: &str = "
Boards are full, every machine has a price of its own, and 13 of 15 keepers vote. Leases are for 24 rounds of
ten minutes. A number in the name is the number of machines; names without one are of one machine. Bytes are those
of the largest board. For what happens several times in a lease, the largest figure is shown.

- `submit_round`, `close_round`: three percent of the machines are down, for three rounds in a row of a lease
  of most of the board; `close_round_all_down`: every machine is.
- `open_lease`: the cheapest of all, with the hint of the client's quote; `_no_hint`: the program finds the
  cut-off itself, as it does when the board has changed since; `_strict`: with a hint and a bound for every
  trait but the class, which all machines meet.
- `settle_lease`, `settle_lease_final`: for good, after one settlement in mid-term, three percent slashed;
  `_interim`: in mid-term, the second of two; `_all_slashed`: every machine loses stake and a round is
  unknown; `_cancelled`: the owner left early, a round is unknown; `_part_2` and so on: the next transaction,
  if one is not enough.
- `..._hostile`: the worst of sixteen boards that are made to be expensive, of requests that all machines, half of
  them or one in 61 meet, with every bound and 16 slots to avoid, or with neither; `..._wrong_hint`: with a hint
  that is wrong besides.
- `claim_earnings`: one supplier has all machines. `replace_node`: one machine of the largest lease, with a
  hint.
";

fn line(text: &mut String, what: &str, slots: &str, limit: u64, measured: u64, unit: &str, if_missed: &str) {
    let met = match (measured <= limit, if_missed) {
        (true, _) => "yes".to_owned(),
        (false, "") => "no".to_owned(),
        (false, reason) => format!("no: {reason}"),
    };
    let (limit, measured) = (grouped(limit), grouped(measured));
    add(text, format_args!("| {what} | {slots} | {limit} {unit} | {measured} {unit} | {met} |\n"));
}

fn add(text: &mut String, what: std::fmt::Arguments) {
    text.write_fmt(what).expect("a string takes everything");
}

/// The number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(cu: u64) -> Table {
        let mut table = Table::default();
        table.add("open_lease", 64, Figure { cu, bytes: 500, accounts: 11 });
        table
    }

    #[test]
    fn a_figure_may_grow_by_three_percent() {
        assert_eq!(table(10_300).complaints(&table(10_000)), [""; 0]);
        assert_eq!(table(9_000).complaints(&table(10_000)), [""; 0]);
        let expected = "open_lease on 64 slots: cu is 10301, 3.0 percent above the committed 10000";
        assert_eq!(table(10_301).complaints(&table(10_000)), [expected]);
    }

    #[test]
    fn a_row_that_only_one_table_has_is_named() {
        let mut more = table(10_000);
        more.add("open_lease", 1_024, Figure::default());
        let [added, gone] = [more.complaints(&table(10_000)), table(10_000).complaints(&more)];
        assert_eq!(added, ["open_lease on 1024 slots is not in the committed table"]);
        assert_eq!(gone, ["open_lease on 1024 slots is no longer measured"]);
    }

    #[test]
    fn a_row_keeps_the_worst_of_its_measurements() {
        let mut worst = table(10_000);
        worst.add("open_lease", 64, Figure { cu: 9_000, bytes: 600, accounts: 11 });
        assert_eq!(worst.get("open_lease", 64), Some(Figure { cu: 10_000, bytes: 600, accounts: 11 }));
    }

    #[test]
    fn json_has_the_documented_form() {
        let json = r#"{"open_lease":{"64":{"cu":7,"bytes":500,"accounts":11}}}"#;
        assert_eq!(serde_json::to_string(&table(7)).unwrap(), json);
        assert_eq!(serde_json::from_str::<Table>(json).unwrap(), table(7));
    }

    #[test]
    fn a_missed_target_is_marked() {
        let row = |cu| {
            table(cu).markdown().lines().find(|line| line.contains("of one machine")).unwrap().to_owned()
        };
        assert!(row(40_000).ends_with("| 64 | 40,000 CU | 40,000 CU | yes |"));
        assert!(row(40_001).ends_with("| 64 | 40,000 CU | 40,001 CU | no |"));
    }

    #[test]
    fn every_target_is_measured_and_a_missed_one_has_a_reason() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/bench.json");
        let json = std::fs::read_to_string(path).expect("the committed figures");
        let table: Table = serde_json::from_str(&json).expect("a table");
        for target in TARGETS {
            assert!(table.of_target(&target).is_some(), "{} is not measured", target.what);
        }
        let mut text = String::new();
        table.write_targets(&mut text);
        let bare: Vec<_> = text.lines().filter(|line| line.ends_with("| no |")).collect();
        assert!(bare.is_empty(), "missed without a reason:\n{}", bare.join("\n"));
    }

    #[test]
    fn a_target_of_several_rows_is_met_by_the_worst() {
        let mut table = Table::default();
        for (row, cu) in
            [("open_lease_hostile", 7), ("replace_node_hostile_wrong_hint", 9), ("open_lease", 11)]
        {
            table.add(row, 6_144, Figure { cu, ..Figure::default() });
        }
        let hostile =
            TARGETS.iter().find(|target| target.row.has("open_lease_40_hostile")).expect("a target");
        assert_eq!(table.of_target(hostile).map(|figure| figure.cu), Some(9));
    }
}
