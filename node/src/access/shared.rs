//! The machines of a Door and who is let in to each.

use super::authorized::Answers;
use super::connection::{Connections, Entered};
use super::folder::{Folders, Grant};
use super::leftovers::Leftovers;
use super::metrics::{Metrics, Outcome};
use super::{DoorError, Entry, MachineKey, Tenant, exec, forward};
use leasehold_client::probe::SigningKey;
use leasehold_daemon::tasks::stopped;
use leasehold_daemon::unix_secs;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

/// Time between two looks at the leases' ends, by this host's clock, which may jump.
const LOOK: Duration = Duration::from_secs(1);
/// Time for a caller's first byte. SSH lets both sides speak first; whoever waits for `sshd` gets it then.
const FIRST_BYTE: Duration = Duration::from_secs(2);

/// What the Door and its tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub runtime: Handle,
    pub machines: HashMap<MachineKey, Machine>,
    pub folders: Folders,
    pub leftovers: Leftovers,
    pub login: Duration,
    pub connections: Arc<Connections>,
    pub metrics: Arc<Metrics>,
}

/// One machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub node_key: SigningKey,
    pub open: Mutex<Option<Open>>,
}

/// A machine whose tenant is let in.
#[derive(Debug)]
pub(super) struct Open {
    pub tenant: Tenant,
    pub folder: PathBuf,
    pub answers: Answers,
}

impl Machine {
    pub fn open(&self) -> MutexGuard<'_, Option<Open>> {
        // A panic elsewhere leaves one tenant or none.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// True if the grant is for who is let in now, but for the end of the lease.
    pub fn is_of(&self, grant: &Grant<'_>) -> bool {
        let Tenant { lease, alias, access, .. } = &self.tenant;
        (lease, alias.as_str(), access) == (grant.lease, grant.alias, grant.access)
    }
}

impl Shared {
    pub fn machine(&self, machine: &MachineKey) -> Result<&Machine, DoorError> {
        self.machines.get(machine).ok_or(DoorError::UnknownMachine(*machine))
    }

    /// Writes the lease's folder. Shuts the machine first if somebody else is let in, or if the lease is over.
    pub fn write(
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

    pub fn shut(&self, machine: &MachineKey, open: &mut Option<Open>) {
        if let Some(Open { tenant, .. }) = open.take() {
            info!(%machine, lease = %tenant.lease, alias = tenant.alias, "nobody is let in any more");
        }
        // Whoever was accepted by now is on the list, since that needs the lock on `open`.
        for connection in self.connections.of(machine) {
            connection.cut(Outcome::Cut);
        }
    }

    pub fn shut_all(&self) {
        for (machine, place) in &self.machines {
            self.shut(machine, &mut place.open());
        }
        self.count_tenants();
    }

    pub fn count_tenants(&self) {
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
pub(super) async fn watch_ends(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
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

pub(super) fn now() -> u64 {
    u64::try_from(unix_secs()).unwrap_or(0)
}
