//! A Door with machines, and tenants with keys.

#[path = "client.rs"]
mod client;

pub use client::*;
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_node::access::{Bounds, Door, DoorMachine, DoorSettings, Entry, MachineKey, Tenant};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

pub const LEASE: Pubkey = Pubkey::new_from_array([4; 32]);
pub const OTHER_LEASE: Pubkey = Pubkey::new_from_array([6; 32]);

pub fn machine(slot: u16) -> MachineKey {
    MachineKey { board: Pubkey::new_from_array([3; 32]), slot }
}

pub fn node_key(slot: u16) -> SigningKey {
    SigningKey::from_bytes(&[slot as u8 + 10; 32])
}

/// As `leasehold_client::access::host_alias` makes it: in lower case, as `ssh` puts what it looks for.
pub fn alias(slot: u16, lease: &Pubkey, epoch: u32) -> String {
    format!("lease-1-9-{epoch}-slot{slot}-{}", lease.to_string()[..8].to_ascii_lowercase())
}

/// Runs `sshd` in a mount namespace with folders of its own, as a container's would be. It has no network namespace, so that
/// a test that needs one shows a difference.
pub fn in_mount_namespace() -> Entry {
    enter(&["--mount"], "")
}

/// Runs `sshd` in a network namespace as well.
pub fn in_network_namespace() -> Entry {
    enter(&["--mount", "--net"], "ip link set lo up && ")
}

fn enter(namespaces: &[&str], first: &str) -> Entry {
    let script = format!(
        "{first}mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd && mount -t tmpfs -o mode=700 tmpfs /root && \
         exec /usr/sbin/sshd \"$@\""
    );
    let mut command = vec!["unshare", "--propagation", "private"];
    command.extend(namespaces);
    command.extend(["sh", "-c", &script, "sshd"]);
    Entry::Exec(command.into_iter().map(str::to_owned).collect())
}

pub struct Stage {
    pub door: Door,
    pub files: Files,
}

impl Files {
    pub fn settings(&self, listen: &[(u16, &str)], bounds: Bounds) -> DoorSettings {
        let machines = listen.iter().map(|&(slot, address)| DoorMachine {
            machine: machine(slot),
            listen: vec![address.parse().unwrap()],
            node_key: node_key(slot),
        });
        DoorSettings {
            machines: machines.collect(),
            folder: self.path("door"),
            key_command: env!("CARGO_BIN_EXE_leasehold-authorized-keys").into(),
            bounds,
        }
    }
}

impl Stage {
    /// Machines 1 and 2, on IPv4.
    pub async fn new() -> Self {
        Self::with(&[(1, "127.0.0.1:0"), (2, "127.0.0.1:0")], Bounds::default()).await
    }

    pub async fn with(listen: &[(u16, &str)], bounds: Bounds) -> Self {
        let files = Files::new();
        let door = Door::bind(files.settings(listen, bounds)).await.unwrap();
        Self { door, files }
    }

    pub fn address(&self, slot: u16) -> SocketAddr {
        self.door.local_addrs().iter().find(|(of, _)| *of == machine(slot)).unwrap().1
    }

    pub fn ssh(&self, key: &Key, to: Host) -> Ssh {
        Ssh::new(&self.files, key, self.address(to.slot), to)
    }
}

/// A tenant of the lease for an hour.
pub fn tenant(slot: u16, lease: Pubkey, epoch: u32, key: &Key) -> Tenant {
    Tenant {
        machine: machine(slot),
        lease,
        alias: alias(slot, &lease, epoch),
        access: key.hash,
        valid_until: now() + 3600,
        entry: in_mount_namespace(),
    }
}

impl Host {
    pub fn new(slot: u16, lease: Pubkey, epoch: u32) -> Self {
        Self { slot, alias: alias(slot, &lease, epoch), node_key: node_key(slot) }
    }
}

/// Reads to the end of a connection that the Door is to end.
pub async fn ends(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset ends it too.
    let _ = limited(stream.read_to_end(&mut all)).await;
    all
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
