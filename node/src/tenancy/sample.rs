//! A machine's tenancy, for unit tests.

use super::record::{Record, Room, RoomDoor, Stage, Tenancy};
use super::sight::{Access, Lease, LeaseId, Sight};
use crate::leases::Place;
use leasehold_client::probe::Pubkey;

pub const PLACE: Place = (Pubkey::new_from_array([0xb0; 32]), 3);
/// Unix seconds at which leases begin and end.
pub const BEGINS: i64 = 600_000;
pub const ENDS: i64 = 603_600;

/// An open lease with a key.
pub fn lease(serial: u32) -> Lease {
    let mut address = [0; 32];
    address[..4].copy_from_slice(&serial.to_le_bytes());
    Lease {
        id: LeaseId { address: Pubkey::new_from_array(address), serial },
        board: 1,
        access: Some(key(1)),
        access_epoch: 0,
        data_epoch: 0,
        begins: BEGINS,
        ends: ENDS,
    }
}

pub fn key(number: u8) -> Access {
    Access([number; 32])
}

pub fn sight(slot: u64, lease: Option<Lease>) -> Sight {
    Sight { slot, now: BEGINS, lease }
}

pub fn room() -> Room {
    let door = RoomDoor::Enter(vec!["nsenter".into()]);
    Room { door, cgroup: Some("/sys/fs/cgroup/tenant".into()), boot: "boot".into() }
}

/// A machine that is prepared for the lease, which was seen at slot 10.
pub fn prepared(lease: &Lease) -> Record {
    Record {
        stage: Stage::Prepared { tenancy: Tenancy::new(lease, 10), room: room() },
        served: Some(lease.id),
        sight: Some(sight(10, Some(lease.clone()))),
    }
}
