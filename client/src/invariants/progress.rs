//! Invariants between two moments: values that may only grow, and by how much; rights that don't change unnoticed.

use std::collections::HashMap;

use leasehold::state::{Board, Lease, LeaseState, RING, Slot, ring_bit};

use super::{BoardState, Report, Snapshot};

/// Checks invariants 3, 6, 11 and 21 between two snapshots of a market, the earlier first. Boards, leases and
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
    grows(report, || format!("{name}: the fresh generation"), old.fresh_generation, new.fresh_generation);
    let rounds = Rounds::between(old, new);
    for (index, (was, is)) in before.slots.iter().zip(after.slots).enumerate() {
        // A slot that was cut off and added again never gets an earlier generation.
        grows(
            report,
            || format!("invariant 11: {name}: the generation of slot {index}"),
            was.generation,
            is.generation,
        );
        if was.generation == is.generation {
            counters(&format!("{name}, slot {index}"), was, is, &rounds, report);
        }
    }
    let leases: HashMap<_, _> = is.leases.iter().map(|(address, lease)| (address, lease)).collect();
    for (address, before) in &was.leases {
        if let Some(after) = leases.get(address) {
            lease(&format!("{name}, lease {}", before.serial), before, after, report);
        }
    }
}

/// Rounds that were closed meanwhile.
struct Rounds {
    first: u32,
    closed: u64,
    /// Number of void ones; `None` if the board does not remember all of them.
    void: Option<u64>,
}

impl Rounds {
    fn between(was: &Board, is: &Board) -> Self {
        let closed = is.next_round.saturating_sub(was.next_round);
        let is_void = |round: &u32| is.quorate >> ring_bit(*round) & 1 == 0;
        let void = (closed <= RING).then(|| (was.next_round..is.next_round).filter(is_void).count() as u64);
        Rounds { first: was.next_round, closed: closed.into(), void }
    }
}

/// The counts of all verdicts only grow. A machine that gets verdicts has one for each round that was not void.
fn counters(name: &str, was: &Slot, is: &Slot, rounds: &Rounds, report: &mut Report) {
    let verdicts = |slot: &Slot| [slot.up, slot.down, slot.unseen].map(u64::from);
    let (before, after) = (verdicts(was), verdicts(is));
    let grown = before.iter().zip(after).map(|(before, after)| after.checked_sub(*before));
    let counted = grown.sum::<Option<u64>>();
    let Rounds { first, closed, void } = *rounds;
    let attested = was.attested_from <= first && is.attested_from == was.attested_from;
    let expected = void.filter(|_| attested).map(|void| closed.saturating_sub(void));
    let holds =
        counted.is_some_and(|counted| expected.map_or(counted <= closed, |expected| counted == expected));
    report.require(holds, || {
        let void = void.map_or("unknown".to_owned(), |void| void.to_string());
        format!(
            "invariant 6: {name} went from {before:?} to {after:?} rounds up, down and unseen while {closed} closed, \
             void ones: {void}"
        )
    });
}

fn lease(name: &str, was: &Lease, is: &Lease, report: &mut Report) {
    grows(report, || format!("{name}: the deposit"), was.deposit, is.deposit);
    grows(report, || format!("{name}: the amount paid"), was.paid, is.paid);
    grows(report, || format!("{name}: the fees kept"), was.fees, is.fees);
    grows(report, || format!("{name}: the amount refunded"), was.refunded, is.refunded);
    grows(report, || format!("{name}: the amount burned"), was.burned, is.burned);
    grows(report, || format!("{name}: the stake slashed"), was.slashed, is.slashed);
    let replaced = is.replaced.starts_with(&was.replaced);
    report.require(replaced, || format!("invariant 3: {name} forgot machines that were replaced"));
    if let (Some(was), Some(is)) = (was.meter, is.meter) {
        grows(report, || format!("{name}: the receipts paid for"), was.seq, is.seq);
        grows(report, || format!("{name}: the units paid for"), was.units, is.units);
        grows(report, || format!("{name}: the amount that vouchers paid"), was.paid, is.paid);
    }
    report.require(was.meter.map(|meter| meter.spender) == is.meter.map(|meter| meter.spender), || {
        format!("{name} changed its meter")
    });
    access(name, was, is, report);
    let onward = was.state == is.state || is.state == LeaseState::Settled || was.state == LeaseState::Open;
    report
        .require(onward, || format!("invariant 3: {name} went from {:?} back to {:?}", was.state, is.state));
}

/// Invariant 21: whoever is let in changes with the access epoch only, and a new owner's lease begins shut.
fn access(name: &str, was: &Lease, is: &Lease, report: &mut Report) {
    grows(report, || format!("{name}: the access epoch"), was.access_epoch, is.access_epoch);
    grows(report, || format!("{name}: the data epoch"), was.data_epoch, is.data_epoch);
    let rights = |lease: &Lease| (lease.owner, lease.access, lease.data_epoch);
    report.require(rights(was) == rights(is) || was.access_epoch < is.access_epoch, || {
        format!("invariant 21: {name} has another owner or key, and access epoch {} still", is.access_epoch)
    });
    // Transferred once, and nothing else: no key was set since.
    let transferred = was.owner != is.owner && is.access_epoch.checked_sub(was.access_epoch) == Some(1);
    report.require(!transferred || (is.access.is_none() && is.data_epoch == was.data_epoch), || {
        format!("invariant 21: {name} was transferred, and its former owner decides who is let in")
    });
}

fn grows<T: PartialOrd + std::fmt::Display>(
    report: &mut Report,
    what: impl FnOnce() -> String,
    was: T,
    is: T,
) {
    report.require(is >= was, || format!("invariant 3: {} fell from {was} to {is}", what()));
}
