//! Invariants of a board: header, ledger, seats, tally, slots and leases.

use std::collections::HashMap;

use leasehold::{
    constants::{HISTORY_ROUNDS, MAX_SCORE, MAX_SLOTS, PLANES, WORDS},
    math::tally::Quorum,
    state::{Board, Lease, LeaseState, Slot, SlotState, Verdict},
};

use super::{BoardCheck, BoardState, Report, Snapshot, lease, sum};
use crate::address;

pub fn check(snapshot: &Snapshot, board: &BoardState, report: &mut Report) {
    let view = match board.data.view() {
        Ok(view) => view,
        Err(error) => return report.require(false, || format!("board {}: {error}", board.address)),
    };
    let check = BoardCheck { name: format!("board {}", view.header.index), state: board, view };
    check.header(snapshot, report);
    check.ledger(report);
    check.seats(report);
    check.tally(report);
    check.slots(report);
    for (address, lease) in &board.leases {
        lease::check(&check, address, lease, report);
    }
}

impl BoardCheck<'_> {
    fn header(&self, snapshot: &Snapshot, report: &mut Report) {
        let (name, header) = (&self.name, self.view.header);
        let at_home = header.market == snapshot.address
            && header.index < snapshot.market.next_board
            && address::board(&header.market, header.index) == self.state.address;
        report.require(at_home, || format!("{name} is not at the address of its market and index"));
        report.require(self.view.slots.len() <= MAX_SLOTS, || {
            format!("{name} has {} slots, {MAX_SLOTS} are the most", self.view.slots.len())
        });
        report.require_eq(header.machines as usize, self.view.machines().count(), || {
            (format!("{name}: the number of machines"), "slots that hold one are")
        });
        report.require_eq(header.leases as usize, self.state.leases.len(), || {
            (format!("{name}: the number of leases"), "their accounts are")
        });
        let is_known = |machines: u32| machines as usize <= MAX_SLOTS;
        report.require(is_known(header.slots_before), || {
            format!("{name} had {} slots, {MAX_SLOTS} are the most", header.slots_before)
        });
    }

    /// Invariant 1: the payment vault against the ledger, and each entry of the ledger against the accounts it sums.
    fn ledger(&self, report: &mut Report) {
        let (name, ledger) = (&self.name, &self.view.header.ledger);
        let (slots, seats) = (self.view.slots, &self.view.header.seats);
        let leases = || self.state.leases.iter().map(|(_, lease)| lease);
        let owed = sum([
            ledger.escrow,
            ledger.accrued,
            ledger.fees,
            ledger.keeper_pool,
            ledger.keeper_fees,
            ledger.refunds,
            ledger.burning,
        ]);
        let (held, unasked) = (u128::from(self.state.payment_vault), self.state.unasked_payments);
        report.require(held == owed + u128::from(unasked), || {
            format!(
                "invariant 1: {name}: the payment vault holds {held}, the ledger {owed}, and {unasked} came \
                 without an instruction"
            )
        });
        let mut entry = |what: &str, found: u64, expected: u128, source| {
            report.require_eq(u128::from(found), expected, || {
                (format!("invariant 1: {name}: the ledger's {what}"), source)
            });
        };
        let remaining = leases().map(|lease| lease.remaining().unwrap_or_default());
        entry("escrow", ledger.escrow, sum(remaining), "remaining deposits of leases sum to");
        entry("accrued", ledger.accrued, sum(slots.iter().map(|s| s.accrued)), "earnings of slots sum to");
        entry(
            "keeper_fees",
            ledger.keeper_fees,
            sum(seats.iter().map(|s| s.earned)),
            "those of seats sum to",
        );
        entry("refunds", ledger.refunds, sum(leases().map(|l| l.refund_due)), "those due to leases sum to");
        entry("bonds", ledger.bonds, sum(slots.iter().map(|s| s.bond)), "those of slots sum to");
    }

    fn seats(&self, report: &mut Report) {
        let (name, header) = (&self.name, self.view.header);
        for (index, seat) in (0u8..).zip(&header.seats) {
            let vacant = bytemuck::bytes_of(seat).iter().all(|byte| *byte == 0);
            report.require(vacant || !seat.is_vacant(), || {
                format!("{name}: seat {index} is vacant but not zeroed")
            });
            report.require(seat.is_vacant() || index < header.seat_count, || {
                format!("{name}: seat {index} is held, of {} seats", header.seat_count)
            });
            let twice = header
                .seats
                .iter()
                .filter(|other| !other.is_vacant() && !seat.is_vacant() && other.keeper == seat.keeper);
            report.require(twice.count() <= 1, || {
                format!("{name}: keeper {} has more than one seat", seat.keeper)
            });
        }
    }

    /// Invariants 5 and 7, and that only held seats have voted.
    fn tally(&self, report: &mut Report) {
        let (name, header) = (&self.name, self.view.header);
        let (tally, taken) = (&header.tally, header.taken_seats());
        report.require(tally.submitted & !taken == 0, || {
            format!("{name}: seats {:#b} have voted, {taken:#b} are held", tally.submitted)
        });
        let seats = 1u32.checked_shl(u32::from(header.seat_count)).unwrap_or_default();
        for (place, votes) in header.votes.iter().enumerate() {
            report.require(u32::from(*votes) < seats, || {
                format!("{name}: seats {votes:#b} voted in the round at {place}, of {}", header.seat_count)
            });
        }
        report.require(!header.is_voting() || tally.round >= header.next_round, || {
            format!("{name}: round {} is voted on and {} is the next", tally.round, header.next_round)
        });
        let submitted = tally.submitted.count_ones();
        let covered = self.covered();
        for word in 0..WORDS {
            // Machines with at least so many votes.
            let counted = |votes: u32| {
                let votes = u8::try_from(votes).unwrap_or(u8::MAX);
                Quorum::new(0, votes, 1).verdicts(&tally.planes, word).up
            };
            // Four planes count no further than 15, so nothing exceeds a full house.
            let more = submitted + 1;
            let over = if more < 1 << PLANES { counted(more) } else { 0 };
            report.require(over == 0, || {
                let machine = word * 64 + over.trailing_zeros() as usize;
                format!("invariant 5: {name}: machine {machine} has more than the {submitted} votes cast")
            });
            let beyond = counted(1) & !mask_below(covered.saturating_sub(word * 64));
            report.require(beyond == 0, || {
                let slot = word * 64 + beyond.trailing_zeros() as usize;
                format!("invariant 7: {name}: slot {slot} has votes, and votes cover {covered} slots")
            });
        }
    }

    /// Slots that votes may name: as many as there were when the round ended, as far as the header shows.
    fn covered(&self) -> usize {
        let header = self.view.header;
        let ended = header.tally.round.wrapping_add(1);
        if header.resized_round > ended {
            return MAX_SLOTS; // resized twice since
        }
        header.slots_at(ended) as usize
    }

    fn slots(&self, report: &mut Report) {
        let leases: HashMap<u32, &Lease> =
            self.state.leases.iter().map(|(_, lease)| (lease.serial, lease)).collect();
        let demands =
            |count: u64| format!("invariant 9: {}: machines hold their bonds for {count} demands", self.name);
        let held = self.view.slots.iter().map(|slot| u64::from(slot.demands)).sum::<u64>();
        let open = leases.values().map(|lease| u64::from(lease.demands)).sum::<u64>();
        report.require(held == open, || format!("{}, leases have {open}", demands(held)));
        for (index, slot) in self.view.indexed() {
            let name = || format!("{}, slot {index}", self.name);
            report.require(slot.state <= SlotState::Barred as u8, || {
                format!("{} is in unknown state {}", name(), slot.state)
            });
            let consistent = match slot.lease {
                0 => !slot.is(SlotState::Leased),
                _ => [SlotState::Leased, SlotState::Suspended, SlotState::Barred].iter().any(|s| slot.is(*s)),
            };
            report.require(consistent, || {
                format!("invariant 12: {} is in state {} with lease {}", name(), slot.state, slot.lease)
            });
            report.require(slot.score <= MAX_SCORE, || {
                format!("invariant 15: {} has score {}", name(), slot.score)
            });
            report.require(!slot.is(SlotState::Barred) || slot.bond == 0, || {
                format!("invariant 8: {} is barred and keeps a bond of {}", name(), slot.bond)
            });
            if slot.is(SlotState::Vacant) {
                let empty = slot.bond == 0 && slot.accrued == 0 && slot.demands == 0;
                report.require(empty, || {
                    let (bond, accrued) = (slot.bond, slot.accrued);
                    format!("invariant 11: {} is vacant with bond {bond} and earnings {accrued}", name())
                });
                continue;
            }
            let hourly = slot.price.checked_mul(u64::from(slot.traits.gpus));
            report.require(hourly.is_some_and(|hourly| hourly > 0), || {
                format!("{} has {} GPUs at a price of {}", name(), slot.traits.gpus, slot.price)
            });
            flags(slot, name, report);
            let open = |lease: &&Lease| lease.state != LeaseState::Settled;
            report.require(slot.lease == 0 || leases.get(&slot.lease).is_some_and(open), || {
                format!("invariant 12: {} is in lease {}, which is settled or unknown", name(), slot.lease)
            });
            counters(self.view.header, slot, name, report);
        }
    }
}

/// A machine that its owner left early, and no other, serves less than was agreed on; one without a lease has no flag but that
/// of being bound.
fn flags(slot: &Slot, name: impl Fn() -> String, report: &mut Report) {
    let left = slot.lease_until < slot.lease_agreed;
    let how = Slot::REPLACED | Slot::DARK | Slot::CONTESTED | Slot::FADED;
    let lawful = match slot.lease {
        0 => !slot.has(!Slot::BOUND),
        _ => slot.has(Slot::LEFT) == left && (left || !slot.has(how)),
    };
    report.require(lawful, || {
        let Slot { flags, lease, lease_until: until, lease_agreed: agreed, .. } = *slot;
        format!("{} has flags {flags:#b} in lease {lease} until {until}, and agreed on {agreed}", name())
    });
}

/// Invariant 6, as far as one snapshot shows it: the verdicts within the lease don't exceed its closed rounds, and equal
/// the history if the history covers all of them.
fn counters(header: &Board, slot: &Slot, name: impl Fn() -> String, report: &mut Report) {
    let Slot { lease_from: from, lease_until: until, lease_agreed: agreed, .. } = *slot;
    report.require(from <= until && until <= agreed, || {
        format!("{} has a lease from {from} until {until}, agreed on until {agreed}", name())
    });
    let closed = header.next_round.clamp(from, until.max(from)) - from;
    let counted = [slot.lease_up, slot.lease_down, slot.lease_unseen].map(u64::from).iter().sum::<u64>();
    report.require(counted <= u64::from(closed), || {
        format!("invariant 6: {} counts {counted} verdicts in {closed} closed rounds of its lease", name())
    });
    report.require(slot.lease_settled <= slot.lease_up, || {
        format!(
            "invariant 3: {} was paid {} rounds and was up in {}",
            name(),
            slot.lease_settled,
            slot.lease_up
        )
    });
    if u64::from(header.next_round) > u64::from(from) + HISTORY_ROUNDS as u64 {
        return;
    }
    let (mut up, mut down, mut unseen) = (0, 0, 0);
    for round in from..from + closed {
        match header.verdict(slot, round) {
            Some(Verdict::Up) => up += 1,
            Some(Verdict::Down) => down += 1,
            Some(Verdict::Unseen) => unseen += 1,
            Some(Verdict::Void) | None => {}
        }
    }
    if slot.attested_from > from {
        unseen = slot.lease_unseen; // it gets no verdicts any more: forfeited or barred
    }
    let counts = (slot.lease_up, slot.lease_down, slot.lease_unseen);
    report.require((up, down, unseen) == counts, || {
        format!(
            "invariant 6: {} counts {counts:?} rounds up, down and unseen in its lease, its history {:?}",
            name(),
            (up, down, unseen)
        )
    });
}

/// The lowest `bits` bits, at most 64.
fn mask_below(bits: usize) -> u64 {
    match bits {
        0 => 0,
        1..64 => (1 << bits) - 1,
        _ => u64::MAX,
    }
}
