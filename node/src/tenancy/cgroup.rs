//! Freezes, thaws and kills a tenant's processes through their control group (version 2).
//!
//! A process can leave its parents, but not its control group: nothing that a tenant starts is missed.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Where control groups are.
pub const ROOT: &str = "/sys/fs/cgroup";
/// How long processes are waited for: one in a call to a driver stops when that returns.
const FREEZE: Duration = Duration::from_secs(5);
const KILL: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// Why a control group can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error(
        "{path} is not the folder of a tenant's control group below {root}: correct `cgroup` of the begin hook"
    )]
    Place { path: PathBuf, root: PathBuf },
    #[error("{path} holds this node too: the begin hook must make a control group for the tenant alone")]
    Own { path: PathBuf },
    #[error("cannot write {path} ({source}): the node needs root, and a kernel of version 5.14 or later")]
    Write { path: PathBuf, source: io::Error },
    #[error("processes in {path} are not {state} after {secs} s: see cgroup.procs there, and dmesg")]
    Slow { path: PathBuf, state: &'static str, secs: u64 },
}

/// Refuses a folder that is not below `root`, that is not there, or that holds the processes of `own`, the text of
/// `/proc/self/cgroup`.
///
/// # Errors
/// [`CgroupError::Place`] or [`CgroupError::Own`].
pub fn check(root: &Path, path: &Path, own: &str) -> Result<(), CgroupError> {
    let place = || CgroupError::Place { path: path.to_owned(), root: root.to_owned() };
    let below = path.strip_prefix(root).map_err(|_| place())?;
    let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_plain || below.as_os_str().is_empty() || !path.join("cgroup.freeze").is_file() {
        return Err(place());
    }
    // With a hybrid hierarchy the folder of version 2 has a name of its own below the root.
    let holds = |group: &str| {
        let group = Path::new(group.trim_start_matches('/'));
        let names: Vec<_> = below.components().collect();
        (0..=1).any(|skipped| {
            let names: PathBuf = names.iter().skip(skipped).collect();
            !names.as_os_str().is_empty() && group.starts_with(names)
        })
    };
    let is_own = own.lines().filter_map(|line| line.strip_prefix("0::")).any(holds);
    if is_own { Err(CgroupError::Own { path: path.to_owned() }) } else { Ok(()) }
}

/// Stops all processes of the group, now and to come, until [`thaw`]. One that is gone needs nothing.
///
/// # Errors
/// [`CgroupError::Write`] or [`CgroupError::Slow`]; the kernel goes on freezing then.
pub async fn freeze(path: &Path) -> Result<(), CgroupError> {
    if write(path, "cgroup.freeze", "1")? {
        wait(path, "frozen 1", "frozen", FREEZE).await?;
    }
    Ok(())
}

/// Lets the processes go on.
///
/// # Errors
/// [`CgroupError::Write`].
pub fn thaw(path: &Path) -> Result<(), CgroupError> {
    write(path, "cgroup.freeze", "0").map(drop)
}

/// Kills all processes of the group, frozen or not, and waits until none is left.
///
/// # Errors
/// [`CgroupError::Write`] or [`CgroupError::Slow`].
pub async fn kill(path: &Path) -> Result<(), CgroupError> {
    if write(path, "cgroup.kill", "1")? {
        wait(path, "populated 0", "dead", KILL).await?;
    }
    Ok(())
}

/// Writes a file of the group; false if the group is gone.
fn write(path: &Path, name: &str, text: &str) -> Result<bool, CgroupError> {
    let file = path.join(name);
    match std::fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => Ok(false),
        // Removed while it was written.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Ok(false),
        Err(source) => Err(CgroupError::Write { path: file, source }),
    }
}

async fn wait(path: &Path, line: &str, state: &'static str, limit: Duration) -> Result<(), CgroupError> {
    let begun = Instant::now();
    loop {
        // A group without processes or one that is gone is neither slow.
        let events = std::fs::read_to_string(path.join("cgroup.events")).unwrap_or_default();
        let is_there = |line: &str| events.lines().any(|event| event == line);
        if events.is_empty() || is_there(line) || is_there("populated 0") {
            return Ok(());
        }
        if begun.elapsed() >= limit {
            return Err(CgroupError::Slow { path: path.to_owned(), state, secs: limit.as_secs() });
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs;
    use std::process::{Child, Command};

    /// A control group of this test's own, removed at the end.
    pub(crate) struct Group(pub PathBuf);

    impl Drop for Group {
        fn drop(&mut self) {
            let _ = fs::write(self.0.join("cgroup.kill"), "1");
            for _ in 0..500 {
                if fs::remove_dir(&self.0).is_ok() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// A real control group of version 2; `None`, told on standard error, if this host allows none.
    pub(crate) fn group(name: &str) -> Option<Group> {
        let made = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].iter().find_map(|root| {
            let root = Path::new(root);
            root.join("cgroup.procs").exists().then_some(())?;
            let path = root.join(format!("leasehold-test-{name}-{}", std::process::id()));
            fs::create_dir(&path).ok()?;
            let group = Group(path);
            group.0.join("cgroup.kill").exists().then_some(group)
        });
        if made.is_none() {
            eprintln!(
                "no control group can be made here, since /sys/fs/cgroup is no writable cgroup v2: a folder is used"
            );
        }
        made
    }

    /// A process that counts into a file, in the group.
    fn counter(group: &Path, file: &Path) -> Child {
        let script = "echo $$ >\"$1/cgroup.procs\" && while :; do echo x >>\"$2\"; sleep 0.01; done";
        Command::new("sh").args(["-c", script, "sh"]).args([group, file]).spawn().unwrap()
    }

    /// True if the file grows.
    fn grows(file: &Path) -> bool {
        let len = || fs::metadata(file).map_or(0, |file| file.len());
        let before = len();
        (0..1_000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            len() > before
        })
    }

    #[tokio::test]
    async fn a_group_is_frozen_thawed_and_killed_with_all_its_processes() {
        let Some(group) = group("freeze") else { return };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("count");
        let mut child = counter(&group.0, &file);
        assert!(grows(&file));
        freeze(&group.0).await.unwrap();
        let events = || fs::read_to_string(group.0.join("cgroup.events")).unwrap();
        assert!(events().contains("frozen 1"));
        let len = fs::metadata(&file).unwrap().len();
        thaw(&group.0).unwrap();
        assert!(grows(&file) && fs::metadata(&file).unwrap().len() > len);
        freeze(&group.0).await.unwrap();
        kill(&group.0).await.unwrap();
        assert!(events().contains("populated 0"));
        assert!(!child.wait().unwrap().success());
    }

    #[tokio::test]
    async fn a_group_that_is_gone_needs_nothing_and_one_that_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        freeze(&gone).await.unwrap();
        thaw(&gone).unwrap();
        kill(&gone).await.unwrap();
        let error = kill(folder.path()).await.unwrap_err();
        assert!(error.to_string().contains("cgroup.kill") && error.to_string().contains("5.14"), "{error}");
        // What the kernel's files get.
        for name in ["cgroup.freeze", "cgroup.kill", "cgroup.events"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        freeze(folder.path()).await.unwrap();
        kill(folder.path()).await.unwrap();
        let text = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((text("cgroup.freeze"), text("cgroup.kill")), ("1".to_owned(), "1".to_owned()));
    }

    #[test]
    fn folders_that_are_no_tenants_group_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (root, own) = (folder.path(), "1:name=systemd:/x\n0::/system.slice/leasehold-node.service\n");
        for name in ["a/b", "unified/system.slice", "system.slice"] {
            fs::create_dir_all(root.join(name)).unwrap();
            fs::write(root.join(name).join("cgroup.freeze"), "").unwrap();
        }
        check(root, &root.join("a/b"), own).unwrap();
        for path in [root.to_owned(), root.join("a"), root.join("a/../a/b"), "/etc".into(), "a/b".into()] {
            assert!(matches!(check(root, &path, own), Err(CgroupError::Place { .. })), "{}", path.display());
        }
        for name in ["system.slice", "unified/system.slice"] {
            assert!(matches!(check(root, &root.join(name), own), Err(CgroupError::Own { .. })), "{name}");
        }
    }
}
