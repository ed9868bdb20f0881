//! A command on one machine.

use std::{io, process::Stdio};

use leasehold_operate::failure::Failure;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::Command,
    sync::mpsc::Sender,
};

use super::Ended;
use crate::commands::lease::{
    inventory::Host,
    session::{Session, program, quote::word, unstartable},
};

/// The most bytes of a line: a longer one is shown in parts.
const LONGEST: u64 = 64 * 1024;
/// The most bytes that are kept of each stream for JSON: a machine could send without end.
const KEPT: usize = 16 * 1024 * 1024;

/// A line of a machine's output.
pub struct Line {
    pub machine: String,
    pub text: String,
    pub is_error: bool,
}

/// A command on a machine, not started yet.
pub struct There {
    pub machine: String,
    lease: String,
    slot: u16,
    command: Command,
    input: Option<Vec<u8>>,
}

/// Ends with its connection, which ssh's do not: the command leads a session of its own, which is ended when standard input is.
const WRAPPER: &str = r#"exec 3<&0 </dev/null; setsid sh -c "$1" 3<&- & p=$!
{ cat <&3; kill -TERM -$p; sleep 10; kill -KILL -$p; } >/dev/null 2>&1 & w=$!
exec 3<&-; wait $p; s=$?; kill $w 2>/dev/null; exit $s"#;

/// A command that ends if its connection does.
pub fn wrapped(command: &str) -> String {
    format!("sh -c {} leasehold {}", word(WRAPPER), word(command))
}

impl There {
    /// Its standard input stays open, and empty.
    pub fn new(session: &Session, host: &Host, command: &str) -> Self {
        let mut ssh = Command::from(program("ssh", &session.config()));
        ssh.args(["-T", "-o", "BatchMode=yes"]).arg(&host.name).arg("--").arg(command);
        Self::from(host, ssh)
    }

    /// Any program that concerns a machine.
    pub fn from(host: &Host, command: Command) -> Self {
        There { machine: host.name.clone(), lease: host.lease.clone(), slot: host.slot, command, input: None }
    }

    /// With this standard input, which then ends: a secret goes this way, since arguments are everybody's to read.
    pub fn with_input(self, input: impl Into<Vec<u8>>) -> Self {
        There { input: Some(input.into()), ..self }
    }

    /// Runs it to its end; if this is dropped, it is ended.
    pub async fn run(mut self, lines: Sender<Line>) -> Result<Ended, Failure> {
        let name = self.command.as_std().get_program().to_string_lossy().into_owned();
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = self.command.spawn().map_err(|error| unstartable(&name, &error))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut stdin = child.stdin.take();
        if let Some((input, mut pipe)) = self.input.take().and_then(|input| Some((input, stdin.take()?))) {
            // It may have ended without reading all; its exit code tells.
            let _ = pipe.write_all(&input).await;
        }
        let read = |is_error| (self.machine.clone(), lines.clone(), is_error);
        let (stdout, stderr) = tokio::join!(follow(stdout, read(false)), follow(stderr, read(true)));
        let status = child.wait().await.map_err(|error| unstartable(&name, &error))?;
        drop(stdin);
        Ok(Ended {
            machine: self.machine,
            lease: self.lease,
            slot: self.slot,
            exit_code: status.code(),
            stdout: stdout.map_err(Failure::Output)?,
            stderr: stderr.map_err(Failure::Output)?,
        })
    }
}

/// Passes on each line of a stream, and keeps all.
async fn follow(
    stream: Option<impl AsyncRead + Unpin>,
    (machine, lines, is_error): (String, Sender<Line>, bool),
) -> io::Result<String> {
    let mut all = String::new();
    let Some(stream) = stream else { return Ok(all) };
    let mut stream = BufReader::new(stream);
    loop {
        let mut bytes = Vec::new();
        if (&mut stream).take(LONGEST).read_until(b'\n', &mut bytes).await? == 0 {
            return Ok(all);
        }
        let text = String::from_utf8_lossy(&bytes);
        if all.len() < KEPT {
            all.push_str(&text);
        }
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        // Whoever shows them may have gone.
        let _ = lines.send(Line { machine: machine.clone(), text, is_error }).await;
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn shell(command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(wrapped(command))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        shell
    }

    #[test]
    fn a_command_keeps_its_output_and_its_exit_code() {
        let mut child = shell("echo \"it's\"; echo no >&2; cat; exit 7").spawn().unwrap();
        // As ssh holds it until the command ends.
        let stdin = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), &*output.stdout, &*output.stderr),
            (Some(7), &b"it's\n"[..], &b"no\n"[..])
        );
        drop(stdin);
    }

    #[test]
    fn a_command_ends_with_its_connection_and_so_does_what_it_started() {
        let mut child = shell("sleep 1000 & echo $!; wait").spawn().unwrap();
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        drop(child.stdin.take());
        let status = child.wait().unwrap();
        assert!(!status.success(), "{status}");
        // End of the pipe: nobody holds it any more.
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut stdout, &mut rest).unwrap();
        let gone = || !std::path::Path::new(&format!("/proc/{}", line.trim())).exists();
        assert!(!cfg!(target_os = "linux") || gone() || is_zombie(line.trim()), "it runs on");
    }

    /// Nobody may have waited for it yet.
    fn is_zombie(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z"))
            || !std::path::Path::new(&format!("/proc/{pid}")).exists()
    }
}
