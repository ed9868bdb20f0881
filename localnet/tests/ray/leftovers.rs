//! Whatever a lease's end was to take away, and is still there.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use leasehold_localnet::rooms::Switch;
use tokio::time::{Instant, sleep};

use crate::support::world::{MACHINES, World};

const KINDS: [&str; 5] = ["mnt", "net", "ipc", "uts", "pid"];
/// Killed processes are reaped, and their network namespaces taken down, a moment after the end hook.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What tenants have while their lease runs.
pub struct Held {
    /// Namespaces by their names in `/proc`, such as `net:[4026532008]`. Kept open, so that no other gets the same name.
    namespaces: BTreeMap<PathBuf, File>,
}

impl Held {
    pub fn by_tenants(world: &World) -> Self {
        let mut namespaces = BTreeMap::new();
        for slot in 0..MACHINES {
            let init = fs::read_to_string(world.rooms.path(&format!("room-{slot}/init"))).unwrap();
            for kind in KINDS {
                let path = PathBuf::from(format!("/proc/{}/ns/{kind}", init.trim()));
                namespaces.insert(fs::read_link(&path).unwrap(), File::open(path).unwrap());
            }
        }
        assert_eq!(namespaces.len(), KINDS.len() * usize::from(MACHINES), "each machine has its own");
        Self { namespaces }
    }

    /// Tenants' processes.
    pub fn processes(&self) -> Vec<String> {
        let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        all.filter(|process| self.namespaces_of(process).next().is_some())
            .map(|process| described(&process))
            .collect()
    }

    fn namespaces_of(&self, process: &Path) -> impl Iterator<Item = PathBuf> {
        let links = KINDS.map(|kind| fs::read_link(process.join("ns").join(kind)));
        links.into_iter().flatten().filter(|name| self.namespaces.contains_key(name))
    }

    /// What is left, a line each. `name`: of the files that tenants left behind.
    pub async fn left(self, world: &World, switch: &Switch, name: &str) -> Vec<String> {
        let mut left = lasting(|| self.processes()).await;
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let folder = world.rooms.path("");
        let is_theirs = |line: &&str| {
            line.contains(&*folder.to_string_lossy())
                || self.namespaces.keys().any(|name| line.contains(&*name.to_string_lossy()))
        };
        left.extend(mounts.lines().filter(is_theirs).map(|line| format!("mount {line}")));
        left.extend(files(world, name));
        // Their names are free to be taken from here on.
        drop(self);
        let ports = lasting(|| switch.ports().unwrap()).await;
        left.extend(ports.into_iter().map(|port| format!("network namespace at {port}")));
        left
    }
}

fn described(process: &Path) -> String {
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&command).replace('\0', " ");
    format!("process {} {words}", process.display())
}

/// What is still there when it should be gone.
async fn lasting(found: impl Fn() -> Vec<String>) -> Vec<String> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let found = found();
        if found.is_empty() || Instant::now() > deadline {
            return found;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Rooms, control groups, and files by their name, wherever a tenant could have written.
fn files(world: &World, name: &str) -> Vec<String> {
    let rooms = (0..MACHINES).map(|slot| world.rooms.path(&format!("room-{slot}")));
    let groups = (0..MACHINES).map(|slot| world.rooms.group(slot));
    let mut found: Vec<_> = rooms.chain(groups).filter(|path| path.exists()).collect();
    for folder in ["/root", "/tmp", "/var/tmp", "/run", "/dev/shm"]
        .map(PathBuf::from)
        .into_iter()
        .chain([world.rooms.path("")])
    {
        named(&folder, name, 4, &mut found);
    }
    found.into_iter().map(|path| format!("file {}", path.display())).collect()
}

fn named(folder: &Path, name: &str, depth: u32, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name() == name {
            found.push(entry.path());
        }
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            named(&entry.path(), name, depth - 1, found);
        }
    }
}
