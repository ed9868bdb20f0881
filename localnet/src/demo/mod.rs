//! The demo: thousands of machines are listed, seen, leased in one group, probed, attested, left, settled, refunded and
//! slashed; one of them answers requests, whose receipts are proved, and one lets its tenant in by SSH.
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
mod leaving;
mod progress;
mod report;
mod shell;
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
    claims::Burned,
    costs::{Cost, Costs},
    inference::Proved,
    progress::Progress,
    report::{LeaseReport, Report},
    shell::Shown,
};
use self::{
    faults::Faults,
    fleet::Fleet,
    inference::Inference,
    keepers::{KEEPERS, Keepers, THRESHOLD},
    shell::Shell,
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

    fleet.await_seen(&stage).await?;

    let orders = leases::orders(&stage, &mut random).await?;
    let mut leases = leases::open(&stage, &fleet, orders, demo.rounds).await?;
    let opened = snapshot(&stage).await?;
    let faults = Faults::choose(&stage, &mut random, &leases, demo.down).await?;
    let mut inference = Inference::begin(&stage, &mut random, &fleet, &leases, &faults).await?;
    let answering = inference.place()?;
    let endpoint = node.local_addr();
    let mut shell = Shell::begin(&stage, &fleet, &leases, &faults, answering, endpoint).await?;
    let first = leases.iter().map(|lease| lease.begins).max().context("there are no leases")?;
    let end = leases.iter().map(|lease| lease.ends).max().unwrap_or(first);
    let middle = first + fault_secs(demo);
    watch(&stage, &node, &keepers, first, first, "leases begin").await?;
    let course = async {
        leaving::leave(&stage, &mut leases, &faults, answering).await?;
        watch(&stage, &node, &keepers, first, middle, "leases run").await?;
        faults.inject(&stage, &fleet, &node).await
    };
    tokio::try_join!(inference.ask(&stage), shell.log_in(&stage), course)?;
    watch(&stage, &node, &keepers, middle, end, "leases go on").await?;

    leases::await_settlement(&stage, &leases).await?;
    let shell = shell.end(&stage).await?;
    let proved = inference.prove(&stage).await?;
    leases::await_vouchers(&stage, &leases).await?;
    keepers.stop().await?;
    node.shutdown().await;
    let settled = snapshot(&stage).await?;
    claims::claim(&stage, &fleet, &leases, &keepers).await?;
    let burned = claims::burn(&stage).await?;
    let claimed = snapshot(&stage).await?;

    let mut checks = invariants::Report::default();
    for moment in [&opened, &settled, &claimed] {
        checks.extend(invariants::check(moment));
    }
    for (before, after) in [(&opened, &settled), (&settled, &claimed)] {
        checks.extend(check_progress(before, after));
    }
    let end = report::End { state: &claimed, invariants: checks, burned, receipt: proved, shell };
    report::report(&stage, demo, &leases, &faults, end).await
}

async fn snapshot(stage: &Stage) -> Result<Snapshot> {
    Ok(stage.fetch().snapshot(&stage.market.address).await?)
}

/// Seconds from the beginning of the leases to the faults: so that machines serve a round before, and are down in more
/// than the one round that they may be, if the leases have three rounds or more.
fn fault_secs(demo: &Demo) -> i64 {
    let round = (demo.rounds / 2).min(demo.rounds.saturating_sub(3));
    // Keepers probe early in a round.
    i64::from(round) * i64::from(demo.round_secs) + i64::from(demo.round_secs) / 2
}

/// Shows the probes and votes until a Unix second of the chain's time.
async fn watch(
    stage: &Stage,
    node: &Node,
    keepers: &Keepers,
    first: i64,
    end: i64,
    name: &'static str,
) -> Result<()> {
    let secs = |time: i64| time.saturating_sub(first).max(0).unsigned_abs();
    let bar = stage.progress.begin(name, secs(end));
    loop {
        let time = stage.network.time().await?;
        let answers = node.count(Outcome::Answered);
        let (votes, failures) = (keepers.votes.load(Relaxed), keepers.failures.load(Relaxed));
        bar.set(secs(time));
        bar.set_message(format!("{answers} probes answered, {votes} votes"));
        if time >= end {
            let failed = if failures > 0 { format!(", {failures} steps retried") } else { String::new() };
            bar.end(&format!("{answers} probes answered, {votes} votes{failed}"));
            return Ok(());
        }
        sleep(POLL).await;
    }
}
