//! What suppliers do with listed machines: reprice, withhold, move, retire, forfeit, trim.

use leasehold::{
    error::LeaseholdError::*,
    instructions::{Move, Offer},
    state::Endpoint,
};

use super::{Board, Machine, Model, Outcome, Refusal, Rules, Slot, Who, naive, require};

pub(super) fn has_address(endpoint: &Endpoint) -> bool {
    endpoint.ip != [0; 16] && endpoint.port != [0; 2]
}

/// Collects what is wrong with a price per GPU.
pub(super) fn require_price(price: u64, gpus: u8, rules: &mut Rules) {
    rules.require(price > 0, PriceIsZero);
    rules.require(u128::from(price) * u128::from(gpus) <= u128::from(u64::MAX), PriceTooHigh);
}

impl Board {
    pub(super) fn slot_mut(&mut self, index: u16) -> Result<&mut Slot, Vec<Refusal>> {
        self.slots.get_mut(usize::from(index)).ok_or_else(|| vec![Refusal::Rule(NoSuchSlot)])
    }

    /// A slot's owner and machine.
    fn own(&mut self, index: u16) -> Result<(Who, &mut Machine), Vec<Refusal>> {
        let slot = self.slot_mut(index)?;
        let machine = slot.machine.as_mut().ok_or_else(|| vec![Refusal::Rule(SlotVacant)])?;
        Ok((slot.owner, machine))
    }

    /// Cuts off the last slot, if it is vacant and its rent is owed to `owner`.
    fn cut(&mut self, owner: Who, round: u32) -> bool {
        let is_owed = |slot: &Slot| slot.machine.is_none() && slot.owner == owner;
        if !self.slots.last().is_some_and(is_owed) {
            return false;
        }
        let slot = self.slots.pop().expect("a last slot");
        self.fresh_generation = self.fresh_generation.max(slot.generation);
        self.note_size(round);
        true
    }
}

impl Model {
    /// Rounds, from the next one on: a year, or one round more than the longest lease, whichever is longer.
    pub fn longest_commitment(&self) -> u32 {
        let year = 366 * 86_400 / self.market.rules.round_secs;
        year.max(self.market.params.max_rounds.saturating_add(1))
    }

    pub(super) fn require_commitment(&self, until: u32, next: u32, rules: &mut Rules) {
        rules.require(until > next, CommitmentTooShort);
        rules.require(until.saturating_sub(next) <= self.longest_commitment(), CommitmentTooLong);
    }

    pub(super) fn reprice_machines(&mut self, by: Who, board: u32, offers: &[Offer]) -> Outcome {
        self.supplier_mut(by)?;
        self.board(board)?;
        require(!offers.is_empty(), NoMachines)?;
        for offer in offers {
            self.reprice(by, board, offer)?;
        }
        Ok(())
    }

    fn reprice(&mut self, by: Who, board: u32, offer: &Offer) -> Outcome {
        let next = self.round(board) + 1;
        let params = self.market.params.clone();
        let free = self.suppliers[&by].free;
        let mut rules = Rules::default();
        let mut commitment = Rules::default();
        self.require_commitment(offer.committed_until, next, &mut commitment);
        let (owner, machine) = self.board_mut(board)?.own(offer.slot)?;
        rules.require(owner == by, WrongSupplier);
        rules.require(!machine.barred, MachineBarred);
        require_price(offer.price, machine.traits.gpus, &mut rules);
        let is_bound = machine.is_bound(next - 1);
        let same_commitment = offer.committed_until == machine.committed_until;
        rules.require(!is_bound || (offer.price <= machine.price && same_commitment), MachineBound);
        if let Some(stint) = machine.stint {
            // An extension at the old price would be a free option of the owner.
            let covers = offer.committed_until >= stint.until.max(next);
            let shorter = offer.committed_until <= machine.committed_until;
            rules.require(offer.price == machine.price && covers && shorter, MachineLeased);
            rules.hold()?;
            machine.committed_until = offer.committed_until;
            return Ok(());
        }
        if !is_bound {
            rules.join(commitment);
        }
        let weight = params.classes[usize::from(machine.traits.class)].weight_bps;
        let whole = naive::bond(params.bond_unit, weight, machine.traits.gpus, offer.bond);
        let missing = whole.saturating_sub(machine.bond.into());
        rules.require(whole <= u128::from(u64::MAX), MathOverflow);
        rules.require(missing <= u128::from(free), InsufficientStake);
        rules.hold()?;
        let missing = naive::narrow(missing);
        machine.bond += missing;
        machine.price = offer.price;
        machine.committed_until = offer.committed_until;
        machine.suspended = false;
        if !is_bound {
            machine.bound = None;
        }
        machine.attested_from = machine.attested_from.or(Some(next));
        self.supplier_mut(by)?.free -= missing;
        Ok(())
    }

    pub(super) fn withhold_machines(&mut self, by: Who, board: u32, slots: &[u16]) -> Outcome {
        self.supplier_mut(by)?;
        let round = self.round(board);
        let state = self.board_mut(board)?;
        require(!slots.is_empty(), NoMachines)?;
        for index in slots {
            let (owner, machine) = state.own(*index)?;
            let mut rules = Rules::default();
            rules.require(owner == by, WrongSupplier);
            rules.require(machine.stint.is_none(), MachineLeased);
            rules.require(!machine.barred, MachineBarred);
            rules.require(!machine.is_bound(round), MachineBound);
            rules.hold()?;
            machine.suspended = true;
        }
        Ok(())
    }

    pub(super) fn move_machines(&mut self, by: Who, board: u32, moves: &[Move]) -> Outcome {
        self.supplier_mut(by)?;
        let state = self.board_mut(board)?;
        require(!moves.is_empty(), NoMachines)?;
        for Move { slot, endpoint } in moves {
            let (owner, machine) = state.own(*slot)?;
            let mut rules = Rules::default();
            rules.require(owner == by, WrongSupplier);
            rules.require(has_address(endpoint), EndpointEmpty);
            rules.require(!machine.barred, MachineBarred);
            rules.hold()?;
            machine.endpoint = *endpoint;
        }
        Ok(())
    }

    pub(super) fn retire_machines(&mut self, by: Who, supplier: Who, board: u32, slots: &[u16]) -> Outcome {
        self.supplier_mut(supplier)?;
        self.board(board)?;
        require(!slots.is_empty(), NoMachines)?;
        for index in slots {
            self.retire(by, supplier, board, *index)?;
        }
        let round = self.round(board);
        while self.board_mut(board)?.cut(supplier, round) {
            self.give_rent(supplier);
        }
        Ok(())
    }

    fn retire(&mut self, by: Who, supplier: Who, board: u32, index: u16) -> Outcome {
        let (now, round) = (self.now, self.round(board));
        let disputes = naive::rounds_in(self.market.rules.round_secs, naive::DAY);
        let (owner, machine) = self.board_mut(board)?.own(index)?;
        let until = machine.committed_until;
        // Receipts of its last lease can still be disputed.
        let last = machine.stint.or(machine.last);
        let disputed = last.is_some_and(|last| machine.bond > 0 && round < last.until + disputes);
        let mut rules = Rules::default();
        rules.require(owner == supplier, WrongSupplier);
        rules.require(machine.stint.is_none(), MachineLeased);
        rules.require(machine.accrued == 0, EarningsLeft);
        rules.require(!machine.is_bound(round), MachineBound);
        rules.require(!disputed, DisputesOpen);
        let bond = machine.bond;
        // `committed_until` is exclusive.
        let over = self.round_begin(board, until) + 30 * 86_400;
        rules.require(by == supplier || now > over, EvictionTooEarly);
        rules.hold()?;
        let slot = self.board_mut(board)?.slot_mut(index)?;
        slot.machine = None;
        slot.generation += 1;
        self.supplier_mut(supplier)?.free += bond;
        Ok(())
    }

    pub(super) fn forfeit_machines(&mut self, by: Who, board: u32, slots: &[u16]) -> Outcome {
        self.supplier_mut(by)?;
        let round = self.round(board);
        let state = self.board_mut(board)?;
        require(!slots.is_empty(), NoMachines)?;
        for index in slots {
            let (owner, machine) = state.own(*index)?;
            let serves = machine.stint.is_some_and(|stint| round < stint.until);
            let mut rules = Rules::default();
            rules.require(owner == by, WrongSupplier);
            rules.require(serves && !machine.suspended && !machine.barred, MachineNotLeased);
            rules.hold()?;
            machine.suspended = true;
            machine.bound = None;
            machine.attested_from = None;
        }
        Ok(())
    }

    pub(super) fn trim_board(&mut self, board: u32, suppliers: &[Who]) -> Outcome {
        let round = self.round(board);
        self.board(board)?;
        require(!suppliers.is_empty(), FormerSupplierMissing)?;
        for supplier in suppliers {
            require(self.board_mut(board)?.cut(*supplier, round), StrayAccount)?;
            self.give_rent(*supplier);
        }
        Ok(())
    }
}
