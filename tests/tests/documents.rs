//! Documents agree with the code: the sizes of accounts in docs/architecture.md, the tests that docs/threats.md names, and its
//! figures, which are those of docs/economics.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anchor_lang::Space;
use leasehold::state::{
    Demand, Keeper, LANES_OFFSET, Lane, Lease, MachineId, Market, PriceIndex, Profile, Profiles,
    SLOTS_OFFSET, Slot, Supplier, board_len,
};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(path).expect("the document")
}

/// With a comma between thousands.
fn grouped(number: usize) -> String {
    if number < 1_000 {
        number.to_string()
    } else {
        format!("{},{:03}", grouped(number / 1_000), number % 1_000)
    }
}

#[test]
fn documented_sizes_are_those_of_the_accounts() {
    let text = document("architecture.md");
    let size = |name: &str, seed: &str, bytes: String| {
        let row = format!("| `{name}` | `[\"{seed}\"");
        let row =
            text.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("no row of {name}"));
        let told = row.split('|').nth(3).expect("a column of bytes").trim();
        assert_eq!(told, bytes, "{name}");
    };
    size("Market", "market", grouped(8 + Market::INIT_SPACE));
    size("Supplier", "supplier", grouped(8 + Supplier::INIT_SPACE));
    size("Keeper", "keeper", grouped(8 + Keeper::INIT_SPACE));
    size("Lease", "lease", grouped(Lease::len(0)));
    let replaced = format!("{} bytes more for each machine that was replaced", MachineId::INIT_SPACE);
    assert!(text.contains(&replaced), "{replaced}");
    size("PriceIndex", "index", grouped(PriceIndex::LEN));
    size("Demand", "demand", grouped(8 + Demand::INIT_SPACE));
    let each = |offset, each| format!("{} + {each} for each", grouped(offset));
    size("Profiles", "profiles", each(Profiles::len(0), Profile::INIT_SPACE) + " profile");
    size("Board", "board", each(SLOTS_OFFSET, size_of::<Slot>()) + " slot");
    size("ComputeLog", "log", each(LANES_OFFSET, size_of::<Lane>()) + " lane");
    assert!(text.contains(&format!("a full one has {} bytes", grouped(board_len(6_144)))));
}

/// Names that begin with `attack_`.
fn attacks(text: &str, before: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let names = text.split(before).skip(1).map(|rest| rest.split(|letter| !is_part(letter)).next());
    names.flatten().filter(|name| name.starts_with("attack_")).map(str::to_owned).collect()
}

/// The attacks that are tests, in a folder of Rust files and the folders in it.
fn tests_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(attacks(&fs::read_to_string(&path).expect("a file of text"), "fn "));
        }
    }
}

#[test]
fn threats_name_every_attack_that_is_a_test_and_no_other() {
    let mut tests = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in [
        "tests",
        "client",
        "keeper",
        "node",
        "archive",
        "operate",
        "cli",
        "localnet",
        "programs/leasehold/src",
    ] {
        tests_in(&root.join(folder), &mut tests);
    }
    let mut named = attacks(&document("threats.md"), "`");
    // How such tests are called.
    named.remove("attack_");
    let only = |these: &BTreeSet<String>, those| these.difference(those).cloned().collect::<Vec<_>>();
    assert_eq!(only(&tests, &named), [""; 0], "tests that docs/threats.md doesn't name");
    assert_eq!(only(&named, &tests), [""; 0], "named in docs/threats.md, and no tests");
}

/// What an attack costs, yields and damages.
type Figures = [f64; 3];
const FIGURES: [&str; 3] = ["cost", "yield", "damage"];

/// A number with commas between thousands, and whatever ends its clause.
fn number(text: &str) -> Option<f64> {
    text.trim_end_matches([',', '.', ';', ')']).replace(',', "").parse().ok()
}

/// The attacks of docs/economics.md by name: rows of six columns, of which three are figures.
fn scenarios(text: &str) -> BTreeMap<String, Figures> {
    let row = |line: &str| -> Option<(String, Figures)> {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, _, cost, gain, damage, _, _] = cells[..] else { return None };
        Some((name.to_owned(), [number(cost)?, number(gain)?, number(damage)?]))
    };
    text.lines().filter_map(row).collect()
}

/// Text in italics, with what stands before and after it in the same cell or paragraph.
fn italics(text: &str) -> Vec<(&str, String, &str)> {
    let parts: Vec<_> = text.split('*').collect();
    assert!(parts.len() % 2 == 1, "asterisks in pairs");
    let ends = |rest: &str| rest.find('|').into_iter().chain(rest.find("\n\n")).min().unwrap_or(rest.len());
    let italic = |place: usize| {
        let (before, after) = (parts[place - 1], parts[place + 1]);
        let begin = before.rfind('|').into_iter().chain(before.rfind("\n\n")).max().unwrap_or(0);
        (&before[begin..], parts[place].replace('\n', " "), &after[..ends(after)])
    };
    (1..parts.len()).step_by(2).map(italic).collect()
}

/// The figures that a text names; those that it leaves out are 0. `None` if it names none.
fn figures(text: &str) -> Option<Figures> {
    let words: Vec<_> = text.split_whitespace().collect();
    let figure = |name: &str| words.windows(2).find(|pair| pair[0] == name).and_then(|pair| number(pair[1]));
    let found = FIGURES.map(figure);
    found.iter().any(Option::is_some).then(|| found.map(Option::unwrap_or_default))
}

/// `*name*: cost 1, yield 2, damage 3` has a row with these figures in docs/economics.md, `3 (*name*)` one whose yield less its
/// cost is that.
#[test]
fn scenarios_of_threats_are_rows_of_economics_with_the_same_figures() {
    let rows = scenarios(&document("economics.md"));
    let text = document("threats.md").replace("**", "");
    let found = italics(&text);
    let (mut gains, mut compared) = (vec![], 0);
    let mut faults = vec![];
    for (before, name, after) in found {
        let is_listed = after.starts_with([')', ','])
            && (before.ends_with('(') || before.ends_with("), ") || before == ", ");
        let told = figures(after).filter(|_| after.starts_with(':'));
        if told.is_none() && !is_listed {
            continue;
        }
        let Some(row) = rows.get(&name) else {
            faults.push(format!("*{name}* is no row of docs/economics.md"));
            continue;
        };
        compared += 1;
        if let Some(told) = told {
            if told != *row {
                faults.push(format!("*{name}*: {told:?}, and {row:?} in docs/economics.md"));
            }
            continue;
        }
        // Several names in one pair of parentheses share the figures before it.
        if before.ends_with('(') {
            gains = before.split_whitespace().filter_map(number).collect();
        }
        let gain = row[1] - row[0];
        // Figures of three digits and more are rounded to units.
        let rounding = if gain < 100.0 { 0.011 } else { 1.01 };
        if !gains.iter().any(|told| (told - gain).abs() < rounding) {
            faults.push(format!("*{name}* gains {gain:.2}, not {gains:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(compared > 40, "only {compared} scenarios were found");
}

#[test]
fn figures_of_a_scenario_are_read_as_they_are_written() {
    assert_eq!(figures(": cost 1,660. Then more"), Some([1_660.0, 0.0, 0.0]));
    assert_eq!(figures(": yield 8.40, the rounds before; damage 71.94"), Some([0.0, 8.4, 71.94]));
    assert_eq!(figures(": nothing"), None);
    let [(before, name, after)] = &italics("| a | b: 3 (*its\nname*) | c |")[..] else { panic!("one") };
    assert_eq!((*before, name.as_str(), *after), ("| b: 3 (", "its name", ") "));
}
