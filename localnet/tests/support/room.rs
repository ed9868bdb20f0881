//! What tenants leave in their rooms, as the host sees it.

use std::{fs, path::PathBuf};

use super::{
    client::{Key, until},
    world::{Lease, World},
};

impl World {
    /// Starts a job that counts, and that no session holds.
    pub async fn start_job(&self, key: &Key, lease: &Lease, epoch: u32) -> Job {
        let count =
            "setsid sh -c 'while :; do echo x >>/root/count; sleep 0.05; done' >/dev/null 2>&1 </dev/null &";
        self.run(key, lease, epoch, count).await;
        let job = Job {
            count: self.rooms.path(&format!("room-{}/home/count", lease.slot)),
            group: self.rooms.group(lease.slot),
        };
        job.works_on().await;
        job
    }

    /// Calls of hooks so far, for one machine.
    pub fn hooks(&self, slot: u16) -> Vec<String> {
        let text = fs::read_to_string(self.rooms.path("hooks")).unwrap_or_default();
        let of = format!(" slot {slot}");
        text.lines().filter(|line| line.contains(&of)).map(str::to_owned).collect()
    }

    /// Waits until nothing is left of the machine's last tenant.
    pub async fn wiped(&self, lease: &Lease) {
        let end = format!("end {} slot {}", lease.address, lease.slot);
        until(|| self.hooks(lease.slot).contains(&end)).await;
        until(|| !self.rooms.path(&format!("room-{}", lease.slot)).exists()).await;
    }
}

/// A job in a room.
pub struct Job {
    count: PathBuf,
    group: PathBuf,
}

impl Job {
    fn count(&self) -> u64 {
        fs::metadata(&self.count).map_or(0, |file| file.len())
    }

    pub async fn works_on(&self) {
        let before = self.count();
        until(|| self.count() > before).await;
    }

    pub async fn freezes(&self) {
        let frozen = || fs::read_to_string(self.group.join("cgroup.events"));
        until(|| frozen().is_ok_and(|events| events.contains("frozen 1"))).await;
    }

    pub fn is_frozen(&self) -> bool {
        let events = fs::read_to_string(self.group.join("cgroup.events"));
        events.is_ok_and(|events| events.contains("frozen 1"))
    }
}

/// A command that leaves files of that name, and a process, wherever a tenant can.
pub fn traces(name: &str) -> String {
    format!(
        "for folder in /root /tmp /var/tmp /run /dev/shm; do echo x >$folder/{name}; done; \
         setsid tail -f /root/{name} >/dev/null 2>&1 </dev/null &"
    )
}
