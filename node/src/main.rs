//! `leasehold-node`: answers the probes of the machines in a configuration file, and signs for their work.

use anyhow::Context;
use clap::{Parser, Subcommand};
use leasehold_client::probe::Pubkey;
use leasehold_node::archive::{Archive, ArchiveSettings};
use leasehold_node::chain::{self, Chain, ChainSettings};
use leasehold_node::receipts::{Feed, Receipts, Settings, read_leases};
use leasehold_node::{Config, Node, NodeConfig, load_config};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

/// Answers the keepers' probes for one machine or for thousands, signs receipts for what they compute, and puts
/// them into the supplier's log.
///
/// SIGHUP reads machines, keepers and leases again (the rest of [receipts] and [chain] at the start alone);
/// SIGTERM and SIGINT stop the node after the answers under way.
#[derive(Parser)]
#[command(name = "leasehold-node", version, subcommand_negates_reqs = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// TOML file with the machines to answer for, and their keys.
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_NODE_CONFIG", required = true)]
    config: Option<PathBuf>,
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
    /// Stand as a proxy in front of the server with OpenAI's API at this URL; overrides the file's.
    #[arg(long, value_name = "URL", env = "LEASEHOLD_NODE_UPSTREAM")]
    upstream: Option<String>,
    /// What to log: error, warn, info, debug or trace, or a filter such as leasehold_node=debug.
    #[arg(long, value_name = "FILTER", env = "LEASEHOLD_NODE_LOG", default_value = "info")]
    log: String,
}

#[derive(Subcommand)]
enum Command {
    /// Follows compute logs, keeps all receipts and proves them to whoever asks; answers no probes.
    ///
    /// What to log is said before the word: `leasehold-node --log debug archive`.
    Archive(ArchiveSettings),
}

impl Args {
    fn path(&self) -> anyhow::Result<&Path> {
        self.config.as_deref().context("--config is missing: give the file with the machines to answer for")
    }

    fn load(&self) -> anyhow::Result<Config> {
        let mut config = load_config(self.path()?, self.upstream.as_deref())?;
        if !self.keepers.is_empty() {
            config.serving.keepers = Some(self.keepers.clone());
        }
        Ok(config)
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

    if let Some(Command::Archive(settings)) = args.command {
        let archive = Archive::start(settings).await?;
        println!("archive on http://{}", archive.local_addr());
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        archive.shutdown().await;
        info!("stopped");
        return Ok(());
    }

    let Config { serving, receipts } = args.load()?;
    let chain = chain::load(args.path()?)?;
    let feed = Feed::new(&serving);
    let config = NodeConfig { listen: args.listen.clone(), serving, rate: args.rate, metrics: args.metrics };
    let node = Node::bind(config).await?;
    for address in node.local_addrs() {
        println!("listening on {address}");
    }
    if let Some(address) = node.metrics_addr() {
        println!("metrics on http://{address}/metrics");
    }
    info!(machines = node.machines(), "answering probes");
    let (receipts, chain) = start_receipts(receipts, chain, &feed).await?;
    if let Some(chain) = &chain {
        node.add_metrics(chain.metrics().clone());
    }

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = reload.recv() => match reread(&args, &node, &feed) {
                Ok(()) => info!(machines = node.machines(), "configuration read again"),
                // A mistake in the file must not take the machines down.
                Err(error) => error!("the configuration stays as it was: {error:#}"),
            },
        }
    }
    // Before the database that it writes to.
    if let Some(chain) = chain {
        chain.shutdown().await;
    }
    if let Some(receipts) = receipts {
        receipts.shutdown().await;
    }
    node.shutdown().await;
    info!("stopped");
    Ok(())
}

/// Starts what signs receipts, and what deals with the chain for it.
async fn start_receipts(
    settings: Option<Settings>,
    chain: Option<ChainSettings>,
    feed: &Feed,
) -> anyhow::Result<(Option<Receipts>, Option<Chain>)> {
    let Some(settings) = settings else {
        anyhow::ensure!(chain.is_none(), "[chain] needs [receipts]: say there where receipts are kept");
        return Ok((None, None));
    };
    if let Some(path) = &settings.leases {
        anyhow::ensure!(
            chain.is_none(),
            "leases are read from the chain: take `leases` out of [receipts], or [chain] out of the file"
        );
        feed.set_leases(read_leases(path)?);
    }
    let source = settings.source.clone();
    let receipts = Receipts::start(settings, feed.machines(), feed.leases()).await?;
    println!("receipts on http://{}", receipts.local_addr());
    if let Some(address) = receipts.public_addr() {
        println!("receipts for everybody on http://{address}");
    }
    let Some(chain) = chain else { return Ok((Some(receipts), None)) };
    let store = receipts.store().clone();
    let chain = Chain::start(chain, source, feed.machines(), feed.leases_sender(), store).await?;
    Ok((Some(receipts), Some(chain)))
}

fn reread(args: &Args, node: &Node, feed: &Feed) -> anyhow::Result<()> {
    let Config { serving, receipts } = args.load()?;
    let leases = receipts.and_then(|settings| settings.leases);
    let leases = leases.map(|path| read_leases(&path)).transpose()?;
    node.set_serving(serving.clone())?;
    feed.set_serving(&serving);
    leases.into_iter().for_each(|leases| feed.set_leases(leases));
    Ok(())
}
