//! `receipts-bench`: measures receipts per second. Prints JSON.

use anyhow::Context;
use clap::Parser;
use leasehold_node::receipts::bench;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures how many receipts per second this host signs, stores and returns over HTTP on loopback.
#[derive(Parser)]
#[command(name = "receipts-bench")]
struct Args {
    /// Receipts to report.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    receipts: u64,
    /// Connections that report at the same time.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Folder on the disk to measure; the database in it is deleted afterwards [default: a temporary one]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("receipts-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: Args) -> anyhow::Result<()> {
    let own = format!("receipts-bench-{}", std::process::id());
    let folder = args.folder.unwrap_or_else(std::env::temp_dir).join(own);
    std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let figures = bench::run(&folder, args.receipts, args.clients).await;
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot delete {}", folder.display()))?;
    println!("{}", serde_json::to_string(&figures?)?);
    Ok(())
}
