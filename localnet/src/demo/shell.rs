//! A tenant's shell: one leased machine lets in the key that the chain names, and cuts the session when the lease ends.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use leasehold_client::{
    access::{ca_line, fingerprint, host_alias},
    instruction,
};
use leasehold_node::{
    Feed, Machine, Serving,
    access::{Bounds, Door, DoorMachine, DoorSettings, MachineKey},
    leases::{LeaseWatch, WatchSettings},
    tenancy::{AccessSettings, Context as TenancyContext, Tenancies},
};
use serde::Serialize;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    faults::{Faults, Place},
    fleet::Fleet,
    leases::{Course, Opened},
    stage::{POLL, Stage, by},
};
use crate::rooms::Rooms;

/// Access epoch after the buyer's `set_access`.
const EPOCH: u32 = 1;
/// Time for logging in once the lease has begun, and for the cut after its end.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What the tenant sends, and reads back.
const LINE: &str = "hello\n";

/// What the tenant's shell showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// True if the key that the chain names was let in, and the machine answered.
    pub login: bool,
    /// True if the session was cut when the lease ended, and not before.
    pub cut: bool,
}

/// The shell of one machine's tenant, or why there is none.
pub enum Shell {
    LeftOut(String),
    Open(Box<Tenant>),
}

/// A machine with a door, its tenant, and the tenant's session.
pub struct Tenant {
    address: SocketAddr,
    alias: String,
    node_key: Pubkey,
    ends: i64,
    tenancies: Tenancies,
    door: Arc<Door>,
    leases: LeaseWatch,
    session: Option<Session>,
    // Dropped last: hooks and rooms are in it.
    rooms: Rooms,
}

/// An open session.
struct Session {
    /// How and when it ended, by this host's clock: the network's is the same until the demo moves it, after its leases.
    ended: JoinHandle<(ExitStatus, i64)>,
    // Closed, it would end the session.
    _input: ChildStdin,
}

impl Shell {
    /// Names a key for the machine of an hourly lease that will not fail, and lets it in once the lease begins. `kept`: a
    /// machine that stays in its lease. `endpoint`: where the machine answers probes; it takes TCP on the same port.
    pub async fn begin(
        stage: &Stage,
        fleet: &Fleet,
        leases: &[Opened],
        faults: &Faults,
        kept: Place,
        endpoint: SocketAddr,
    ) -> Result<Self> {
        let rooms = match Rooms::new() {
            Ok(rooms) => rooms,
            Err(reason) => {
                stage.progress.print_line(&format!("no shell is shown: {reason}"));
                return Ok(Self::LeftOut(reason));
            }
        };
        let (lease, slot) = machine(leases, faults, kept)?;
        let machines = fleet.machines_as_listed(stage).await?;
        let is_it =
            |machine: &Machine| machine.board == lease.board.address && machine.slot == u32::from(slot);
        let machine = machines.into_iter().find(is_it).context("a leased machine is not on its board")?;
        let access = new_key(&rooms).await?;
        let set = instruction::set_access(lease.buyer.pubkey(), lease.address, Some(access), false);
        stage.send("set_access", &by(&lease.buyer, vec![set])).await?;
        let tenant = Tenant::start(stage, rooms, lease, slot, machine, endpoint).await?;
        Ok(Self::Open(Box::new(tenant)))
    }

    /// Logs in, when the lease has begun.
    pub async fn log_in(&mut self, stage: &Stage) -> Result<()> {
        match self {
            Self::LeftOut(_) => Ok(()),
            Self::Open(tenant) => tenant.log_in(stage).await,
        }
    }

    /// Waits for the cut and for the wipe after it. Returns why if the shell was left out.
    pub async fn end(self, stage: &Stage) -> Result<Result<Shown, String>> {
        match self {
            Self::LeftOut(reason) => Ok(Err(reason)),
            Self::Open(tenant) => tenant.end(stage).await.map(Ok),
        }
    }
}

/// A machine that stays up in a lease by the hour: of a small one, or the one that stays in the large one.
fn machine<'a>(leases: &'a [Opened], faults: &Faults, kept: Place) -> Result<(&'a Opened, u16)> {
    let is_up = |place: &Place| !faults.forfeited.contains(place) && !faults.dark.contains(place);
    let found = leases.iter().flat_map(|lease| lease.slots.iter().map(move |slot| (lease, *slot)));
    let mut found = found.filter(|(lease, slot)| {
        let place = (lease.board.address, *slot);
        is_up(&place) && (lease.course == Course::Small || place == kept)
    });
    found.next().context("every leased machine fails; give a smaller --down")
}

/// Makes a key for the lease with OpenSSH's own tool. Returns what the lease names of it.
async fn new_key(rooms: &Rooms) -> Result<[u8; 32]> {
    let path = rooms.path("id");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(&path)
        .status()
        .await;
    ensure!(made.context("cannot run ssh-keygen")?.success(), "ssh-keygen makes no key");
    let public = fs::read_to_string(path.with_extension("pub")).context("cannot read the key")?;
    let blob = public.split_whitespace().nth(1).context("ssh-keygen wrote no key")?;
    Ok(fingerprint(&BASE64_STANDARD.decode(blob).context("ssh-keygen wrote no key")?))
}

impl Tenant {
    async fn start(
        stage: &Stage,
        rooms: Rooms,
        lease: &Opened,
        slot: u16,
        machine: Machine,
        endpoint: SocketAddr,
    ) -> Result<Self> {
        let listed = stage.fetch().board(lease.board.address).await?;
        let supplier = listed.view()?.slot(slot).context("a leased machine is not on its board")?.supplier;
        let (node_key, board) = (machine.key.clone(), lease.board.address);
        let feed = Feed::new(&Serving { machines: vec![machine], keepers: None });
        let poll = Duration::from_secs(1);
        let watched = WatchSettings { rpc: stage.network.rpc_url().to_owned(), supplier, poll };
        let leases = LeaseWatch::start(watched, feed.machines(), feed.leases_sender(), Arc::default());
        let settings = settings(&rooms)?;
        let key = MachineKey { board, slot };
        let door = Door::bind(DoorSettings {
            machines: vec![DoorMachine { machine: key, listen: vec![endpoint], node_key: node_key.clone() }],
            folder: settings.state.join("doors"),
            key_command: settings.key_command.clone(),
            bounds: Bounds::default(),
        });
        let door = Arc::new(door.await.context("cannot take SSH connections at the machine's endpoint")?);
        let context = TenancyContext {
            supplier,
            poll,
            machines: feed.machines(),
            // The demo's node answers for all machines; a node of its own would not before the begin hook has succeeded.
            probes: Arc::default(),
            doors: door.clone(),
        };
        let tenancies = Tenancies::start(settings, &leases, context)?;
        let alias = host_alias(lease.board.index, lease.serial, EPOCH, slot, &lease.address);
        let node_key = Pubkey::new_from_array(node_key.verifying_key().to_bytes());
        let (address, ends) = (endpoint, lease.ends);
        Ok(Self { address, alias, node_key, ends, tenancies, door, leases, session: None, rooms })
    }

    async fn log_in(&mut self, stage: &Stage) -> Result<()> {
        let known_hosts = self.rooms.path("known_hosts");
        fs::write(&known_hosts, format!("{}\n", ca_line(&self.alias, &self.node_key)))?;
        let deadline = Instant::now() + TIMEOUT;
        while self.session.is_none() && Instant::now() < deadline {
            self.session = open_session(self.ssh(&known_hosts)).await;
            sleep(POLL).await;
        }
        let said = if self.session.is_some() { "logs in to" } else { "can't log in to" };
        stage.progress.print_line(&format!("a buyer {said} {}", self.alias));
        Ok(())
    }

    /// A client that trusts what the chain names, and nothing else.
    fn ssh(&self, known_hosts: &Path) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-l", "root", "-p", &self.address.port().to_string(), "-i"]);
        ssh.arg(self.rooms.path("id"));
        for option in [
            "BatchMode=yes",
            "GlobalKnownHostsFile=none",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=yes",
            &format!("HostKeyAlias={}", self.alias),
            &format!("UserKnownHostsFile={}", known_hosts.display()),
        ] {
            ssh.args(["-o", option]);
        }
        ssh.arg(self.address.ip().to_string());
        ssh
    }

    async fn end(self, stage: &Stage) -> Result<Shown> {
        let Self { ends, session, rooms, tenancies, door, leases, .. } = self;
        let mut shown = Shown { login: session.is_some(), cut: false };
        if let Some(Session { ended, _input }) = session {
            let ended = timeout(TIMEOUT, ended).await;
            // ssh ends with 255 if it loses the connection.
            shown.cut = matches!(ended, Ok(Ok((status, at))) if status.code() == Some(255) && at >= ends);
            let said = if shown.cut {
                "is cut at the end of its lease"
            } else {
                "is NOT cut at the end of its lease"
            };
            stage.progress.print_line(&format!("the buyer's session {said}"));
        }
        // The machine is wiped once the end is final. What is left then, the rooms end.
        let deadline = Instant::now() + TIMEOUT;
        let is_wiped = || fs::read_to_string(rooms.path("hooks")).is_ok_and(|hooks| hooks.contains("end "));
        while !is_wiped() && Instant::now() < deadline {
            sleep(POLL).await;
        }
        ensure!(is_wiped(), "the machine that was logged in to was not wiped in time");
        tenancies.shutdown().await;
        if let Some(door) = Arc::into_inner(door) {
            door.shutdown().await;
        }
        leases.shutdown().await;
        Ok(shown)
    }
}

fn settings(rooms: &Rooms) -> Result<AccessSettings> {
    Ok(AccessSettings {
        profile: None,
        begin: rooms.path("begin"),
        end: rooms.path("end"),
        state: rooms.path("state"),
        hook_limit: TIMEOUT,
        key_command: rooms.key_command().context("cannot write the command that answers keys")?,
        machines: Default::default(),
        host: None,
    })
}

/// Opens a session in which lines come back. `None` if the tenant is not let in.
async fn open_session(mut ssh: Command) -> Option<Session> {
    let command = ssh.arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child: Child = command.kill_on_drop(true).spawn().ok()?;
    let (mut input, output) = (child.stdin.take()?, child.stdout.take()?);
    input.write_all(LINE.as_bytes()).await.ok()?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).await.ok()?;
    if line != LINE {
        return None;
    }
    let ended = tokio::spawn(async move {
        let status = child.wait().await.unwrap_or_default();
        (status, unix_secs())
    });
    Some(Session { ended, _input: input })
}

fn unix_secs() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
