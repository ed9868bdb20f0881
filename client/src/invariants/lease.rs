//! Invariants of a lease and its machines.

use leasehold::{
    math::{pricing, settlement},
    state::{Lease, LeaseState, SlotState},
};
use solana_pubkey::Pubkey;

use super::{BoardCheck, Report};
use crate::address;

pub(super) fn check(board: &BoardCheck, address: &Pubkey, lease: &Lease, report: &mut Report) {
    let name = format!("{}, lease {}", board.name, lease.serial);
    let header = board.view.header;
    let at_home = lease.board == board.state.address
        && (1..header.next_serial).contains(&lease.serial)
        && address::lease(&lease.board, u64::from(lease.serial)) == *address;
    report.require(at_home, || format!("{name} is not at the address of its board and serial"));
    report.require(lease.from <= lease.until, || {
        format!("{name} runs from {} until {}", lease.from, lease.until)
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
    let Lease { deposit, paid, fees, refunded, .. } = *lease;
    let remaining = lease.remaining().ok();
    report.require(remaining.is_some(), || {
        format!("invariant 2: {name} had {deposit}, and paid {paid}, fees {fees}, refunded {refunded}")
    });
    let settled = lease.state == LeaseState::Settled;
    report.require(!settled || remaining == Some(0), || {
        format!("invariant 2: {name} is settled and has {} left", remaining.unwrap_or_default())
    });
    report.require(settled || refunded == 0, || {
        format!("invariant 2: {name} was refunded {refunded} before it was settled")
    });
    report.require(lease.refund_due <= refunded, || {
        format!("invariant 2: {name} is due {} of the {refunded} refunded", lease.refund_due)
    });
    report.require(lease.compensation_due <= lease.slashed, || {
        format!("invariant 8: {name} is due {} of the {} slashed", lease.compensation_due, lease.slashed)
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
    report.require(!metered || lease.terms.cancel_secs == 0, || {
        format!("{name} is metered and owes {} seconds for leaving early", lease.terms.cancel_secs)
    });
    let unpaid = lease.meter.filter(|_| lease.paid == 0 && lease.fees == 0);
    report.require(unpaid.is_none_or(|meter| meter.seq == 0 && meter.units == 0), || {
        format!("{name} counts receipts, but no voucher was redeemed")
    });
}

/// Invariant 12.
fn machines(name: &str, board: &BoardCheck, lease: &Lease, report: &mut Report) {
    let expected = lease.machines.saturating_sub(lease.settled) as usize;
    report.require_eq(board.view.leased(lease.serial).count(), expected, || {
        (format!("invariant 12: {name}: the number of slots with its serial"), "its machines are")
    });
    for (index, slot) in board.view.leased(lease.serial) {
        // Its score may have fallen since.
        report.require(lease.criteria.allow(&slot.traits, slot.price), || {
            format!("invariant 12: {name}: slot {index} does not meet the lease's criteria")
        });
        let in_term = slot.lease_from >= lease.from && slot.lease_until == lease.until;
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
    let terms = &lease.terms;
    let mut owed = 0u128;
    for (index, slot) in board.view.leased(lease.serial) {
        let mut service = lease.service(slot, slot.lease_until);
        if lease.meter.is_some() {
            service.price = 0; // vouchers pay, as far as the deposit reaches
        }
        let now = settlement::last(&service, terms);
        report.require(now.as_ref().is_ok_and(|outcome| outcome.slash <= slot.bond), || {
            let slash = now.as_ref().map(|outcome| outcome.slash).unwrap_or_default();
            format!("invariant 8: {name}: slot {index} loses {slash} of a bond of {}", slot.bond)
        });
        // The most a machine can get: up in every round, with all that leaving early costs.
        if slot.is(SlotState::Leased) {
            (service.up, service.down, service.broke_promise) = (service.rounds, 0, false);
        }
        let most = settlement::last(&service, terms).and_then(|outcome| outcome.payment.gross());
        owed += u128::from(most.unwrap_or(u64::MAX));
    }
    let remaining = lease.remaining().unwrap_or_default();
    report.require(owed <= u128::from(remaining), || {
        format!("invariant 2: {name} has {remaining} left and may owe its machines {owed}")
    });
}
