//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer.
//!
//! Stable Rust can do it: LLVM's coverage pass is in the compiler, and the crate `libfuzzer-sys` compiles libFuzzer with the
//! system's C++ compiler.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::compile::rustc;
use crate::source::relative;
use crate::{cargo, execute, output, root};

/// What libFuzzer needs in the code under test: a counter for each branch, their addresses, and calls with both operands of
/// each comparison.
const RUSTFLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Targets, with the longest input that is tried, in bytes.
const TARGETS: &[(&str, u32)] = &[("rules", 800), ("decode", 8_192), ("settlement", 200)];
/// A target with a fault that only a fuzzer which sees coverage finds, and the runs in which it must.
const PLANTED: &str = "planted";
const PLANTED_RUNS: u64 = 20_000_000;
/// What it says then.
const PLANTED_FAULT: &str = "the planted fault was found";
/// Seconds that a failing input is shortened.
const MINIMISE_SECS: u64 = 30;

#[derive(clap::Args)]
pub struct Arguments {
    /// rules, decode or settlement; all of them if none is named
    #[arg(value_parser = TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>())]
    targets: Vec<String>,
    /// Seconds for each target. What was found before, in target/fuzz/corpus/, is the start
    #[arg(long, default_value_t = 60)]
    secs: u64,
    /// Number of runs for each target instead: from the inputs in fuzz/corpus/ alone and always the same
    #[arg(long, conflicts_with = "secs")]
    runs: Option<u64>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let fuzzer = Fuzzer::build()?;
    fuzzer.check_coverage()?;
    let chosen =
        |name: &str| arguments.targets.is_empty() || arguments.targets.iter().any(|target| target == name);
    for (name, max_len) in TARGETS.iter().filter(|(name, _)| chosen(name)) {
        fuzzer.fuzz(name, *max_len, arguments)?;
    }
    Ok(())
}

struct Fuzzer {
    binary: PathBuf,
    /// Folder of inputs, artifacts and the build.
    place: PathBuf,
}

/// How a run ended.
struct Ended {
    /// True if no input failed.
    held: bool,
    /// All that it printed.
    log: String,
}

impl Fuzzer {
    fn build() -> Result<Self> {
        let place = root().join("target/fuzz");
        // With a target named, the flags are not those of build scripts and macros, which nothing counts in.
        let host = output(rustc().args(["--print", "host-tuple"]))?.trim().to_owned();
        let mut command = cargo();
        command
            .args(["build", "--locked", "--profile", "fuzz", "-p", "leasehold-fuzz", "--features", "engine"])
            .args(["--bin", "fuzz", "--target", &host, "--target-dir"])
            .arg(&place)
            .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"));
        execute(&mut command)?;
        Ok(Fuzzer { binary: place.join(host).join("fuzz/fuzz"), place })
    }

    /// Refuses a build that counts nothing: it would find nothing and say that all is well.
    fn check_coverage(&self) -> Result<()> {
        let folder = self.folder("artifacts", PLANTED, true)?;
        let mut command = self.command(PLANTED, &folder);
        command.args(["-seed=1", "-max_len=32"]).arg(format!("-runs={PLANTED_RUNS}"));
        let ended = watch(&mut command, |_| false)?;
        if ended.held || !ended.log.contains(PLANTED_FAULT) {
            bail!("the fuzzer did not find the planted fault in {PLANTED_RUNS} runs: it sees no coverage");
        }
        let counters = ended.log.lines().find_map(|line| line.split_once("inline 8-bit counters)"));
        let counters = counters.and_then(|(before, _)| before.rsplit('(').next()).unwrap_or("?").trim();
        println!("coverage: {counters} counters; the planted fault was found");
        Ok(())
    }

    fn fuzz(&self, target: &str, max_len: u32, arguments: &Arguments) -> Result<()> {
        println!("\n== {target}");
        let artifacts = self.folder("artifacts", target, false)?;
        let seeds = root().join("fuzz/corpus").join(target);
        let mut command = self.command(target, &artifacts);
        // Longer inputs sooner than by default: a lease's life takes many actions.
        command.arg(format!("-max_len={max_len}")).arg("-len_control=10");
        match arguments.runs {
            Some(runs) => {
                let found = self.folder("smoke", target, true)?;
                command.arg(format!("-runs={runs}")).arg("-seed=1").arg(found);
            }
            None => {
                let found = self.folder("corpus", target, false)?;
                command.arg(format!("-max_total_time={}", arguments.secs)).arg(found);
            }
        }
        command.arg(&seeds);
        let ended = watch(&mut command, is_of_interest)?;
        if ended.held {
            return Ok(());
        }
        let unit = ended.log.lines().find_map(|line| line.split_once("Test unit written to "));
        let Some((_, unit)) = unit else { bail!("target `{target}` failed without an input: see above") };
        let unit = self.minimise(target, Path::new(unit.trim()))?;
        bail!(
            "target `{target}` failed. Copy {} to {}/ under a name that says what it shows: `cargo xtask test corpus` \
             fails until it is mended",
            relative(&unit),
            relative(&seeds)
        )
    }

    /// Shortens an input that fails. Returns the shortest one found.
    fn minimise(&self, target: &str, unit: &Path) -> Result<PathBuf> {
        let shortest = unit.with_extension("min");
        let mut command = self.command(target, unit.parent().unwrap_or(unit));
        command
            .args(["-minimize_crash=1", &format!("-max_total_time={MINIMISE_SECS}")])
            .arg(format!("-exact_artifact_path={}", shortest.display()))
            .arg(unit);
        watch(&mut command, |_| false)?;
        Ok(if shortest.is_file() { shortest } else { unit.to_owned() })
    }

    /// libFuzzer on a target. What the program logs, on standard output, is left out.
    fn command(&self, target: &str, artifacts: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-close_fd_mask=1", "-print_final_stats=1"])
            .env("LEASEHOLD_FUZZ_TARGET", target)
            .env("RUST_BACKTRACE", "0");
        command
    }

    /// A folder for a target, emptied if so wanted.
    fn folder(&self, kind: &str, target: &str, empty: bool) -> Result<PathBuf> {
        let folder = self.place.join(kind).join(target);
        let name = relative(&folder);
        if empty && folder.is_dir() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {name}"))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {name}"))?;
        Ok(folder)
    }
}

/// Runs libFuzzer, and prints the lines of its log that the filter lets through.
fn watch(command: &mut Command, shown: impl Fn(&str) -> bool) -> Result<Ended> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut log = String::new();
    for line in child.stderr.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line.unwrap_or_default();
        if shown(&line) {
            println!("{line}");
        }
        log += &line;
        log.push('\n');
    }
    Ok(Ended { held: child.wait()?.success(), log })
}

/// True for progress in large steps, results and failures; false for each new input and each added word of its dictionary.
fn is_of_interest(line: &str) -> bool {
    let noise = [
        "INFO: ",
        "WARNING: Failed to find function",
        "\tNEW_FUNC",
        "###### ",
        "\"",
        "0x",
        "\\",
        "MS: ",
        "stat::",
        "NOTE: ",
        "      ",
    ];
    let each_input = line.starts_with('#')
        && [" NEW ", "\tNEW ", " REDUCE", "\tREDUCE"].iter().any(|word| line.contains(word));
    !line.is_empty() && !each_input && !noise.iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_progress_and_failures_are_shown() {
        assert!(is_of_interest(
            "#1048576\tpulse  cov: 294 ft: 616 corp: 205/5313b lim: 400 exec/s: 174762 rss: 29Mb"
        ));
        assert!(is_of_interest(
            "#3472542\tDONE   cov: 294 ft: 616 corp: 205/5109b lim: 400 exec/s: 165359 rss: 29Mb"
        ));
        assert!(is_of_interest("thread '<unnamed>' (4740) panicked at fuzz/src/settlement.rs:32:5:"));
        assert!(!is_of_interest(
            "#13156\tREDUCE cov: 2005 ft: 8254 corp: 1084/211Kb lim: 583 L: 336/582 MS: 1 EraseBytes-"
        ));
        assert!(!is_of_interest("INFO: Seed: 3329848807"));
        assert!(!is_of_interest(""));
    }
}
