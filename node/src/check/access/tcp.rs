//! TCP at the machines' endpoints, where tenants come in.
//!
//! Listens as the node would and connects to each endpoint. What comes back must be this process's own greeting: a router
//! may have led the connection to another host.

use crate::check::Report;
use leasehold_client::network::is_public;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;

const CHECK: &str = "ssh port";
const PATIENCE: Duration = Duration::from_secs(10);
type Greeting = [u8; 16];

/// Tries each endpoint. `listen`: addresses of the node.
pub(in crate::check) async fn check(
    listen: &[SocketAddr],
    endpoints: BTreeSet<SocketAddr>,
    report: &mut Report,
) {
    let greeting: Greeting = rand::random();
    let (mut listeners, mut others) = (Vec::new(), false);
    for address in listen {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(Greeter::start(listener, greeting)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                others = true;
                report.warning(
                    CHECK,
                    format!("another process listens on TCP {address}"),
                    "nothing, if it is the node; else stop it, since tenants come in there",
                );
            }
            Err(error) => {
                report.error(CHECK, format!("cannot listen on TCP {address} ({error})"), "correct --listen");
                return;
            }
        }
    }
    for endpoint in endpoints {
        tell(endpoint, greet(endpoint).await, greeting, others, report);
    }
}

/// Greets whoever connects, until it is dropped.
struct Greeter(AbortHandle);

impl Greeter {
    fn start(listener: TcpListener, greeting: Greeting) -> Self {
        let greet = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Who is gone needs no greeting.
                let _ = stream.write_all(&greeting).await;
            }
        };
        Self(tokio::spawn(greet).abort_handle())
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects, and reads what is said first. `None` if nothing is.
async fn greet(endpoint: SocketAddr) -> io::Result<Option<Greeting>> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let mut stream = timeout(PATIENCE, TcpStream::connect(endpoint)).await.map_err(late)??;
    let mut greeting = Greeting::default();
    let read = timeout(PATIENCE, stream.read_exact(&mut greeting)).await;
    Ok(matches!(read, Ok(Ok(_))).then_some(greeting))
}

fn tell(
    endpoint: SocketAddr,
    heard: io::Result<Option<Greeting>>,
    own: Greeting,
    others: bool,
    report: &mut Report,
) {
    let port = endpoint.port();
    match heard {
        Ok(Some(greeting)) if greeting == own => {
            let reservation = if is_public(endpoint.ip()) {
                "; tried from this host, which shows nothing of firewalls before it"
            } else {
                "; tenants elsewhere can't reach that address"
            };
            report.ok(CHECK, format!("TCP connections to {endpoint} come in here{reservation}"));
        }
        // The node, which waits for the caller to speak.
        Ok(_) if others => report.ok(CHECK, format!("TCP {endpoint} accepts connections")),
        Ok(_) => report.error(
            CHECK,
            format!("TCP connections to {endpoint} come in elsewhere"),
            &format!("forward TCP port {port}, besides UDP, to this host"),
        ),
        Err(error) => report.error(
            CHECK,
            format!("no TCP connection to {endpoint} ({error})"),
            &format!(
                "open and forward TCP port {port}, besides UDP; if it is, the router doesn't lead hosts behind it back to its \
                 own address, and only a host elsewhere can try it: nc -vz {} {port}",
                endpoint.ip()
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;

    async fn checked(listen: &[SocketAddr], endpoint: SocketAddr) -> Vec<(Status, String)> {
        let mut report = Report::default();
        check(listen, [endpoint].into(), &mut report).await;
        report.rows.into_iter().map(|row| (row.status, row.found)).collect()
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_port_that_leads_here_elsewhere_and_nowhere_are_told_apart() {
        let (free, address) = listener().await;
        drop(free);
        let here = checked(&[address], address).await;
        assert!(here[0].0 == Status::Ok && here[0].1.contains("come in here"), "{here:?}");
        let nowhere = checked(&["127.0.0.1:0".parse().unwrap()], address).await;
        assert!(
            nowhere[0].0 == Status::Error && nowhere[0].1.starts_with("no TCP connection"),
            "{nowhere:?}"
        );
        let (other, elsewhere) = listener().await;
        let _greeter = Greeter::start(other, [9; 16]);
        let misled = checked(&[address], elsewhere).await;
        assert!(misled[0].0 == Status::Error && misled[0].1.contains("come in elsewhere"), "{misled:?}");
        let runs = checked(&[elsewhere], elsewhere).await;
        assert!(runs[0].0 == Status::Warning && runs[1].0 == Status::Ok, "{runs:?}");
    }
}
