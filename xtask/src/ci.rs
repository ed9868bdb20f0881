//! `cargo xtask ci`: the steps of CI, those that fail soonest first.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{cargo, execute};

/// Each step is a command as a person would type it after `cargo`.
const STEPS: &[(&str, &[&str])] = &[
    ("format", &["fmt", "--all", "--check"]),
    ("artefact", &["xtask", "build", "--check"]),
    ("interface", &["xtask", "idl", "--check"]),
    ("documents", &["xtask", "docs", "--check"]),
    ("economics", &["xtask", "economics"]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    ("wasm", &["xtask", "wasm"]),
    ("tests", &["xtask", "test"]),
    ("fuzzing", &["xtask", "fuzz", "--runs", "20000"]),
    ("benchmark", &["xtask", "bench", "--check"]),
    ("demo", &["demo", "--machines", "200", "--rounds", "3"]),
];

pub fn run() -> Result<()> {
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let result = STEPS.iter().try_for_each(|(name, arguments)| {
        println!("\n== {name}: cargo {}", arguments.join(" "));
        let started = Instant::now();
        let result = execute(cargo().args(*arguments));
        times.push((name, started.elapsed()));
        result.with_context(|| format!("step `{name}`"))
    });
    println!();
    for (name, time) in times {
        println!("{name:<10} {:>7.1} s", time.as_secs_f64());
    }
    result
}
