//! Runs the begin and end hooks of a profile.
//!
//! A hook is a program of the supplier's. It leads a process group of its own, gets what it needs in its environment and
//! nothing on its command line, and is killed with its group after the time limit. What it starts in the background goes on
//! when it ends well.

use super::record::{Room, RoomDoor};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Bytes of each output that are kept; the rest is read and dropped.
const OUTPUT: usize = 16 * 1_024;
/// Lines of output that an error shows, from the end.
const LINES: usize = 20;
/// Prefix of variables that the node itself reads.
const OWN: &[u8] = b"LEASEHOLD_NODE_";
/// How long output is waited for after the hook has ended: what it started in the background may hold it open.
const REST: Duration = Duration::from_millis(500);

/// Variables of a hook's environment, without the prefix `LEASEHOLD_`.
pub type Variables = BTreeMap<&'static str, String>;

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    #[error("cannot run {program} ({source}): check that it is there and executable")]
    Start { program: PathBuf, source: std::io::Error },
    #[error("{program} took longer than {secs} s and was killed: raise `hook_secs` in [access], or see why{output}", output = shown(.output))]
    Timeout { program: PathBuf, secs: u64, output: String },
    #[error("{program} ended with {status}{output}", output = shown(.output))]
    Status { program: PathBuf, status: std::process::ExitStatus, output: String },
    #[error(
        "{program} must print one line on standard output, {{\"enter\": [\"COMMAND\", ...], \"cgroup\": \"/sys/fs/cgroup/...\"}} or \
         {{\"forward\": \"IP:PORT\", ...}}; it printed {printed:?}: {reason}"
    )]
    Answer { program: PathBuf, printed: String, reason: String },
}

/// Output as part of a sentence.
fn shown(output: &str) -> String {
    if output.is_empty() { "; it printed nothing".to_owned() } else { format!("; it printed:\n{output}") }
}

/// What a hook printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    pub out: String,
    pub err: String,
}

/// Runs a hook to its end.
///
/// # Errors
/// Any [`HookError`] but [`HookError::Answer`]; then nothing of its process group runs any more.
pub async fn run(program: &Path, variables: &Variables, limit: Duration) -> Result<Printed, HookError> {
    let start = |source| HookError::Start { program: program.to_owned(), source };
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    // The node's own settings may hold keys of URLs.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(OWN)) {
        command.env_remove(name);
    }
    command.envs(variables.iter().map(|(name, value)| (format!("LEASEHOLD_{name}"), value)));
    let mut child = command.spawn().map_err(start)?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let (out, err) = (Kept::of(child.stdout.take()), Kept::of(child.stderr.take()));
    let status = match timeout(limit, child.wait()).await {
        Ok(status) => status.map_err(start)?,
        Err(_) => {
            group.kill();
            reap(&mut child).await;
            let output = tail(&err.text().await);
            return Err(HookError::Timeout { program: program.to_owned(), secs: limit.as_secs(), output });
        }
    };
    let printed = Printed { out: out.text().await, err: err.text().await };
    if !status.success() {
        group.kill();
        let output = tail(&printed.err);
        return Err(HookError::Status { program: program.to_owned(), status, output });
    }
    group.0 = None;
    Ok(printed)
}

/// A hook's process group, killed when it is dropped.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            // It may be gone.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn reap(child: &mut Child) {
    let _ = timeout(REST, child.wait()).await;
}

/// The beginning of an output that is read to its end.
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    reading: tokio::task::JoinHandle<()>,
}

impl Kept {
    fn of(output: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let kept = bytes.clone();
        let reading = tokio::spawn(async move {
            let (Some(mut output), mut buffer) = (output, [0; 4_096]) else { return };
            while let Ok(read @ 1..) = output.read(&mut buffer).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = OUTPUT.saturating_sub(kept.len()).min(read);
                kept.extend(buffer.iter().take(room));
            }
        });
        Self { bytes, reading }
    }

    /// What was printed until now; a process in the background may print more.
    async fn text(self) -> String {
        let abort = self.reading.abort_handle();
        if timeout(REST, self.reading).await.is_err() {
            abort.abort();
        }
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The last lines of an output, without control characters.
pub fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
    let clean = |line: &&str| line.chars().filter(|char| !char.is_control()).collect::<String>();
    last.iter().map(clean).collect::<Vec<_>>().join("\n")
}

/// The begin hook's answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    enter: Option<Vec<String>>,
    forward: Option<SocketAddr>,
    cgroup: Option<PathBuf>,
}

/// Reads the line that a begin hook printed.
///
/// # Errors
/// [`HookError::Answer`].
pub fn room(program: &Path, printed: &str, boot: &str) -> Result<Room, HookError> {
    parse(printed, boot).map_err(|reason| HookError::Answer {
        program: program.to_owned(),
        printed: printed.chars().take(500).collect(),
        reason,
    })
}

fn parse(printed: &str, boot: &str) -> Result<Room, String> {
    let line = printed.strip_suffix('\n').unwrap_or(printed);
    if line.contains('\n') {
        return Err("that is more than one line".into());
    }
    let Answer { enter, forward, cgroup } = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let door = match (enter, forward) {
        (Some(argv), None) if argv.first().is_some_and(|program| !program.is_empty()) => {
            RoomDoor::Enter(argv)
        }
        (Some(_), None) => return Err("`enter` names no command".into()),
        (None, Some(address)) => RoomDoor::Forward(address),
        _ => return Err("it needs either `enter` or `forward`".into()),
    };
    if matches!(door, RoomDoor::Enter(_)) && cgroup.is_none() {
        return Err("`cgroup` is missing: without it the tenant's processes can't be frozen".into());
    }
    Ok(Room { door, cgroup, boot: boot.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const LONG: Duration = Duration::from_secs(120);

    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("hook");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_hook_gets_its_environment_and_its_output_is_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let hook = script(folder.path(), "echo \"$LEASEHOLD_SLOT $#\"; echo why >&2");
        let printed = run(&hook, &[("SLOT", "3".into())].into(), LONG).await.unwrap();
        assert_eq!(printed, Printed { out: "3 0\n".into(), err: "why\n".into() });
    }

    #[tokio::test]
    async fn a_hook_that_fails_is_told_with_the_end_of_its_output() {
        let folder = tempfile::tempdir().unwrap();
        let hook = script(folder.path(), "for n in $(seq 100); do echo \"line $n\" >&2; done; exit 3");
        let error = run(&hook, &Variables::new(), LONG).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("line 100"), "{error}");
        assert!(error.contains("line 81\n") && !error.contains("line 80\n"), "{error}");
        let missing = run(&folder.path().join("none"), &Variables::new(), LONG).await.unwrap_err();
        assert!(missing.to_string().contains("check that it is there and executable"));
    }

    #[tokio::test]
    async fn a_flood_of_output_does_not_stop_a_hook() {
        let folder = tempfile::tempdir().unwrap();
        let hook = script(folder.path(), "head -c 3000000 /dev/zero | tr '\\0' x");
        let printed = run(&hook, &Variables::new(), LONG).await.unwrap();
        assert_eq!(printed.out.len(), OUTPUT);
    }

    #[tokio::test]
    async fn a_hook_that_hangs_is_killed_with_all_of_its_group() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let hook =
            script(folder.path(), &format!("sleep 600 & echo $! >{}; echo stuck >&2; wait", pid.display()));
        let limit = Duration::from_secs(2);
        let error = run(&hook, &Variables::new(), limit).await.unwrap_err();
        assert!(matches!(&error, HookError::Timeout { output, .. } if output == "stuck"), "{error}");
        let pid = std::fs::read_to_string(pid).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        // Dead, or a zombie until whoever adopted it looks.
        let is_over = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        for _ in 0..6_000 {
            if is_over() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("process {pid} runs on");
    }

    #[tokio::test]
    async fn what_a_hook_starts_in_the_background_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let hook = script(folder.path(), "sleep 600 & echo $!");
        let printed = run(&hook, &Variables::new(), LONG).await.unwrap();
        let pid = Pid::from_raw(printed.out.trim().parse().unwrap()).unwrap();
        rustix::process::test_kill_process(pid).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[test]
    fn the_answer_is_read_strictly() {
        let read = |text: &str| room(Path::new("/begin"), text, "boot");
        let enter =
            read("{\"enter\": [\"nsenter\", \"-t\", \"1\"], \"cgroup\": \"/sys/fs/cgroup/a\"}\n").unwrap();
        assert_eq!(enter.door, RoomDoor::Enter(["nsenter", "-t", "1"].map(String::from).into()));
        assert_eq!(enter.cgroup, Some("/sys/fs/cgroup/a".into()));
        let forward = read("{\"forward\": \"10.0.0.2:22\"}").unwrap();
        assert_eq!((forward.door, forward.cgroup), (RoomDoor::Forward("10.0.0.2:22".parse().unwrap()), None));
        for (text, reason) in [
            ("", "EOF"),
            ("ready\n", "expected"),
            ("{\"enter\": []}", "names no command"),
            ("{\"enter\": [\"a\"]}", "`cgroup` is missing"),
            ("{\"cgroup\": \"/a\"}", "either `enter` or `forward`"),
            ("{\"enter\": [\"a\"], \"forward\": \"10.0.0.2:22\", \"cgroup\": \"/a\"}", "either"),
            ("{\"forward\": \"10.0.0.2\"}", "socket address"),
            ("{\"forward\": \"10.0.0.2:22\", \"user\": \"root\"}", "unknown field"),
            ("pulling image\n{\"forward\": \"10.0.0.2:22\"}\n", "more than one line"),
            ("{\"forward\": \"10.0.0.2:22\"} {}", "trailing"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.contains("/begin must print one line on standard output, {\"enter\""), "{error}");
        }
    }
}
