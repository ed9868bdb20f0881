//! Machines that are alike.

use std::collections::{BTreeMap, btree_map::Entry};

use super::country::Country;
use crate::board::BoardView;

/// Machines that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub machines: usize,
    /// How many of them were down in the last closed round.
    pub down: usize,
    /// Number of the hardware class.
    pub class: u16,
    /// Of each machine.
    pub gpus: u8,
    pub country: Country,
    /// Payment units per GPU and hour.
    pub price: u64,
}

impl Kind {
    /// Payment units per hour of each machine.
    pub fn hourly(&self) -> u64 {
        self.price.saturating_mul(u64::from(self.gpus))
    }

    /// Number of GPUs of all of them.
    pub fn total_gpus(&self) -> usize {
        self.machines.saturating_mul(usize::from(self.gpus))
    }
}

/// The machines in these slots, the cheapest first.
pub fn kinds(board: &BoardView, slots: &[u16]) -> Vec<Kind> {
    let machines = slots.iter().filter_map(|slot| board.slot(*slot));
    merged(machines.map(|machine| Kind {
        machines: 1,
        down: usize::from(board.was_down(machine)),
        class: machine.traits.class,
        gpus: machine.traits.gpus,
        country: Country(machine.traits.country),
        price: machine.price,
    }))
}

/// Kinds of several boards together, the cheapest first.
pub fn merged(kinds: impl IntoIterator<Item = Kind>) -> Vec<Kind> {
    let mut merged = BTreeMap::<_, Kind>::new();
    for kind in kinds {
        let key = (kind.price, kind.class, kind.gpus, kind.country.to_string());
        match merged.entry(key) {
            Entry::Vacant(place) => {
                place.insert(kind);
            }
            Entry::Occupied(mut place) => {
                let alike = place.get_mut();
                alike.machines = alike.machines.saturating_add(kind.machines);
                alike.down = alike.down.saturating_add(kind.down);
            }
        }
    }
    merged.into_values().collect()
}

/// How many machines were down in the last closed round.
pub fn down(kinds: &[Kind]) -> usize {
    kinds.iter().map(|kind| kind.down).sum()
}

#[cfg(test)]
mod tests {
    use leasehold::state::ring_bit;

    use super::*;
    use crate::sample::{NEXT_ROUND, change, priced};

    #[test]
    fn machines_are_alike_by_class_gpus_country_and_price() {
        let mut board = priced(0, &[720, 360, 360, 360]);
        let last = NEXT_ROUND - 1;
        change(&mut board, |header, slots| {
            header.quorate |= 1 << ring_bit(last);
            (slots[1].history_up, slots[1].history_down) = (0, 1 << ring_bit(last));
            slots[3].traits.country = 840;
            slots[3].traits.gpus = 2;
        });
        let found = kinds(&board.view().unwrap(), &[0, 1, 2, 3]);
        let told: Vec<_> =
            found.iter().map(|kind| (kind.machines, kind.down, kind.gpus, kind.price)).collect();
        assert_eq!(told, [(2, 1, 1, 360), (1, 0, 2, 360), (1, 0, 1, 720)]);
        assert_eq!(found[1].country, Country(840));
        assert_eq!((found[1].hourly(), found[0].total_gpus(), found[1].total_gpus()), (720, 2, 2));
        let both = merged(found.iter().chain(&found).copied());
        assert_eq!((both.len(), both[0].machines, down(&both)), (3, 4, 2));
    }
}
