//! Listing machines.

use leasehold::{
    error::LeaseholdError::*,
    instructions::Machine as Spec,
    state::{Slot as Account, Traits},
};

use super::{
    Machine, Model, Outcome, Rules, Slot, Who,
    machine::{has_address, require_price},
    naive, require,
};

impl Model {
    pub(super) fn list_machines(
        &mut self,
        by: Who,
        board: u32,
        until: u32,
        machines: &[Spec],
        former: &[Who],
    ) -> Outcome {
        self.supplier_mut(by)?;
        let next = self.round(board) + 1;
        self.board(board)?;
        let mut rules = Rules::default();
        rules.require(!self.market.paused, MarketPaused);
        rules.require(!machines.is_empty(), NoMachines);
        self.require_commitment(until, next, &mut rules);
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
        require_price(spec.price, spec.traits.gpus, &mut rules);
        rules.require(has_address(&spec.endpoint), EndpointEmpty);
        rules.require(spec.profile.is_none_or(|profile| profile < 64), ProfileOutOfRange);
        let class = self.market.params.classes.get(usize::from(spec.traits.class)).copied();
        rules.require(class.is_some(), UnknownClass);
        let unit = self.market.params.bond_unit;
        let bond = class.map_or(0, |class| naive::bond(unit, class.weight_bps, spec.traits.gpus, spec.bond));
        rules.require(bond <= u128::from(u64::MAX), MathOverflow);
        rules.require(u128::from(self.suppliers[&by].free) >= bond, InsufficientStake);
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

        let bond = naive::narrow(bond);
        self.supplier_mut(by)?.free -= bond;
        let round = self.round(index);
        let board = self.boards.get_mut(&index).expect("checked");
        let slot = Slot {
            owner: by,
            generation: vacant.as_ref().map_or(board.fresh_generation, |slot| slot.generation),
            machine: Some(Machine {
                node_key: spec.node_key,
                traits: spec.traits,
                endpoint: spec.endpoint,
                profile: spec.profile.unwrap_or(Account::NO_PROFILE),
                turnaround: spec.turnaround,
                price: spec.price,
                committed_until,
                bond,
                accrued: 0,
                // The round in which it is listed has no verdict for it.
                attested_from: Some(round + 1),
                verdicts: Default::default(),
                suspended: false,
                barred: false,
                bound: None,
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
}
