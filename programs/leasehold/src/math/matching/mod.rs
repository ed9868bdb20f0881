//! Matching: which machines a lease gets.
//!
//! Fitting machines have a total order: by the policy, then by slot. A lease takes them in order while their GPUs stay
//! below the number asked for; a last machine completes it, and what it makes superfluous is left out. The cut-off, where
//! taking in order ends, is expensive to find, so the client passes the one it found as a hint, and one pass proves it
//! right. If the board has changed since, the program finds the cut-off itself, from a sample.

mod criteria;
mod last;
mod order;
mod search;

use anchor_lang::prelude::*;
use criteria::Filter;
pub use criteria::{Criteria, Place, Policy, Request};
use order::Random;
use search::View;

use crate::{
    error::LeaseholdError,
    math::{Exact, add, pricing::Span},
    state::Slot,
};

/// The machine with which the number of GPUs is first reached in order: those before it are taken.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOff {
    /// Its price per GPU and hour.
    pub price: u64,
    pub score: u16,
    pub slot: u16,
}

/// Machines picked: bit i of word w is slot 64·w + i.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub words: Vec<u64>,
    /// The hint that saves the search.
    pub cut_off: CutOff,
    pub machines: u32,
    /// GPUs of the machines: at least as many as were asked for.
    pub gpus: u32,
}

impl Selection {
    /// Slots picked, in order.
    pub fn slots(&self) -> impl Iterator<Item = usize> + '_ {
        bits(&self.words)
    }

    /// The slot picked; `None` if there are several.
    pub fn only(&self) -> Option<usize> {
        self.slots().next().filter(|_| self.machines == 1)
    }

    /// Puts a lease on the machines picked. Returns the payment units to deposit for them, the sum of
    /// ⌈price × GPUs × time / 3600⌉.
    pub fn take(&self, slots: &mut [Slot], serial: u32, from: u32, until: u32, span: Span) -> Exact<u64> {
        let mut deposit = 0u64;
        for (word, chunk) in self.words.iter().zip(slots.chunks_mut(64)) {
            let mut left = *word;
            for slot in chunk {
                if left == 0 {
                    break;
                }
                if left & 1 != 0 {
                    deposit = add(deposit, span.cost_ceil(slot.hourly())?)?;
                    slot.begin_lease(serial, from, until);
                }
                left >>= 1;
            }
        }
        Ok(deposit)
    }

    /// The same sum as [`Selection::take`] returns.
    pub fn deposit(&self, slots: &[Slot], span: Span) -> Exact<u64> {
        self.slots().try_fold(0, |sum, index| add(sum, span.cost_ceil(slots[index].hourly())?))
    }
}

/// Positions of the set bits.
pub fn bits(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(index, word)| {
        let mut left = *word;
        core::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros())?;
            left &= left.wrapping_sub(1);
            Some(index.wrapping_mul(64).wrapping_add(bit as usize))
        })
    })
}

/// Picks machines with the number of GPUs that is asked for; an error if fewer fit.
///
/// They are taken in order while their GPUs stay below the number: the first that would reach it ends this, though a
/// smaller one after it might not. Of all fitting machines that are left and complete the number, the last machine is
/// the one with the lowest price in all, of equals the first in order; by [`Policy::Best`] the first in order. Then,
/// from the last in order to the first, each of the others without which the number is still reached is left out.
///
/// `hint` saves work and never changes the result.
pub fn select(slots: &[Slot], request: &Request, hint: Option<CutOff>) -> Result<Selection> {
    pick(slots, request, Filter::new(request), hint)
}

/// Picks one machine with at least the number of GPUs that is asked for, by the same rule: the one with the lowest price in
/// all, by [`Policy::Best`] the first in order.
pub fn replacement(slots: &[Slot], request: &Request, hint: Option<CutOff>) -> Result<Selection> {
    let least = u8::try_from(request.gpus).map_err(|_| LeaseholdError::NotEnoughGpus)?;
    // The first of such machines reaches the number.
    let filter = Filter::new(request).with_min_gpus(least.max(request.criteria.min_gpus));
    pick(slots, request, filter, hint)
}

fn pick(slots: &[Slot], request: &Request, filter: Filter, hint: Option<CutOff>) -> Result<Selection> {
    require!(request.criteria.allow_unseen || request.seen.is_some(), LeaseholdError::BoardUnseen);
    require!(request.gpus > 0, LeaseholdError::NotEnoughGpus);
    let random =
        Random::new(u64::from(request.from) ^ u64::from(request.until) << 32 ^ u64::from(request.gpus) << 16);
    match request.criteria.policy {
        Policy::Cheapest => View::<false> { slots, filter, random }.pick(request, hint),
        Policy::Best => View::<true> { slots, filter, random }.pick(request, hint),
    }
}

impl<const BEST: bool> View<'_, BEST> {
    fn pick(&mut self, request: &Request, hint: Option<CutOff>) -> Result<Selection> {
        let (slots, target) = (self.slots, u64::from(request.gpus));
        let mut open = vec![u64::MAX; slots.len().div_ceil(64)];
        request.avoid.iter().for_each(|index| clear(&mut open, *index));
        let mut prefix = self.prefix(open.clone(), target, hint).ok_or(LeaseholdError::NotEnoughGpus)?;
        for (open, taken) in open.iter_mut().zip(&prefix.taken) {
            *open &= !taken;
        }
        let last = self.last(&open, prefix.next, target.wrapping_sub(prefix.gpus));
        let sum = prefix.gpus.wrapping_add(gpus(at(slots, last)));
        let spare = self.trim(&mut prefix, sum.wrapping_sub(target));
        let next = at(slots, prefix.next);
        let cut_off = CutOff { price: next.price, score: next.score, slot: prefix.next };
        let mut words = prefix.taken;
        flip(&mut words, last);
        let machines = words.iter().fold(0u32, |sum, word| sum.wrapping_add(word.count_ones()));
        // At most 255 GPUs for each slot fit.
        let gpus = u32::try_from(target.wrapping_add(spare)).unwrap_or(u32::MAX);
        Ok(Selection { words, cut_off, machines, gpus })
    }
}

#[inline(always)]
fn gpus(slot: &Slot) -> u64 {
    u64::from(slot.traits.gpus)
}

/// The machine of a slot on the board.
#[inline(always)]
fn at(slots: &[Slot], index: u16) -> &Slot {
    &slots[usize::from(index)]
}

/// Turns the bit of a slot on the board.
#[inline(always)]
fn flip(words: &mut [u64], index: u16) {
    words[usize::from(index >> 6)] ^= 1u64.wrapping_shl(u32::from(index));
}

/// Clears the bit of a slot, if the board has it.
fn clear(words: &mut [u64], index: u16) {
    if let Some(word) = words.get_mut(usize::from(index >> 6)) {
        *word &= !1u64.wrapping_shl(u32::from(index));
    }
}
