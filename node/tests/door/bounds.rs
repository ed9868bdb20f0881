//! Connections that have not logged in.

use crate::stage::{Host, LEASE, Stage, ends, tenant, until};
use leasehold_node::access::{Bounds, Outcome};
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn attack_a_hundred_idle_connections_keep_nobody_out() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let host = Host::new(1, LEASE, 0);
    let mut session = stage.ssh(&key, host.clone()).session().await;
    let mut idle = Vec::new();
    for n in 0..100 {
        // From the tenant's own network, and from a network each.
        idle.push(connect("127.0.0.1", stage.address(1)).await);
        idle.push(connect(&format!("127.1.{n}.1"), stage.address(1)).await);
    }
    assert!(stage.ssh(&key, host).gets_in().await);
    let metrics = stage.door.metrics();
    assert!(metrics.count(Outcome::GaveWay) > 0 && metrics.waiting() <= Bounds::default().each_machine);
    assert!(session.echoes().await, "a session gives way to nobody");
}

#[tokio::test]
async fn whoever_does_not_log_in_in_time_is_cut_off_and_a_session_is_not() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let mut session = stage.ssh(&key, Host::new(1, LEASE, 0)).session().await;
    let mut silent = TcpStream::connect(stage.address(1)).await.unwrap();
    let mut talks = TcpStream::connect(stage.address(1)).await.unwrap();
    talks.write_all(b"SSH-2.0-idle\r\n").await.unwrap();
    ends(&mut silent).await;
    ends(&mut talks).await;
    until(|| stage.door.metrics().waiting() == 0).await;
    assert!(session.echoes().await);
    let metrics = stage.door.metrics();
    // sshd's own LoginGraceTime may be the first.
    until(|| metrics.count(Outcome::TimedOut) + metrics.count(Outcome::NoLogin) == 2).await;
}

#[tokio::test]
async fn a_caller_who_waits_for_the_server_to_speak_first_hears_it() {
    use tokio::io::AsyncReadExt;
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let mut caller = TcpStream::connect(stage.address(1)).await.unwrap();
    let mut greeting = [0; 8];
    crate::stage::limited(caller.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(&greeting, b"SSH-2.0-");
}

#[tokio::test]
async fn a_machine_s_sessions_are_bounded_and_others_are_not_concerned() {
    let bounds = Bounds { sessions: 1, ..Bounds::default() };
    let stage = Stage::with(&[(1, "127.0.0.1:0"), (2, "127.0.0.1:0")], bounds).await;
    let key = stage.files.key("ed25519").await;
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    stage.door.admit(tenant(2, LEASE, 0, &key)).unwrap();
    let mut session = stage.ssh(&key, Host::new(1, LEASE, 0)).session().await;
    stage.ssh(&key, Host::new(1, LEASE, 0)).run("sleep 600").await;
    until(|| stage.door.metrics().count(Outcome::TooManySessions) == 1).await;
    assert!(session.echoes().await);
    assert!(stage.ssh(&key, Host::new(2, LEASE, 0)).gets_in().await);
}

#[tokio::test]
async fn metrics_show_connections_by_outcome() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let session = stage.ssh(&key, Host::new(1, LEASE, 0)).session().await;
    assert!(stage.ssh(&key, Host::new(1, LEASE, 0)).gets_in().await);
    until(|| stage.door.metrics().count(Outcome::Closed) == 1).await;
    let text = stage.door.metrics().to_string();
    for line in [
        "leasehold_node_ssh_connections_total{outcome=\"closed\"} 1",
        "leasehold_node_ssh_logins_total 2",
        "leasehold_node_ssh_sessions 1",
        "leasehold_node_ssh_connections_waiting 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    drop(session);
}
