//! Tries machines as a keeper would, before they are bonded: `leasehold-node check`.
//!
//! Each part adds rows to a [`Report`]: what was found, and what to do about it.

mod access;
mod board;
mod chain;
mod files;
mod gpus;
mod probe;
mod report;
mod sockets;

pub use report::{Report, Row, Status};

use crate::chain::load as load_chain;
use crate::config::{Config, load_config, signing_key};
use crate::machines::{Machine, Serving};
use crate::receipts::Settings;
use leasehold_client::probe::Pubkey;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What to try.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The node's configuration; `None` needs `keypairs`.
    pub config: Option<PathBuf>,
    /// Addresses that the node listens on.
    pub listen: Vec<SocketAddr>,
    /// Keypair files of machines that are not listed yet, and so in no configuration.
    pub keypairs: Vec<PathBuf>,
    /// Where keepers will ask: one for all machines. Without any, the addresses on the board, or else this host's own.
    pub endpoints: Vec<SocketAddr>,
    /// RPC nodes besides that of the configuration.
    pub rpcs: Vec<String>,
    pub nvidia_smi: PathBuf,
    /// Profile by which tenants get their machines: its folder, or the name of one of the package's. Without it, that of the
    /// configuration's section `[access]`.
    pub profile: Option<PathBuf>,
    pub nvidia_ctk: PathBuf,
    pub sshd: PathBuf,
}

/// What the parts look at.
struct Subject {
    machines: Vec<Machine>,
    keepers: Option<Vec<Pubkey>>,
    receipts: Option<Settings>,
    supplier: Option<Pubkey>,
    rpcs: Vec<String>,
    /// True if the machines have places on a board.
    is_listed: bool,
}

/// Tries everything.
pub async fn run(options: &CheckOptions) -> Report {
    let mut report = Report::default();
    let Some(subject) = subject(options, &mut report) else { return report };
    files::check(options, &mut report);
    files::check_receipts(subject.receipts.as_ref(), &mut report).await;
    let rpc = chain::check(&subject, &mut report).await;
    let listed = match rpc.filter(|_| subject.is_listed) {
        Some(rpc) => board::check(&subject, &rpc, &mut report).await,
        None => board::Listed::default(),
    };
    sockets::check(options, &subject, &listed, &mut report).await;
    gpus::check(&options.nvidia_smi, &listed, &mut report).await;
    access::check(options, &mut report).await;
    report
}

/// `None` if the configuration is invalid.
fn subject(options: &CheckOptions, report: &mut Report) -> Option<Subject> {
    let fail = |report: &mut Report, error: &dyn std::fmt::Display| {
        report.error("configuration", error.to_string(), "correct it, and check again");
    };
    let (mut config, mut chain) =
        (Config { serving: Serving { machines: vec![], keepers: None }, receipts: None }, None);
    if let Some(path) = &options.config {
        match load_config(path, None).and_then(|config| Ok((config, load_chain(path)?))) {
            Ok(loaded) => (config, chain) = loaded,
            Err(error) => {
                fail(report, &error);
                return None;
            }
        }
    }
    let is_listed = options.keypairs.is_empty();
    let mut machines = config.serving.machines;
    if !is_listed {
        let unlisted = (0..).zip(&options.keypairs).map(|(slot, path)| {
            let nowhere = Pubkey::default();
            let (program, market, board) = (leasehold::ID, nowhere, nowhere);
            let key = signing_key(path)?;
            Ok(Machine { program, market, board, slot, generation: 0, round_secs: None, key })
        });
        match unlisted.collect::<Result<_, crate::ConfigError>>() {
            Ok(unlisted) => machines = unlisted,
            Err(error) => {
                fail(report, &error);
                return None;
            }
        }
    }
    match machines.len() {
        0 => report.error(
            "configuration",
            "no machine".to_owned(),
            "add a section [[machine]], or name keypair files of machines to come with --keypair",
        ),
        count => report.ok("configuration", format!("{count} machines")),
    }
    if machines.iter().any(|machine| machine.round_secs.is_none()) && is_listed {
        report.warning(
            "round_secs",
            "machines without round_secs: a replayed challenge of any round is answered".to_owned(),
            "set `round_secs`, as `leasehold machine show --node-config` prints it",
        );
    }
    let rpcs = chain.iter().map(|chain| chain.watch.rpc.clone()).chain(options.rpcs.iter().cloned());
    Some(Subject {
        machines,
        keepers: config.serving.keepers,
        receipts: config.receipts,
        supplier: chain.as_ref().map(|chain| chain.watch.supplier),
        rpcs: rpcs.collect(),
        is_listed,
    })
}
