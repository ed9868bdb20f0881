//! `leasehold-node`: answers the probes of the machines in a configuration file.

use anyhow::Context;
use clap::Parser;
use leasehold_client::probe::Pubkey;
use leasehold_node::{Node, NodeConfig, Serving, load};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

/// Answers the keepers' probes for one machine or for thousands.
///
/// SIGHUP reads the configuration again; SIGTERM and SIGINT stop the node after the answers under way.
#[derive(Parser)]
#[command(name = "leasehold-node", version)]
struct Args {
    /// TOML file with the machines to answer for, and their keys.
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_NODE_CONFIG")]
    config: PathBuf,
    /// UDP address to listen on; may be given several times. [::] takes IPv4 as well. On a host with
    /// several addresses give the listed one, so that answers leave from it.
    #[arg(long, value_name = "IP:PORT", env = "LEASEHOLD_NODE_LISTEN", value_delimiter = ',')]
    #[arg(default_values_t = NodeConfig::default().listen)]
    listen: Vec<SocketAddr>,
    /// Answer these keepers only; overrides the list in the file.
    #[arg(long, value_name = "KEY", env = "LEASEHOLD_NODE_KEEPERS", value_delimiter = ',')]
    keepers: Vec<Pubkey>,
    /// Challenges per second that are verified for one source address [default: 1000, and 2 for each
    /// machine]
    #[arg(long, value_name = "N", env = "LEASEHOLD_NODE_RATE")]
    rate: Option<NonZeroU32>,
    /// Loopback address on which Prometheus finds /metrics [default: none]
    #[arg(long, value_name = "IP:PORT", env = "LEASEHOLD_NODE_METRICS")]
    metrics: Option<SocketAddr>,
    /// What to log: error, warn, info, debug or trace, or a filter such as leasehold_node=debug.
    #[arg(long, value_name = "FILTER", env = "LEASEHOLD_NODE_LOG", default_value = "info")]
    log: String,
}

impl Args {
    fn serving(&self) -> anyhow::Result<Serving> {
        let mut serving = load(&self.config)?;
        if !self.keepers.is_empty() {
            serving.keepers = Some(self.keepers.clone());
        }
        Ok(serving)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leasehold-node: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(&args.log).context("--log is not a filter that this program understands")?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    // Before anything else, so that a signal never meets the default action of a node under way.
    let mut reload = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;

    let config = NodeConfig {
        listen: args.listen.clone(),
        serving: args.serving()?,
        rate: args.rate,
        metrics: args.metrics,
    };
    let node = Node::bind(config).await?;
    for address in node.local_addrs() {
        println!("listening on {address}");
    }
    if let Some(address) = node.metrics_addr() {
        println!("metrics on http://{address}/metrics");
    }
    info!(machines = node.machines(), "answering probes");

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = reload.recv() => match args.serving().and_then(|serving| Ok(node.set_serving(serving)?)) {
                Ok(()) => info!(machines = node.machines(), "configuration read again"),
                // A mistake in the file must not take the machines down.
                Err(error) => error!("the configuration stays as it was: {error:#}"),
            },
        }
    }
    node.shutdown().await;
    info!("stopped");
    Ok(())
}
