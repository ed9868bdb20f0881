//! The rules of the protocol: what each instruction decides, as pure functions on state and time.
//!
//! A rule takes accounts' contents, never accounts, and returns a named outcome or the refusal. Rules of one kind come
//! in pairs: `quote` says what would happen, `apply` does it. Both share every condition and every formula,
//! so that the client's quotes, the keeper's planner and the command line's checks can't differ from the program.

pub mod access;
pub mod batch;
pub mod board;
pub mod cancel;
pub mod claim;
pub mod dispute;
pub mod extend;
pub mod index;
pub mod keeper;
pub mod lease;
pub mod ledger;
pub mod log;
pub mod machine;
pub mod market;
pub mod meter;
pub mod open;
pub mod replace;
pub mod round;
pub mod seat;
pub mod settle;
pub mod supplier;
pub mod view;

use core::ops::Deref;

use crate::state::Slot;

/// A slot that the program writes, or one that a quote only reads: rules walk over both in the same way.
pub trait SlotAccess: Deref<Target = Slot> {
    /// Changes the slot; does nothing to one that is only read.
    fn write(&mut self, change: impl FnOnce(&mut Slot));
}

impl SlotAccess for &mut Slot {
    #[inline(always)]
    fn write(&mut self, change: impl FnOnce(&mut Slot)) {
        change(self);
    }
}

impl SlotAccess for &Slot {
    #[inline(always)]
    fn write(&mut self, _change: impl FnOnce(&mut Slot)) {}
}
