//! Connections that an `sshd -i` in the tenant's namespaces serves.
//!
//! `sshd` gets the accepted socket itself, so that it sees the caller's address and no byte passes through the node.
//!
//! A login shows in what `sshd -e` writes to standard error, which is a pipe to the node: the privileged process writes
//! `Accepted publickey for` after it has verified the signature. Text of the caller can't begin a line there, since each
//! message has words of its own in front and line breaks are escaped. The question for the key is no sign of a login:
//! `sshd` asks it for keys that are merely offered, which are public. A tenant may write to the pipe once it is
//! root in its namespaces, and gains nothing: it may have sessions anyway. LoginGraceTime ends the others if the node does not.

use super::config::CONFIG;
use super::connection::{Connection, Entered, group};
use super::leftovers::{Leftovers, Listed};
use super::metrics::Outcome;
use futures::FutureExt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

/// The environment of `sshd` has nothing of the node's, which may hold keys.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The most bytes of a line that are looked at.
const LINE: usize = 1_024;
/// Calls to read what an `sshd` that has ended left in the pipe.
const READS_AT_END: usize = 64;

/// Serves a connection to its end.
pub(super) async fn serve(
    entered: &Entered,
    stream: TcpStream,
    command: &[String],
    folder: &Path,
    leftovers: &Leftovers,
    login_by: Instant,
) {
    let connection = &*entered.connection;
    let mut child = match connection.start(|| spawn(stream, command, folder)) {
        None => return,
        Some(Ok(child)) => child,
        Some(Err(error)) => return failed(connection, &error),
    };
    let listed = list(&child, leftovers);
    match &listed {
        Ok(_) => follow(entered, &mut child, login_by).await,
        Err(error) => failed(connection, error),
    }
    connection.ended(&mut child).await;
    drop(listed);
}

fn list(child: &Child, leftovers: &Leftovers) -> io::Result<Listed> {
    leftovers.list(group(child).ok_or(io::ErrorKind::NotFound)?)
}

fn failed(connection: &Connection, error: &io::Error) {
    warn!(
        machine = %connection.machine, %error,
        "cannot start sshd in the tenant's namespaces: see to the command that the begin hook printed"
    );
    connection.cut(Outcome::Failed);
}

fn spawn(stream: TcpStream, command: &[String], folder: &Path) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    let output = stream.try_clone()?;
    Command::new(program)
        .args(arguments)
        .args(["-i", "-e", "-f"])
        .arg(folder.join(CONFIG))
        .env_clear()
        .env("PATH", PATH)
        // Not the node's, which the tenant could look into.
        .current_dir("/")
        .process_group(0)
        .stdin(OwnedFd::from(stream))
        .stdout(OwnedFd::from(output))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// Follows an `sshd` until its caller has logged in, or it has ended or been cut.
async fn follow(entered: &Entered, child: &mut Child, login_by: Instant) {
    let connection = &*entered.connection;
    let mut errors = Errors { pipe: child.stderr.take(), line: Vec::new() };
    loop {
        tokio::select! {
            biased;
            has_logged_in = errors.read(connection) => {
                if has_logged_in {
                    info!(machine = %connection.machine, peer = %connection.peer, "logged in");
                    entered.log_in();
                    // From here on the tenant may write to the pipe too, and would keep the node reading.
                    return;
                }
            }
            () = connection.ended(child) => break,
            () = sleep_until(login_by) => return connection.cut(Outcome::TimedOut),
        }
    }
    // A session may be over before its login was read.
    for _ in 0..READS_AT_END {
        match errors.read(connection).now_or_never() {
            Some(true) => return entered.log_in(),
            Some(false) => {}
            None => return,
        }
    }
}

/// What `sshd` writes to standard error.
struct Errors {
    pipe: Option<ChildStderr>,
    line: Vec<u8>,
}

impl Errors {
    /// Reads on. Returns true if there is the line of a login; never returns at the end.
    async fn read(&mut self, connection: &Connection) -> bool {
        let Some(pipe) = &mut self.pipe else { return std::future::pending().await };
        let mut buffer = [0; LINE];
        let length = pipe.read(&mut buffer).await.unwrap_or(0);
        if length == 0 {
            self.pipe = None;
        }
        let mut has_logged_in = false;
        for byte in buffer.into_iter().take(length) {
            if byte != b'\n' {
                if self.line.len() < LINE {
                    self.line.push(byte);
                }
                continue;
            }
            let text = String::from_utf8_lossy(&self.line);
            debug!(machine = %connection.machine, peer = %connection.peer, "sshd: {}", text.trim_end());
            has_logged_in |= is_login(&text);
            self.line.clear();
        }
        has_logged_in
    }
}

fn is_login(line: &str) -> bool {
    line.starts_with("Accepted publickey for ")
}

/// Waits for the first byte of a caller: a connection without any costs no process. Returns false if it has ended.
pub(super) async fn speaks(stream: &TcpStream) -> bool {
    let mut first = [0];
    stream.peek(&mut first).await.is_ok_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use super::is_login;

    #[test]
    fn only_sshd_s_own_words_begin_a_line() {
        assert!(is_login("Accepted publickey for root from 192.0.2.1 port 4000 ssh2: ED25519 SHA256:abc\r"));
        for line in [
            "Invalid user Accepted publickey for root from 192.0.2.1 port 4000",
            "Bad protocol version identification 'Accepted publickey for root' from 192.0.2.1 port 4000",
            "Postponed publickey for root from 192.0.2.1 port 4000 ssh2 [preauth]",
            "",
        ] {
            assert!(!is_login(line), "{line}");
        }
    }
}
