//! The Door.

use super::authorized::Answers;
use super::config::{KEY_SOCKET, is_plain};
use super::connection::{Connections, Entered};
use super::folder::{Folders, Grant};
use super::leftovers::Leftovers;
use super::metrics::{Metrics, Outcome};
use super::settings::{DoorMachine, DoorSettings};
use super::{DoorError, Entry, MachineKey, Tenant, exec, folder, forward, listen};
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_daemon::unix_secs;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

/// Time between two looks at the leases' ends, by this host's clock, which may jump.
const LOOK: Duration = Duration::from_secs(1);
/// Time for sessions that are cut to end, at a shutdown.
const FAREWELL: Duration = Duration::from_secs(5);
/// Time for a caller's first byte. SSH lets both sides speak first; whoever waits for `sshd` gets it then.
const FIRST_BYTE: Duration = Duration::from_secs(2);

/// Lets tenants in: see the [module](super).
///
/// Dropping it cuts all sessions.
#[derive(Debug)]
pub struct Door {
    shared: Arc<Shared>,
    addresses: Vec<(MachineKey, SocketAddr)>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
pub(super) struct Shared {
    runtime: Handle,
    machines: HashMap<MachineKey, Machine>,
    folders: Folders,
    leftovers: Leftovers,
    login: Duration,
    connections: Arc<Connections>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Machine {
    node_key: SigningKey,
    open: Mutex<Option<Open>>,
}

/// A machine whose tenant is let in.
#[derive(Debug)]
struct Open {
    tenant: Tenant,
    folder: PathBuf,
    answers: Answers,
}

impl Machine {
    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        // A panic elsewhere leaves one tenant or none.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// True if the grant is for who is let in now, but for the end of the lease.
    fn is_of(&self, grant: &Grant<'_>) -> bool {
        let Tenant { lease, alias, access, .. } = &self.tenant;
        (lease, alias.as_str(), access) == (grant.lease, grant.alias, grant.access)
    }
}

impl Door {
    /// Listens on the machines' addresses. Nobody is let in yet. Cuts what a node that crashed has left.
    ///
    /// # Errors
    /// If a setting is invalid, an address is taken, or the folder can't be written.
    pub async fn bind(settings: DoorSettings) -> io::Result<Self> {
        let DoorSettings { machines, folder, key_command, mut bounds } = settings;
        check(&folder, &key_command)?;
        folder::make_folder(&folder).map_err(io::Error::other)?;
        let leftovers = Leftovers::open(folder.join("sessions"))?;
        bounds.fit(descriptors());
        let sockets = listen::bind(&machines)?;
        let addresses = sockets
            .iter()
            .map(|(machine, listener)| Ok((*machine, listener.local_addr()?)))
            .collect::<io::Result<_>>()?;
        let metrics = Arc::new(Metrics::default());
        let shared = Arc::new(Shared {
            runtime: Handle::current(),
            machines: by_key(machines)?,
            folders: Folders { root: folder, key_command, login: bounds.login },
            leftovers,
            login: bounds.login,
            connections: Connections::new(bounds, metrics.clone()),
            metrics,
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for bound in sockets {
            tasks.spawn(listen::accept(bound, shared.clone(), stopped.clone()));
        }
        tasks.spawn(watch_ends(shared.clone(), stopped));
        Ok(Self { shared, addresses, stop, tasks })
    }

    /// The addresses on which it listens.
    pub fn local_addrs(&self) -> &[(MachineKey, SocketAddr)] {
        &self.addresses
    }

    /// Writes the folder of a lease on a machine, which the begin hook needs before the tenant can be let in: host key,
    /// certificate, `sshd_config`, hash of the tenant's key. Returns its path, which is the same in all epochs of the lease.
    /// Idempotent. If somebody else is let in, also by another epoch of the lease, the machine is shut.
    ///
    /// # Errors
    /// Any [`DoorError`] but [`DoorError::NoCommand`].
    pub fn prepare(
        &self,
        machine: &MachineKey,
        lease: &Pubkey,
        alias: &str,
        access: &[u8; 32],
        valid_until: u64,
    ) -> Result<PathBuf, DoorError> {
        let place = self.shared.machine(machine)?;
        self.shared.write(place, &mut place.open(), Grant { machine, lease, alias, access, valid_until })
    }

    /// Lets a tenant in. If another is let in, or the same by another epoch or key, its sessions are cut; if only the lease's
    /// end has changed, the certificate is renewed and nobody is cut.
    ///
    /// # Errors
    /// Any [`DoorError`]. If it is another tenant, nobody is let in then.
    pub fn admit(&self, tenant: Tenant) -> Result<(), DoorError> {
        let Tenant { machine, lease, alias, access, valid_until, entry } = &tenant;
        let place = self.shared.machine(machine)?;
        if matches!(entry, Entry::Exec(command) if command.is_empty()) {
            return Err(DoorError::NoCommand { machine: *machine });
        }
        let grant = Grant { machine, lease, alias, access, valid_until: *valid_until };
        let mut open = place.open();
        let folder = self.shared.write(place, &mut open, grant)?;
        if let Some(open) = open.as_mut() {
            open.answers.set_valid_until(*valid_until);
            open.tenant = tenant;
            return Ok(());
        }
        let socket = folder.join(KEY_SOCKET);
        let _within = self.shared.runtime.enter();
        let answers = Answers::start(&socket, *access, *valid_until, now)
            .map_err(|source| DoorError::Socket { path: socket, source })?;
        info!(%machine, %lease, alias, valid_until, "the tenant is let in");
        *open = Some(Open { tenant, folder, answers });
        drop(open);
        self.shared.count_tenants();
        Ok(())
    }

    /// Lets nobody in to the machine and cuts all its sessions. What the tenant has started goes on. Idempotent.
    pub fn shut(&self, machine: &MachineKey) {
        if let Some(place) = self.shared.machines.get(machine) {
            self.shared.shut(machine, &mut place.open());
            self.shared.count_tenants();
        }
    }

    /// Path of the folder of a lease on a machine, whether it is there or not.
    pub fn folder(&self, machine: &MachineKey, lease: &Pubkey) -> PathBuf {
        self.shared.folders.path(machine, lease)
    }

    /// Removes the folder of a lease that is over, with its host key. Shuts the machine if the lease is let in. Idempotent.
    ///
    /// # Errors
    /// [`DoorError::UnknownMachine`] or [`DoorError::Write`].
    pub fn forget(&self, machine: &MachineKey, lease: &Pubkey) -> Result<(), DoorError> {
        let place = self.shared.machine(machine)?;
        let mut open = place.open();
        if open.as_ref().is_some_and(|open| open.tenant.lease == *lease) {
            self.shared.shut(machine, &mut open);
        }
        let removed = self.shared.folders.remove(machine, lease);
        drop(open);
        self.shared.count_tenants();
        removed
    }

    /// Counters, as Prometheus text.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Cuts all sessions and stops, within some seconds. The folders stay, so that a node that starts again keeps the host
    /// keys.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        self.shared.shut_all();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL, ended).await.is_err() {
            warn!("an sshd does not end though it was killed: its processes may be frozen");
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shared.shut_all();
    }
}

impl Shared {
    fn machine(&self, machine: &MachineKey) -> Result<&Machine, DoorError> {
        self.machines.get(machine).ok_or(DoorError::UnknownMachine(*machine))
    }

    /// Writes the lease's folder. Shuts the machine first if somebody else is let in, or if the lease is over.
    fn write(
        &self,
        place: &Machine,
        open: &mut Option<Open>,
        grant: Grant<'_>,
    ) -> Result<PathBuf, DoorError> {
        let (now, machine, valid_until) = (now(), grant.machine, grant.valid_until);
        if valid_until <= now || open.as_ref().is_some_and(|open| !open.is_of(&grant)) {
            self.shut(machine, open);
        }
        if valid_until <= now {
            return Err(DoorError::Ended { machine: *machine, valid_until });
        }
        self.folders.write(grant, &place.node_key, now)
    }

    fn shut(&self, machine: &MachineKey, open: &mut Option<Open>) {
        if let Some(Open { tenant, .. }) = open.take() {
            info!(%machine, lease = %tenant.lease, alias = tenant.alias, "nobody is let in any more");
        }
        // Whoever was accepted by now is on the list, since that needs the lock on `open`.
        for connection in self.connections.of(machine) {
            connection.cut(Outcome::Cut);
        }
    }

    fn shut_all(&self) {
        for (machine, place) in &self.machines {
            self.shut(machine, &mut place.open());
        }
        self.count_tenants();
    }

    fn count_tenants(&self) {
        let open = self.machines.values().filter(|place| place.open().is_some());
        self.metrics.set_tenants(open.count());
    }

    /// Serves a connection that was accepted. `None` if nobody is let in to the machine: then it is closed.
    pub fn accepted(
        self: &Arc<Self>,
        machine: MachineKey,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let place = self.machines.get(&machine)?;
        let open = place.open();
        let Some(Open { tenant, folder, .. }) = open.as_ref().filter(|open| now() < open.tenant.valid_until)
        else {
            self.metrics.ended(Outcome::NobodyLetIn);
            return None;
        };
        let socket = std::os::fd::AsFd::as_fd(&stream).try_clone_to_owned();
        let Ok(socket) =
            socket.inspect_err(|error| warn!(%error, %machine, "cannot serve an SSH connection"))
        else {
            self.metrics.ended(Outcome::Failed);
            return None;
        };
        let entered = self.connections.enter(machine, peer, socket.into());
        let (shared, entry, folder) = (self.clone(), tenant.entry.clone(), folder.clone());
        Some(async move { shared.serve(entered, stream, entry, folder).await })
    }

    async fn serve(&self, entered: Entered, stream: TcpStream, entry: Entry, folder: PathBuf) {
        let begin = Instant::now();
        let login_by = begin.checked_add(self.login).unwrap_or(begin);
        // A cut shuts the socket down, which ends this as well.
        if timeout(FIRST_BYTE, exec::speaks(&stream)).await.is_ok_and(|speaks| !speaks) {
            return;
        }
        match entry {
            Entry::Exec(command) => {
                exec::serve(&entered, stream, &command, &folder, &self.leftovers, login_by).await;
            }
            Entry::Forward(to) => forward::serve(&entered, stream, to, login_by).await,
        }
    }
}

/// Shuts machines whose lease is over, whoever forgot to.
async fn watch_ends(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = listen::stopped(&mut stop) => return,
            _ = look.tick() => {}
        }
        let now = now();
        for (machine, place) in &shared.machines {
            let mut open = place.open();
            if open.as_ref().is_some_and(|open| open.tenant.valid_until <= now) {
                info!(%machine, "the lease is over by this host's clock");
                shared.shut(machine, &mut open);
            }
        }
        shared.count_tenants();
    }
}

fn now() -> u64 {
    u64::try_from(unix_secs()).unwrap_or(0)
}

fn by_key(machines: Vec<DoorMachine>) -> io::Result<HashMap<MachineKey, Machine>> {
    let mut keyed = HashMap::with_capacity(machines.len());
    for DoorMachine { machine, node_key, .. } in machines {
        let place = Machine { node_key, open: Mutex::default() };
        if keyed.insert(machine, place).is_some() {
            return Err(invalid(format!("{machine} is given twice: remove one of the two")));
        }
    }
    Ok(keyed)
}

fn check(folder: &std::path::Path, key_command: &std::path::Path) -> io::Result<()> {
    if !is_plain(folder) {
        return Err(invalid(format!(
            "{} does not do as the folder of SSH access: give an absolute path of letters, digits and . _ - /, which sshd \
             reads as it is",
            folder.display()
        )));
    }
    if !key_command.is_file() {
        return Err(invalid(format!(
            "{} is missing: install leasehold-authorized-keys, which comes with leasehold-node",
            key_command.display()
        )));
    }
    Ok(())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// How many files this process may have open.
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}
