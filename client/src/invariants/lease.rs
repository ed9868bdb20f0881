//! Invariants of a lease and its machines.

use leasehold::{
    math::{add, pricing},
    rules::settle,
    state::{Lease, LeaseState, Slot, SlotState},
};
use solana_pubkey::Pubkey;

use super::{BoardCheck, Report};
use crate::address;

pub(super) fn check(board: &BoardCheck, address: &Pubkey, lease: &Lease, report: &mut Report) {
    let name = format!("{}, lease {}", board.name, lease.serial);
    let header = board.view.header;
    let at_home = lease.board == board.state.address
        && (1..header.next_serial).contains(&lease.serial)
        && address::lease(&lease.board, &lease.buyer, lease.nonce) == *address;
    report.require(at_home, || format!("{name} is not at the address of its board, buyer and nonce"));
    report.require(lease.from <= lease.until, || {
        format!("{name} runs from {} until {}", lease.from, lease.until)
    });
    report.require(lease.data_epoch <= lease.access_epoch, || {
        let (data, access) = (lease.data_epoch, lease.access_epoch);
        format!("invariant 21: {name} wipes with access epoch {data}, and has {access} only")
    });
    money(&name, lease, report);
    meter(&name, lease, report);
    machines(&name, board, lease, report);
    if lease.state != LeaseState::Settled {
        solvency(&name, board, lease, report);
    }
}

/// Invariant 2.
fn money(name: &str, lease: &Lease, report: &mut Report) {
    let Lease { deposit, paid, fees, refunded, burned, .. } = *lease;
    let remaining = lease.remaining().ok();
    report.require(remaining.is_some(), || {
        format!(
            "invariant 2: {name} had {deposit}, and paid {paid}, fees {fees}, refunded {refunded}, burned {burned}"
        )
    });
    let settled = lease.state == LeaseState::Settled;
    report.require(!settled || remaining == Some(0), || {
        format!("invariant 2: {name} is settled and has {} left", remaining.unwrap_or_default())
    });
    let was_left = lease.state == LeaseState::Cancelled || !lease.replaced.is_empty();
    report.require(settled || refunded == 0 || was_left, || {
        format!("invariant 2: {name} was refunded {refunded} before it was settled, and no machine was left")
    });
    report.require(lease.refund_due <= refunded, || {
        format!("invariant 2: {name} is due {} of the {refunded} refunded", lease.refund_due)
    });
    // Fees are rounded down for each machine, so they are no more than those of the whole.
    let most = paid.checked_add(fees).and_then(|gross| pricing::rate(gross, lease.terms.fee_bps).ok());
    report.require(most.is_some_and(|most| fees <= most), || {
        format!("{name} took fees of {fees} on {paid} paid, at {} basis points", lease.terms.fee_bps)
    });
}

/// Rules of metered leases.
fn meter(name: &str, lease: &Lease, report: &mut Report) {
    let metered = lease.meter.is_some();
    report.require(metered == lease.criteria.metered, || {
        let (is, asked) = (metered, lease.criteria.metered);
        format!("{name} has a meter: {is}, and asked for machines that allow it: {asked}")
    });
    report.require(!metered || lease.machines == 1, || {
        format!("{name} is metered and has {} machines", lease.machines)
    });
    let Some(meter) = lease.meter else { return };
    let paid = lease.paid.saturating_add(lease.fees);
    report.require(meter.paid <= paid, || {
        format!("{name} was paid {} by vouchers, and {paid} in all", meter.paid)
    });
    report.require(meter.paid > 0 || (meter.seq == 0 && meter.units == 0), || {
        format!("{name} counts receipts, but no voucher was redeemed")
    });
    report.require(!meter.owes_hour || lease.state != LeaseState::Open, || {
        format!("{name} is owed for an hour, but nobody has ended it")
    });
}

/// Invariant 12.
fn machines(name: &str, board: &BoardCheck, lease: &Lease, report: &mut Report) {
    let expected = lease.unsettled as usize;
    report.require_eq(board.view.leased(lease.serial).count(), expected, || {
        (format!("invariant 12: {name}: the number of slots with its serial"), "its machines not settled are")
    });
    let to_its_end = |slot: &Slot| slot.serves(lease.serial) && slot.lease_until == lease.until;
    let serving = board.view.leased(lease.serial).filter(|(_, slot)| to_its_end(slot)).count();
    report.require(serving <= lease.machines as usize, || {
        format!("invariant 12: {name} has {serving} machines, its account says {}", lease.machines)
    });
    for (index, slot) in board.view.leased(lease.serial) {
        // Its score may have fallen since.
        report.require(lease.criteria.allow(&slot.traits, slot.price), || {
            format!("invariant 12: {name}: slot {index} does not meet the lease's criteria")
        });
        let in_term = slot.lease_from >= lease.from;
        let in_term = in_term && (slot.has(Slot::LEFT) || slot.lease_until <= lease.until);
        report.require(in_term, || {
            let (from, until) = (slot.lease_from, slot.lease_until);
            format!(
                "{name} runs from {} until {}, slot {index} from {from} until {until}",
                lease.from, lease.until
            )
        });
        report.require(slot.committed_until >= slot.lease_until, || {
            format!("{name}: slot {index} is committed until {} only", slot.committed_until)
        });
    }
}

/// Invariant 8: the remaining deposit pays every machine to the end in the worst case, and no slash exceeds a bond.
fn solvency(name: &str, board: &BoardCheck, lease: &Lease, report: &mut Report) {
    let mut owed = 0u128;
    for (index, slot) in board.view.leased(lease.serial) {
        let now = settle::outcome(lease, slot);
        report.require(now.as_ref().is_ok_and(|outcome| outcome.slash <= slot.bond), || {
            let slash = now.as_ref().map(|outcome| outcome.slash).unwrap_or_default();
            format!("invariant 8: {name}: slot {index} loses {slash} of a bond of {}", slot.bond)
        });
        // The most that can be owed: the machine is up in every round that is not closed, with all that leaving it costs.
        let mut most = *slot;
        if slot.is(SlotState::Leased) {
            let first = board.view.header.next_round.max(slot.lease_from);
            most.lease_up = slot.lease_up.saturating_add(slot.lease_until.saturating_sub(first));
        }
        let most = settle::outcome(lease, &most);
        let most = most.and_then(|outcome| add(outcome.payment.gross()?, outcome.burned.total()?));
        owed += u128::from(most.unwrap_or(u64::MAX));
    }
    let remaining = lease.remaining().unwrap_or_default();
    report.require(owed <= u128::from(remaining), || {
        format!("invariant 2: {name} has {remaining} left and may owe {owed} for its machines")
    });
}
