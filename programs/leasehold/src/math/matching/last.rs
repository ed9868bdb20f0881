//! The last machine of a lease, and those that it makes superfluous.

use crate::math::matching::{
    at, flip, gpus,
    order::{Key, Window},
    search::{Prefix, View},
};

/// A list of so few machines is searched from end to end.
const FEW: usize = 12;

impl<const BEST: bool> View<'_, BEST> {
    /// The last machine: of the fitting ones among `open` with at least `needed` GPUs, the one with the lowest price in all;
    /// by `Policy::Best` the first. `next` is the first in order.
    #[inline(never)]
    pub fn last(&self, open: &[u64], next: u16, needed: u64) -> u16 {
        let first = at(self.slots, next);
        // Nothing is cheaper than as few GPUs as possible at the lowest price.
        if BEST || gpus(first) == needed {
            return next;
        }
        let mut best = Key::of(Self::POLICY, self.slots, next);
        let mut hourly = first.hourly();
        let mut start = 0u64;
        for (chunk, open) in self.slots.chunks(64).zip(open) {
            if *open != 0 {
                let (mut bit, mut index) = (1u64, start);
                for slot in chunk {
                    if slot.hourly() <= hourly && open & bit != 0 && gpus(slot) >= needed {
                        let key = Key::new(Self::POLICY, slot, index);
                        if (slot.hourly() < hourly || key.precedes(&best)) && self.filter.fits(slot) {
                            hourly = slot.hourly();
                            best = key;
                        }
                    }
                    bit <<= 1;
                    index = index.wrapping_add(1);
                }
            }
            start = start.wrapping_add(64);
        }
        u16::try_from(best.slot).unwrap_or(next)
    }

    /// Leaves out, from the last in order to the first, each machine taken that has no more GPUs than are to `spare` then.
    /// Returns how many are left to spare.
    pub fn trim(&mut self, prefix: &mut Prefix, spare: u64) -> u64 {
        let Prefix { taken, latest: list, room, .. } = prefix;
        // The latest few are enough, unless many of them are too big.
        let mut spare = self.trim_list(taken, list, spare);
        if spare == 0 {
            return 0;
        }
        let mut open = taken.clone();
        let mut window = self.sample(&open, true).tail(self.slots, Self::POLICY, spare);
        loop {
            list.clear();
            self.scan::<true>(&mut open, window, room, list);
            spare = self.trim_list(taken, list, spare);
            if spare == 0 || window.low == Key::FIRST {
                return spare;
            }
            core::mem::swap(&mut open, room);
            window = Window::ALL;
        }
    }

    /// The same for the machines of a list, which is sorted as far as it is read, from its end.
    #[inline(never)]
    fn trim_list(&mut self, taken: &mut [u64], list: &mut Vec<u16>, mut spare: u64) -> u64 {
        let slots = self.slots;
        // What lies behind a bound comes later in order than what lies before it.
        let mut bounds = Vec::with_capacity(32);
        bounds.push(0usize);
        while let Some(bound) = bounds.last().copied()
            && spare > 0
        {
            let (mut end, mut total) = (bound, 0u64);
            for position in bound..list.len() {
                let index = list[position];
                let gpus = gpus(at(slots, index));
                if gpus <= spare {
                    list[end] = index;
                    end = end.wrapping_add(1);
                    total = total.wrapping_add(gpus);
                }
            }
            list.truncate(end);
            let part = &mut list[bound..];
            if part.len() > FEW {
                let (middle, _) = self.partition(part, |sample, slots| {
                    sample.crossing(slots, sample.in_order().rev(), spare, total)
                });
                let middle = bound.wrapping_add(middle);
                bounds.extend([middle, middle.wrapping_add(1)]);
            } else if let Some(position) = (0..part.len()).reduce(|last, next| {
                let key = |position: usize| Key::of(Self::POLICY, slots, part[position]);
                if key(last).precedes(&key(next)) { next } else { last }
            }) {
                let index = list.swap_remove(bound.wrapping_add(position));
                flip(taken, index);
                spare = spare.wrapping_sub(gpus(at(slots, index)));
            } else {
                bounds.pop();
            }
        }
        spare
    }
}
