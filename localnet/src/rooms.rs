//! Rooms for tenants on this host: namespaces and a control group for each machine, by hooks of a node's `[access]`.
//!
//! For the demo and tests, where no GPU has to be shared and no image is at hand. A room has the host's files, but a home, `/tmp`,
//! `/run` and `/dev/shm` of its own, and its own processes and network. Suppliers use the profiles in `node/deploy/`.

mod switch;

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

use tempfile::TempDir;

pub use self::switch::Switch;

/// Programs that rooms, logging in and the node need, and the Debian package of each.
const PROGRAMS: [(&str, &str); 6] = [
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
];
/// `sshd` is run by this path.
const SSHD: &str = "/usr/sbin/sshd";
const SCRIPTS: [(&str, &str); 5] = [
    ("begin", include_str!("rooms/begin")),
    ("end", include_str!("rooms/end")),
    ("init", include_str!("rooms/init")),
    ("clear", include_str!("rooms/clear")),
    ("switch", include_str!("rooms/switch")),
];
/// Argument by which a program serves as the command that answers keys.
pub const KEY_COMMAND: &str = "authorized-keys";

/// A folder with hooks and rooms. Dropping it ends all rooms.
pub struct Rooms {
    folder: TempDir,
    group: PathBuf,
    /// The rooms' first processes read from it until it is closed, which they are if this process is killed, too.
    _alive: File,
}

impl Rooms {
    /// Makes the folder.
    ///
    /// # Errors
    /// A sentence that says why this host can't have rooms.
    pub fn new() -> Result<Self, String> {
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        if !is_root {
            return Err("it needs root for namespaces and control groups".to_owned());
        }
        for (program, package) in PROGRAMS {
            if !is_installed(program) {
                return Err(format!("{program} is missing: install {package}"));
            }
        }
        try_namespaces()?;
        // Below folders that only root writes to, as sshd demands of the command that answers keys; and short, since a node's
        // sockets are below it.
        let folder = tempfile::Builder::new().prefix("leasehold-").tempdir_in("/var/lib");
        let folder = folder.map_err(|error| format!("cannot make a folder in /var/lib: {error}"))?;
        let group = new_group(folder.path())?;
        let written = write(folder.path(), &group);
        match written {
            Ok(alive) => Ok(Self { folder, group, _alive: alive }),
            Err(error) => {
                let _ = fs::remove_dir(group);
                Err(format!("cannot write to {}: {error}", folder.path().display()))
            }
        }
    }

    /// Path of a file in the folder: the hooks `begin` and `end`, the list `hooks` of their calls, `room-SLOT/home`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Control group of a machine's processes, while there is one.
    pub fn group(&self, slot: u16) -> PathBuf {
        self.group.join(format!("slot{slot}"))
    }

    /// Puts the rooms that begin from now on on one network, which nothing else is on.
    ///
    /// # Errors
    /// If this host allows no bridge.
    pub fn connect(&self) -> io::Result<Switch> {
        Switch::begin(self.folder.path())
    }

    /// Gives the rooms that begin from now on a folder of this host, at the same path and read-only, even if they have a folder
    /// of their own above it.
    ///
    /// # Errors
    /// If its path can't be written.
    pub fn share(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(self.path("shared"))?;
        let share = tempfile::Builder::new().prefix("").tempdir_in(self.path("shared"))?.keep();
        fs::create_dir(share.join("folder"))?;
        fs::write(share.join("path"), folder.as_os_str().as_encoded_bytes())
    }

    /// A command that answers keys by running this program with [`KEY_COMMAND`] as its first argument, which is to call
    /// [`leasehold_node::access::key_command::run`]. Returns its path.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn key_command(&self) -> io::Result<PathBuf> {
        let own = std::env::current_exe()?;
        fs::write(self.path("program.path"), own.as_os_str().as_encoded_bytes())?;
        // Where the program itself is mounted: its folder may be hidden in the room.
        let program = self.path("program");
        fs::write(&program, "")?;
        let command = self.path("key-command");
        let text = format!("#!/bin/sh\nexec {} {KEY_COMMAND} \"$@\"\n", program.display());
        write_script(&command, &text)?;
        Ok(command)
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        let _ = fs::write(self.group.join("cgroup.kill"), "1");
        for _ in 0..500 {
            let slots = fs::read_dir(&self.group).into_iter().flatten().flatten();
            for slot in slots.filter(|entry| entry.path().is_dir()) {
                let _ = fs::remove_dir(slot.path());
            }
            if fs::remove_dir(&self.group).is_ok() || !self.group.exists() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        tracing::warn!("processes in {} do not end", self.group.display());
    }
}

fn is_installed(program: &str) -> bool {
    if program == "sshd" {
        return Path::new(SSHD).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Root in a container may not be allowed to.
fn try_namespaces() -> Result<(), String> {
    let kinds = ["--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--mount-proc"];
    let script = "mount -t tmpfs tmpfs /tmp";
    let tried = Command::new("unshare").args(kinds).args(["sh", "-c", script]).output();
    let tried = tried.map_err(|error| format!("cannot run unshare: {error}"))?;
    if tried.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&tried.stderr);
    Err(format!("this host allows no new namespaces ({})", said.lines().next().unwrap_or("unshare failed")))
}

/// An empty control group of version 2, named after the folder.
fn new_group(folder: &Path) -> Result<PathBuf, String> {
    let name = folder.file_name().unwrap_or_default();
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        let group = Path::new(root).join(name);
        if !Path::new(root).join("cgroup.procs").exists() || fs::create_dir(&group).is_err() {
            continue;
        }
        if group.join("cgroup.kill").exists() {
            return Ok(group);
        }
        let _ = fs::remove_dir(group);
    }
    Err("/sys/fs/cgroup is no cgroup of version 2 in which control groups can be made".to_owned())
}

fn write(folder: &Path, group: &Path) -> io::Result<File> {
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    for (name, text) in SCRIPTS {
        write_script(&folder.join(name), text)?;
    }
    fs::write(folder.join("group"), group.as_os_str().as_encoded_bytes())?;
    let alive = folder.join("alive");
    let made = Command::new("mkfifo").arg(&alive).status()?;
    if !made.success() {
        return Err(io::Error::other("mkfifo failed"));
    }
    // For both, so that opening it waits for nobody.
    OpenOptions::new().read(true).write(true).open(alive)
}

fn write_script(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}
