//! Order of machines, and samples of it.
//!
//! Splitters come from samples, so that no distribution of prices is a bad one. The sample depends on the request and its
//! rounds, which nobody who lists machines knows beforehand. It decides how much is computed, never what is picked.

use crate::{
    math::matching::{CutOff, Policy, at},
    state::Slot,
};

/// Place of a machine in the order: the least is taken first. No two machines have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub major: u64,
    pub minor: u64,
    pub slot: u64,
}

impl Key {
    pub const FIRST: Key = Key { major: 0, minor: 0, slot: 0 };
    pub const LAST: Key = Key { major: u64::MAX, minor: u64::MAX, slot: u64::MAX };

    #[inline(always)]
    pub fn new(policy: Policy, slot: &Slot, index: u64) -> Self {
        let (major, minor) = policy.rank(slot);
        Key { major, minor, slot: index }
    }

    #[inline(always)]
    pub fn of(policy: Policy, slots: &[Slot], index: u16) -> Self {
        Key::new(policy, at(slots, index), u64::from(index))
    }

    /// Spelled out, since a derived comparison takes three times as long on this machine.
    #[inline(always)]
    pub fn precedes(&self, other: &Key) -> bool {
        if self.major != other.major {
            return self.major < other.major;
        }
        if self.minor != other.minor {
            return self.minor < other.minor;
        }
        self.slot < other.slot
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

    /// The cut-off, and its equals in slots nearby: on a board where many machines have one price, it is still there when
    /// a few of them are gone.
    pub fn around(policy: Policy, cut_off: CutOff) -> Self {
        let (major, minor) = policy.rank_of(cut_off.price, cut_off.score);
        let slot = u64::from(cut_off.slot);
        let key = |slot| Key { major, minor, slot };
        Window { low: key(slot.saturating_sub(NEARBY)), high: key(slot.saturating_add(NEARBY)) }
    }
}

/// Slots to each side of a hint's.
const NEARBY: u64 = 64;

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
        sort(&mut indices[..*len], |a, b| Key::of(policy, slots, a).precedes(&Key::of(policy, slots, b)));
        sample
    }

    pub fn in_order(&self) -> impl DoubleEndedIterator<Item = u16> + '_ {
        self.indices[..self.len].iter().copied()
    }

    /// GPUs of all machines that the sample stands for.
    #[inline(always)]
    fn sum(&self, slots: &[Slot]) -> u64 {
        self.in_order().fold(0, |sum, index| sum.wrapping_add(self.weight(slots, index)))
    }

    /// `target` GPUs of the `total` that there are, as a number of those that the sample stands for.
    #[inline(always)]
    fn scaled(&self, slots: &[Slot], target: u64, total: u64) -> u64 {
        // A number of 32 bits, times GPUs of a board, which have less than 24.
        target.wrapping_mul(self.sum(slots)).checked_div(total).unwrap_or(target)
    }

    /// The machine of the sample, in the order of `indices`, with which about `target` of `total` GPUs are reached.
    #[inline(always)]
    pub fn crossing(
        &self,
        slots: &[Slot],
        indices: impl Iterator<Item = u16>,
        target: u64,
        total: u64,
    ) -> Option<u16> {
        let target = self.scaled(slots, target, total);
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

    /// Where the machine is, most probably, with which `target` GPUs are reached of `total`, if that is known: twice the
    /// standard deviation to each side, but no more than an eighth of the machines.
    pub fn window(&self, slots: &[Slot], policy: Policy, target: u64, total: Option<u64>) -> Window {
        let target = total.map_or(target, |total| self.scaled(slots, target, total));
        let (mut sum, mut squares, mut middle) = (0u64, 0u64, 0usize);
        for index in self.in_order() {
            let weight = self.weight(slots, index);
            sum = sum.wrapping_add(weight);
            squares = squares.wrapping_add(weight.wrapping_mul(weight));
            if sum >= target {
                break;
            }
            middle = middle.wrapping_add(1);
        }
        // Variance of a sum of draws from `N` parts.
        let parts = u64::try_from(N).unwrap_or(u64::MAX);
        let variance = squares.saturating_sub(sum.wrapping_mul(sum).checked_div(parts).unwrap_or(0));
        let margin = variance.wrapping_mul(4).isqrt();
        let reach = self.len.checked_div(8).unwrap_or_default().saturating_add(2);
        let (mut window, mut sum) = (Window::ALL, 0u64);
        for (place, index) in self.in_order().enumerate() {
            let before = sum;
            sum = sum.wrapping_add(self.weight(slots, index));
            if sum.saturating_add(margin) <= target || place.saturating_add(reach) <= middle {
                window.low = Key::of(policy, slots, index);
            } else if before >= target.saturating_add(margin) || place >= middle.saturating_add(reach) {
                window.high = Key::of(policy, slots, index);
                break;
            }
        }
        window
    }

    /// Before which machine, most probably, all but the last `target` GPUs are.
    pub fn tail(&self, slots: &[Slot], policy: Policy, target: u64) -> Window {
        let (mut low, mut sum) = (Key::FIRST, 0u64);
        for (place, index) in self.in_order().rev().enumerate() {
            if place >= 2 && sum >= target.saturating_mul(2) {
                low = Key::of(policy, slots, index);
                break;
            }
            sum = sum.wrapping_add(self.weight(slots, index));
        }
        Window { low, ..Window::ALL }
    }

    /// GPUs of the machines that this one stands for.
    #[inline(always)]
    fn weight(&self, slots: &[Slot], index: u16) -> u64 {
        let part = u64::try_from(self.part).unwrap_or(u64::MAX);
        part.wrapping_mul(u64::from(at(slots, index).traits.gpus))
    }
}

/// Shellsort, with gaps by Ciura (2001): short, and fast enough for a sample.
#[inline(always)]
fn sort(list: &mut [u16], precedes: impl Fn(u16, u16) -> bool) {
    for gap in [23usize, 10, 4, 1] {
        for start in gap..list.len() {
            let (moved, mut place) = (list[start], start);
            while let Some(before) = place.checked_sub(gap)
                && precedes(moved, list[before])
            {
                list[place] = list[before];
                place = before;
            }
            list[place] = moved;
        }
    }
}
