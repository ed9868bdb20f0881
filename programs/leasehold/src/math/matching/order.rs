//! Order of machines, and samples of it.
//!
//! Splitters come from samples, so that no distribution of prices is a bad one. The sample depends on the request and its
//! rounds, which nobody who lists machines knows beforehand. It decides how much is computed, never what is picked.

use crate::{
    math::matching::{CutOff, Policy, at},
    state::Slot,
};

/// Place of a machine in the order: the least is taken first. No two machines have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub major: u64,
    pub minor: u64,
    pub slot: u16,
}

impl Key {
    pub const FIRST: Key = Key { major: 0, minor: 0, slot: 0 };
    pub const LAST: Key = Key { major: u64::MAX, minor: u64::MAX, slot: u16::MAX };

    #[inline(always)]
    pub fn new(policy: Policy, price: u64, score: u16, slot: u16) -> Self {
        let (major, minor) = policy.rank_of(price, score);
        Key { major, minor, slot }
    }

    #[inline(always)]
    pub fn of(policy: Policy, slots: &[Slot], index: u16) -> Self {
        let slot = at(slots, index);
        Key::new(policy, slot.price, slot.score, index)
    }
}

/// Keys from `low` to `high`, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub low: Key,
    pub high: Key,
}

impl Window {
    pub const ALL: Window = Window { low: Key::FIRST, high: Key::LAST };

    pub fn at(policy: Policy, cut_off: CutOff) -> Self {
        let key = Key::new(policy, cut_off.price, cut_off.score, cut_off.slot);
        Window { low: key, high: key }
    }
}

/// Numbers to sample by.
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// A number below `bound`. Knuth, The Art of Computer Programming, volume 2, section 3.3.4: the constants of MMIX.
    #[inline(always)]
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The upper bits are the better ones; products of 32-bit factors fit.
        let bound = u64::from(u32::try_from(bound).unwrap_or(u32::MAX));
        let scaled = (self.0 >> 32).wrapping_mul(bound) >> 32;
        usize::try_from(scaled).unwrap_or(0)
    }
}

/// Machines drawn from equal parts of a list or board, one of each, in order.
pub(super) struct Sample<const N: usize> {
    indices: [u16; N],
    len: usize,
    /// Number of machines that one stands for.
    part: usize,
}

impl<const N: usize> Sample<N> {
    /// Draws one of `size` positions from each of at most `N` parts; `machine` says which machine is there, if any.
    #[inline(always)]
    pub fn draw(
        slots: &[Slot],
        policy: Policy,
        random: &mut Random,
        size: usize,
        machine: impl Fn(usize) -> Option<u16>,
    ) -> Self {
        let mut sample = Sample { indices: [0; N], len: 0, part: size.div_ceil(N).max(1) };
        let mut start = 0usize;
        while start < size {
            let end = size.min(start.wrapping_add(sample.part));
            let position = start.wrapping_add(random.below(end.wrapping_sub(start)));
            if let Some(index) = machine(position) {
                sample.indices[sample.len] = index;
                sample.len = sample.len.wrapping_add(1);
            }
            start = end;
        }
        let Sample { indices, len, .. } = &mut sample;
        indices[..*len].sort_unstable_by_key(|index| Key::of(policy, slots, *index));
        sample
    }

    pub fn in_order(&self) -> impl DoubleEndedIterator<Item = u16> + '_ {
        self.indices[..self.len].iter().copied()
    }

    /// The machine of the sample, in the order of `indices`, with which about `target` GPUs are reached; the last one if
    /// they are not.
    #[inline(always)]
    pub fn crossing(
        &self,
        slots: &[Slot],
        indices: impl Iterator<Item = u16>,
        target: u64,
    ) -> Option<u16> {
        let (mut sum, mut last) = (0u64, None);
        for index in indices {
            sum = sum.wrapping_add(self.weight(slots, index));
            last = Some(index);
            if sum >= target {
                break;
            }
        }
        last
    }

    /// Where the machine is, most probably, with which `target` GPUs are reached: twice the standard deviation to each
    /// side, if machines are where they are by chance.
    pub fn window(&self, slots: &[Slot], policy: Policy, target: u64) -> Window {
        let (mut sum, mut squares) = (0u64, 0u64);
        for index in self.in_order() {
            let weight = self.weight(slots, index);
            sum = sum.wrapping_add(weight);
            squares = squares.wrapping_add(weight.wrapping_mul(weight));
            if sum >= target {
                break;
            }
        }
        // A part of a board has at most 96 machines, and a sample less than 2⁷: all this fits.
        let margin = squares.wrapping_mul(4).isqrt();
        let (mut window, mut sum) = (Window::ALL, 0u64);
        for index in self.in_order() {
            if sum >= target.saturating_add(margin) {
                window.high = Key::of(policy, slots, index);
                break;
            }
            sum = sum.wrapping_add(self.weight(slots, index));
            if sum.saturating_add(margin) <= target {
                window.low = Key::of(policy, slots, index);
            }
        }
        window
    }

    /// GPUs of the machines that this one stands for.
    #[inline(always)]
    fn weight(&self, slots: &[Slot], index: u16) -> u64 {
        let part = u64::try_from(self.part).unwrap_or(u64::MAX);
        part.wrapping_mul(u64::from(at(slots, index).traits.gpus))
    }
}
