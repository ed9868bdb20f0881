//! Names that a lease's machines have for SSH, and what the account says of access. Stands in for `leasehold_client::access`.

use super::sight::Access;
use leasehold::state::Lease;
use leasehold_client::probe::Pubkey;

pub fn host_alias(board: u32, serial: u32, access_epoch: u32, slot: u16, lease: &Pubkey) -> String {
    let lease: String = lease.to_string().chars().take(8).collect();
    format!("lease-{board}-{serial}-{access_epoch}-slot{slot}-{lease}")
}

/// Key, access epoch and data epoch.
pub fn access(_lease: &Lease) -> (Option<Access>, u32, u32) {
    (None, 0, 0)
}
