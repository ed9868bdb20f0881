//! The machines of a cluster, and what is known of it on this computer.

use std::{collections::BTreeMap, fmt, path::PathBuf, process::Stdio, time::Duration};

use leasehold_operate::{failure::Failure, text::print_stderr};
use serde::{Deserialize, Serialize};
use solana_keypair::Keypair;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::{
    network::{Candidate, Reached, choose, endpoint},
    script::{self, Daemons, Install},
};
use crate::commands::lease::{
    inventory::Host,
    keys,
    run::{Ended, Ends, Line, There, all, wrapped},
    session::{Session, program, quote::word, unstartable},
};

/// Machines at a time.
const PARALLEL: usize = 64;
/// Time for a machine to begin to listen.
const LISTENS: Duration = Duration::from_secs(60);
/// A started cluster and its token, as stored in the session's folder.
const KNOWN: &str = "ray.json";
const TOKEN: &str = "ray-token";

pub struct Cluster<'a> {
    session: &'a Session,
}

/// A cluster that was started from here.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Known {
    pub head: Head,
    /// Where the machines reach the head.
    pub address: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Head {
    pub machine: String,
    pub board: u32,
    pub serial: u32,
    pub slot: u16,
}

/// Nodes of a cluster that are alive, and what they have.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Nodes {
    pub alive: u32,
    pub cpus: f64,
    pub gpus: f64,
}

impl<'a> Cluster<'a> {
    pub fn new(session: &'a Session) -> Self {
        Cluster { session }
    }

    pub fn token_file(&self) -> PathBuf {
        self.session.file(TOKEN)
    }

    fn hosts(&self) -> &'a [Host] {
        &self.session.inventory.hosts
    }

    /// Runs a command on each machine that it is given for, and refuses if one fails.
    async fn on(&self, commands: Vec<There>) -> Result<Ends, Failure> {
        let ends = all(commands, PARALLEL, |_: Line| Ok(())).await?;
        for ended in ends.0.iter().filter(|ended| ended.exit_code != Some(0)) {
            let said = ended.stderr.lines().chain(ended.stdout.lines());
            let said: Vec<_> = said.filter(|line| !line.trim().is_empty()).collect();
            for line in said.iter().skip(said.len().saturating_sub(8)) {
                print_stderr(format!("{} | {line}", ended.machine));
            }
        }
        ends.success()?;
        Ok(ends)
    }

    fn there(&self, host: &Host, command: &str) -> There {
        There::new(self.session, host, &wrapped(command))
    }

    pub async fn install(&self, install: &Install<'_>) -> Result<(), Failure> {
        let script = script::install(install);
        self.on(self.hosts().iter().map(|host| self.there(host, &script)).collect()).await.map(drop)
    }

    /// Address of each machine at which all others reach it.
    pub async fn addresses(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut listening = Vec::new();
        for host in self.hosts() {
            listening.push(self.listen(host)?);
        }
        let mut candidates = Vec::new();
        for (host, child) in self.hosts().iter().zip(&mut listening) {
            candidates.push(said(host, child).await?);
        }
        let mut dials = Vec::new();
        for host in self.hosts() {
            let peers: Vec<_> = candidates.iter().filter(|peer| peer.name != host.name).collect();
            let peers = serde_json::to_vec(&peers).unwrap_or_default();
            let dial = format!("python3 -c {}", word(script::DIAL));
            dials.push(There::new(self.session, host, &dial).with_input(peers));
        }
        let reached: Reached = self.on(dials).await?.0.iter().flat_map(reached_by).collect();
        choose(&candidates, &reached)
    }

    /// Listens on a machine until this is dropped.
    fn listen(&self, host: &Host) -> Result<Child, Failure> {
        let mut ssh = Command::from(program("ssh", &self.session.config()));
        let listen = format!("python3 -c {} {}", word(script::LISTEN), host.name);
        ssh.args(["-T", "-o", "BatchMode=yes"]).arg(&host.name).arg("--").arg(listen);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        ssh.spawn().map_err(|error| unstartable("ssh", &error))
    }

    /// Starts the head and then the others.
    pub async fn start(
        &self,
        addresses: &BTreeMap<String, String>,
        daemons: Daemons,
    ) -> Result<Known, Failure> {
        let none = || Failure::Input("no machine can be Ray's head".to_owned());
        let head = self.session.inventory.head().ok_or_else(none)?;
        let at = addresses.get(&head.name).ok_or_else(none)?;
        let known = Known {
            head: Head {
                machine: head.name.clone(),
                board: head.board,
                serial: head.serial,
                slot: head.slot,
            },
            address: endpoint(at, daemons.port),
        };
        let token = self.token()?;
        let with_token = |host| There::new(self.session, host, script::TOKEN).with_input(token.clone());
        self.on(self.hosts().iter().map(with_token).collect()).await?;
        keys::replace(&self.session.file(KNOWN), &serde_json::to_vec(&known).unwrap_or_default())?;
        self.on(vec![self.daemon(head, &daemons.head(at))]).await?;
        let others = self.hosts().iter().filter(|host| host.name != head.name);
        let others = others.filter_map(|host| {
            let address = addresses.get(&host.name)?;
            Some(self.daemon(host, &daemons.worker(address, at)))
        });
        self.on(others.collect()).await?;
        Ok(known)
    }

    /// A command that starts what is to outlive its connection.
    fn daemon(&self, host: &Host, command: &str) -> There {
        let command = format!("exec </dev/null; {command}");
        There::new(self.session, host, &format!("sh -c {}", word(&command)))
    }

    /// The cluster's token: the one of before if there is one, so that a repeated command finds its own cluster.
    fn token(&self) -> Result<Vec<u8>, Failure> {
        let file = self.token_file();
        if let Ok(token) = std::fs::read(&file) {
            return Ok(token);
        }
        // Only its random bytes are taken.
        let token = hex::encode(Keypair::new().secret_bytes()).into_bytes();
        keys::replace(&file, &token)?;
        Ok(token)
    }

    /// The cluster that was started from this computer.
    pub fn known(&self) -> Result<Known, Failure> {
        let read = std::fs::read(self.session.file(KNOWN)).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| {
            Failure::Refused(format!(
                "no Ray cluster of {} was started from this computer: start one by `leasehold lease ray up`",
                self.session.inventory.name()
            ))
        })
    }

    fn head(&self, known: &Known) -> Result<&'a Host, Failure> {
        self.hosts().iter().find(|host| host.name == known.head.machine).ok_or_else(|| {
            let gone = &known.head.machine;
            Failure::Refused(format!("Ray's head, {gone}, left the lease: run `ray down`, then `ray up`"))
        })
    }

    pub async fn status(&self, known: &Known) -> Result<String, Failure> {
        let command = self.there(self.head(known)?, &script::status(&known.address));
        let ends = self.on(vec![command]).await?;
        Ok(ends.0.into_iter().map(|ended| ended.stdout).collect())
    }

    pub async fn nodes(&self, known: &Known) -> Result<Nodes, Failure> {
        let command = self.there(self.head(known)?, &script::nodes(&known.address));
        let ends = self.on(vec![command]).await?;
        let line =
            ends.0.iter().flat_map(|ended| ended.stdout.lines()).find_map(|line| line.strip_prefix("nodes "));
        let nodes = line.and_then(|line| serde_json::from_str(line).ok());
        nodes.ok_or_else(|| Failure::OnMachine(format!("{} did not say its nodes", known.head.machine)))
    }

    /// Ends Ray on all machines, whichever was the head.
    pub async fn stop(&self) -> Result<Ends, Failure> {
        let stop = |host| There::new(self.session, host, &wrapped(script::STOP));
        let ends = all(self.hosts().iter().map(stop).collect(), PARALLEL, |_: Line| Ok(())).await?;
        if ends.success().is_ok() {
            for name in [KNOWN, TOKEN] {
                let _ = std::fs::remove_file(self.session.file(name));
            }
        }
        Ok(ends)
    }
}

/// The first line of a machine that listens.
async fn said(host: &Host, child: &mut Child) -> Result<Candidate, Failure> {
    let stdout = child.stdout.as_mut().ok_or_else(|| Failure::Input("ssh has no output".to_owned()))?;
    let mut line = String::new();
    let read = timeout(LISTENS, BufReader::new(stdout).read_line(&mut line)).await;
    if !matches!(read, Ok(Ok(length)) if length > 0) {
        return Err(Failure::OnMachine(format!("{} did not begin to listen: is python3 there?", host.name)));
    }
    Candidate::read(&host.name, &line)
}

/// The machines that a machine reports it could reach.
fn reached_by(ended: &Ended) -> Vec<(String, String, String)> {
    let reached = serde_json::from_str::<Vec<(String, String)>>(ended.stdout.trim()).unwrap_or_default();
    reached.into_iter().map(|(to, address)| (ended.machine.clone(), to, address)).collect()
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} nodes, with {} CPUs and {} GPUs", self.alive, self.cpus, self.gpus)
    }
}
