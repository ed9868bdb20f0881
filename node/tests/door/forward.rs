//! The tenant's `sshd` runs in a virtual machine, here in a namespace with a port of its own.

use crate::stage::{Host, LEASE, OTHER_LEASE, Stage, alias, limited, machine, now, tenant, until};
use leasehold_node::access::{Bounds, Entry, Outcome, Tenant};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// An `sshd` with the lease's folder, as the profile of virtual machines sets it up.
struct VirtualMachine {
    address: SocketAddr,
    _sshd: Child,
}

impl VirtualMachine {
    async fn start(folder: &Path, grace: u64) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let config = folder.join("sshd_config.vm");
        // No socket reaches the node from there, and the listener is sshd's own.
        let text = fs::read_to_string(folder.join("sshd_config")).unwrap();
        let text = text
            .replace("keys.sock", "access")
            .replace("LoginGraceTime 20", &format!("LoginGraceTime {grace}"));
        fs::write(&config, format!("{text}MaxStartups 1000\nListenAddress {address}\n")).unwrap();
        let Entry::Exec(enter) = crate::stage::in_mount_namespace() else { unreachable!() };
        let mut command = Command::new(&enter[0]);
        command.args(&enter[1..]).args(["-D", "-e", "-f"]).arg(config).kill_on_drop(true);
        let sshd = command.spawn().unwrap();
        let up = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        limited(up).await;
        Self { address, _sshd: sshd }
    }
}

#[tokio::test]
async fn sessions_are_forwarded_to_a_virtual_machine_and_cut_with_the_lease() {
    let bounds = Bounds { login: Duration::from_secs(1), ..Bounds::default() };
    let stage = Stage::with(&[(1, "127.0.0.1:0")], bounds).await;
    let (key, other) = (stage.files.key("ed25519").await, stage.files.key("ed25519").await);
    let alias = alias(1, &LEASE, 0);
    let folder = stage.door.prepare(&machine(1), &LEASE, &alias, &key.hash, now() + 3600).unwrap();
    let vm = VirtualMachine::start(&folder, 20).await;
    let entry = Entry::Forward(vm.address);
    stage.door.admit(Tenant { entry, ..tenant(1, LEASE, 0, &key) }).unwrap();
    let host = Host::new(1, LEASE, 0);
    assert!(!stage.ssh(&other, host.clone()).gets_in().await);
    let mut session = stage.ssh(&key, host.clone()).session().await;
    assert_eq!(stage.door.metrics().sessions(), 0, "the node can't see a login");
    until(|| stage.door.metrics().sessions() == 1).await;
    assert!(session.echoes().await);
    let wrong = Host::new(1, OTHER_LEASE, 0);
    assert!(!stage.ssh(&key, wrong).gets_in().await, "the virtual machine has the lease's certificate");
    stage.door.shut(&machine(1));
    session.gets_cut().await;
    assert!(!stage.ssh(&key, host).gets_in().await);
}

#[tokio::test]
async fn attack_idle_connections_do_not_keep_a_tenant_out_of_its_virtual_machine() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    let folder =
        stage.door.prepare(&machine(1), &LEASE, &alias(1, &LEASE, 0), &key.hash, now() + 3600).unwrap();
    let vm = VirtualMachine::start(&folder, 20).await;
    stage.door.admit(Tenant { entry: Entry::Forward(vm.address), ..tenant(1, LEASE, 0, &key) }).unwrap();
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(stage.address(1)).await.unwrap());
    }
    assert!(stage.ssh(&key, Host::new(1, LEASE, 0)).gets_in().await);
}

#[tokio::test]
async fn a_virtual_machine_that_is_away_is_told() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    stage.door.admit(Tenant { entry: Entry::Forward(nobody), ..tenant(1, LEASE, 0, &key) }).unwrap();
    assert!(!stage.ssh(&key, Host::new(1, LEASE, 0)).gets_in().await);
    until(|| stage.door.metrics().count(Outcome::Failed) == 1).await;
}
