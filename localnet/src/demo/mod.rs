//! The demo: thousands of machines are listed, leased in one group, probed, attested, settled, refunded and slashed;
//! and one of them answers requests, whose receipts are proved.
//!
//! Everything is real: the program in its virtual machine behind JSON-RPC, the keepers, the node, their sockets. Wallets
//! are funded with lamports and tokens; everything else is done by transactions.

mod claims;
mod costs;
mod faults;
mod fleet;
mod inference;
mod keepers;
mod leases;
mod progress;
mod report;
mod stage;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::Ordering::Relaxed,
};

use anyhow::{Context, Result};
use leasehold_client::invariants::{self, Snapshot, check_progress};
use leasehold_node::{Node, NodeConfig, Outcome};
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::sleep;

pub use self::{
    costs::{Cost, Costs},
    inference::Proved,
    progress::Progress,
    report::{LeaseReport, Report},
};
use self::{
    faults::Faults,
    fleet::Fleet,
    inference::Inference,
    keepers::{KEEPERS, Keepers, THRESHOLD},
    stage::{POLL, Stage},
};
use crate::{Genesis, Network, Options, open_market, program};

/// Size and course of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    pub machines: u32,
    /// Length of each lease in rounds.
    pub rounds: u32,
    /// Length of a round in seconds.
    pub round_secs: u32,
    /// Percentage of the leased machines that stop answering in mid-lease.
    pub down: u8,
    /// Seed of all random choices: keys, machines, prices, failures.
    pub seed: u64,
}

/// Runs the demo from an empty network to the last claim.
///
/// # Errors
/// If a transaction is refused or something takes too long. A violated invariant is not an error, but part of the
/// report.
pub async fn run(demo: &Demo, progress: Progress) -> Result<Report> {
    let mut random = StdRng::seed_from_u64(demo.seed);
    let options = Options {
        program: Some(program()?),
        payer: Some(fleet::wallet(&mut random).insecure_clone()),
        ..Options::default()
    };
    let boards = fleet::boards(demo.machines);
    let mut genesis = Genesis::new(demo.round_secs).committee(KEEPERS, THRESHOLD);
    genesis.boards = boards;
    let params = genesis.params.clone();
    let network = Network::start(options).await?;
    let market = open_market(&network, genesis).await?;
    progress.print_line(&format!("local network at {}", network.rpc_url()));
    let stage = Stage { network, market, round_secs: demo.round_secs, costs: Costs::default(), progress };

    let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    let node = Node::bind(NodeConfig { listen, ..NodeConfig::default() }).await?;
    let fleet = Fleet::new(&mut random, demo.machines, node.local_addr());
    fleet.list(&stage, &params).await?;
    fleet.serve(&stage, &node).await?;
    let mut keepers = Keepers::start(&stage, &mut random, &params, boards).await?;

    let orders = leases::orders(&stage, &mut random).await?;
    let leases = leases::open(&stage, &fleet, orders, demo.rounds).await?;
    let opened = snapshot(&stage).await?;
    let faults = Faults::choose(&stage, &mut random, &leases, demo.down).await?;
    let mut inference = Inference::begin(&stage, &mut random, &fleet, &leases, &faults).await?;
    let first = leases.iter().map(|lease| lease.from).max().context("there are no leases")?;
    let end = leases.iter().map(|lease| lease.until).max().unwrap_or(first);
    let middle = first + demo.rounds / 2;
    watch(&stage, &node, &keepers, first, first, "leases begin").await?;
    inference.ask(&stage).await?;
    watch(&stage, &node, &keepers, first, middle, "leases run").await?;
    faults.inject(&stage, &fleet, &node).await?;
    watch(&stage, &node, &keepers, middle, end, "leases go on").await?;

    leases::await_settlement(&stage, &leases).await?;
    let proved = inference.prove(&stage).await?;
    keepers.stop().await?;
    node.shutdown().await;
    let settled = snapshot(&stage).await?;
    claims::claim(&stage, &fleet, &leases, &keepers).await?;
    let claimed = snapshot(&stage).await?;

    let mut checks = invariants::Report::default();
    for moment in [&opened, &settled, &claimed] {
        checks.extend(invariants::check(moment));
    }
    for (before, after) in [(&opened, &settled), (&settled, &claimed)] {
        checks.extend(check_progress(before, after));
    }
    report::report(&stage, demo, &leases, &faults, &claimed, checks, proved).await
}

async fn snapshot(stage: &Stage) -> Result<Snapshot> {
    Ok(stage.fetch().snapshot(&stage.market.address).await?)
}

/// Shows the probes and votes until a round begins.
async fn watch(
    stage: &Stage,
    node: &Node,
    keepers: &Keepers,
    first: u32,
    end: u32,
    name: &'static str,
) -> Result<()> {
    let bar = stage.progress.begin(name, end.saturating_sub(first).into());
    loop {
        let round = stage.round().await?;
        let answers = node.count(Outcome::Answered);
        let (votes, failures) = (keepers.votes.load(Relaxed), keepers.failures.load(Relaxed));
        bar.set(round.saturating_sub(first).into());
        bar.set_message(format!("{answers} probes answered, {votes} votes"));
        if round >= end {
            let failed = if failures > 0 { format!(", {failures} steps retried") } else { String::new() };
            bar.end(&format!("{answers} probes answered, {votes} votes{failed}"));
            return Ok(());
        }
        sleep(POLL).await;
    }
}
