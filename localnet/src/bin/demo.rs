//! `cargo demo`: the whole life of a lease, on a network in this process.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use leasehold::constants::ROUND_SECS;
use leasehold_localnet::{
    demo::{self, Demo, Progress},
    rooms::KEY_COMMAND,
};
use leasehold_node::access::key_command;
use tracing_subscriber::EnvFilter;

/// Machines that five keepers probe, and a node answers for, in a second: on two cores with an unoptimised build, with a
/// margin.
const PROBED_PER_SEC: u32 = 300;

/// Lists thousands of machines, leases most of them in one group, makes some fail, leaves others early, and settles to the
/// last unit: with real transactions, probes, keepers and machines, on a network in this process.
///
/// With root, sshd and ssh, a tenant logs in to one of the machines. Exits with code 1 if an invariant is violated, an inference
/// can't be proved, or the tenant does not get in or is not cut at the end of its lease.
#[derive(Parser)]
#[command(name = "demo")]
struct Args {
    /// Number of machines, 100 to 61440: of fewer, none may be left to replace another; five of six of their GPUs are leased in one group
    #[arg(long, default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(100..=61_440))]
    machines: u32,

    /// Length of the leases in rounds, 2 to 1000
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    rounds: u32,

    /// Length of a round in seconds, 10 to 3600 [default: the shortest for this number of machines]
    #[arg(long, value_parser = clap::value_parser!(u32).range(round_secs()))]
    round_secs: Option<u32>,

    /// Percentage of the leased machines that stop answering in mid-lease
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=100))]
    down: u8,

    /// Seed of all random choices: keys, machines, prices, failures
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Print one JSON object to standard output, and the tables to standard error
    #[arg(long)]
    json: bool,
}

/// The lengths of rounds that the program allows.
fn round_secs() -> std::ops::RangeInclusive<i64> {
    i64::from(*ROUND_SECS.start())..=i64::from(*ROUND_SECS.end())
}

fn main() -> ExitCode {
    // The demo is also the command by which its machine's sshd asks for keys.
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(KEY_COMMAND) {
        return key_command::run(&arguments.collect::<Vec<_>>());
    }
    demo()
}

#[tokio::main]
async fn demo() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo. Returns true if every invariant holds, the inference is proved, and the tenant got in and was cut.
async fn run(args: Args) -> Result<bool> {
    let progress = Progress::default();
    let filter = EnvFilter::try_from_env("LEASEHOLD_DEMO_LOG").unwrap_or_else(|_| {
        // The node warns that its proxy is public; here it is on loopback. And that its database is new, which it is.
        let node = "leasehold_node=warn,leasehold_node::receipts::service=error,leasehold_node::chain::signable=error";
        EnvFilter::new(format!("off,leasehold_keeper=warn,{node},leasehold_localnet=warn"))
    });
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(progress.clone()).init();

    let shortest = args.machines.div_ceil(PROBED_PER_SEC).max(*ROUND_SECS.start());
    let round_secs = args.round_secs.unwrap_or(shortest);
    let Args { machines, rounds, down, seed, .. } = args;
    let report = demo::run(&Demo { machines, rounds, round_secs, down, seed }, progress).await?;
    if args.json {
        eprintln!("{report}");
        println!("{}", serde_json::to_string(&report).context("cannot serialise the report")?);
    } else {
        println!("{report}");
    }
    Ok(report.is_ok())
}
