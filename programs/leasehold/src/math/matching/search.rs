//! Search for the machine with which the number of GPUs is reached.

use crate::{
    math::matching::{
        CutOff, Filter, Policy, at, flip, gpus,
        order::{Key, Random, Sample, Window},
    },
    state::Slot,
};

/// Scans of the board for one search, before the last that lists all that is left. More are rare, and dear where sampling
/// misleads: machines of many GPUs among those of one.
const MAX_SCANS: u32 = 2;

/// A board as one request sees it.
///
/// Everything here exists once for each policy: loops over machines don't ask for it.
pub(super) struct View<'a, const BEST: bool> {
    pub slots: &'a [Slot],
    pub filter: Filter,
    pub random: Random,
}

/// The machines that come first.
pub(super) struct Prefix {
    /// Machines whose GPUs stay below the number, and their GPUs.
    pub taken: Vec<u64>,
    pub gpus: u64,
    /// The machine after them, which would reach it.
    pub next: u16,
    /// Those taken that come latest in order, in no order. Has room for all machines.
    pub latest: Vec<u16>,
    /// Room for a bit of each machine.
    pub room: Vec<u64>,
}

impl<const BEST: bool> View<'_, BEST> {
    pub const POLICY: Policy = if BEST { Policy::Best } else { Policy::Cheapest };

    /// Takes the fitting machines among `open` in order while their GPUs stay below `target`. `None` if all of them do.
    ///
    /// One scan of the board takes what lies before a window of the order and lists what lies in it, which is then searched.
    /// The window is the hint, else where a sample of the board expects the target. If the target isn't there, the scan has
    /// told on which side it is.
    pub fn prefix(&mut self, mut open: Vec<u64>, target: u64, hint: Option<CutOff>) -> Option<Prefix> {
        let mut taken = vec![0; open.len()];
        let mut before = vec![0; open.len()];
        let mut inside = Vec::with_capacity(self.slots.len());
        // GPUs of those taken, and of those among `open` once all of these are known to fit.
        let (mut sum, mut total) = (0u64, None);
        let mut hint = hint.map(|cut_off| Window::around(Self::POLICY, cut_off));
        let mut scans = 0u32;
        loop {
            let needed = target.wrapping_sub(sum);
            let window = match hint.take() {
                Some(hint) => hint,
                None if scans < MAX_SCANS => self.expect(&open, needed, total),
                None => Window::ALL,
            };
            scans = scans.wrapping_add(1);
            inside.clear();
            let (below, listed) = if total.is_some() {
                self.scan::<true>(&mut open, window, &mut before, &mut inside)
            } else {
                self.scan::<false>(&mut open, window, &mut before, &mut inside)
            };
            if needed <= below {
                core::mem::swap(&mut open, &mut before);
                total = Some(below);
                continue;
            }
            for ((taken, open), before) in taken.iter_mut().zip(&mut open).zip(&before) {
                *taken |= before;
                *open &= !before;
            }
            sum = sum.wrapping_add(below);
            if needed <= below.wrapping_add(listed) {
                let (count, part) = self.split(&mut inside, needed.wrapping_sub(below), listed);
                let next = inside[count];
                inside.truncate(count);
                inside.iter().for_each(|index| flip(&mut taken, *index));
                let gpus = sum.wrapping_add(part);
                return Some(Prefix { taken, gpus, next, latest: inside, room: before });
            }
            if window.high == Key::LAST {
                return None;
            }
            sum = sum.wrapping_add(listed);
            total = total.map(|total| total.wrapping_sub(below).wrapping_sub(listed));
            for index in &inside {
                flip(&mut taken, *index);
                flip(&mut open, *index);
            }
        }
    }

    /// Where the machine is expected with which `target` GPUs are reached. `total`: GPUs of those among `open`, if these
    /// are known to fit.
    #[inline(never)]
    fn expect(&mut self, open: &[u64], target: u64, total: Option<u64>) -> Window {
        self.sample(open, total.is_some()).window(self.slots, Self::POLICY, target, total)
    }

    /// Some of the fitting machines among `open`. `known`: all of these are known to fit.
    #[inline(always)]
    pub fn sample(&mut self, open: &[u64], known: bool) -> Sample<128> {
        let View { slots, filter, ref mut random } = *self;
        Sample::draw(slots, Self::POLICY, random, slots.len(), |position| {
            let index = u16::try_from(position).ok()?;
            let fits = contains(open, index) && (known || filter.fits(at(slots, index)));
            fits.then_some(index)
        })
    }

    /// Sets in `before` the fitting machines among `open` that come before the window, and lists those in it. Returns the
    /// GPUs of both. `KNOWN`: all of those among `open` are known to fit; else those that turn out not to are cleared there, so
    /// that each machine is checked once.
    #[inline(never)]
    pub fn scan<const KNOWN: bool>(
        &self,
        open: &mut [u64],
        window: Window,
        before: &mut [u64],
        inside: &mut Vec<u16>,
    ) -> (u64, u64) {
        let filter = self.filter;
        let Window { low, high } = window;
        let (mut below, mut listed) = (0u64, 0u64);
        let mut start = 0u64;
        for ((chunk, open), before) in self.slots.chunks(64).zip(open).zip(before) {
            let (mut word, mut bit, mut index) = (0u64, 1u64, start);
            if *open != 0 {
                for slot in chunk {
                    let key = Key::new(Self::POLICY, slot, index);
                    // Most machines come later in order: that is checked first.
                    if key.major <= high.major
                        && (key.major != high.major || !high.precedes(&key))
                        && *open & bit != 0
                    {
                        if !KNOWN && !filter.fits(slot) {
                            *open &= !bit;
                        } else if key.precedes(&low) {
                            word |= bit;
                            below = below.wrapping_add(gpus(slot));
                        } else {
                            inside.push(u16::try_from(index).unwrap_or(u16::MAX));
                            listed = listed.wrapping_add(gpus(slot));
                        }
                    }
                    bit <<= 1;
                    index = index.wrapping_add(1);
                }
            }
            *before = word;
            start = start.wrapping_add(64);
        }
        (below, listed)
    }

    /// Reorders machines with `total` GPUs. Returns the position of the one with which `target` of these are reached in
    /// order, and the GPUs of those before it, which precede it in the list too.
    fn split(&mut self, list: &mut [u16], target: u64, mut total: u64) -> (usize, u64) {
        let (mut from, mut to, mut sum) = (0usize, list.len(), 0u64);
        while from < to {
            let part = &mut list[from..to];
            let needed = target.wrapping_sub(sum);
            let (middle, below) = self
                .partition(part, |sample, slots| sample.crossing(slots, sample.in_order(), needed, total));
            let reached = below.wrapping_add(gpus(at(self.slots, part[middle])));
            if needed <= below {
                to = from.wrapping_add(middle);
                total = below;
            } else if needed <= reached {
                return (from.wrapping_add(middle), sum.wrapping_add(below));
            } else {
                from = from.wrapping_add(middle).wrapping_add(1);
                sum = sum.wrapping_add(reached);
                total = total.wrapping_sub(reached);
            }
        }
        (from, sum)
    }

    /// Moves the machines of a list that come before the one that `choose` picks from a sample to its left. Returns its
    /// position, and the GPUs to its left.
    #[inline(never)]
    pub fn partition(
        &mut self,
        list: &mut [u16],
        choose: impl Fn(&Sample<16>, &[Slot]) -> Option<u16>,
    ) -> (usize, u64) {
        let View { slots, ref mut random, .. } = *self;
        let sample =
            Sample::draw(slots, Self::POLICY, random, list.len(), |position| list.get(position).copied());
        let Some(chosen) = choose(&sample, slots) else { return (0, 0) };
        let pivot = Key::of(Self::POLICY, slots, chosen);
        let (mut left, mut place, mut sum) = (0usize, usize::MAX, 0u64);
        for position in 0..list.len() {
            let index = list[position];
            if Key::of(Self::POLICY, slots, index).precedes(&pivot) {
                if place == left {
                    place = position;
                }
                list.swap(position, left);
                left = left.wrapping_add(1);
                sum = sum.wrapping_add(gpus(at(slots, index)));
            } else if index == chosen {
                place = position;
            }
        }
        list.swap(place, left);
        (left, sum)
    }
}

/// True if the machine's bit is set.
#[inline(always)]
fn contains(words: &[u64], index: u16) -> bool {
    let bit = 1u64.wrapping_shl(u32::from(index));
    words.get(usize::from(index >> 6)).is_some_and(|word| word & bit != 0)
}
