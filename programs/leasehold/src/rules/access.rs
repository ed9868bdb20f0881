//! Access to the machines of a lease: whose SSH key is let in, and whether what the machines hold is kept.
//!
//! The program decides; each machine's node compares the epochs with those it acted on last.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{add32, rounds},
    state::{Lease, LeaseState},
};

/// Lets the holder of another key into the machines from Unix time `now` on, or nobody. With `wipe`, what the machines hold
/// belongs to an epoch that is over.
///
/// A lease that is cancelled still runs to the end of its last round. Once a lease is over nobody is let in, so there is
/// nothing to set: a key that was set then would look like a right to machines that serve others by now.
///
/// # Errors
/// `LeaseSettled` if all its machines are settled, `LeaseOver` if its last round has ended.
pub fn set(lease: &mut Lease, access: Option<[u8; 32]>, wipe: bool, now: i64) -> Result<()> {
    require!(lease.state != LeaseState::Settled, LeaseholdError::LeaseSettled);
    let running = rounds::at(lease.terms.round_secs, lease.terms.phase_secs, now)?;
    require!(running < lease.until, LeaseholdError::LeaseOver);
    lease.access = access;
    lease.access_epoch = add32(lease.access_epoch, 1)?;
    if wipe {
        lease.data_epoch = lease.access_epoch;
    }
    Ok(())
}

/// Makes the lease another owner's. Nobody is let in until that owner sets a key and says with it whether the machines are
/// wiped. Also for a lease that is over: its refund is still to be claimed.
///
/// # Errors
/// `LeaseMetered`: the spender of a metered lease could spend a new owner's refund.
pub fn transfer(lease: &mut Lease, owner: Pubkey) -> Result<()> {
    lease.require_hourly()?;
    lease.owner = owner;
    lease.access = None;
    lease.access_epoch = add32(lease.access_epoch, 1)?;
    Ok(())
}
