//! Matching: which machines a lease gets.
//!
//! Fitting machines have a total order: by the policy, then by slot. A lease of n machines takes the first n. The cut-off,
//! price and score of the last one, is expensive to find, so the client passes the one it found as a hint, and one pass
//! proves it right. If the board has changed since, the program finds the cut-off itself, by narrowing a histogram.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{Exact, add, pricing::Span},
    state::{Slot, SlotState, Traits},
};

/// Criteria that the machines of a lease must meet.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criteria {
    /// Hardware class; `None` for any.
    pub class: Option<u16>,
    /// Least GPUs of a machine.
    pub min_gpus: u8,
    /// Least speed tier.
    pub min_speed: u8,
    pub place: Place,
    /// Least score, 0 to 10,000.
    pub min_score: u16,
    /// Most payment units per machine and hour.
    pub max_price: u64,
    pub policy: Policy,
    /// Only machines that may have a metered lease.
    pub metered: bool,
    pub max_gpus: u8,
    pub min_bond: u64,
    pub allow_unseen: bool,
}

/// Where a machine must be.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Anywhere,
    /// ISO 3166-1 numeric code.
    Country(u16),
    /// Region, as the market numbers it.
    Region(u8),
}

/// Order of the fitting machines.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The lowest price; among equals the higher score, then the lower slot.
    Cheapest,
    /// The highest score; among equals the lower price, then the lower slot.
    Best,
}

impl Criteria {
    /// True if a machine with these traits and this price meets the criteria, whatever its score: that may change while
    /// it is leased.
    pub fn allow(&self, traits: &Traits, price: u64) -> bool {
        let _ = (traits, price);
        true
    }
}

impl Policy {
    /// Rank of a machine among fitting ones: the least is taken first, of equal ones that in the lower slot.
    pub fn rank(self, slot: &Slot) -> (u64, u64) {
        match self {
            Policy::Cheapest => (slot.price, demerit(slot)),
            Policy::Best => (demerit(slot), slot.price),
        }
    }
}

/// The lower, the higher the score.
#[inline(always)]
fn demerit(slot: &Slot) -> u64 {
    u64::from(u16::MAX.saturating_sub(slot.score))
}

/// Price and score of the last machine taken.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOff {
    pub price: u64,
    pub score: u16,
}

/// What a lease asks for, and when.
pub struct Request<'a> {
    pub criteria: &'a Criteria,
    pub gpus: u32,
    pub from: u32,
    pub until: u32,
    pub round_secs: u32,
    pub seen: Option<u32>,
    pub avoid: &'a [u16],
}

/// Machines picked: bit i of word w is slot 64·w + i.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub words: Vec<u64>,
    /// Price and score of the last machine taken.
    pub cut_off: CutOff,
    pub machines: u32,
    pub gpus: u32,
}

impl Selection {
    pub fn slots(&self) -> impl Iterator<Item = usize> + '_ {
        bits(&self.words)
    }
    pub fn only(&self) -> Option<usize> {
        self.slots().next()
    }
    pub fn take(&self, slots: &mut [Slot], serial: u32, from: u32, until: u32, span: Span) -> Exact<u64> {
        let mut deposit = 0u64;
        for index in self.slots() {
            if let Some(slot) = slots.get_mut(index) {
                deposit = add(deposit, span.cost_ceil(slot.hourly())?)?;
                slot.begin_lease(serial, from, until);
            }
        }
        Ok(deposit)
    }
    pub fn deposit(&self, slots: &[Slot], span: Span) -> Exact<u64> {
        self.slots().filter_map(|index| slots.get(index)).try_fold(0, |sum, slot| add(sum, span.cost_ceil(slot.hourly())?))
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


pub fn select(_slots: &[Slot], _request: &Request, _hint: Option<CutOff>) -> Result<Selection> {
    err!(LeaseholdError::NotEnoughGpus)
}
pub fn replacement(_slots: &[Slot], _request: &Request, _hint: Option<CutOff>) -> Result<Selection> {
    err!(LeaseholdError::NotEnoughGpus)
}
