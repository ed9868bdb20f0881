//! `leasehold-node`: see [`leasehold_node`].

mod services;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use leasehold_client::probe::Pubkey;
use leasehold_daemon::logging::LogFormat;
use leasehold_daemon::signals::Shutdown;
use leasehold_daemon::{exit_code, logging, parse, print, sentence};
use leasehold_node::chain;
use leasehold_node::check::{self, CheckOptions};
use leasehold_node::receipts::read_leases;
use leasehold_node::tenancy;
use leasehold_node::{Config, Feed, Node, NodeConfig, load_config};
use services::{Parts, Services};
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tracing::{error, info};

/// Time between two looks at the files that the node holds.
const LOOK: Duration = Duration::from_secs(5);

/// Answers the keepers' probes for one machine or for thousands, signs receipts for their work and appends them to the
/// supplier's log, and lets tenants into their machines.
///
/// SIGHUP reloads machines, keepers and leases; the rest of [receipts], [chain] and [access] is read at the start only. SIGTERM
/// and SIGINT stop the node after the answers under way.
#[derive(Parser)]
#[command(name = "leasehold-node", version)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// TOML file with the machines, their keys, and the sections [receipts], [chain] and [access].
    #[arg(long, global = true, value_name = "FILE", env = "LEASEHOLD_NODE_CONFIG")]
    config: Option<PathBuf>,
    /// UDP address to listen on; may be given several times, as for machines that are listed with ports of their own. [::]
    /// takes IPv4 as well. Answers leave from the address that was asked.
    #[arg(long, global = true, value_name = "IP:PORT", env = "LEASEHOLD_NODE_LISTEN", value_delimiter = ',')]
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
    #[arg(long, value_name = "URL", env = "LEASEHOLD_NODE_UPSTREAM", hide_env_values = true)]
    upstream: Option<String>,
    /// Log level: error, warn, info, debug or trace; or a filter such as leasehold_node=debug.
    #[arg(long, global = true, value_name = "FILTER", env = "LEASEHOLD_NODE_LOG", default_value = "info")]
    log: String,
    /// Form of log lines: text, or JSON with one object a line.
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "LEASEHOLD_NODE_LOG_FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Command {
    /// Tries the machines as a keeper would, before they are bonded or while the node runs, and prints a table.
    ///
    /// Sends real challenges to the machines' public endpoints, and looks at keys, clock, board, RPC node, ports, buffers,
    /// files, receipts, GPUs, and at what letting tenants in needs. Fails if something keeps the machines from working. Signs nothing that counts.
    Check(Check),
}

#[derive(clap::Args)]
struct Check {
    /// Keypair file of a machine that is not listed yet, instead of the configuration's machines; may be given several
    /// times.
    #[arg(long, value_name = "FILE")]
    keypair: Vec<PathBuf>,
    /// Public address at which keepers will ask the machines; may be given several times [default: as listed on the board]
    #[arg(long, value_name = "IP:PORT", value_delimiter = ',')]
    endpoint: Vec<SocketAddr>,
    /// URL of an RPC node, besides that of [chain]; may be given several times.
    #[arg(long, value_name = "URL")]
    rpc: Vec<String>,
    /// The program nvidia-smi, of NVIDIA's driver.
    #[arg(long, env = "LEASEHOLD_NVIDIA_SMI", value_name = "FILE", default_value = "nvidia-smi")]
    nvidia_smi: PathBuf,
    /// Profile of the tenants' machines: vm, container, metal, or a folder with its scripts [default: that of [access]]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<PathBuf>,
    /// The program nvidia-ctk, of NVIDIA's container toolkit.
    #[arg(long, value_name = "FILE", default_value = "nvidia-ctk")]
    nvidia_ctk: PathBuf,
    /// This host's own sshd.
    #[arg(long, value_name = "FILE", default_value = "/usr/sbin/sshd")]
    sshd: PathBuf,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Path of the configuration, without which the process ends.
    fn config(&self) -> &Path {
        let missing = || -> ! {
            let text = "--config FILE is missing: name the configuration, as node/example.toml shows it";
            Args::command().error(ErrorKind::MissingRequiredArgument, text).exit()
        };
        self.config.as_deref().unwrap_or_else(|| missing())
    }

    fn load(&self) -> anyhow::Result<Config> {
        let mut config = load_config(self.config(), self.upstream.as_deref())?;
        if !self.keepers.is_empty() {
            config.serving.keepers = Some(self.keepers.clone());
        }
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = parse::<Args>();
    match &args.command {
        Some(Command::Check(check)) => try_machines(&args, check).await,
        None => exit_code("leasehold-node", run(args).await),
    }
}

async fn try_machines(args: &Args, check: &Check) -> ExitCode {
    let options = CheckOptions {
        config: if check.keypair.is_empty() { Some(args.config().to_owned()) } else { args.config.clone() },
        listen: args.listen.clone(),
        keypairs: check.keypair.clone(),
        endpoints: check.endpoint.clone(),
        rpcs: check.rpc.clone(),
        nvidia_smi: check.nvidia_smi.clone(),
        profile: check.profile.clone(),
        nvidia_ctk: check.nvidia_ctk.clone(),
        sshd: check.sshd.clone(),
    };
    let report = check::run(&options).await;
    let text = if check.json {
        serde_json::to_string_pretty(&report).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
    } else {
        report.to_string()
    };
    print(text);
    if report.is_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(args: Args) -> anyhow::Result<()> {
    logging::init(logging::filter(&args.log)?, args.log_format);
    let (mut shutdown, mut reload) = Shutdown::with_reload()?;
    let Config { serving, receipts } = args.load()?;
    let mut lock = ConfigLock::take(args.config())?;
    let chain = chain::load(args.config())?;
    let access = tenancy::load(args.config(), &serving, chain.is_some())?;
    let feed = Feed::new(&serving);
    let (listen, rate, metrics) = (args.listen.clone(), args.rate, args.metrics);
    let guarded = access.is_some();
    let config = NodeConfig { listen, serving, rate, metrics, guarded, ..NodeConfig::default() };
    let node = Node::bind(config).await?;
    for address in node.local_addrs() {
        print(format_args!("listening on {address}"));
    }
    if let Some(address) = node.metrics_addr() {
        print(format_args!("metrics on http://{address}/metrics"));
    }
    info!(machines = node.machines(), "answering probes");
    // Whatever takes long at the start, a signal is obeyed.
    let services = tokio::select! {
        biased;
        () = shutdown.requested() => {
            node.shutdown().await;
            return Ok(());
        }
        services = Services::start(Parts { receipts, chain, access }, &feed, &node) => services?,
    };
    let mut look = tokio::time::interval(LOOK);
    let (failed, ended) = (services.failed(), node.ended());
    tokio::pin!(failed, ended);
    let end = loop {
        tokio::select! {
            () = shutdown.requested() => break Ok(()),
            error = &mut failed => break Err(error),
            ended = &mut ended => break Err(ended.into()),
            _ = look.tick() => if let Err(error) = lock.look(args.config()).and_then(|()| services.check_files()) {
                break Err(error);
            },
            () = reload.requested() => match reload_config(&args, &node, &feed, &mut lock) {
                Ok(()) => info!(machines = node.machines(), "configuration reloaded"),
                // A mistake in the file must not take the machines down.
                Err(error) => error!("the configuration was not reloaded: {}", sentence(error.as_ref())),
            },
        }
    };
    services.shutdown().await;
    node.shutdown().await;
    info!("stopped");
    end
}

/// Held on the configuration file while the node runs.
struct ConfigLock {
    file: File,
    /// True once the log has it that the file is gone.
    is_missed: bool,
}

impl ConfigLock {
    /// Refuses a file that another node has: two that sign with one key may number two receipts alike.
    fn take(path: &Path) -> anyhow::Result<Self> {
        let file = open(path)?;
        anyhow::ensure!(
            !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
            "another leasehold-node runs with {}: stop it first, since two nodes with one key may number two receipts \
             alike, which costs the bond",
            path.display()
        );
        // File systems without locks are no reason not to run.
        Ok(Self { file, is_missed: false })
    }

    /// Takes over to the file that is there now, since a second node would look at that one. Fails if a second node has it.
    fn look(&mut self, path: &Path) -> anyhow::Result<()> {
        let is_missed = open(path).is_err();
        if is_missed && !self.is_missed {
            error!(
                "{} is gone or cannot be read: put it back, since a second node would not be noticed without it",
                path.display()
            );
        }
        self.is_missed = is_missed;
        if is_missed { Ok(()) } else { self.renew(path) }
    }

    /// Takes over to the file that is there now: editors write a new one.
    fn renew(&mut self, path: &Path) -> anyhow::Result<()> {
        let there = open(path)?.metadata()?;
        let held = self.file.metadata()?;
        if (there.dev(), there.ino()) != (held.dev(), held.ino()) {
            *self = Self::take(path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path)
        .with_context(|| format!("cannot open {}: check the path and who may read it", path.display()))
}

fn reload_config(args: &Args, node: &Node, feed: &Feed, lock: &mut ConfigLock) -> anyhow::Result<()> {
    lock.renew(args.config())?;
    let Config { serving, receipts } = args.load()?;
    let leases = receipts.and_then(|settings| settings.leases);
    let leases = leases.map(|path| read_leases(&path)).transpose()?;
    node.set_serving(serving.clone())?;
    feed.set_serving(&serving);
    leases.into_iter().for_each(|leases| feed.set_leases(leases));
    Ok(())
}
