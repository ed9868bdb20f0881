//! State of a lease for other programs.

use anchor_lang::prelude::*;

use crate::{
    rules::settle::{BUDGET_UNITS, is_over, quote},
    state::{Board, Lease, LeaseState, Slot},
};

/// Return data of `view_lease`: a lease as it stands. Amounts are payment units unless they say otherwise.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseView {
    pub board: Pubkey,
    pub serial: u32,
    pub owner: Pubkey,
    pub state: LeaseState,
    /// First round of the lease, and the first after it.
    pub from: u32,
    pub until: u32,
    /// True if all rounds are closed that the lease waits for: its settlement is final.
    pub is_over: bool,
    /// Number of machines that serve it, or served it to its end; and of those, replaced ones included, that are not settled
    /// for good.
    pub machines: u32,
    pub unsettled: u32,
    /// Paid in; of that paid to suppliers, kept as fees, refunded and burned so far.
    pub deposit: u64,
    pub paid: u64,
    pub fees: u64,
    pub refunded: u64,
    pub burned: u64,
    /// Refunded and not claimed yet.
    pub refund_due: u64,
    /// Stake units that its machines lost so far.
    pub slashed: u64,
    /// Rounds of each verdict within the lease, summed over the machines that are not settled for good.
    pub up: u64,
    pub down: u64,
    pub unseen: u64,
    /// What `settle_lease` would do now; `None` if the lease is settled.
    pub next: Option<NextSettlement>,
}

/// What the next settlement of a lease does: these amounts are added to those so far. It has as many machines as a
/// transaction can settle.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextSettlement {
    /// Number of machines settled for good, and whether the lease is settled with them.
    pub machines: u32,
    pub is_final: bool,
    pub paid: u64,
    pub fees: u64,
    pub refunded: u64,
    pub burned: u64,
    /// Stake units.
    pub slashed: u64,
}

/// A lease as it stands. `slots`: those of its board.
pub fn lease(board: &Board, slots: &[Slot], lease: &Lease) -> Result<LeaseView> {
    let (mut up, mut down, mut unseen) = (0u64, 0u64, 0u64);
    // Thousands of 32-bit counts: the sums fit.
    for slot in slots.iter().filter(|slot| slot.lease == lease.serial) {
        up = up.wrapping_add(u64::from(slot.lease_up));
        down = down.wrapping_add(u64::from(slot.lease_down));
        unseen = unseen.wrapping_add(u64::from(slot.lease_unseen));
    }
    Ok(LeaseView {
        board: lease.board,
        serial: lease.serial,
        owner: lease.owner,
        state: lease.state,
        from: lease.from,
        until: lease.until,
        is_over: is_over(board, lease),
        machines: lease.machines,
        unsettled: lease.unsettled,
        deposit: lease.deposit,
        paid: lease.paid,
        fees: lease.fees,
        refunded: lease.refunded,
        burned: lease.burned,
        refund_due: lease.refund_due,
        slashed: lease.slashed,
        up,
        down,
        unseen,
        next: next(board, slots, lease)?,
    })
}

/// What a settlement now does; `None` if the lease is settled.
fn next(board: &Board, slots: &[Slot], lease: &Lease) -> Result<Option<NextSettlement>> {
    if lease.state == LeaseState::Settled {
        return Ok(None);
    }
    let settled = quote(board, slots, lease, BUDGET_UNITS)?;
    Ok(Some(NextSettlement {
        machines: settled.machines,
        is_final: settled.is_final,
        paid: settled.payment.net,
        fees: settled.payment.fee,
        refunded: settled.refunded,
        burned: settled.burned,
        slashed: settled.slashed,
    }))
}
