//! The project's tasks: `cargo xtask build | idl | docs | economics | test | inference | bench | fuzz | package | ray | wasm | ci`. Each command is the `run` of one module.

mod build;
mod ci;
mod compile;
mod docs;
mod economics;
mod frames;
mod fuzz;
mod idl;
mod inference;
mod package;
mod ray;
mod source;
mod wasm;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, checks and tests Leasehold")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compile the program to programs/leasehold/leasehold.so and write its manifest beside it
    Build(build::Arguments),
    /// Write the program's interface description to idl/leasehold.json
    Idl(idl::Arguments),
    /// Write the generated parts of the documents and the picture of the terminal
    Docs(docs::Arguments),
    /// Compute what attacks cost and yield and what honest suppliers earn, with the program's own rules
    Economics(economics::Arguments),
    /// Run every test of the workspace (cargo nextest where it is installed, else cargo test)
    Test {
        /// Passed on to the test runner
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Install the inference server that the proxy is tested with into target/inference
    Inference,
    /// Measure compute units, bytes and accounts of every instruction
    Bench {
        /// Passed on to the benchmark: --json, --check, --write
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Look for inputs that break the program's rules, its arithmetic or its decoders (libFuzzer)
    Fuzz(fuzz::Arguments),
    /// Build the Debian package of the node
    Package(package::Arguments),
    /// Lease three machines on the local network, run a job on a Ray cluster of them, and show that nothing outlives the lease
    Ray(ray::Arguments),
    /// Compile the client to WebAssembly, without its network features
    Wasm,
    /// Run everything that CI runs, in the same order, and print how long each step took
    Ci,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Task::Build(arguments) => build::run(&arguments),
        Task::Idl(arguments) => idl::run(&arguments),
        Task::Docs(arguments) => docs::run(&arguments),
        Task::Economics(arguments) => economics::run(&arguments),
        Task::Test { arguments } => test(&arguments),
        Task::Inference => inference::install(),
        Task::Bench { arguments } => bench(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Package(arguments) => package::run(&arguments),
        Task::Ray(arguments) => ray::run(&arguments),
        Task::Wasm => wasm::run(),
        Task::Ci => ci::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn test(arguments: &[String]) -> Result<()> {
    if std::env::var_os(inference::VARIABLE).is_none() {
        inference::install()?;
    }
    let has_nextest = cargo()
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let runner: &[&str] = if has_nextest { &["nextest", "run"] } else { &["test"] };
    let mut tests = cargo();
    tests.args(runner).args(["--workspace", "--locked"]).args(arguments);
    if has_nextest && arguments.is_empty() && !is_root() {
        println!(
            "left out: the tests of tenants who log in (binary `door`), which enter namespaces and need root"
        );
        tests.args(["-E", "not binary(door)"]);
    }
    execute(&mut tests)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn bench(arguments: &[String]) -> Result<()> {
    execute(cargo().args(["run", "-q", "--bin", "bench", "--"]).args(arguments))
}

/// The workspace's root folder. Read at run time, since two checkouts that share a target folder share one xtask.
fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().map(Path::to_owned).unwrap_or_default()
}

/// The cargo that runs this task, in the workspace's root.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // The variables that cargo sets for xtask would make build scripts that read them run again, and half of the
    // dependencies be compiled again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let about_xtask = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if about_xtask.iter().any(|prefix| text.starts_with(prefix)) || text == "OUT_DIR" {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command whose output is for the user.
fn execute(command: &mut Command) -> Result<()> {
    let name = describe(command);
    let status = command.status().with_context(|| format!("`{name}` cannot be started"))?;
    if !status.success() {
        bail!("`{name}` failed");
    }
    Ok(())
}

/// Runs a command and returns its output.
fn output(command: &mut Command) -> Result<String> {
    let name = describe(command);
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("`{name}` cannot be started"))?;
    if !output.status.success() {
        bail!("`{name}` failed");
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{name}` printed something that is not UTF-8"))
}

/// Program and arguments, for messages.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
