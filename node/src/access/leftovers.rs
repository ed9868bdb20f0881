//! Sessions that outlive the node.
//!
//! A node that stops cuts all sessions first. One that crashes can't, and `sshd` runs on; so each process group is listed in
//! a folder, and the next start kills those before anybody is let in. What the tenant's processes do is another matter: they
//! live in the tenant's cgroup, and survive.

use rustix::process::{Pid, Signal, kill_process_group};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tracing::{info, warn};

/// The list of process groups.
#[derive(Clone, Debug)]
pub(super) struct Leftovers(PathBuf);

/// A process group on the list. Dropping it takes it off.
#[derive(Debug)]
pub(super) struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Leftovers {
    /// Opens the list in a folder and kills what an earlier process left.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if let Some(leader) = listed(&path) {
                match kill_process_group(leader, Signal::KILL) {
                    Ok(()) => {
                        info!(group = leader.as_raw_nonzero(), "cut a session that an earlier node left")
                    }
                    Err(error) => warn!(%error, "cannot cut a session that an earlier node left"),
                }
            }
            fs::remove_file(&path)?;
        }
        Ok(Self(folder))
    }

    /// Puts a process on the list, which leads its group.
    pub fn list(&self, leader: Pid) -> io::Result<Listed> {
        let path = self.0.join(leader.as_raw_nonzero().to_string());
        let born = birth(leader).ok_or(io::ErrorKind::NotFound)?;
        fs::write(&path, born)?;
        Ok(Listed(path))
    }
}

/// The process that a file of the list means, if it still runs.
fn listed(path: &Path) -> Option<Pid> {
    let leader = Pid::from_raw(path.file_name()?.to_str()?.parse().ok()?)?;
    (fs::read_to_string(path).ok()? == birth(leader)?).then_some(leader)
}

/// Tells a process from a later one with its number: the boot, and the clock ticks from there to its start.
fn birth(process: Pid) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    // The name, which may hold anything, ends with the last parenthesis. Field 22 is the 20th after it.
    let ticks = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    Some(format!("{} {ticks}", boot.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    fn process() -> (Child, Pid) {
        let child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let leader = Pid::from_child(&child);
        (child, leader)
    }

    #[test]
    fn the_next_start_kills_what_is_listed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let list = Leftovers::open(folder.path().to_owned()).unwrap();
        let ((mut left, leader), (mut done, done_leader), (mut other, other_pid)) =
            (process(), process(), process());
        // A crash drops nothing.
        std::mem::forget(list.list(leader).unwrap());
        drop(list.list(done_leader).unwrap());
        // A number that another process has by now.
        fs::write(folder.path().join(other_pid.as_raw_nonzero().to_string()), "another boot 1").unwrap();
        Leftovers::open(folder.path().to_owned()).unwrap();
        assert!(!left.wait().unwrap().success());
        for child in [&mut done, &mut other] {
            assert!(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
