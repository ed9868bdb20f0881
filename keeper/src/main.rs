//! `leasehold-keeper`: see [`leasehold_keeper::Args`].

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Parser;
use leasehold_keeper::{Args, Config, Keeper};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// How long one question to the RPC node may take.
const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leasehold-keeper: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter(args.filter()?).with_writer(std::io::stderr).init();
    // Before anything else, so that a signal never meets the default action of a keeper under way.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;

    let config = Config::new(&args)?;
    let commitment = CommitmentConfig::confirmed();
    let rpc = RpcClient::new_with_timeout_and_commitment(config.rpc.to_string(), PATIENCE, commitment);
    let keeper = Keeper::new(config.settings, config.keypair, Arc::new(rpc))?;
    println!("keeper {}", keeper.address());
    if let Some(address) = keeper.metrics_addr() {
        println!("metrics on http://{address}/metrics");
    }
    if config.once {
        keeper.once().await?;
    } else {
        let signals = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        keeper.run(signals).await?;
    }
    info!("stopped");
    Ok(())
}
