//! What a node remembers of a machine across restarts: whose data are on it.
//!
//! A record is written before each step that it must not forget, in one piece. Whatever the moment at which the node is
//! killed, the record names every tenancy whose data can be on the machine.

use super::sight::{Lease, LeaseId, Sight};
use crate::leases::Place;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What is remembered of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub stage: Stage,
    /// The lease for which the begin hook has succeeded on this machine; it stays while the owner has its data wiped.
    pub served: Option<LeaseId>,
    /// What the chain said last. `None` if it was never read.
    pub sight: Option<Sight>,
}

/// How far a machine is in its tenancy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Stage {
    /// Nothing of a tenant is on the machine, as far as this node knows.
    #[default]
    Clean,
    /// The begin hook runs, or has to run again. `wipe`: it has to leave nothing of what was there.
    Preparing { tenancy: Tenancy, wipe: bool },
    /// The begin hook has succeeded.
    Prepared { tenancy: Tenancy, room: Room },
    /// The end hook runs, or has to run again.
    Wiping { tenancy: Tenancy, room: Option<Room> },
}

/// A lease on a machine, from one wipe to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenancy {
    pub lease: LeaseId,
    /// Index of the board in its market.
    pub board: u32,
    /// Access epoch in which it began.
    pub access_epoch: u32,
    /// The lease's data epoch for which the machine was prepared.
    pub data_epoch: u32,
    /// Solana slot as of which the lease was seen then: an older answer of the RPC node can't say that it is over.
    pub seen: u64,
}

impl Tenancy {
    /// The tenancy that a lease begins now.
    pub fn new(lease: &Lease, seen: u64) -> Self {
        Self {
            lease: lease.id,
            board: lease.board,
            access_epoch: lease.access_epoch,
            data_epoch: lease.data_epoch,
            seen,
        }
    }

    /// True if its data are those of the lease as it is now.
    pub fn is_of(&self, lease: &Lease) -> bool {
        self.lease == lease.id && self.data_epoch >= lease.data_epoch
    }
}

/// Where a tenant is let in, as the begin hook printed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    pub door: RoomDoor,
    /// Folder of the control group in which all of the tenant's processes are; `None` if they are on another host.
    pub cgroup: Option<PathBuf>,
    /// This host's boot in which the begin hook ran; after another one it runs again.
    pub boot: String,
}

/// How sessions get into a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum RoomDoor {
    /// Command that runs the sshd in the tenant's namespaces; the node appends the arguments.
    Enter(Vec<String>),
    /// Address of the sshd in the tenant's VM.
    Forward(SocketAddr),
}

impl Record {
    /// Notes what the chain says, unless the RPC node answered with an older state. Returns true if it differs.
    pub fn observe(&mut self, sight: Sight) -> bool {
        if self.sight.as_ref().is_some_and(|last| sight.slot < last.slot) {
            return false;
        }
        let changed = self.sight.as_ref().is_none_or(|last| last.lease != sight.lease);
        self.sight = Some(sight);
        changed
    }

    /// Has the begin hook run again after this host was started anew: what it prepared does not run any more. The tenant's
    /// data stay. Returns true if it changed something.
    pub fn rebooted(&mut self, boot: &str) -> bool {
        let Stage::Prepared { tenancy, room } = &self.stage else { return false };
        if room.boot == boot {
            return false;
        }
        self.stage = Stage::Preparing { tenancy: tenancy.clone(), wipe: false };
        self.served = None;
        true
    }
}

/// The folder in which a node keeps its records.
#[derive(Clone, Debug)]
pub struct Records(PathBuf);

impl Records {
    /// In that folder, which is made if it is not there.
    ///
    /// # Errors
    /// That it can't be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        Ok(Self(folder.to_owned()))
    }

    /// The record of a machine; one that was never written is empty.
    ///
    /// # Errors
    /// That the file can't be read or is damaged: then nobody knows whose data are on the machine.
    pub fn load(&self, place: &Place) -> io::Result<Record> {
        match fs::read(self.file(place)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Record::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes a record in one piece, to the disk.
    ///
    /// # Errors
    /// That of the file system; then the former record is still there.
    pub fn save(&self, place: &Place, record: &Record) -> io::Result<()> {
        let (file, mut bytes) = (self.file(place), serde_json::to_vec_pretty(record)?);
        bytes.push(b'\n');
        let new = file.with_extension("new");
        let mut written = File::create(&new)?;
        written.write_all(&bytes)?;
        written.sync_all()?;
        fs::rename(&new, &file)?;
        File::open(&self.0)?.sync_all()
    }

    /// Path of a machine's record.
    pub fn file(&self, place: &Place) -> PathBuf {
        self.0.join(format!("{}-{}.json", place.0, place.1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{PLACE, lease, prepared, sight};
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(&folder.path().join("state")).unwrap();
        assert_eq!(records.load(&PLACE).unwrap(), Record::default());
        let record = prepared(&lease(5));
        records.save(&PLACE, &record).unwrap();
        assert_eq!(records.load(&PLACE).unwrap(), record);
        // The node was killed while it wrote the next one.
        fs::write(records.file(&PLACE).with_extension("new"), "{").unwrap();
        assert_eq!(records.load(&PLACE).unwrap(), record);
        assert_eq!(records.load(&(PLACE.0, 4)).unwrap(), Record::default());
        fs::write(records.file(&PLACE), "{}").unwrap();
        assert!(records.load(&PLACE).is_err(), "nobody knows whose data are there");
    }

    #[test]
    fn an_older_answer_changes_nothing() {
        let mut record = Record::default();
        assert!(record.observe(sight(8, Some(lease(5)))));
        assert!(!record.observe(sight(7, None)) && record.sight == Some(sight(8, Some(lease(5)))));
        assert!(!record.observe(sight(9, Some(lease(5)))));
        assert!(record.observe(sight(9, None)));
    }

    #[test]
    fn a_host_that_was_started_anew_prepares_the_machine_again_and_wipes_nothing() {
        let mut record = prepared(&lease(5));
        assert!(!record.rebooted("boot"));
        assert!(record.rebooted("another"));
        assert!(matches!(record.stage, Stage::Preparing { wipe: false, .. }) && record.served.is_none());
    }
}
