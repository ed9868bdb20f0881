//! `cargo xtask ray`: a Ray cluster of leased machines, from the lease to its end. The run itself is `localnet/tests/ray/`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::{cargo, execute, output, root};

/// Names the folder of Ray for the run.
const VARIABLE: &str = "LEASEHOLD_TEST_RAY";
/// The version that `leasehold lease ray up` takes by default.
const VERSION: &str = "2.55.0";
/// Programs that the run starts.
const BINARIES: [&str; 3] = ["leasehold", "leasehold-node", "leasehold-authorized-keys"];

#[derive(clap::Args)]
pub struct Arguments {
    /// Print one JSON object to standard output, and everything else to standard error
    #[arg(long)]
    json: bool,
}

/// What the run showed.
#[derive(Debug, Deserialize, Serialize)]
struct Report {
    machines: u32,
    /// The job's parts ran on all machines, and its answer is right.
    job_ok: bool,
    /// A session on each machine was cut at the end of the lease, and not before.
    sessions_cut: bool,
    /// Processes, mounts, namespaces and files of the tenant that outlived the lease.
    leftovers: u32,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    ensure!(
        is_root,
        "`cargo xtask ray` needs root, for namespaces and control groups: run it as root, on Linux"
    );
    let folder = root().join("target/ray");
    install(&folder)?;
    let mut build = cargo();
    build.args(["build", "-q", "--workspace", "--locked"]);
    execute(build.args(BINARIES.iter().flat_map(|name| ["--bin", *name])))?;
    let mut test = cargo();
    test.args(["test", "-q", "--workspace", "--locked", "--test", "ray", "--", "--ignored", "--nocapture"]);
    let printed = output(test.env(VARIABLE, folder))?;
    let report = printed.lines().find_map(|line| serde_json::from_str::<Report>(line).ok());
    let report = report.context("the run printed no result")?;
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    if !(report.job_ok && report.sessions_cut && report.leftovers == 0) {
        bail!("the run did not show what it should");
    }
    Ok(())
}

/// Installs Ray unless it is there, so that the machines need no network.
fn install(folder: &Path) -> Result<()> {
    if is_installed(folder) {
        return Ok(());
    }
    eprintln!("installing Ray {VERSION} from PyPI into {}: this takes a minute, once", folder.display());
    let installed = fill(folder);
    installed.context("cannot install Ray: install python3 and its module venv (on Debian python3-venv)")
}

fn fill(folder: &Path) -> Result<()> {
    execute(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    execute(pip.arg(format!("ray[default]=={VERSION}")))
}

fn is_installed(folder: &Path) -> bool {
    let mut check = Command::new(folder.join("bin/ray"));
    let said = check.arg("--version").stderr(Stdio::null()).output();
    said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).trim() == format!("ray, version {VERSION}"))
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { machines, job_ok, sessions_cut, leftovers } = self;
        let yes = |good: &bool| if *good { "yes" } else { "NO" };
        writeln!(f, "machines                     {machines}")?;
        writeln!(f, "job ran on all of them       {}", yes(job_ok))?;
        writeln!(f, "sessions cut at lease's end  {}", yes(sessions_cut))?;
        write!(f, "leftovers                    {leftovers}")
    }
}
