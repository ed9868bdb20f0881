//! The Door: lets the tenant of each machine in by SSH, and nobody else.
//!
//! A [`Door`] accepts TCP on the machines' endpoints, on the ports of the probes. A connection to a machine that has a
//! [`Tenant`] goes to an `sshd -i` of its own inside the tenant's namespaces, which gets the accepted socket, or to the
//! `sshd` of the tenant's virtual machine. One process never serves two leases, and no `sshd` runs on the host itself.
//!
//! For each lease on a machine there is one folder (see [`Door::prepare`]) with all that its `sshd` reads. Whoever starts
//! the tenant's container makes this folder visible in it at the same path, read-only. It holds a host key that is new for
//! each access epoch, and its certificate by the machine's `node_key`, which signs nothing else here.
//!
//! Keys are answered from memory through a Unix socket in that folder, so that nobody waits for an RPC node. Access fails
//! closed: at the end of the lease by this host's clock, sessions are cut even if nobody calls [`Door::shut`].
//!
//! How the Door knows who has logged in: see [`exec`] and [`forward`].

mod authorized;
mod config;
mod connection;
mod credentials;
mod door;
mod exec;
mod folder;
mod forward;
pub mod key_command;
mod leftovers;
mod listen;
mod metrics;
mod settings;
mod shared;
mod waiting;

pub use door::Door;
pub use metrics::{Metrics, Outcome};
pub use settings::{AssignError, Bounds, DoorMachine, DoorSettings, assign};

use leasehold_client::probe::Pubkey;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A machine: its board and slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MachineKey {
    pub board: Pubkey,
    pub slot: u16,
}

impl fmt::Display for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} of board {}", self.slot, self.board)
    }
}

/// Who is let in to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub machine: MachineKey,
    pub lease: Pubkey,
    /// Principal of the host certificate. It names lease, access epoch and slot, so that another one means another host key.
    pub alias: String,
    /// SHA-256 of the blob of the SSH public key that is let in.
    pub access: [u8; 32],
    /// Unix seconds: end of the lease.
    pub valid_until: u64,
    pub entry: Entry,
}

/// Where the tenant's `sshd` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Command that runs `sshd` in the tenant's namespaces and cgroup, its path included, such as `nsenter -t PID -m -n
    /// /usr/sbin/sshd`; the Door appends sshd's own arguments. Standard input, output and error must reach `sshd` as they
    /// are: `podman exec`, which copies bytes, does not do. The command must last as long as `sshd`.
    Exec(Vec<String>),
    /// Address of the `sshd` in the tenant's virtual machine.
    Forward(SocketAddr),
}

/// Why a tenant is not let in.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error("{0} is not a machine of this node: add it to the configuration")]
    UnknownMachine(MachineKey),
    #[error(
        "{machine}: the lease ended at {valid_until} (Unix seconds), by this host's clock: check the clock"
    )]
    Ended { machine: MachineKey, valid_until: u64 },
    #[error(
        "{machine}: the command that enters the tenant's namespaces is empty: the begin hook must print it"
    )]
    NoCommand { machine: MachineKey },
    #[error("cannot write {path} ({source}): check the folder's disk and permissions")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot listen on {path} ({source}): paths of Unix sockets have at most 107 bytes")]
    Socket { path: PathBuf, source: io::Error },
    #[error("cannot make a host key or its certificate: {0}")]
    Key(#[from] ssh_key::Error),
}
