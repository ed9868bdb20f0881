//! The door as tenancies see it: tests put a recorder in its place.

use crate::access::{Door, MachineKey, Tenant};
use leasehold_client::probe::Pubkey;
use std::path::PathBuf;

/// Lets tenants in and shuts them out. Errors are sentences for the log.
pub trait Doors: Send + Sync + 'static {
    /// Makes the folder that the tenant's `sshd` reads, before the begin hook runs. Lets nobody in. Returns its path, which
    /// stays for the whole lease.
    ///
    /// # Errors
    /// If it can't be written.
    fn prepare(&self, tenant: &Tenant) -> Result<PathBuf, String>;

    /// Path of that folder, whether it is there or not.
    fn folder(&self, machine: &MachineKey, lease: &Pubkey) -> PathBuf;

    /// Removes that folder.
    ///
    /// # Errors
    /// If it can't be removed.
    fn forget(&self, machine: &MachineKey, lease: &Pubkey) -> Result<(), String>;

    /// Lets a tenant into its machine. One that is let in already is replaced: if the epoch or the key differs its sessions
    /// are cut, if only the lease ends later nobody is.
    ///
    /// # Errors
    /// If it can't be let in.
    fn admit(&self, tenant: Tenant) -> Result<(), String>;

    /// Lets nobody in and cuts all sessions of the machine.
    fn shut(&self, machine: &MachineKey);
}

impl Doors for Door {
    fn prepare(&self, tenant: &Tenant) -> Result<PathBuf, String> {
        let Tenant { machine, lease, alias, access, valid_until, .. } = tenant;
        Door::prepare(self, machine, lease, alias, access, *valid_until).map_err(|error| error.to_string())
    }

    fn folder(&self, machine: &MachineKey, lease: &Pubkey) -> PathBuf {
        Door::folder(self, machine, lease)
    }

    fn forget(&self, machine: &MachineKey, lease: &Pubkey) -> Result<(), String> {
        Door::forget(self, machine, lease).map_err(|error| error.to_string())
    }

    fn admit(&self, tenant: Tenant) -> Result<(), String> {
        Door::admit(self, tenant).map_err(|error| error.to_string())
    }

    fn shut(&self, machine: &MachineKey) {
        Door::shut(self, machine);
    }
}
