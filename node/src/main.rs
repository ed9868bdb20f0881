//! `leasehold-node`: see [`leasehold_node`].

use clap::Parser;
use leasehold_client::probe::Pubkey;
use leasehold_daemon::signals::{Reload, Shutdown};
use leasehold_daemon::{exit_code, logging};
use leasehold_node::chain::{self, Chain, ChainSettings};
use leasehold_node::leases::LeaseWatch;
use leasehold_node::receipts::{Receipts, Settings, read_leases};
use leasehold_node::{Config, Feed, Node, NodeConfig, load_config};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing::{error, info};

/// Answers the keepers' probes for one machine or for thousands, signs receipts for their work and appends them to the
/// supplier's log.
///
/// SIGHUP reloads machines, keepers and leases; the rest of [receipts] and [chain] is read at the start only. SIGTERM
/// and SIGINT stop the node after the answers under way.
#[derive(Parser)]
#[command(name = "leasehold-node", version)]
struct Args {
    /// TOML file with the machines, their keys, and the sections [receipts] and [chain].
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_NODE_CONFIG")]
    config: PathBuf,
    /// UDP address to listen on; may be given several times. [::] takes IPv4 as well. On a host with several addresses
    /// give the address that is listed on the board, so that answers leave from it.
    #[arg(long, value_name = "IP:PORT", env = "LEASEHOLD_NODE_LISTEN", value_delimiter = ',')]
    #[arg(default_values_t = NodeConfig::default().listen)]
    listen: Vec<SocketAddr>,
    /// Answer only this keeper; may be given several times; overrides `keepers` of the file.
    #[arg(long, value_name = "KEY", env = "LEASEHOLD_NODE_KEEPERS", value_delimiter = ',')]
    keepers: Vec<Pubkey>,
    /// Rate limit: challenges per second that are verified for one source address [default: 1000, and 2 for each
    /// machine]
    #[arg(long, value_name = "N", env = "LEASEHOLD_NODE_RATE")]
    rate: Option<NonZeroU32>,
    /// Loopback address on which Prometheus finds /metrics [default: none]
    #[arg(long, value_name = "IP:PORT", env = "LEASEHOLD_NODE_METRICS")]
    metrics: Option<SocketAddr>,
    /// Proxy for the inference server with OpenAI's API at this URL; overrides `upstream` of the file.
    #[arg(long, value_name = "URL", env = "LEASEHOLD_NODE_UPSTREAM")]
    upstream: Option<String>,
    /// Log level: error, warn, info, debug or trace; or a filter such as leasehold_node=debug.
    #[arg(long, value_name = "FILTER", env = "LEASEHOLD_NODE_LOG", default_value = "info")]
    log: String,
}

impl Args {
    fn load(&self) -> anyhow::Result<Config> {
        let mut config = load_config(&self.config, self.upstream.as_deref())?;
        if !self.keepers.is_empty() {
            config.serving.keepers = Some(self.keepers.clone());
        }
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code("leasehold-node", run(Args::parse()).await)
}

async fn run(args: Args) -> anyhow::Result<()> {
    logging::init(logging::filter(&args.log)?);
    let (mut shutdown, mut reload) = (Shutdown::install()?, Reload::install()?);
    let Config { serving, receipts } = args.load()?;
    let chain = chain::load(&args.config)?;
    let feed = Feed::new(&serving);
    let (listen, rate, metrics) = (args.listen.clone(), args.rate, args.metrics);
    let config = NodeConfig { listen, serving, rate, metrics, ..NodeConfig::default() };
    let node = Node::bind(config).await?;
    for address in node.local_addrs() {
        println!("listening on {address}");
    }
    if let Some(address) = node.metrics_addr() {
        println!("metrics on http://{address}/metrics");
    }
    info!(machines = node.machines(), "answering probes");
    let services = Services::start(receipts, chain, &feed, &node).await?;
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            () = reload.requested() => match reload_config(&args, &node, &feed) {
                Ok(()) => info!(machines = node.machines(), "configuration reloaded"),
                // A mistake in the file must not take the machines down.
                Err(error) => error!("the configuration was not reloaded: {error:#}"),
            },
        }
    }
    services.shutdown().await;
    node.shutdown().await;
    info!("stopped");
    Ok(())
}

/// Services that run beside the node's answers to probes.
struct Services {
    leases: Option<LeaseWatch>,
    receipts: Option<Receipts>,
    chain: Option<Chain>,
}

impl Services {
    async fn start(
        receipts: Option<Settings>,
        chain: Option<ChainSettings>,
        feed: &Feed,
        node: &Node,
    ) -> anyhow::Result<Self> {
        if let Some(path) = receipts.as_ref().and_then(|settings| settings.leases.as_ref()) {
            anyhow::ensure!(
                chain.is_none(),
                "leases are read from the chain: remove `leases` from [receipts], or remove [chain]"
            );
            feed.set_leases(read_leases(path)?);
        }
        let leases = chain.as_ref().map(|chain| {
            let watch = LeaseWatch::start(
                chain.watch.clone(),
                feed.machines(),
                feed.leases_sender(),
                node.probes().clone(),
            );
            node.add_metrics(watch.metrics().clone());
            watch
        });
        let Some(settings) = receipts else { return Ok(Self { leases, receipts: None, chain: None }) };
        let source = settings.source.clone();
        let receipts = Receipts::start(settings, feed.machines(), feed.signable()).await?;
        println!("receipts on http://{}", receipts.local_addr());
        if let Some(address) = receipts.public_addr() {
            println!("receipts for everybody on http://{address}");
        }
        let chain = match (chain, &leases) {
            (Some(settings), Some(leases)) => {
                let (signable, store) = (feed.signable_sender(), receipts.store().clone());
                let chain = Chain::start(settings, source, leases, signable, store).await?;
                node.add_metrics(chain.metrics().clone());
                Some(chain)
            }
            _ => None,
        };
        Ok(Self { leases, receipts: Some(receipts), chain })
    }

    /// Stops each service before those that it uses.
    async fn shutdown(self) {
        if let Some(chain) = self.chain {
            chain.shutdown().await;
        }
        if let Some(receipts) = self.receipts {
            receipts.shutdown().await;
        }
        if let Some(leases) = self.leases {
            leases.shutdown().await;
        }
    }
}

fn reload_config(args: &Args, node: &Node, feed: &Feed) -> anyhow::Result<()> {
    let Config { serving, receipts } = args.load()?;
    let leases = receipts.and_then(|settings| settings.leases);
    let leases = leases.map(|path| read_leases(&path)).transpose()?;
    node.set_serving(serving.clone())?;
    feed.set_serving(&serving);
    leases.into_iter().for_each(|leases| feed.set_leases(leases));
    Ok(())
}
