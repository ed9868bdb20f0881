//! `leasehold lease ray`: a Ray cluster of the machines of a lease, by Ray's own tools over ssh.
//!
//! Every process of Ray authenticates by a token that is made here. It goes to the machines in files that only root reads,
//! through standard input: never as an argument. What the machines need of each other is tried before anything is started.

mod cluster;
mod network;
mod script;

use std::{collections::BTreeMap, fmt, path::PathBuf};

use clap::{Args, Subcommand};
use leasehold_operate::{
    chain::Chain, failure::Failure, format::Format, output::write, stop::Stop, table::count,
    text::print_stderr,
};
use serde::Serialize;

use self::{
    cluster::{Cluster, Known, Nodes},
    script::{Daemons, Install, folder, version},
};
use super::{
    selection::LeasesArgs,
    session::{LoginArgs, Session},
};

/// Installed unless another version is named: the first one was tried with tokens.
const VERSION: &str = "2.55.0";
/// Ray refuses fewer bytes.
const LEAST_OBJECT_STORE: u64 = 75 * 1024 * 1024;

#[derive(Subcommand)]
pub enum RayCommand {
    /// Starts a Ray cluster on the machines of a lease, after installing Ray where it is missing.
    ///
    /// Every machine must reach every other by TCP, at all ports: so machines must be on one network. This is tried before
    /// anything is started. A lease of one machine needs no network.
    Up(UpArgs),
    /// Shows the cluster's nodes, as Ray's head sees them.
    Status(RayArgs),
    /// Ends Ray on all machines, and removes the token.
    Down(RayArgs),
}

#[derive(Args)]
pub struct RayArgs {
    #[command(flatten)]
    pub leases: LeasesArgs,
    #[command(flatten)]
    pub login: LoginArgs,
}

#[derive(Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub ray: RayArgs,
    /// Version of Ray to install from PyPI where it is missing.
    #[arg(long, value_name = "VERSION", default_value = VERSION, value_parser = version)]
    pub ray_version: String,
    /// Folder on the machines that has Ray's programs, for example /opt/ray/bin: nothing is installed.
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    pub ray_path: Option<String>,
    /// Port of Ray's head.
    #[arg(long, value_name = "PORT", default_value_t = 6_379, value_parser = clap::value_parser!(u16).range(1024..))]
    pub port: u16,
    /// Bytes of each machine's memory that Ray's object store may take [default: Ray's, 30 % of the memory].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(LEAST_OBJECT_STORE..))]
    pub object_store_memory: Option<u64>,
}

/// A cluster that runs.
#[derive(Debug, Serialize)]
struct Started {
    head: String,
    /// Address at which the machines reach the head.
    address: String,
    ray_version: String,
    nodes: u32,
    cpus: f64,
    gpus: f64,
    token_file: PathBuf,
    /// Forwards the dashboard, which also takes jobs, to this computer.
    dashboard: String,
}

pub async fn run(chain: &Chain, command: RayCommand) -> Result<(), Failure> {
    match command {
        RayCommand::Up(args) => stoppable(up(chain, args)).await,
        RayCommand::Status(ray) => stoppable(status(chain, ray)).await,
        RayCommand::Down(ray) => stoppable(down(chain, ray)).await,
    }
}

/// Ends every ssh if it is stopped, and with it what it runs.
async fn stoppable(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut stop =
        Stop::listen().map_err(|error| Failure::Input(format!("cannot install signal handlers: {error}")))?;
    tokio::select! {
        biased;
        () = stop.next() => Err(Failure::OnMachine("stopped: end what was started by `leasehold lease ray down`".to_owned())),
        done = work => done,
    }
}

async fn open(chain: &Chain, args: &RayArgs) -> Result<Session, Failure> {
    let leases = args.leases.load(chain).await?;
    Session::open(chain, &leases, args.leases.group, &args.login).await
}

async fn up(chain: &Chain, args: UpArgs) -> Result<(), Failure> {
    let session = open(chain, &args.ray).await?;
    let version = args.ray_version;
    let cluster = Cluster::new(&session);
    let machines = count(session.inventory.hosts.len(), "machine");
    let missing = if args.ray_path.is_some() { "" } else { ", and installing it where it is missing" };
    print_stderr(format!("Looking for Ray {version} on {machines}{missing}"));
    cluster.install(&Install { version: &version, folder: args.ray_path.as_deref() }).await?;
    print_stderr("Trying whether the machines reach each other");
    let addresses = cluster.addresses().await?;
    print_stderr(format!("Starting Ray on {machines}"));
    let (known, nodes) = start(
        &cluster,
        &addresses,
        Daemons { port: args.port, object_store_memory: args.object_store_memory },
    )
    .await?;
    let Known { head, address, .. } = &known;
    let (board, serial, slot) = (head.board, head.serial, head.slot);
    chain.settings.output.print(&Started {
        head: head.machine.clone(),
        address: address.clone(),
        ray_version: version,
        nodes: nodes.alive,
        cpus: nodes.cpus,
        gpus: nodes.gpus,
        token_file: cluster.token_file(),
        dashboard: format!("leasehold lease ssh {board}:{serial} {slot} -N -L 8265:127.0.0.1:8265"),
    })
}

/// Starts Ray on all machines, or leaves it on none: a cluster that ran before is not touched.
async fn start(
    cluster: &Cluster<'_>,
    addresses: &BTreeMap<String, String>,
    daemons: Daemons,
) -> Result<(Known, Nodes), Failure> {
    let ran = cluster.known().is_ok();
    let started = async {
        let known = cluster.start(addresses, daemons).await?;
        let nodes = cluster.nodes(&known).await?;
        Ok((known, nodes))
    };
    let error = match started.await {
        Ok(started) => return Ok(started),
        Err(error) => error,
    };
    if !ran {
        let ended = cluster.stop().await.and_then(|ends| ends.success());
        print_stderr(match ended {
            Ok(()) => "Ray was ended again on all machines".to_owned(),
            Err(error) => {
                format!("Ray may still run where it was started: run `leasehold lease ray down` ({error})")
            }
        });
    }
    Err(error)
}

async fn status(chain: &Chain, args: RayArgs) -> Result<(), Failure> {
    let session = open(chain, &args).await?;
    let cluster = Cluster::new(&session);
    let known = cluster.known()?;
    match chain.settings.output {
        Format::Display => write(leasehold_operate::text::clean(&cluster.status(&known).await?).as_bytes()),
        output => output.print(&cluster.nodes(&known).await?),
    }
}

async fn down(chain: &Chain, args: RayArgs) -> Result<(), Failure> {
    let session = open(chain, &args).await?;
    let ends = Cluster::new(&session).stop().await?;
    match chain.settings.output {
        Format::Display => {
            ends.success()?;
            print_stderr(format!("Ray has ended on {}", count(ends.0.len(), "machine")));
            Ok(())
        }
        output => {
            output.print(&ends)?;
            ends.success()
        }
    }
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Started { head, address, nodes, cpus, gpus, token_file, dashboard, .. } = self;
        let lines = [
            ("Head:", format!("{head}, {address}")),
            ("Nodes:", format!("{nodes}, with {cpus} CPUs and {gpus} GPUs")),
            ("Dashboard:", dashboard.clone()),
            (
                "Jobs:",
                "RAY_ADDRESS=http://127.0.0.1:8265 RAY_AUTH_MODE=token ray job submit -- COMMAND".to_owned(),
            ),
            ("Token:", format!("RAY_AUTH_TOKEN_PATH={}", token_file.display())),
        ];
        f.write_str(&leasehold_operate::table::labelled(lines))
    }
}
