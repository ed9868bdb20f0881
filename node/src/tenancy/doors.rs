//! The door as tenancies see it.

use leasehold_client::probe::Pubkey;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Lets tenants in and shuts them out.
pub trait Doors: Send + Sync + 'static {
    /// Makes the folder that the tenant's `sshd` reads, before the begin hook runs. Lets nobody in. Returns its path, which
    /// stays for the whole lease.
    ///
    /// # Errors
    /// A sentence for the log.
    fn prepare(&self, tenant: &Tenant) -> Result<PathBuf, String>;

    /// Path of that folder, whether it is there or not.
    fn folder(&self, machine: &MachineKey, lease: &Pubkey) -> PathBuf;

    /// Removes that folder.
    ///
    /// # Errors
    /// A sentence for the log.
    fn forget(&self, machine: &MachineKey, lease: &Pubkey) -> Result<(), String>;

    /// Lets a tenant into its machine. One that is let in already is replaced: if the epoch or the key differs its sessions
    /// are cut, if only the lease ends later nobody is.
    ///
    /// # Errors
    /// A sentence for the log; then nobody else is let in than before.
    fn admit(&self, tenant: Tenant) -> Result<(), String>;

    /// Lets nobody in and cuts all sessions of the machine.
    fn shut(&self, machine: &MachineKey);
}

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MachineKey {
    pub board: Pubkey,
    pub slot: u16,
}

/// Whom a machine lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub machine: MachineKey,
    pub lease: Pubkey,
    pub alias: String,
    pub access: [u8; 32],
    /// Unix second at which the lease ends.
    pub valid_until: u64,
    pub entry: Entry,
}

/// How its sessions get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Exec(Vec<String>),
    Forward(SocketAddr),
}
