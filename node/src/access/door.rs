//! The Door.

use super::authorized::Answers;
use super::config::{KEY_SOCKET, is_plain};
use super::connection::Connections;
use super::folder::{self, Folders, Grant};
use super::leftovers::Leftovers;
use super::metrics::Metrics;
use super::settings::{DoorMachine, DoorSettings};
use super::shared::{Machine, Open, Shared, now, watch_ends};
use super::{DoorError, Entry, MachineKey, Tenant, listen};
use leasehold_client::probe::Pubkey;
use leasehold_daemon::tasks::{TaskEnded, Tasks};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

/// Time for sessions that are cut to end, at a shutdown.
const FAREWELL: Duration = Duration::from_secs(5);

/// Lets tenants in: see the [module](super).
///
/// Dropping it cuts all sessions.
#[derive(Debug)]
pub struct Door {
    shared: Arc<Shared>,
    addresses: Vec<(MachineKey, SocketAddr)>,
    stop: watch::Sender<bool>,
    tasks: Tasks,
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
        let mut tasks = Tasks::new(stopped.clone());
        for bound in sockets {
            tasks.spawn("door of a machine", listen::accept(bound, shared.clone(), stopped.clone()));
        }
        tasks.spawn("watch over the ends of leases", watch_ends(shared.clone(), stopped));
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

    /// Waits until a task has ended though nobody had stopped it.
    pub fn ended(&self) -> impl Future<Output = TaskEnded> + Send + use<> {
        self.tasks.ended()
    }

    /// Cuts all sessions and stops, within some seconds. The folders stay, so that a node that starts again keeps the host
    /// keys.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        self.shared.shut_all();
        if timeout(FAREWELL, self.tasks.join()).await.is_err() {
            warn!("an sshd does not end though it was killed: its processes may be frozen");
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shared.shut_all();
    }
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

fn check(folder: &Path, key_command: &Path) -> io::Result<()> {
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
