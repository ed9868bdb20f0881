//! What a lease costs, before it is opened, extended, repaired or settled: computed by the program's own
//! functions on the board as it was read.

use leasehold::{
    error::LeaseholdError,
    instructions::OpenLeaseArgs,
    math::{
        add,
        matching::{self, Criteria, CutOff, Place, Policy, Selection},
        pricing::{self, Span},
        settlement::{self, Outcome, Payment},
        sub,
    },
    state::{Lease, LeaseState, SlotState},
};

use crate::{board::BoardView, error::Refusal};

/// The machines that a lease opened on the same board state gets, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    pub selection: Selection,
    /// Slots picked, in order.
    pub slots: Vec<u16>,
    /// Payment units to deposit.
    pub deposit: u64,
    /// First round of the lease, and the first after it.
    pub from: u32,
    pub until: u32,
    /// Price and score of the last machine: pass it with the instruction.
    pub hint: CutOff,
    /// Serial that the lease would have.
    pub serial: u32,
    pub criteria: Criteria,
    pub rounds: u32,
}

impl Quote {
    /// What to open the lease with, for at most `max_deposit` payment units.
    pub fn args(&self, max_deposit: u64, cluster: Option<u64>) -> OpenLeaseArgs {
        OpenLeaseArgs {
            serial: u64::from(self.serial),
            criteria: self.criteria,
            // A board has 6,144 slots at most.
            machines: u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
            rounds: self.rounds,
            max_deposit,
            cluster,
            hint: Some(self.hint),
        }
    }
}

/// Criteria that every machine meets; change what matters.
pub const ANY: Criteria = Criteria {
    class: None,
    min_gpus: 0,
    min_speed: 0,
    place: Place::Anywhere,
    min_score: 0,
    max_price: u64::MAX,
    policy: Policy::Cheapest,
};

/// Picks `machines` machines for `rounds` rounds from the next on, at Unix time `now`. Whether the market is
/// paused, or allows so many rounds, stands in the market's account.
pub fn quote(
    board: &BoardView,
    now: i64,
    criteria: &Criteria,
    machines: u32,
    rounds: u32,
) -> Result<Quote, Refusal> {
    if machines == 0 {
        return Err(LeaseholdError::NoMachines.into());
    }
    let from = next_round(board, now)?;
    let until = from.checked_add(rounds).ok_or(LeaseholdError::MathOverflow)?;
    let selection = matching::select(board.slots, criteria, until, machines, None)?;
    let deposit = selection.deposit(board.slots, Span::of_rounds(board.header.round_secs, rounds))?;
    Ok(Quote {
        slots: selection.slots().filter_map(|slot| u16::try_from(slot).ok()).collect(),
        deposit,
        from,
        until,
        hint: selection.cut_off,
        selection,
        serial: board.header.next_serial,
        criteria: *criteria,
        rounds,
    })
}

/// Payment units that `rounds` more rounds of a lease cost, or why it cannot be extended.
pub fn extension(board: &BoardView, now: i64, lease: &Lease, rounds: u32) -> Result<u64, Refusal> {
    lease.require_open()?;
    if next_round(board, now)? > lease.until {
        return Err(LeaseholdError::LeaseOver.into());
    }
    let until = lease.until.checked_add(rounds).ok_or(LeaseholdError::MathOverflow)?;
    let mut deposit = 0;
    for (_, slot) in board.leased(lease.serial) {
        if !slot.is(SlotState::Leased) || slot.committed_until < until {
            return Err(LeaseholdError::MachineNotCommitted.into());
        }
        let cost = |until: u32| {
            Span::of_rounds(lease.terms.round_secs, until.wrapping_sub(slot.lease_from)).cost_ceil(slot.price)
        };
        deposit = add(deposit, sub(cost(until)?, cost(slot.lease_until)?)?)?;
    }
    Ok(deposit)
}

/// How a machine of a lease would be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The slot that takes over, and its price and score to pass with the instruction.
    pub slot: u16,
    pub hint: CutOff,
    /// How the old machine leaves.
    pub outcome: Outcome,
    /// Payment units that the owner adds.
    pub deposit: u64,
}

/// What replacing the machine of `old_slot` would do, or why it cannot be replaced.
pub fn replacement(
    board: &BoardView,
    now: i64,
    lease: &Lease,
    old_slot: u16,
) -> Result<Replacement, Refusal> {
    lease.require_open()?;
    let from = next_round(board, now)?;
    if from >= lease.until {
        return Err(LeaseholdError::LeaseOver.into());
    }
    let selection = matching::select(board.slots, &lease.criteria, lease.until, 1, None)?;
    let (new_slot, new) = selection
        .slots()
        .find_map(|index| Some((u16::try_from(index).ok()?, board.slots.get(index)?)))
        .ok_or(LeaseholdError::NotEnoughMachines)?;

    let old = board.slot(old_slot).ok_or(LeaseholdError::NoSuchSlot)?;
    if old.is(SlotState::Vacant) {
        return Err(LeaseholdError::SlotVacant.into());
    }
    if old.lease != lease.serial {
        return Err(LeaseholdError::NotInLease.into());
    }
    if !old.is_forfeited() && !board.header.is_down(old) {
        return Err(LeaseholdError::MachineNotDown.into());
    }
    let terms = &lease.terms;
    let until = board.header.next_round.clamp(old.lease_from, old.lease_until);
    let before = pricing::gross(old.price, terms.round_secs, old.lease_settled)?;
    let outcome = settlement::last(&old.service(until), terms)?;
    let deposit = Span::of_rounds(terms.round_secs, old.lease_until.wrapping_sub(old.lease_from));
    let freed = sub(deposit.cost_ceil(old.price)?, add(before, outcome.payment.gross()?)?)?;
    let cost = Span::of_rounds(terms.round_secs, lease.until.wrapping_sub(from)).cost_ceil(new.price)?;
    Ok(Replacement { slot: new_slot, hint: selection.cut_off, outcome, deposit: cost.saturating_sub(freed) })
}

/// What settling a lease would do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Whether every round of the lease is closed, so that it would be settled for good.
    pub is_final: bool,
    /// Payment units to suppliers and for fees.
    pub payment: Payment,
    /// Payment units back to the owner.
    pub refunded: u64,
    /// Stake units lost, and by how many machines.
    pub slashed: u64,
    pub slashed_machines: u32,
}

/// What settling a lease would do now; an error once it is settled.
pub fn settlement(board: &BoardView, lease: &Lease) -> Result<Settlement, Refusal> {
    if lease.state == LeaseState::Settled {
        return Err(LeaseholdError::LeaseSettled.into());
    }
    let mut sum = Settlement { is_final: board.header.next_round >= lease.until, ..Default::default() };
    for (_, slot) in board.leased(lease.serial) {
        let service = slot.service(slot.lease_until);
        let outcome = if sum.is_final {
            settlement::last(&service, &lease.terms)?
        } else {
            Outcome { payment: settlement::interim(&service, &lease.terms)?, slash: 0 }
        };
        sum.payment = sum.payment.plus(outcome.payment);
        sum.slashed = add(sum.slashed, outcome.slash)?;
        sum.slashed_machines = sum.slashed_machines.saturating_add(u32::from(outcome.slash > 0));
    }
    if sum.is_final {
        sum.refunded = sub(lease.remaining()?, sum.payment.gross()?)?;
    }
    Ok(sum)
}

fn next_round(board: &BoardView, now: i64) -> Result<u32, Refusal> {
    Ok(board.header.round_at(now)?.checked_add(1).ok_or(LeaseholdError::MathOverflow)?)
}

#[cfg(test)]
mod tests {
    use leasehold::state::Slot;

    use super::*;
    use crate::{
        board::BoardData,
        sample::{self, NEXT_ROUND, board_data, change, snapshot},
    };

    /// Round 1,000 runs.
    const NOW: i64 = 600_000;

    fn priced(prices: &[u64]) -> BoardData {
        let slots: Vec<_> = prices.iter().map(|price| Slot { price: *price, ..sample::slot(0) }).collect();
        let mut header: leasehold::state::Board = bytemuck::Zeroable::zeroed();
        (header.version, header.slots, header.next_serial) = (1, u32::try_from(slots.len()).unwrap(), 4);
        header.adopt(&sample::rules());
        board_data(&header, &slots)
    }

    #[test]
    fn a_quote_names_machines_term_deposit_and_hint() {
        let data = priced(&[50, 361, 20, 90, 90]);
        let view = data.view().unwrap();
        let quote = quote(&view, NOW, &Criteria { max_price: 360, ..ANY }, 3, 6).unwrap();
        assert_eq!(quote.slots, [0, 2, 3], "the lower of two equals");
        assert_eq!((quote.from, quote.until), (1_001, 1_007));
        assert_eq!(quote.deposit, 50 + 20 + 90, "an hour of each");
        assert_eq!(quote.hint, CutOff { price: 90, score: 5_000 });
        let args = quote.args(200, Some(3));
        assert_eq!((args.serial, args.machines, args.rounds), (4, 3, 6));
        assert_eq!((args.max_deposit, args.cluster, args.hint), (200, Some(3), Some(quote.hint)));
    }

    /// The hint of a quote is right for the board it was made on, and changes nothing on any other.
    #[test]
    fn a_hint_never_changes_what_is_picked() {
        let (first, second) = (priced(&[5, 4, 3, 2, 1]), priced(&[9, 9, 1, 1, 2]));
        for policy in [Policy::Cheapest, Policy::Best] {
            let criteria = Criteria { policy, ..ANY };
            let made = quote(&first.view().unwrap(), NOW, &criteria, 3, 1).unwrap();
            for data in [&first, &second] {
                let view = data.view().unwrap();
                let hinted = matching::select(view.slots, &criteria, made.until, 3, Some(made.hint)).unwrap();
                assert_eq!(hinted, quote(&view, NOW, &criteria, 3, 1).unwrap().selection);
            }
        }
    }

    #[test]
    fn what_the_program_would_refuse_is_refused_in_its_words() {
        let data = priced(&[50, 20]);
        let view = data.view().unwrap();
        let refused = |machines, rounds| quote(&view, NOW, &ANY, machines, rounds).unwrap_err();
        assert_eq!(refused(3, 1), LeaseholdError::NotEnoughMachines.into());
        assert_eq!(refused(0, 1), LeaseholdError::NoMachines.into());
        assert_eq!(refused(1, 1_000), LeaseholdError::NotEnoughMachines.into(), "committed until 2,000");
        assert!(refused(3, 1).to_string().starts_with("Fewer machines fit than were asked for: "));
    }

    #[test]
    fn an_extension_costs_each_machines_further_rounds() {
        let mut snapshot = snapshot();
        let lease = snapshot.boards[0].leases.remove(0).1;
        let mut data = snapshot.boards.remove(0).data;
        let extension =
            |data: &BoardData, rounds| super::extension(&data.view().unwrap(), NOW, &lease, rounds);
        assert_eq!(extension(&data, 5), Ok(2 * 5 * 60));
        assert_eq!(extension(&data, 990), Ok(2 * 990 * 60));
        assert_eq!(extension(&data, 991), Err(LeaseholdError::MachineNotCommitted.into()));
        let over = super::extension(&data.view().unwrap(), 606_000, &lease, 1);
        assert_eq!(over, Err(LeaseholdError::LeaseOver.into()), "round 1,010 runs");
        change(&mut data, |_, slots| slots[0].state = SlotState::Suspended as u8);
        assert_eq!(extension(&data, 5), Err(LeaseholdError::MachineNotCommitted.into()));
    }

    #[test]
    fn a_replacement_settles_the_old_machine_and_charges_what_is_missing() {
        let mut snapshot = snapshot();
        let lease = snapshot.boards[0].leases.remove(0).1;
        let mut data = snapshot.boards.remove(0).data;
        let replace = |data: &BoardData, slot| replacement(&data.view().unwrap(), NOW, &lease, slot);
        assert_eq!(replace(&data, 0), Err(LeaseholdError::MachineNotDown.into()));
        assert_eq!(replace(&data, 3), Err(LeaseholdError::NotInLease.into()));
        assert_eq!(replace(&data, 2), Err(LeaseholdError::SlotVacant.into()));
        assert_eq!(replace(&data, 4), Err(LeaseholdError::NoSuchSlot.into()));
        change(&mut data, |_, slots| slots[0].flags = Slot::ABANDONED);
        let found = replace(&data, 0).unwrap();
        // Up in 8 rounds of 60, 5 of them paid for: 180 more, a tenth of it fees.
        assert_eq!(found.outcome.payment, Payment { net: 162, fee: 18 });
        assert_eq!(found.outcome.slash, 100);
        // 12 rounds of 60 are left of the old deposit; the new machine serves 9.
        assert_eq!((found.slot, found.deposit), (3, 0));
        change(&mut data, |_, slots| slots[3].price = 400);
        assert_eq!(replace(&data, 0).unwrap().deposit, 0);
        let dear = Lease { criteria: Criteria { max_price: 600, ..lease.criteria }, ..lease_copy(&lease) };
        change(&mut data, |_, slots| slots[3].price = 600);
        assert_eq!(replacement(&data.view().unwrap(), NOW, &dear, 0).unwrap().deposit, 900 - 720);
    }

    fn lease_copy(lease: &Lease) -> Lease {
        Lease { deposit: lease.deposit, ..sample::lease(lease.serial) }
    }

    #[test]
    fn a_settlement_pays_rounds_up_and_at_the_end_refunds_the_rest() {
        let mut snapshot = snapshot();
        let (_, settled) = snapshot.boards[0].leases.remove(1);
        let lease = snapshot.boards[0].leases.remove(0).1;
        let mut data = snapshot.boards.remove(0).data;
        let interim = settlement(&data.view().unwrap(), &lease).unwrap();
        assert_eq!(interim.payment, Payment { net: 180 * 9 / 10 + 270, fee: 18 + 30 });
        assert!(!interim.is_final && interim.refunded == 0 && interim.slashed == 0);
        change(&mut data, |board, slots| {
            board.next_round = NEXT_ROUND + 10;
            slots[0].lease_down += 10;
            slots[1].lease_up += 10;
        });
        let last = settlement(&data.view().unwrap(), &lease).unwrap();
        assert!(last.is_final);
        // Slot 0: 8 of 20 rounds up, 5 paid for. Slot 1: all 20.
        assert_eq!(last.payment, Payment { net: 162 + 810, fee: 18 + 90 });
        assert_eq!(last.refunded, 1_800 - 972 - 108);
        assert_eq!((last.slashed, last.slashed_machines), (100, 1));
        assert_eq!(settlement(&data.view().unwrap(), &settled), Err(LeaseholdError::LeaseSettled.into()));
    }
}
