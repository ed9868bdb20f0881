//! Invariants between two moments: values that may only grow, and by how much.

use std::collections::HashMap;

use leasehold::state::{Lease, LeaseState, Slot};

use super::{BoardState, Report, Snapshot};

/// Checks invariants 3, 6 and 11 between two snapshots of a market, the earlier first. Boards, leases and
/// machines that are in only one of them are skipped.
pub fn check_progress(before: &Snapshot, after: &Snapshot) -> Report {
    let mut report = Report::default();
    grows(
        &mut report,
        || "the market's next board".to_owned(),
        before.market.next_board,
        after.market.next_board,
    );
    for was in &before.boards {
        if let Some(is) = after.boards.iter().find(|board| board.address == was.address) {
            board(was, is, &mut report);
        }
    }
    report
}

fn board(was: &BoardState, is: &BoardState, report: &mut Report) {
    let (Ok(before), Ok(after)) = (was.data.view(), is.data.view()) else { return };
    let name = format!("board {}", before.header.index);
    let (old, new) = (before.header, after.header);
    grows(report, || format!("{name}: the next round"), old.next_round, new.next_round);
    grows(report, || format!("{name}: the next serial"), old.next_serial, new.next_serial);
    renews(report, || format!("{name}: the fresh generation"), old.fresh_generation, new.fresh_generation);
    let closed = u64::from(new.next_round.saturating_sub(old.next_round));
    for (index, (was, is)) in before.slots.iter().zip(after.slots).enumerate() {
        // A slot that was cut off and added again never gets an earlier generation.
        renews(
            report,
            || format!("invariant 11: {name}: the generation of slot {index}"),
            was.generation,
            is.generation,
        );
        if was.generation == is.generation {
            counters(&format!("{name}, slot {index}"), was, is, closed, report);
        }
    }
    let leases: HashMap<_, _> = is.leases.iter().map(|(address, lease)| (address, lease)).collect();
    for (address, before) in &was.leases {
        if let Some(after) = leases.get(address) {
            lease(&format!("{name}, lease {}", before.serial), before, after, report);
        }
    }
}

/// The counts of all verdicts only grow, by at most one per round.
fn counters(name: &str, was: &Slot, is: &Slot, closed: u64, report: &mut Report) {
    let verdicts = |slot: &Slot| (u64::from(slot.up), u64::from(slot.down));
    let (before, after) = (verdicts(was), verdicts(is));
    let (up, down) = (after.0.checked_sub(before.0), after.1.checked_sub(before.1));
    let counted = up.zip(down).map(|(up, down)| up + down);
    report.require(counted.is_some_and(|counted| counted <= closed), || {
        format!(
            "invariant 6: {name} went from {before:?} to {after:?} rounds up and down while {closed} closed"
        )
    });
}

fn lease(name: &str, was: &Lease, is: &Lease, report: &mut Report) {
    grows(report, || format!("{name}: the deposit"), was.deposit, is.deposit);
    grows(report, || format!("{name}: the amount paid"), was.paid, is.paid);
    grows(report, || format!("{name}: the fees kept"), was.fees, is.fees);
    grows(report, || format!("{name}: the amount refunded"), was.refunded, is.refunded);
    grows(report, || format!("{name}: the stake slashed"), was.slashed, is.slashed);
    if let (Some(was), Some(is)) = (was.meter, is.meter) {
        grows(report, || format!("{name}: the receipts paid for"), was.seq, is.seq);
        grows(report, || format!("{name}: the units paid for"), was.units, is.units);
    }
    report.require(was.meter.map(|meter| meter.spender) == is.meter.map(|meter| meter.spender), || {
        format!("{name} changed its meter")
    });
    let onward = was.state == is.state || is.state == LeaseState::Settled || was.state == LeaseState::Open;
    report
        .require(onward, || format!("invariant 3: {name} went from {:?} back to {:?}", was.state, is.state));
}

/// Like [`grows`], for generations, which wrap: of two generations the later one is less than 2^15 steps ahead.
fn renews(report: &mut Report, what: impl FnOnce() -> String, was: u16, is: u16) {
    let grown = is.wrapping_sub(was) < 1 << 15;
    report.require(grown, || format!("invariant 3: {} fell from {was} to {is}", what()));
}

fn grows<T: PartialOrd + std::fmt::Display>(
    report: &mut Report,
    what: impl FnOnce() -> String,
    was: T,
    is: T,
) {
    report.require(is >= was, || format!("invariant 3: {} fell from {was} to {is}", what()));
}
