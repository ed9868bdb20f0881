//! TCP sockets on the machines' endpoints.

use super::MachineKey;
use super::settings::DoorMachine;
use super::shared::Shared;
use crate::sockets::is_only_v6;
use leasehold_daemon::tasks::stopped;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

/// Connections that the kernel keeps for the node.
const BACKLOG: i32 = 1_024;
/// Pause after a failure to accept, which may be for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket and whose it is.
pub(super) type Bound = (MachineKey, TcpListener);

/// Listens on every address of every machine.
pub(super) fn bind(machines: &[DoorMachine]) -> io::Result<Vec<Bound>> {
    let all: Vec<SocketAddr> = machines.iter().flat_map(|machine| &machine.listen).copied().collect();
    let addresses =
        machines.iter().flat_map(|machine| machine.listen.iter().map(|address| (machine.machine, *address)));
    addresses
        .map(|(machine, address)| {
            let listener = listener(address, &all).map_err(|source| refused(machine, address, &source))?;
            Ok((machine, listener))
        })
        .collect()
}

fn refused(machine: MachineKey, address: SocketAddr, source: &io::Error) -> io::Error {
    let text = format!(
        "cannot listen on TCP {address} for SSH to {machine} ({source}): the port is that of the probes, which no other \
         program may have; move an sshd of this host to another port"
    );
    io::Error::new(source.kind(), text)
}

fn listener(address: SocketAddr, all: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // As the sockets of the probes.
        socket.set_only_v6(is_only_v6(address, all))?;
    }
    // A node that starts again finds connections of the last one that the kernel has not forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until `stop` is true, then waits for those that are open.
pub(super) async fn accept((machine, listener): Bound, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(served) = shared.accepted(machine, stream, peer) {
                        connections.spawn(served);
                    }
                }
                Err(error) => {
                    warn!(%error, %machine, "accepting an SSH connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
