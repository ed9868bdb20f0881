//! Boards and their machines.

use bytemuck::Zeroable;
use leasehold::{
    constants::INITIAL_SCORE,
    error::LeaseholdError::*,
    instructions::{Machine, Offer},
    math::{add32, rounds},
    rules,
    state::{Board, Slot, SlotState, machine_mut},
};

use super::{Done, Failure, Home, Native, key, require, supplier_address};
use crate::model::Who;

impl Native {
    pub(super) fn create_board(&mut self, by: Who) -> Done {
        let now = self.now;
        let (market, boards, _) = self.parts()?;
        let mut board: Box<Board> = Box::new(Board::zeroed());
        board.creator = key(by);
        board.genesis = market.genesis;
        board.index = market.next_board;
        board.phase_secs = rounds::phase(market.next_board, market.rules.round_secs);
        board.next_serial = 1;
        board.adopt(&market.rules);
        board.up_votes = market.params.up_votes;
        board.next_round = board.round_at(now)?;
        boards.insert(market.next_board, Home { board, slots: vec![], vault: 0 });
        market.next_board = add32(market.next_board, 1)?;
        market.boards = add32(market.boards, 1)?;
        Ok(())
    }

    /// Applies a rule to machines of one supplier.
    pub(super) fn each_own(
        &mut self,
        by: Who,
        board: u32,
        indices: &[u16],
        rule: impl Fn(&Board, &mut Slot) -> anchor_lang::Result<()>,
    ) -> Done {
        if !self.suppliers.contains_key(&by) {
            return Err(Failure::Missing);
        }
        let Home { board, slots, .. } = self.home(board)?;
        require(!indices.is_empty(), NoMachines)?;
        for index in indices {
            let slot = machine_mut(slots, *index)?;
            require(slot.supplier == supplier_address(by), WrongSupplier)?;
            rule(board, slot)?;
        }
        Ok(())
    }

    pub(super) fn reprice_machines(&mut self, by: Who, board: u32, offers: &[Offer]) -> Done {
        let now = self.now;
        let (market, boards, suppliers) = self.parts()?;
        let supplier = suppliers.get_mut(&by).ok_or(Failure::Missing)?;
        let Home { board, slots, .. } = boards.get_mut(&board).ok_or(Failure::Missing)?;
        require(!offers.is_empty(), NoMachines)?;
        let next_round = board.round_after(now)?;
        for offer in offers {
            let slot = machine_mut(slots, offer.slot)?;
            require(slot.supplier == supplier_address(by), WrongSupplier)?;
            rules::machine::reprice(market, board, slot, supplier, offer, next_round)?;
        }
        Ok(())
    }

    pub(super) fn list_machines(
        &mut self,
        by: Who,
        board: u32,
        until: u32,
        machines: &[Machine],
        former: &[Who],
    ) -> Done {
        let now = self.now;
        let (market, boards, suppliers) = self.parts()?;
        let supplier = suppliers.get_mut(&by).ok_or(Failure::Missing)?;
        let Home { board, slots, .. } = boards.get_mut(&board).ok_or(Failure::Missing)?;
        rules::machine::require_listing(market, machines.len())?;
        let (round, next_round) = (board.round_at(now)?, board.round_after(now)?);
        board.require_commitment(until, next_round, market.params.max_rounds)?;
        let old_slots = slots.len();
        let added = machines.iter().filter(|machine| machine.slot.is_none()).count();
        if added > 0 {
            slots.resize(old_slots + added, Slot::zeroed());
            board.resize(round, u32::try_from(slots.len()).expect("few"));
        }
        let (mut next, mut former) = (old_slots, former.iter());
        for machine in machines {
            rules::machine::require_listable(machine)?;
            let bond = rules::machine::bond(&market.params, &machine.traits, machine.bond)?;
            let index = machine.slot.map_or(next, usize::from);
            require(machine.slot.is_none() || index < old_slots, NoSuchSlot)?;
            let mut generation = board.fresh_generation;
            if machine.slot.is_some() {
                rules::machine::require_vacant(&slots[index])?;
                let owner = slots[index].supplier;
                let owed = owner == supplier_address(by)
                    || former.next().is_some_and(|former| supplier_address(*former) == owner);
                require(owed, FormerSupplierMissing)?;
                generation = slots[index].generation;
            } else {
                next += 1;
            }
            slots[index] = Slot {
                node_key: machine.node_key,
                supplier: supplier_address(by),
                traits: machine.traits,
                price: machine.price,
                endpoint: machine.endpoint,
                generation,
                score: INITIAL_SCORE,
                state: SlotState::Idle as u8,
                committed_until: until,
                attested_from: next_round,
                bond,
                profile: machine.profile.unwrap_or(Slot::NO_PROFILE),
                turnaround: machine.turnaround,
                ..Slot::zeroed()
            };
            rules::machine::count_listed(board, supplier, bond)?;
        }
        require(former.next().is_none(), StrayAccount)
    }

    pub(super) fn retire_machines(&mut self, by: Who, supplier: Who, board: u32, indices: &[u16]) -> Done {
        let now = self.now;
        let (_, boards, suppliers) = self.parts()?;
        let account = suppliers.get_mut(&supplier).ok_or(Failure::Missing)?;
        let home = boards.get_mut(&board).ok_or(Failure::Missing)?;
        require(!indices.is_empty(), NoMachines)?;
        let round = home.board.round_at(now)?;
        for index in indices {
            let slot = machine_mut(&mut home.slots, *index)?;
            require(slot.supplier == supplier_address(supplier), WrongSupplier)?;
            rules::machine::retire(&mut home.board, slot, account, by == supplier, now, round)?;
        }
        while home.cut(supplier, now)? {}
        Ok(())
    }
}

impl Home {
    /// Removes the last slot, if it is vacant and its rent is owed to that supplier.
    pub(super) fn cut(&mut self, supplier: Who, now: i64) -> Done<bool> {
        let round = self.board.round_at(now)?;
        let theirs = |slot: &&Slot| slot.is(SlotState::Vacant) && slot.supplier == supplier_address(supplier);
        let Some(generation) = self.slots.last().filter(theirs).map(|slot| slot.generation) else {
            return Ok(false);
        };
        self.board.outgrow(generation);
        self.slots.pop();
        self.board.resize(round, u32::try_from(self.slots.len()).expect("few"));
        Ok(true)
    }
}
