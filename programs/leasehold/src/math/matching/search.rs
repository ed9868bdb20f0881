//! Search for the machine with which the number of GPUs is reached.

use crate::{
    math::matching::{
        CutOff, Filter, Policy, at, flip, gpus,
        order::{Key, Random, Sample, Window},
    },
    state::Slot,
};

/// A board as one request sees it.
pub(super) struct View<'a> {
    pub slots: &'a [Slot],
    pub filter: Filter,
    pub policy: Policy,
    pub random: Random,
}

/// The machines that come first.
pub(super) struct Prefix {
    /// Machines whose GPUs stay below the number, and their GPUs.
    pub taken: Vec<u64>,
    pub gpus: u64,
    /// The machine after them, which would reach it.
    pub next: u16,
    /// Room for a list of all machines; its contents mean nothing.
    pub room: Vec<u16>,
}

impl View<'_> {
    /// Takes the fitting machines among `open` in order while their GPUs stay below `target`. `None` if all of them do.
    ///
    /// One scan of the board takes what lies before a window of the order and lists what lies in it, which is then searched.
    /// The window is the hint at first, then where a sample of the board expects the target, and in the end everything that is left.
    pub fn prefix(&mut self, mut open: Vec<u64>, target: u64, hint: Option<CutOff>) -> Option<Prefix> {
        let mut taken = vec![0; open.len()];
        let mut before = vec![0; open.len()];
        let mut inside = Vec::with_capacity(self.slots.len());
        let mut sum = 0u64;
        let hinted = hint.map(|cut_off| Window::at(self.policy, cut_off));
        let mut windows = hinted.into_iter();
        let mut sampled = false;
        loop {
            let needed = target.wrapping_sub(sum);
            let window = windows.next().unwrap_or_else(|| {
                let again = core::mem::replace(&mut sampled, true);
                if again { Window::ALL } else { self.expect(&open, needed) }
            });
            inside.clear();
            let (below, listed) = self.scan(&open, window, &mut before, &mut inside);
            if needed <= below {
                core::mem::swap(&mut open, &mut before);
                continue;
            }
            let found = needed <= below.wrapping_add(listed);
            sum = sum.wrapping_add(below);
            for ((taken, open), before) in taken.iter_mut().zip(&mut open).zip(&before) {
                *taken |= before;
                *open &= !before;
            }
            if found {
                let (count, part) = self.split(&mut inside, needed.wrapping_sub(below));
                inside[..count].iter().for_each(|index| flip(&mut taken, *index));
                return Some(Prefix {
                    taken,
                    gpus: sum.wrapping_add(part),
                    next: inside[count],
                    room: inside,
                });
            }
            if window.high == Key::LAST {
                return None;
            }
            sum = sum.wrapping_add(listed);
            for index in &inside {
                flip(&mut taken, *index);
                flip(&mut open, *index);
            }
        }
    }

    /// Where the machine is expected with which `target` GPUs are reached.
    #[inline(never)]
    fn expect(&mut self, open: &[u64], target: u64) -> Window {
        let View { slots, filter, policy, ref mut random } = *self;
        let sample = Sample::<64>::draw(slots, policy, random, slots.len(), |position| {
            let index = u16::try_from(position).ok()?;
            let fits = contains(open, index) && filter.fits(at(slots, index));
            fits.then_some(index)
        });
        sample.window(slots, policy, target)
    }

    /// Sets in `before` the fitting machines among `open` that come before the window, and lists those in it. Returns the
    /// GPUs of both.
    #[inline(never)]
    fn scan(
        &self,
        open: &[u64],
        window: Window,
        before: &mut [u64],
        inside: &mut Vec<u16>,
    ) -> (u64, u64) {
        // A loop for each policy: a question less in it.
        match self.policy {
            Policy::Cheapest => self.scan_by(Policy::Cheapest, open, window, before, inside),
            Policy::Best => self.scan_by(Policy::Best, open, window, before, inside),
        }
    }

    #[inline(always)]
    fn scan_by(
        &self,
        policy: Policy,
        open: &[u64],
        window: Window,
        before: &mut [u64],
        inside: &mut Vec<u16>,
    ) -> (u64, u64) {
        let filter = self.filter;
        let Window { low, high } = window;
        let (mut below, mut listed) = (0u64, 0u64);
        let mut start = 0u16;
        for ((chunk, open), before) in self.slots.chunks(64).zip(open).zip(before) {
            let (mut word, mut bit, mut index) = (0u64, 1u64, start);
            if *open != 0 {
                for slot in chunk {
                    let (major, minor) = policy.rank(slot);
                    if major <= high.major && open & bit != 0 && filter.fits(slot) {
                        let key = Key { major, minor, slot: index };
                        if major < low.major || (major == low.major && key < low) {
                            word |= bit;
                            below = below.wrapping_add(gpus(slot));
                        } else if major < high.major || key <= high {
                            inside.push(index);
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

    /// Reorders machines with `target` GPUs or more. Returns the position of the one with which these are reached in order,
    /// and the GPUs of those before it, which precede it in the list too.
    fn split(&mut self, list: &mut [u16], target: u64) -> (usize, u64) {
        let (mut from, mut to, mut sum) = (0usize, list.len(), 0u64);
        while from < to {
            let part = &mut list[from..to];
            let needed = target.wrapping_sub(sum);
            let (middle, below) = self.partition(part, |sample, slots| {
                sample.crossing(slots, sample.in_order(), needed)
            });
            let reached = below.wrapping_add(gpus(at(self.slots, part[middle])));
            if needed <= below {
                to = from.wrapping_add(middle);
            } else if needed <= reached {
                return (from.wrapping_add(middle), sum.wrapping_add(below));
            } else {
                from = from.wrapping_add(middle).wrapping_add(1);
                sum = sum.wrapping_add(reached);
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
        let View { slots, policy, ref mut random, .. } = *self;
        let sample = Sample::draw(slots, policy, random, list.len(), |position| list.get(position).copied());
        let Some(chosen) = choose(&sample, slots) else { return (0, 0) };
        let pivot = Key::of(policy, slots, chosen);
        let (mut left, mut place, mut sum) = (0usize, usize::MAX, 0u64);
        for position in 0..list.len() {
            let index = list[position];
            if Key::of(policy, slots, index) < pivot {
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
