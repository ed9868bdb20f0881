//! The node stops, or crashes, and starts again.

use crate::stage::{Files, Host, LEASE, Session, Ssh, limited, tenant, until};
use leasehold_node::access::{Bounds, Door};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const FOLDER: &str = "LEASEHOLD_TEST_DOOR";
const ACCESS: &str = "LEASEHOLD_TEST_ACCESS";

/// Run by the test below in a process of its own: a Door that lets one tenant in until the process is killed.
#[tokio::test]
#[ignore = "part of another test"]
async fn door_of_its_own() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let files = Files::new();
    let mut settings = files.settings(&[(1, "127.0.0.1:0")], Bounds::default());
    settings.folder = PathBuf::from(folder);
    let door = Door::bind(settings).await.unwrap();
    let mut let_in = tenant(1, LEASE, 0, &files.key("ed25519").await);
    hex::decode_to_slice(std::env::var(ACCESS).unwrap(), &mut let_in.access).unwrap();
    door.admit(let_in).unwrap();
    // Nothing of the folder is left for this process to remove when it is killed.
    drop(files);
    println!("\naddress {}", door.local_addrs()[0].1);
    std::future::pending::<()>().await;
}

/// A node, and the session of its tenant.
async fn node_with_session(files: &Files, key: &crate::stage::Key) -> (Child, Session) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "restart::door_of_its_own", "--ignored", "--nocapture"])
        .env(FOLDER, files.path("door"))
        .env(ACCESS, hex::encode(key.hash))
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut node = command.spawn().unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let address: SocketAddr = loop {
        let line = limited(lines.next_line()).await.unwrap().expect("the process prints its address");
        if let Some(address) = line.strip_prefix("address ") {
            break address.parse().unwrap();
        }
    };
    let session = Ssh::new(files, key, address, Host::new(1, LEASE, 0)).session().await;
    (node, session)
}

#[tokio::test]
async fn a_node_that_crashed_cuts_its_sessions_when_it_starts_again_and_keeps_its_host_key() {
    let files = Files::new();
    let key = files.key("ed25519").await;
    let (mut node, mut session) = node_with_session(&files, &key).await;
    node.kill().await.unwrap();
    assert!(session.echoes().await, "sshd outlives a crash");
    let host_key =
        std::fs::read(files.path("door").join(format!("slot1-{LEASE}/ssh_host_ed25519_key"))).unwrap();
    let door = Door::bind(files.settings(&[(1, "127.0.0.1:0")], Bounds::default())).await.unwrap();
    session.gets_cut().await;
    door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let kept = std::fs::read(files.path("door").join(format!("slot1-{LEASE}/ssh_host_ed25519_key"))).unwrap();
    assert!(host_key == kept);
    let address = door.local_addrs()[0].1;
    assert!(Ssh::new(&files, &key, address, Host::new(1, LEASE, 0)).gets_in().await);
    door.shutdown().await;
}

#[tokio::test]
async fn a_node_that_stops_cuts_its_sessions() {
    let files = Files::new();
    let key = files.key("ed25519").await;
    let door = Door::bind(files.settings(&[(1, "127.0.0.1:0")], Bounds::default())).await.unwrap();
    door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let address = door.local_addrs()[0].1;
    let ssh = || Ssh::new(&files, &key, address, Host::new(1, LEASE, 0));
    let session = ssh().session().await;
    let metrics = door.metrics().clone();
    limited(door.shutdown()).await;
    session.gets_cut().await;
    assert_eq!(metrics.sessions(), 0);
    let sessions = std::fs::read_dir(files.path("door").join("sessions")).unwrap();
    assert_eq!(sessions.count(), 0, "nothing is left for the next start");
    assert!(!ssh().gets_in().await);
    // One that is dropped does the same.
    let door = Door::bind(files.settings(&[(1, "127.0.0.1:0")], Bounds::default())).await.unwrap();
    door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let address = door.local_addrs()[0].1;
    let session = Ssh::new(&files, &key, address, Host::new(1, LEASE, 0)).session().await;
    let metrics = door.metrics().clone();
    drop(door);
    session.gets_cut().await;
    until(|| metrics.sessions() == 0).await;
}
