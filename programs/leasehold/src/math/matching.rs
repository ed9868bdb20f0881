//! Matching: which machines a lease gets.
//!
//! Fitting machines have a total order: by the policy, then by slot. A lease of n machines takes the first n. The cut-off,
//! price and score of the last one, is expensive to find, so the client passes the one it found as a hint, and one pass
//! proves it right. If the board has changed since, the program finds the cut-off itself, by narrowing a histogram.

use core::cmp::Ordering;

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
        // The loop's own check, on a machine that has all that is not asked here.
        let machine = Slot {
            traits: *traits,
            price,
            score: u16::MAX,
            state: SlotState::Idle as u8,
            committed_until: u32::MAX,
            ..bytemuck::Zeroable::zeroed()
        };
        Filter::new(self, 0).fits(&machine)
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

/// Machines picked: bit i of word w is slot 64·w + i.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub words: Vec<u64>,
    /// Price and score of the last machine taken.
    pub cut_off: CutOff,
}

impl Selection {
    /// Slots picked, in order.
    pub fn slots(&self) -> impl Iterator<Item = usize> + '_ {
        bits(&self.words)
    }

    /// Puts a lease on the machines picked. Returns the payment units to deposit for them, the sum of
    /// ⌈price × time / 3600⌉.
    pub fn take(&self, slots: &mut [Slot], serial: u32, from: u32, until: u32, span: Span) -> Exact<u64> {
        let mut deposit = 0u64;
        for (word, chunk) in self.words.iter().zip(slots.chunks_mut(64)) {
            let mut left = *word;
            for slot in chunk {
                if left & 1 != 0 {
                    deposit = add(deposit, span.cost_ceil(slot.price)?)?;
                    slot.begin_lease(serial, from, until);
                }
                left >>= 1;
                if left == 0 {
                    break;
                }
            }
        }
        Ok(deposit)
    }

    /// The same sum as [`Selection::take`] returns.
    pub fn deposit(&self, slots: &[Slot], span: Span) -> Exact<u64> {
        self.slots().try_fold(0, |sum, index| add(sum, span.cost_ceil(at(slots, index).price)?))
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

/// Criteria as masks and bounds, for the loop over the board.
#[derive(Clone, Copy)]
struct Filter {
    /// Traits as one number: bits that must be as in `want`.
    mask: u64,
    want: u64,
    max_price: u64,
    /// First round the machine need not serve.
    until: u32,
    /// Bounds that many leases don't set, and whether this one does. Every machine has a GPU.
    bounded: bool,
    min_gpus: u8,
    min_speed: u8,
    min_score: u16,
}

impl Filter {
    fn new(criteria: &Criteria, until: u32) -> Self {
        let (mut mask, mut want) = (Traits::default(), Traits::default());
        if criteria.metered {
            (mask.flags, want.flags) = (Traits::METERED, Traits::METERED);
        }
        if let Some(class) = criteria.class {
            (mask.class, want.class) = (u16::MAX, class);
        }
        match criteria.place {
            Place::Anywhere => {}
            Place::Country(country) => (mask.country, want.country) = (u16::MAX, country),
            Place::Region(region) => (mask.region, want.region) = (u8::MAX, region),
        }
        let Criteria { min_gpus, min_speed, min_score, max_price, .. } = *criteria;
        Filter {
            mask: bytemuck::cast(mask),
            want: bytemuck::cast(want),
            max_price,
            until,
            bounded: min_gpus > 1 || min_speed > 0 || min_score > 0,
            min_gpus,
            min_speed,
            min_score,
        }
    }

    #[inline(always)]
    fn fits(&self, slot: &Slot) -> bool {
        let traits: u64 = bytemuck::cast(slot.traits);
        slot.state == SlotState::Idle as u8
            && slot.price <= self.max_price
            && traits & self.mask == self.want
            && slot.committed_until >= self.until
            && (!self.bounded || self.is_within(slot))
    }

    #[inline(always)]
    fn is_within(&self, slot: &Slot) -> bool {
        slot.traits.gpus >= self.min_gpus
            && slot.traits.speed >= self.min_speed
            && slot.score >= self.min_score
    }
}

/// Picks the first `count` of the fitting machines; an error if fewer fit.
///
/// `hint` saves work and never changes the result.
pub fn select(
    slots: &[Slot],
    criteria: &Criteria,
    until: u32,
    count: u32,
    hint: Option<CutOff>,
) -> Result<Selection> {
    let filter = Filter::new(criteria, until);
    if let Some(cut_off) = hint
        && let Some(selection) = cut(slots, &filter, criteria.policy, cut_off, count)
    {
        return Ok(selection);
    }
    let cut_off = find_cut_off(slots, &filter, criteria.policy, count)?;
    cut(slots, &filter, criteria.policy, cut_off, count)
        .ok_or_else(|| LeaseholdError::NotEnoughMachines.into())
}

/// Takes every machine before the cut-off and, of those equal to it, the lowest slots. `None` if these are not `count`
/// machines: then the cut-off is wrong.
fn cut(slots: &[Slot], filter: &Filter, policy: Policy, cut_off: CutOff, count: u32) -> Option<Selection> {
    let (mut words, equals) = match policy {
        Policy::Cheapest => {
            // Nothing dearer than the cut-off is wanted: one comparison less in the loop.
            let filter = Filter { max_price: filter.max_price.min(cut_off.price), ..*filter };
            compare(slots, &filter, |slot| {
                if slot.price != cut_off.price { Ordering::Greater } else { slot.score.cmp(&cut_off.score) }
            })
        }
        Policy::Best => {
            let least = filter.min_score.max(cut_off.score);
            let filter = Filter { min_score: least, bounded: filter.bounded || least > 0, ..*filter };
            compare(slots, &filter, |slot| {
                if slot.score != cut_off.score { Ordering::Greater } else { cut_off.price.cmp(&slot.price) }
            })
        }
    };
    let before = ones(&words);
    let equal = ones(&equals);
    // The cut-off belongs to the last machine taken, so at least one of its equals is needed.
    let mut needed = count.checked_sub(before).filter(|needed| (1..=equal).contains(needed))?;
    for (word, same) in words.iter_mut().zip(equals) {
        let available = same.count_ones();
        if available <= needed {
            *word |= same;
            needed = needed.wrapping_sub(available);
        } else {
            *word |= lowest(same, needed);
            break;
        }
        if needed == 0 {
            break;
        }
    }
    Some(Selection { words, cut_off })
}

/// Fitting machines that rank before the cut-off (`Greater`), or equal it.
#[inline(always)]
fn compare(slots: &[Slot], filter: &Filter, rank: impl Fn(&Slot) -> Ordering) -> (Vec<u64>, Vec<u64>) {
    let mut words = Vec::with_capacity(slots.len().div_ceil(64));
    let mut equals = Vec::with_capacity(slots.len().div_ceil(64));
    for chunk in slots.chunks(64) {
        let (mut word, mut same, mut bit) = (0u64, 0u64, 1u64);
        for slot in chunk {
            if filter.fits(slot) {
                match rank(slot) {
                    Ordering::Greater => word |= bit,
                    Ordering::Equal => same |= bit,
                    Ordering::Less => {}
                }
            }
            bit <<= 1;
        }
        words.push(word);
        equals.push(same);
    }
    (words, equals)
}

/// Number of set bits.
fn ones(words: &[u64]) -> u32 {
    words.iter().fold(0, |sum, word| sum.wrapping_add(word.count_ones()))
}

/// The lowest `count` set bits of a word that has at least as many.
fn lowest(word: u64, count: u32) -> u64 {
    let rest = (0..count).fold(word, |rest, _| rest & rest.wrapping_sub(1));
    word & !rest
}

/// Price and score of the `count`-th fitting machine.
fn find_cut_off(slots: &[Slot], filter: &Filter, policy: Policy, count: u32) -> Result<CutOff> {
    let (mut candidates, _) = compare(slots, filter, |_| Ordering::Greater);
    require!(count >= 1 && ones(&candidates) >= count, LeaseholdError::NotEnoughMachines);
    let price = |slot: &Slot| slot.price;
    let score_of = |demerit: u64| u16::MAX.saturating_sub(u16::try_from(demerit).unwrap_or(u16::MAX));
    Ok(match policy {
        Policy::Cheapest => {
            let (price, rank) = nth(slots, &mut candidates, price, count);
            CutOff { price, score: score_of(nth(slots, &mut candidates, demerit, rank).0) }
        }
        Policy::Best => {
            let (demerit, rank) = nth(slots, &mut candidates, demerit, count);
            CutOff { price: nth(slots, &mut candidates, price, rank).0, score: score_of(demerit) }
        }
    })
}

/// log2 of the buckets of a histogram: 4 KB, an eighth of the program's heap.
const BUCKET_BITS: u32 = 10;

/// The `rank`-th smallest value (from 1) among the candidates, and the rank left among those equal to it,
/// to which the candidates are narrowed.
fn nth(slots: &[Slot], candidates: &mut [u64], value: impl Fn(&Slot) -> u64, mut rank: u32) -> (u64, u32) {
    let (mut low, mut high) = (u64::MAX, 0);
    visit(slots, candidates, |slot| {
        let value = value(slot);
        low = low.min(value);
        high = high.max(value);
        true
    });
    let mut buckets = vec![0u32; 1 << BUCKET_BITS];
    while low < high {
        // The range has `width` bits: the top ten of them name the bucket.
        let width = u64::BITS.saturating_sub(high.wrapping_sub(low).leading_zeros());
        let shift = width.saturating_sub(BUCKET_BITS);
        buckets.fill(0);
        visit(slots, candidates, |slot| {
            let bucket = value(slot).wrapping_sub(low) >> shift;
            if let Some(count) = usize::try_from(bucket).ok().and_then(|bucket| buckets.get_mut(bucket)) {
                *count = count.wrapping_add(1);
            }
            true
        });
        let mut bucket = 0u64;
        for count in &buckets {
            if rank <= *count {
                break;
            }
            rank = rank.wrapping_sub(*count);
            bucket = bucket.wrapping_add(1);
        }
        low = low.wrapping_add(bucket << shift);
        high = low.saturating_add((1u64 << shift).wrapping_sub(1)).min(high);
        visit(slots, candidates, |slot| (low..=high).contains(&value(slot)));
    }
    (low, rank)
}

/// Shows the candidates and drops those that `keep` refuses.
#[inline(always)]
fn visit(slots: &[Slot], candidates: &mut [u64], mut keep: impl FnMut(&Slot) -> bool) {
    for (word, chunk) in candidates.iter_mut().zip(slots.chunks(64)) {
        let (mut left, mut bit) = (*word, 1u64);
        for slot in chunk {
            if left & 1 != 0 && !keep(slot) {
                *word &= !bit;
            }
            left >>= 1;
            if left == 0 {
                break;
            }
            bit <<= 1;
        }
    }
}

/// The slot of a bit that was set for it.
#[inline(always)]
fn at(slots: &[Slot], index: usize) -> &Slot {
    &slots[index]
}
