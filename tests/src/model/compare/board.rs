//! A board: header, ledger, seats, tally, slots and history.

use leasehold::{
    constants::PLANES,
    state::{Board as Header, Slot as Account, SlotState},
};

use super::{Compared, same};
use crate::model::{Board, Bound, Left, Machine, Model, Program, Seat, Slot, Stint, Verdict, naive};

pub fn compare(
    model: &Model,
    program: &impl Program,
    expected: &Board,
    header: &Header,
    slots: &[Account],
) -> Compared {
    same!(header.creator, program.key(expected.creator), "creator");
    same!(i64::from(header.phase_secs), expected.phase, "phase");
    same!(header.slots as usize, expected.slots.len(), "slots");
    same!(slots.len(), expected.slots.len(), "length of the slots");
    same!(header.machines as usize, expected.machines().count(), "machines");
    same!(header.leases as usize, expected.leases.len(), "leases");
    same!(header.next_serial, expected.next_serial, "next serial");
    same!(header.next_round, expected.next_round, "next round");
    same!(header.up_votes, expected.up_votes, "votes that make a machine up");
    same!(header.fresh_generation, expected.fresh_generation, "fresh generation");
    let ledger = &header.ledger;
    same!(ledger.escrow, expected.escrow(), "escrow");
    same!(ledger.accrued, expected.accrued(), "accrued");
    same!(ledger.fees, expected.fees, "fees");
    same!(ledger.keeper_pool, expected.keeper_pool, "keeper pool");
    same!(ledger.keeper_fees, expected.keeper_fees(), "keeper fees");
    same!(ledger.refunds, expected.refunds(), "refunds");
    same!(ledger.burning, expected.burning, "payments to burn");
    same!(ledger.bonds, expected.bonds(), "bonds");
    same!(ledger.slashed, expected.slashed, "stake to burn");
    for (place, expected) in expected.seats.iter().enumerate() {
        seat(program, &header.seats[place], expected.as_ref()).map_err(|e| format!("seat {place}: {e}"))?;
    }
    tally(header, expected)?;
    rings(header, expected)?;
    let blame = naive::rounds_in(model.market.rules.round_secs, naive::HOUR).min(64);
    for (place, (found, slot)) in slots.iter().zip(&expected.slots).enumerate() {
        self::slot(program, found, slot, blame).map_err(|error| format!("slot {place}: {error}"))?;
        history(header, found, slot).map_err(|error| format!("slot {place}: {error}"))?;
    }
    Ok(())
}

fn seat(program: &impl Program, found: &leasehold::state::Seat, expected: Option<&Seat>) -> Compared {
    let Some(expected) = expected else {
        same!(bytemuck::bytes_of(found).iter().all(|byte| *byte == 0), true, "vacant");
        return Ok(());
    };
    same!(found.is_vacant(), false, "vacant");
    same!(found.keeper, program.key(expected.keeper), "keeper");
    same!((found.bond, found.earned), (expected.bond, expected.earned), "bond and fees");
    same!(found.last_round, expected.last_round, "last round");
    same!(found.submissions, expected.submissions, "submissions");
    Ok(())
}

/// Invariant 5: the counts of the bit planes, machine by machine.
fn tally(header: &Header, expected: &Board) -> Compared {
    let tally = &header.tally;
    let Some(voting) = &expected.voting else {
        same!(bytemuck::bytes_of(tally).iter().all(|byte| *byte == 0), true, "an empty tally");
        return Ok(());
    };
    same!(tally.round, voting.round, "the round voted on");
    let submitted: u16 = voting.votes.keys().map(|seat| 1u16 << seat).sum();
    same!(tally.submitted, submitted, "seats that voted");
    for machine in 0..expected.slots.len() + 64 {
        let bit = |plane: usize| (tally.planes[plane][machine / 64] >> (machine % 64) & 1) as usize;
        let count: usize = (0..PLANES).map(|plane| bit(plane) << plane).sum();
        same!(count, voting.ones(machine), "votes for machine {machine}");
    }
    Ok(())
}

/// The rounds that the header remembers.
fn remembered(header: &Header) -> impl Iterator<Item = u32> {
    header.next_round.saturating_sub(64)..header.next_round
}

/// Votes and quorum of the last 64 rounds.
fn rings(header: &Header, expected: &Board) -> Compared {
    for round in remembered(header) {
        let place = (round % 64) as usize;
        let voters: u16 =
            expected.voters.get(&round).map_or(0, |seats| seats.iter().map(|seat| 1u16 << seat).sum());
        // Rounds before the board's first have no voters.
        same!(header.votes[place], voters, "votes of round {round}");
        let quorate = header.quorate >> place & 1 == 1;
        same!(quorate, expected.quorate.contains(&round), "round {round} was quorate");
    }
    let last = expected.quorate.last().copied().unwrap_or_default();
    same!(header.last_quorate, last, "the last quorate round");
    Ok(())
}

fn slot(program: &impl Program, found: &Account, expected: &Slot, blame: u32) -> Compared {
    same!(found.supplier, program.supplier_address(expected.owner), "supplier");
    same!(found.generation, expected.generation, "generation");
    let Some(machine) = &expected.machine else {
        let empty = Account {
            supplier: found.supplier,
            generation: found.generation,
            attested_from: Account::UNATTESTED,
            profile: Account::NO_PROFILE,
            ..bytemuck::Zeroable::zeroed()
        };
        same!(*found, empty, "vacant");
        return Ok(());
    };
    let state = match (machine.barred, machine.suspended, machine.stint) {
        (true, ..) => SlotState::Barred,
        (_, true, _) => SlotState::Suspended,
        (_, false, Some(_)) => SlotState::Leased,
        (_, false, None) => SlotState::Idle,
    };
    same!(found.state, state as u8, "state");
    same!((found.node_key, found.endpoint), (machine.node_key, machine.endpoint), "key and endpoint");
    same!((found.profile, found.turnaround), (machine.profile, machine.turnaround), "profile and turnaround");
    same!(found.traits, machine.traits, "traits");
    same!((found.price, found.score), (machine.price, super::SCORE), "price and score");
    same!(found.committed_until, machine.committed_until, "commitment");
    same!((found.bond, found.accrued), (machine.bond, machine.accrued), "bond and earnings");
    let attested_from = machine.attested_from.unwrap_or(Account::UNATTESTED);
    same!(found.attested_from, attested_from, "first round with a verdict");
    same!(found.demands, 0, "demands");
    same!(found.lease, machine.stint.map_or(0, |stint| stint.serial), "lease");
    same!(found.flags, flags(machine, blame), "flags");
    if let Some(Bound { from, until }) = machine.bound {
        let down = machine.count(from, until).down;
        same!(u32::from(found.bound_down), down, "rounds down while bound");
    }
    let all = machine.count(0, u32::MAX);
    same!((found.up, found.down, found.unseen), (all.up, all.down, all.unseen), "rounds up, down and unseen");
    if let Some(stint) = &machine.stint {
        same!(found.lease_settled, stint.settled, "rounds paid for");
    }
    if let Some(stint) = machine.stint.or(machine.last) {
        let rounds = (found.lease_from, found.lease_until, found.lease_agreed);
        same!(rounds, (stint.from, stint.until, stint.agreed), "rounds of the lease");
        let counted = machine.count(stint.from, stint.until);
        let expected = (counted.up, counted.down, counted.unseen);
        let found = (found.lease_up, found.lease_down, found.lease_unseen);
        same!(found, expected, "rounds up, down and unseen in the lease");
    }
    Ok(())
}

/// Flags of a slot. `blame`: rounds before its end in which a machine that was down is not blameless.
fn flags(machine: &Machine, blame: u32) -> u8 {
    let bound = if machine.bound.is_some() { Account::BOUND } else { 0 };
    let Some(Stint { from, until, abandoned, faded, left, contested, .. }) = machine.stint else {
        return bound;
    };
    let dark = machine.count(until.saturating_sub(blame).max(from), until).down > 0;
    let left_by = match left {
        None => 0,
        Some(Left::Ended) => Account::LEFT,
        Some(Left::Replaced { .. }) => Account::LEFT | Account::REPLACED,
    };
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    bound
        | left_by
        | flag(left.is_some() && dark, Account::DARK)
        | flag(abandoned, Account::ABANDONED)
        | flag(faded, Account::FADED)
        | flag(contested, Account::CONTESTED)
}

/// The verdicts of the last 64 rounds.
fn history(header: &Header, found: &Account, slot: &Slot) -> Compared {
    let none = Default::default();
    let verdicts = slot.machine.as_ref().map_or(&none, |machine| &machine.verdicts);
    for round in remembered(header) {
        let place = (round % 64) as usize;
        let quorate = header.quorate >> place & 1 == 1;
        let (up, down) = (found.history_up >> place & 1 == 1, found.history_down >> place & 1 == 1);
        let verdict = match (quorate, up, down) {
            (false, ..) | (true, false, false) => None,
            (true, true, _) => Some(Verdict::Up),
            (true, false, true) => Some(Verdict::Down),
        };
        // A machine that was unseen has the history of one that was not listed yet.
        let expected = verdicts.get(&round).copied().filter(|verdict| *verdict != Verdict::Unseen);
        same!(verdict, expected, "verdict of round {round}");
    }
    Ok(())
}
