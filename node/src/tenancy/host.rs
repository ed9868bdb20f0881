//! Takes a planner's steps on this host: hooks and control groups.

use super::cgroup;
use super::doors::Doors;
use super::hook::{self, Printed, Variables};
use super::metrics::{Hook, Metrics};
use super::plan::{Action, Pass};
use super::record::{Room, RoomDoor, Tenancy};
use super::settings::AccessSettings;
use super::sight::Lease;
use crate::access::{Entry, MachineKey, Tenant};
use leasehold_client::access::host_alias;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tracing::info;

/// This host, its hooks and its door.
pub struct Host {
    pub settings: AccessSettings,
    pub doors: Arc<dyn Doors>,
    /// Tells this start of the host from others.
    pub boot: String,
    pub metrics: Arc<Metrics>,
}

/// Identifies the host's boot.
pub fn boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
}

impl Host {
    /// Takes a step that may take long; returns what a begin hook printed.
    ///
    /// # Errors
    /// A sentence for the log.
    pub async fn take(&self, machine: MachineKey, action: &Action) -> Result<Option<Room>, String> {
        match action {
            Action::Begin { tenancy, wipe, lease } => {
                self.begin(machine, tenancy, *wipe, lease).await.map(Some)
            }
            Action::End { tenancy, room } => self.end(machine, tenancy, room.as_ref()).await.map(|()| None),
            Action::Freeze(Room { cgroup: Some(path), .. }) => done(cgroup::freeze(path).await),
            Action::Thaw(Room { cgroup: Some(path), .. }) => done(cgroup::thaw(path)),
            // On another host, which the end hook reaches. The door is a step of its own.
            Action::Freeze(_) | Action::Thaw(_) | Action::Admit(_) | Action::Shut => Ok(None),
        }
    }

    /// Lets a tenant in.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn admit(&self, machine: MachineKey, pass: &Pass) -> Result<(), String> {
        self.doors.admit(tenant(machine, pass))
    }

    async fn begin(
        &self,
        machine: MachineKey,
        tenancy: &Tenancy,
        wipe: bool,
        lease: &Lease,
    ) -> Result<Room, String> {
        // Before the lease names a key, the folder names one that nobody has.
        let access = lease.access.map_or([0; 32], |access| access.0);
        let alias =
            host_alias(lease.board, lease.id.serial, lease.access_epoch, machine.slot, &lease.id.address);
        let valid_until = u64::try_from(lease.ends).unwrap_or_default();
        let entry = Entry::Exec(vec![]);
        let tenant = Tenant { machine, lease: lease.id.address, alias, access, valid_until, entry };
        let folder = self.doors.prepare(&tenant)?;
        let mut variables = self.variables(machine, tenancy, &folder);
        variables.insert("ALIAS", tenant.alias);
        variables.insert("WIPE", if wipe { "1" } else { "0" }.to_owned());
        let program = &self.settings.begin;
        let Printed { out, err } = self.run(Hook::Begin, program, &variables).await?;
        log(machine, Hook::Begin, &err);
        let checked =
            hook::room(program, &out, &self.boot).map_err(|error| error.to_string()).and_then(|room| {
                let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
                if let Some(path) = &room.cgroup {
                    cgroup::check(Path::new(cgroup::ROOT), path, &own).map_err(|error| error.to_string())?;
                }
                Ok(room)
            });
        checked.inspect_err(|_| self.metrics.hook_failed(Hook::Begin))
    }

    async fn end(&self, machine: MachineKey, tenancy: &Tenancy, room: Option<&Room>) -> Result<(), String> {
        if let Some(path) = room.and_then(|room| room.cgroup.as_ref()) {
            cgroup::kill(path).await.map_err(|error| error.to_string())?;
        }
        let folder = self.doors.folder(&machine, &tenancy.lease.address);
        let mut variables = self.variables(machine, tenancy, &folder);
        let Tenancy { lease, board, access_epoch, .. } = tenancy;
        variables
            .insert("ALIAS", host_alias(*board, lease.serial, *access_epoch, machine.slot, &lease.address));
        variables.insert("WIPE", "1".to_owned());
        let printed = self.run(Hook::End, &self.settings.end, &variables).await?;
        log(machine, Hook::End, &printed.err);
        self.doors.forget(&machine, &lease.address)
    }

    async fn run(&self, kind: Hook, program: &Path, variables: &Variables) -> Result<Printed, String> {
        let printed = hook::run(program, variables, self.settings.hook_limit).await;
        printed.map_err(|error| {
            self.metrics.hook_failed(kind);
            error.to_string()
        })
    }

    /// The environment of both hooks.
    fn variables(&self, machine: MachineKey, tenancy: &Tenancy, folder: &Path) -> Variables {
        let own = self.settings.machine(machine.board, machine.slot);
        let address = own.address.map(|address| address.to_string());
        let profile = self.settings.profile.map(|profile| profile.to_string());
        [
            ("LEASE", tenancy.lease.address.to_string()),
            ("BOARD", machine.board.to_string()),
            ("SLOT", machine.slot.to_string()),
            ("SERIAL", tenancy.lease.serial.to_string()),
            ("DIR", folder.display().to_string()),
            ("GPUS", own.gpus.join(",")),
            ("ADDRESS", address.unwrap_or_default()),
            ("HOST", own.host.unwrap_or_default()),
            ("PROFILE", profile.unwrap_or_default()),
        ]
        .into()
    }
}

fn done(result: Result<(), cgroup::CgroupError>) -> Result<Option<Room>, String> {
    result.map(|()| None).map_err(|error| error.to_string())
}

/// Logs what a hook that succeeded said besides its answer.
fn log(machine: MachineKey, hook: Hook, output: &str) {
    let MachineKey { board, slot } = machine;
    if !output.trim().is_empty() {
        info!(%board, slot, ?hook, "the hook said: {}", hook::tail(output));
    }
}

fn tenant(machine: MachineKey, pass: &Pass) -> Tenant {
    let Pass { lease, board, access, access_epoch, ends, room } = pass;
    Tenant {
        machine,
        lease: lease.address,
        alias: host_alias(*board, lease.serial, *access_epoch, machine.slot, &lease.address),
        access: access.0,
        valid_until: u64::try_from(*ends).unwrap_or_default(),
        entry: match &room.door {
            RoomDoor::Enter(argv) => Entry::Exec(argv.clone()),
            RoomDoor::Forward(address) => Entry::Forward(*address),
        },
    }
}
