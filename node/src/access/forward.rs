//! Connections that the `sshd` of the tenant's virtual machine serves.
//!
//! The node copies bytes that it can't read, so that it doesn't see a login. What it knows is that the machine's `sshd`
//! closes a connection that has not logged in after LoginGraceTime. Hence a connection that is still there some seconds after
//! this time counts as a session, and every other one as not logged in. A count of bytes would tell no more: who pads the
//! handshake passes any bound. So
//!
//! - a tenant's session may have to give way to a flood from its own network in its first seconds, and then logs in again;
//! - a tenant who raises LoginGraceTime in its machine lets strangers fill its own sessions, and nobody else's.

use super::connection::Entered;
use super::metrics::Outcome;
use socket2::{SockRef, TcpKeepalive};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

/// Time to reach the machine, which is on this host or next to it.
const CONNECT: Duration = Duration::from_secs(5);
/// Time after LoginGraceTime in which a machine that is busy may close a connection.
const LATE: Duration = Duration::from_secs(5);
/// Time without a byte after which a side is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Serves a connection to its end.
pub(super) async fn serve(entered: &Entered, mut stream: TcpStream, to: SocketAddr, login_by: Instant) {
    let connection = &*entered.connection;
    let mut machine = match timeout(CONNECT, TcpStream::connect(to)).await {
        Ok(Ok(machine)) => machine,
        failed => {
            let error = match failed {
                Ok(Err(error)) => error.to_string(),
                _ => "no answer".to_owned(),
            };
            warn!(machine = %connection.machine, %to, error, "cannot reach the tenant's virtual machine");
            return connection.cut(Outcome::Failed);
        }
    };
    for side in [&stream, &machine] {
        // Without them the connection works, a little slower.
        let _ = side.set_nodelay(true);
        let _ = SockRef::from(side).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    }
    let session = login_by.checked_add(LATE).unwrap_or(login_by);
    let mut is_session = false;
    let copy = copy_bidirectional(&mut stream, &mut machine);
    tokio::pin!(copy);
    loop {
        tokio::select! {
            // An error means that one of the two has gone.
            _ = &mut copy => return,
            () = connection.until_cut() => return,
            () = sleep_until(session), if !is_session => {
                is_session = true;
                entered.log_in();
            }
        }
    }
}
