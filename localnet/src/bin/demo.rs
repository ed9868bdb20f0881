//! `cargo demo`: the whole life of a lease, on a network in this process.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use leasehold_localnet::demo::{self, Demo, Progress};
use tracing_subscriber::EnvFilter;

/// Rounds of at least this many seconds.
const SHORTEST_ROUND: u32 = 10;
/// Machines that five keepers probe and a node answers for within a second, on two cores with an
/// unoptimised build, and time to spare.
const PROBED_PER_SEC: u32 = 300;

/// Lists thousands of machines, leases most of them as one cluster, lets some fail, and settles to the last
/// unit: by real transactions, probes, keepers and machines, on a network in this process.
///
/// Exits with 1 where money is not where it should be, or an inference can't be proved.
#[derive(Parser)]
#[command(name = "demo")]
struct Args {
    /// Machines in all; five of six are leased as one cluster
    #[arg(long, default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(20..=61_440))]
    machines: u32,

    /// Rounds that the leases last
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,

    /// Length of a round in seconds, at least 10 [default: as short as this many machines allow]
    #[arg(long, value_parser = clap::value_parser!(u32).range(10..=86_400))]
    round_secs: Option<u32>,

    /// Percent of the leased machines that go dark in mid-lease
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=100))]
    down: u8,

    /// Decides keys, machines, prices and who fails
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Print one JSON object on standard output, and the tables on standard error
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every invariant holds, and the inference is proved.
async fn run(args: Args) -> Result<bool> {
    let progress = Progress::default();
    let filter = EnvFilter::try_from_env("LEASEHOLD_DEMO_LOG").unwrap_or_else(|_| {
        // Its service warns of a public proxy, which here is on loopback.
        let node = "leasehold_node=warn,leasehold_node::receipts::service=error";
        EnvFilter::new(format!("off,leasehold_keeper=warn,{node},leasehold_localnet=warn"))
    });
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(progress.clone()).init();

    let round_secs =
        args.round_secs.unwrap_or_else(|| SHORTEST_ROUND.max(args.machines.div_ceil(PROBED_PER_SEC)));
    let Args { machines, rounds, down, seed, .. } = args;
    let report = demo::run(&Demo { machines, rounds, round_secs, down, seed }, progress).await?;
    if args.json {
        eprintln!("{report}");
        println!("{}", serde_json::to_string(&report).context("the report can't be written as JSON")?);
    } else {
        println!("{report}");
    }
    Ok(report.invariants.is_ok() && report.receipt.verified)
}
