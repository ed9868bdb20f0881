//! Boards, machines, and the instructions that list, reprice, retire and forfeit them.

use std::collections::{BTreeMap, BTreeSet};

use leasehold::{
    constants::DISPUTE_ROUNDS,
    error::LeaseholdError::*,
    instructions::{Machine as Spec, Offer},
    state::Traits,
};

use super::{Lease, Model, Outcome, Refusal, Rules, Seat, Voting, Who, naive, require};

/// A board, its leases and its money.
#[derive(Clone, Debug)]
pub struct Board {
    pub creator: Who,
    pub slots: Vec<Slot>,
    /// Each round in which the number of slots changed, and the number after it.
    pub sizes: Vec<(u32, usize)>,
    /// Generation of a slot that is added.
    pub fresh_generation: u16,
    /// Every pair of slot and generation that a machine ever had; no pair comes twice.
    pub generations: BTreeSet<(u16, u16)>,
    pub next_serial: u32,
    pub leases: BTreeMap<u32, Lease>,
    pub seats: Vec<Option<Seat>>,
    pub voting: Option<Voting>,
    /// Seats that voted in closed rounds.
    pub voters: BTreeMap<u32, BTreeSet<u8>>,
    /// First round that is not closed.
    pub next_round: u32,
    pub fees: u64,
    pub keeper_pool: u64,
    pub market_stake: u64,
    pub to_burn: u64,
}

#[derive(Clone, Debug)]
pub struct Slot {
    /// Supplier of the machine; of a vacant slot, the former supplier, who is owed its rent.
    pub owner: Who,
    pub generation: u16,
    pub machine: Option<Machine>,
}

#[derive(Clone, Debug)]
pub struct Machine {
    pub node_key: [u8; 32],
    pub traits: Traits,
    pub price: u64,
    pub committed_until: u32,
    pub bond: u64,
    pub accrued: u64,
    /// First round that has a verdict for it; `None` while it gets no verdicts.
    pub attested_from: Option<u32>,
    /// Its verdicts: true is up.
    pub verdicts: BTreeMap<u32, bool>,
    /// Slashed and not bonded in full again, or forfeited in a running lease.
    pub suspended: bool,
    /// Its stint in the running lease.
    pub stint: Option<Stint>,
    /// Its stint in the last lease that it left.
    pub last: Option<Stint>,
}

/// A machine's time in a lease.
#[derive(Clone, Copy, Debug)]
pub struct Stint {
    pub serial: u32,
    pub from: u32,
    pub until: u32,
    /// Rounds up that are paid for.
    pub settled: u32,
    pub abandoned: bool,
}

impl Machine {
    /// Rounds up and down from round `from` to before `until`.
    pub fn count(&self, from: u32, until: u32) -> (u32, u32) {
        let rounds = self.verdicts.iter().filter(|(round, _)| (from..until).contains(round));
        rounds.fold((0, 0), |(up, down), (_, is_up)| if *is_up { (up + 1, down) } else { (up, down + 1) })
    }

    pub fn is_idle(&self) -> bool {
        self.stint.is_none() && !self.suspended
    }

    /// Forfeited or abandoned.
    pub fn has_broken_promise(&self) -> bool {
        self.stint.is_some_and(|stint| self.suspended || stint.abandoned)
    }
}

impl Board {
    pub fn machines(&self) -> impl Iterator<Item = (u16, &Slot, &Machine)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| Some((index, slot, slot.machine.as_ref()?)))
    }

    /// Machines of a lease.
    pub fn leased(&self, serial: u32) -> impl Iterator<Item = (u16, &Machine, Stint)> {
        self.machines()
            .filter_map(|(index, _, machine)| Some((index, machine, machine.stint?)))
            .filter(move |(_, _, stint)| stint.serial == serial)
    }

    /// Number of slots when a round began.
    pub fn size_at(&self, round: u32) -> usize {
        self.sizes.iter().rev().find(|(changed, _)| *changed < round).map_or(0, |(_, size)| *size)
    }

    fn note_size(&mut self, round: u32) {
        self.sizes.push((round, self.slots.len()));
    }

    pub fn escrow(&self) -> u64 {
        self.leases.values().map(Lease::remaining).sum()
    }

    pub fn accrued(&self) -> u64 {
        self.machines().map(|(_, _, machine)| machine.accrued).sum()
    }

    pub fn bonds(&self) -> u64 {
        self.machines().map(|(_, _, machine)| machine.bond).sum()
    }

    pub fn keeper_fees(&self) -> u64 {
        self.seats.iter().flatten().map(|seat| seat.earned).sum()
    }

    pub fn refunds(&self) -> u64 {
        self.leases.values().map(|lease| lease.refund_due).sum()
    }

    pub fn compensation(&self) -> u64 {
        self.leases.values().map(|lease| lease.compensation_due).sum()
    }

    /// Balance that the payment vault must have.
    pub fn payment_vault(&self) -> u64 {
        let claims = self.accrued() + self.keeper_fees() + self.refunds();
        self.escrow() + claims + self.fees + self.keeper_pool
    }

    fn slot_mut(&mut self, index: u16) -> Result<&mut Slot, Vec<Refusal>> {
        self.slots.get_mut(usize::from(index)).ok_or_else(|| vec![Refusal::Rule(NoSuchSlot)])
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
    pub(super) fn create_board(&mut self, by: Who) -> Outcome {
        let board = Board {
            creator: by,
            slots: vec![],
            sizes: vec![],
            fresh_generation: 0,
            generations: BTreeSet::new(),
            next_serial: 1,
            leases: BTreeMap::new(),
            seats: vec![None; self.market.rules.seats.into()],
            voting: None,
            voters: BTreeMap::new(),
            next_round: self.round(),
            fees: 0,
            keeper_pool: 0,
            market_stake: 0,
            to_burn: 0,
        };
        self.boards.insert(self.market.next_board, board);
        self.market.next_board += 1;
        let rent = self.rents.board + self.rents.payment_vault;
        self.wallet_mut(by).lamports -= rent;
        Ok(())
    }

    pub(super) fn list_machines(
        &mut self,
        by: Who,
        board: u32,
        until: u32,
        machines: &[Spec],
        former: &[Who],
    ) -> Outcome {
        self.supplier_mut(by)?;
        self.board(board)?;
        let mut rules = Rules::default();
        rules.require(!self.market.paused, MarketPaused);
        rules.require(!machines.is_empty(), NoMachines);
        self.require_commitment(until, &mut rules);
        rules.hold()?;
        // A slot that this instruction adds cannot be reused by it.
        let slots = self.boards[&board].slots.len();
        let mut former = former.iter();
        for machine in machines {
            let is_known = machine.slot.is_none_or(|slot| usize::from(slot) < slots);
            self.list(by, board, until, machine, is_known, &mut former)?;
        }
        require(former.next().is_none(), StrayAccount)
    }

    fn list(
        &mut self,
        by: Who,
        index: u32,
        committed_until: u32,
        spec: &Spec,
        is_known: bool,
        former: &mut std::slice::Iter<Who>,
    ) -> Outcome {
        let mut rules = Rules::default();
        rules.require(spec.traits.gpus > 0, NoGpus);
        rules.require(spec.traits.flags & !Traits::METERED == 0, ReservedBits);
        rules.require(spec.price > 0, PriceIsZero);
        let no_endpoint = spec.endpoint.ip == [0; 16] || spec.endpoint.port == [0; 2];
        rules.require(!no_endpoint, EndpointEmpty);
        let class = self.market.params.classes.get(usize::from(spec.traits.class)).copied();
        rules.require(class.is_some(), UnknownClass);
        let unit = self.market.params.bond_unit;
        let bond = class.map_or(0, |class| naive::bond(unit, class.weight_bps, spec.traits.gpus));
        rules.require(self.suppliers[&by].free >= bond, InsufficientStake);
        rules.require(is_known, NoSuchSlot);
        let slots = &self.boards[&index].slots;
        let vacant = spec.slot.filter(|_| is_known).and_then(|slot| slots.get(usize::from(slot)).cloned());
        let taken = vacant.as_ref().is_some_and(|slot| slot.machine.is_some());
        rules.require(!taken, SlotTaken);
        let owed = vacant.as_ref().map(|slot| slot.owner).filter(|owner| *owner != by && !taken);
        if let Some(owner) = owed {
            rules.require(former.next() == Some(&owner), FormerSupplierMissing);
        }
        rules.hold()?;

        self.supplier_mut(by)?.free -= bond;
        let round = self.round();
        let board = self.boards.get_mut(&index).expect("checked");
        let slot = Slot {
            owner: by,
            generation: vacant.as_ref().map_or(board.fresh_generation, |slot| slot.generation),
            machine: Some(Machine {
                node_key: spec.node_key,
                traits: spec.traits,
                price: spec.price,
                committed_until,
                bond,
                accrued: 0,
                // The round in which it is listed has no verdict for it.
                attested_from: Some(round + 1),
                verdicts: BTreeMap::new(),
                suspended: false,
                stint: None,
                last: None,
            }),
        };
        let place = spec.slot.unwrap_or_else(|| u16::try_from(board.slots.len()).expect("small"));
        assert!(board.generations.insert((place, slot.generation)), "invariant 11: {place} {slot:?}");
        match spec.slot {
            None => {
                board.slots.push(slot);
                board.note_size(round);
            }
            Some(place) => board.slots[usize::from(place)] = slot,
        }
        let pays = spec.slot.is_none() || owed.is_some();
        if let Some(owner) = owed {
            self.give_rent(owner);
        }
        if pays {
            let rent = self.rents.slot;
            self.wallet_mut(by).lamports -= rent;
        }
        Ok(())
    }

    /// Rounds, from the next one on: a year, or one round more than the longest lease, whichever is longer.
    pub fn longest_commitment(&self) -> u32 {
        let year = 366 * 86_400 / self.market.rules.round_secs;
        year.max(self.market.params.max_rounds.saturating_add(1))
    }

    fn require_commitment(&self, until: u32, rules: &mut Rules) {
        let next = self.round() + 1;
        rules.require(until > next, CommitmentTooShort);
        rules.require(until.saturating_sub(next) <= self.longest_commitment(), CommitmentTooLong);
    }

    pub(super) fn reprice_machines(&mut self, by: Who, board: u32, offers: &[Offer]) -> Outcome {
        self.supplier_mut(by)?;
        self.board(board)?;
        require(!offers.is_empty(), NoMachines)?;
        let next = self.round() + 1;
        for offer in offers {
            let params = self.market.params.clone();
            let free = self.suppliers[&by].free;
            let mut rules = Rules::default();
            self.require_commitment(offer.committed_until, &mut rules);
            let slot = self.board_mut(board)?.slot_mut(offer.slot)?;
            let owner = slot.owner;
            let machine = slot.machine.as_mut().ok_or_else(|| vec![Refusal::Rule(SlotVacant)])?;
            let weight = params.classes[usize::from(machine.traits.class)].weight_bps;
            let whole = naive::bond(params.bond_unit, weight, machine.traits.gpus);
            let missing = whole.saturating_sub(machine.bond);
            rules.require(owner == by, WrongSupplier);
            rules.require(machine.stint.is_none(), MachineLeased);
            rules.require(offer.price > 0, PriceIsZero);
            rules.require(missing <= free, InsufficientStake);
            rules.hold()?;
            machine.bond += missing;
            machine.price = offer.price;
            machine.committed_until = offer.committed_until;
            machine.suspended = false;
            machine.attested_from = machine.attested_from.or(Some(next));
            self.supplier_mut(by)?.free -= missing;
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
        let round = self.round();
        while self.board_mut(board)?.cut(supplier, round) {
            self.give_rent(supplier);
        }
        Ok(())
    }

    fn retire(&mut self, by: Who, supplier: Who, board: u32, index: u16) -> Outcome {
        let (now, round) = (self.now, self.round());
        let round_secs = i64::from(self.market.rules.round_secs);
        let slot = self.board_mut(board)?.slot_mut(index)?;
        let Some(machine) = &slot.machine else { return Err(vec![Refusal::Rule(SlotVacant)]) };
        // `committed_until` is exclusive.
        let committed = i64::from(machine.committed_until) * round_secs;
        // Receipts of its last lease can still be disputed.
        let last = machine.stint.or(machine.last);
        let disputed = last.is_some_and(|last| machine.bond > 0 && round < last.until + DISPUTE_ROUNDS);
        let mut rules = Rules::default();
        rules.require(slot.owner == supplier, WrongSupplier);
        rules.require(by == supplier || now > committed + 30 * 86_400, EvictionTooEarly);
        rules.require(machine.stint.is_none(), MachineLeased);
        rules.require(machine.accrued == 0, EarningsLeft);
        rules.require(!disputed, DisputesOpen);
        rules.hold()?;
        let bond = machine.bond;
        slot.machine = None;
        slot.generation += 1;
        self.supplier_mut(supplier)?.free += bond;
        Ok(())
    }

    pub(super) fn forfeit_machines(&mut self, by: Who, board: u32, slots: &[u16]) -> Outcome {
        self.supplier_mut(by)?;
        self.board(board)?;
        require(!slots.is_empty(), NoMachines)?;
        let round = self.round();
        for index in slots {
            let slot = self.board_mut(board)?.slot_mut(*index)?;
            let Some(machine) = &mut slot.machine else { return Err(vec![Refusal::Rule(SlotVacant)]) };
            let serves = machine.stint.is_some_and(|stint| round < stint.until) && !machine.suspended;
            let mut rules = Rules::default();
            rules.require(slot.owner == by, WrongSupplier);
            rules.require(serves, MachineNotLeased);
            rules.hold()?;
            machine.suspended = true;
            machine.attested_from = None;
        }
        Ok(())
    }

    pub(super) fn trim_board(&mut self, board: u32, suppliers: &[Who]) -> Outcome {
        self.board(board)?;
        require(!suppliers.is_empty(), FormerSupplierMissing)?;
        let round = self.round();
        for supplier in suppliers {
            require(self.board_mut(board)?.cut(*supplier, round), StrayAccount)?;
            self.give_rent(*supplier);
        }
        Ok(())
    }

    pub(super) fn close_board(&mut self, by: Who, board: u32) -> Outcome {
        let state = self.board(board)?;
        let mut rules = Rules::default();
        rules.require(by == state.creator, WrongAuthority);
        let is_unused = state.slots.is_empty()
            && state.leases.is_empty()
            && state.seats.iter().all(Option::is_none)
            && state.payment_vault() == 0
            && state.market_stake + state.to_burn == 0;
        rules.require(is_unused, BoardInUse);
        rules.hold()?;
        self.boards.remove(&board);
        let rent = self.rents.board + self.rents.payment_vault;
        self.wallet_mut(by).lamports += rent;
        Ok(())
    }
}
