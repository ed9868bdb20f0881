//! Machines, prices and criteria of the steps.

use leasehold::{
    instructions::Machine,
    math::matching::{Criteria, Place, Policy},
    state::{Endpoint, Traits},
};
use leasehold_tests::node_key;

use crate::steps::Pick;

/// The description of a machine to list.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub class: u8,
    pub gpus: u8,
    pub speed: u8,
    pub abroad: bool,
    pub price: Pick,
    /// May have a metered lease.
    pub metered: bool,
    pub turnaround: u8,
    /// Stake units for each GPU, of 255 parts of twice the usual bond; 0 for the least.
    pub bond: Pick,
}

/// Few prices, so that many are equal; the largest exceed a wallet or overflow.
pub const PRICES: [u64; 9] =
    [350_000, 350_000, 350_001, 349_999, 1, 7, 1_000_000, 40_000_000_000_000, u64::MAX];
/// Stake units of the usual bond of a GPU.
pub const BOND: u64 = 100_000_000_000;

impl Spec {
    pub fn plain(number: u8) -> Self {
        Spec {
            class: 0,
            gpus: if number % 4 == 3 { 2 } else { 1 },
            speed: number % 3,
            abroad: number % 2 == 1,
            price: number % 4,
            metered: number.is_multiple_of(3),
            turnaround: 0,
            bond: 0,
        }
    }

    pub fn machine(&self, slot: Option<u16>) -> Machine {
        Machine {
            slot,
            node_key: node_key(u16::from(self.price)).verifying_key().to_bytes(),
            traits: Traits {
                class: self.class.into(),
                gpus: self.gpus,
                speed: self.speed,
                country: if self.abroad { 840 } else { 276 },
                region: 1 + u8::from(self.abroad),
                flags: if self.metered { Traits::METERED } else { 0 },
            },
            endpoint: Endpoint { ip: [1; 16], port: [2; 2] },
            price: price(self.price),
            bond: bond(self.bond),
            profile: self.price.is_multiple_of(3).then_some(self.price / 4),
            turnaround: self.turnaround,
        }
    }
}

/// The largest prices are rare.
pub fn price(pick: Pick) -> u64 {
    PRICES[usize::from(if pick < 240 { pick % 7 } else { pick % 9 })]
}

/// Stake units to bond for each GPU.
pub fn bond(pick: Pick) -> u64 {
    BOND / 255 * 2 * u64::from(pick)
}

pub fn criteria(pick: Pick) -> Criteria {
    let any = Criteria { allow_unseen: false, ..leasehold_tests::anything() };
    let policy = if pick < 200 { Policy::Cheapest } else { Policy::Best };
    let criteria = match pick % 24 {
        1 => Criteria { class: Some(0), ..any },
        2 => Criteria { class: Some(1), ..any },
        3 => Criteria { min_gpus: 2, ..any },
        4 => Criteria { place: Place::Country(276), ..any },
        5 => Criteria { place: Place::Region(2), ..any },
        6 => Criteria { min_speed: 2, ..any },
        7 => Criteria { max_price: 350_000, ..any },
        8 => Criteria { min_score: 5_000, ..any },
        9 => Criteria { min_score: 5_001, ..any },
        10 => Criteria { max_gpus: 1, ..any },
        11 => Criteria { max_gpus: 3, min_gpus: 2, ..any },
        12 => Criteria { min_bond: BOND, ..any },
        13 => Criteria { min_bond: BOND + 1, ..any },
        14..17 => Criteria { allow_unseen: true, ..any },
        _ => any,
    };
    Criteria { policy, ..criteria }
}
