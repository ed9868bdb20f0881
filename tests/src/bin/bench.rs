//! `cargo xtask bench`: measures every instruction, and compares with or writes `docs/bench.json` and `docs/bench.md`.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use leasehold_tests::{
    PROGRAM,
    bench::{self, Table},
};

#[derive(Parser)]
#[command(
    name = "cargo xtask bench",
    about = "Measures compute units, bytes and accounts of every instruction"
)]
struct Arguments {
    /// Print JSON, {instruction: {slots: {cu, bytes, accounts}}}, instead of Markdown
    #[arg(long)]
    json: bool,
    /// Fail if a figure is more than 3 percent above that of docs/bench.json
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Write docs/bench.json and docs/bench.md
    #[arg(long)]
    write: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let table = bench::measure();
    let json = serde_json::to_string_pretty(&table)? + "\n";
    let program_bytes = fs::metadata(PROGRAM).context("cannot read the size of the compiled program")?.len();
    let markdown = table.markdown() + &bench::sizes(program_bytes);
    if arguments.write {
        fs::create_dir_all(docs("")).context("cannot create docs/")?;
        fs::write(docs("bench.json"), &json).context("cannot write docs/bench.json")?;
        fs::write(docs("bench.md"), &markdown).context("cannot write docs/bench.md")?;
    }
    if arguments.json {
        print!("{json}");
    } else if !arguments.check {
        print!("{markdown}");
    }
    if arguments.check { check(&table) } else { Ok(()) }
}

/// Compares with the committed figures.
fn check(table: &Table) -> Result<()> {
    let read = |name| {
        let hint = || format!("cannot read docs/{name}: run `cargo xtask bench --write` and commit it");
        fs::read_to_string(docs(name)).with_context(hint)
    };
    let committed: Table = serde_json::from_str(&read("bench.json")?)
        .context("docs/bench.json is not a table: run `cargo xtask bench --write` and commit it")?;
    let complaints = table.complaints(&committed);
    if !complaints.is_empty() {
        bail!(
            "{}\nIf this is intended, run `cargo xtask bench --write` and commit docs/",
            complaints.join("\n")
        );
    }
    ensure!(
        read("bench.md")?.starts_with(&committed.markdown()),
        "docs/bench.md does not match docs/bench.json: run `cargo xtask bench --write` and commit both"
    );
    eprintln!("no figure is more than 3 percent above the committed one");
    Ok(())
}

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}
