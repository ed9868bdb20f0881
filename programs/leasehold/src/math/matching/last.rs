//! The last machine of a lease, and those that it makes superfluous.

use crate::math::matching::{
    Policy, at, flip, gpus,
    order::Key,
    search::{Prefix, View},
};

/// A list of so few machines is searched from end to end.
const FEW: usize = 12;

impl View<'_> {
    /// The last machine: of the fitting ones among `open` with at least `needed` GPUs, the one with the lowest price in all;
    /// by [`Policy::Best`] the first. `next` is the first in order.
    #[inline(never)]
    pub fn last(&self, open: &[u64], next: u16, needed: u64) -> u16 {
        let first = at(self.slots, next);
        // Nothing is cheaper than as few GPUs as possible at the lowest price.
        if self.policy == Policy::Best || gpus(first) == needed {
            return next;
        }
        let mut best = (first.hourly(), Key::of(self.policy, self.slots, next));
        let dearest = |hourly: u64| hourly.checked_div(needed).unwrap_or(hourly);
        let mut bound = dearest(best.0);
        let mut start = 0u16;
        for (chunk, open) in self.slots.chunks(64).zip(open) {
            if *open != 0 {
                let (mut bit, mut index) = (1u64, start);
                for slot in chunk {
                    if slot.price <= bound
                        && open & bit != 0
                        && gpus(slot) >= needed
                        && self.filter.fits(slot)
                    {
                        let rank = (slot.hourly(), Key::of(self.policy, self.slots, index));
                        if rank < best {
                            best = rank;
                            bound = dearest(rank.0);
                        }
                    }
                    bit <<= 1;
                    index = index.wrapping_add(1);
                }
            }
            start = start.wrapping_add(64);
        }
        best.1.slot
    }

    /// Leaves out, from the last in order to the first, each machine taken that has no more GPUs than are to `spare` then.
    /// Returns how many are left to spare.
    #[inline(never)]
    pub fn trim(&mut self, prefix: &mut Prefix, mut spare: u64) -> u64 {
        if spare == 0 {
            return 0;
        }
        let slots = self.slots;
        let Prefix { taken, room, .. } = prefix;
        room.clear();
        let mut start = 0u16;
        for (chunk, taken) in slots.chunks(64).zip(&*taken) {
            let (mut left, mut index) = (*taken, start);
            for slot in chunk {
                if left == 0 {
                    break;
                }
                if left & 1 != 0 && gpus(slot) <= spare {
                    room.push(index);
                }
                left >>= 1;
                index = index.wrapping_add(1);
            }
            start = start.wrapping_add(64);
        }
        // The list is sorted as far as it is read, from its end: what lies behind a bound comes later in order.
        let mut bounds = Vec::with_capacity(32);
        bounds.push(0usize);
        while let Some(bound) = bounds.last().copied()
            && spare > 0
        {
            let mut end = bound;
            for position in bound..room.len() {
                let index = room[position];
                if gpus(at(slots, index)) <= spare {
                    room[end] = index;
                    end = end.wrapping_add(1);
                }
            }
            room.truncate(end);
            let part = &mut room[bound..];
            if part.len() > FEW {
                let (middle, _) = self.partition(part, |sample, slots| {
                    sample.crossing(slots, sample.in_order().rev(), spare)
                });
                let middle = bound.wrapping_add(middle);
                bounds.extend([middle, middle.wrapping_add(1)]);
            } else if let Some(position) =
                (0..part.len()).max_by_key(|position| Key::of(self.policy, slots, part[*position]))
            {
                let index = room.swap_remove(bound.wrapping_add(position));
                flip(taken, index);
                spare = spare.wrapping_sub(gpus(at(slots, index)));
            } else {
                bounds.pop();
            }
        }
        spare
    }
}
