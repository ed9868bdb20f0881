//! A copy of a board and a lease on which the program's rules are tried out.

use leasehold::{
    rules::settle,
    state::{Board, Lease, Slot, SlotState},
};

use super::Settlement;
use crate::{board::BoardView, error::Refusal};

pub struct Trial {
    board: Board,
    slots: Vec<Slot>,
    lease: Lease,
}

impl Trial {
    pub fn new(board: &BoardView, lease: &Lease) -> Self {
        Trial { board: *board.header, slots: board.slots.to_vec(), lease: lease.clone() }
    }

    /// Applies a rule.
    pub fn apply<T>(
        &mut self,
        rule: impl FnOnce(&mut Board, &mut [Slot], &mut Lease) -> anchor_lang::Result<T>,
    ) -> Result<T, Refusal> {
        Ok(rule(&mut self.board, &mut self.slots, &mut self.lease)?)
    }

    /// Closes every round of the lease: its machines are up in each that is not closed yet.
    pub fn close_rounds(&mut self) {
        let Trial { board, slots, lease } = self;
        for slot in slots.iter_mut().filter(|slot| slot.lease == lease.serial && slot.is(SlotState::Leased)) {
            let first = board.next_round.max(slot.lease_from).max(slot.attested_from);
            slot.lease_up = slot.lease_up.saturating_add(slot.lease_until.saturating_sub(first));
        }
        board.next_round = lease.settles_from(lease.until).max(board.next_round);
    }

    /// Machines of the lease.
    pub fn machines(&self) -> impl Iterator<Item = (u16, &Slot)> {
        (0..=u16::MAX).zip(&self.slots).filter(|(_, slot)| slot.lease == self.lease.serial)
    }

    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Effect of settling the lease as it is.
    pub fn settlement(&self) -> Result<Settlement, Refusal> {
        Ok(settle::quote(&self.board, &self.slots, &self.lease, u32::MAX)?)
    }

    /// Effect of settling one machine of the lease, which is not its last one.
    pub fn settlement_of(&self, index: u16) -> Result<Settlement, Refusal> {
        let slot = self.slots.get(usize::from(index)..).and_then(|slots| slots.first());
        let slots = slot.map_or(&[][..], std::slice::from_ref);
        Ok(settle::quote(&self.board, slots, &self.lease, u32::MAX)?)
    }
}
