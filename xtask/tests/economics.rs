//! `cargo xtask economics` as a process: its exit code and its JSON.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

fn economics(market: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["economics", "--json", "--params"]).arg(market).output().expect("the task runs")
}

/// The example market with another bond of a GPU.
fn market(bond_unit: &str) -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/example.toml");
    let text = fs::read_to_string(example).expect("the example");
    let changed = text.replace("bond_unit = \"200\"", &format!("bond_unit = {bond_unit:?}"));
    assert_ne!(changed, text);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("market-with-low-bonds.toml");
    fs::write(&path, changed).expect("a file");
    path
}

/// Bonds of a five-hundredth don't keep a supplier from leaving for a better price, though that is claimed.
#[test]
fn economics_exits_1_and_names_the_attack_that_wins_though_it_is_claimed_to_lose() {
    let output = economics(&market("0.4"));
    assert_eq!(output.status.code(), Some(1));
    let name = "deserter, two days left, spot x 2: forfeits";
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(error.contains("attacks win that are claimed to lose") && error.contains(name), "{error}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let attacks = report["attacks"].as_array().expect("a list");
    let row = attacks.iter().find(|row| row["name"] == name).expect("a row");
    assert_eq!((&row["holds"], &row["claim"]), (&Value::Bool(false), &Value::from("loses")));
    assert!(row["yield"].as_f64() > row["cost"].as_f64(), "{row}");
}
