//! What a lease asks for, and whether a machine fits.

use core::num::NonZeroU64;

use anchor_lang::prelude::*;

use crate::state::{Slot, SlotState, Traits, ring_bit};

/// Criteria that the machines of a lease must meet.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criteria {
    /// Hardware class; `None` for any.
    pub class: Option<u16>,
    /// Least and most GPUs of a machine. Clients set `max_gpus` to the number asked for if the buyer says nothing.
    pub min_gpus: u8,
    pub max_gpus: u8,
    /// Least speed tier.
    pub min_speed: u8,
    pub place: Place,
    /// Least score, 0 to 10,000.
    pub min_score: u16,
    /// Most payment units per GPU and hour.
    pub max_price: u64,
    /// Least stake units that are bonded for each GPU.
    pub min_bond: u64,
    pub policy: Policy,
    /// Only machines that may have a metered lease.
    pub metered: bool,
    /// Takes machines that were not seen up lately, too.
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
    /// The lowest price per GPU; among equals the higher score, then the lower slot.
    Cheapest,
    /// The highest score; among equals the lower price per GPU, then the lower slot.
    Best,
}

/// What a lease asks for, and when.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub criteria: &'a Criteria,
    /// Number of GPUs.
    pub gpus: u32,
    /// First round of the lease, and the first after it.
    pub from: u32,
    pub until: u32,
    /// Seconds of a round.
    pub round_secs: u32,
    /// Last quorate round, in which a machine must have been up; `None` if it ended too long ago.
    pub seen: Option<u32>,
    /// Slots not to take.
    pub avoid: &'a [u16],
}

impl Criteria {
    /// True if a machine with these traits and this price meets the criteria, whatever its score and bond, and whether it
    /// was up: those may change while it is leased.
    pub fn allow(&self, traits: &Traits, price: u64) -> bool {
        // The loop's own check, on a machine that has all that is not asked here.
        let machine = Slot {
            traits: *traits,
            price,
            score: u16::MAX,
            bond: u64::MAX,
            state: SlotState::Idle as u8,
            ..bytemuck::Zeroable::zeroed()
        };
        let request =
            Request { criteria: self, gpus: 0, from: 0, until: 0, round_secs: 0, seen: None, avoid: &[] };
        Filter::new(&request).fits(&machine)
    }
}

impl Policy {
    /// Rank of a machine among fitting ones: the least is taken first, of equal ones that in the lower slot.
    #[inline(always)]
    pub fn rank(self, slot: &Slot) -> (u64, u64) {
        self.rank_of(slot.price, slot.score)
    }

    #[inline(always)]
    pub(super) fn rank_of(self, price: u64, score: u16) -> (u64, u64) {
        // The lower, the higher the score.
        let demerit = u64::from(u16::MAX ^ score);
        match self {
            Policy::Cheapest => (price, demerit),
            Policy::Best => (demerit, price),
        }
    }
}

/// A request as masks and bounds, for the loop over the board.
#[derive(Clone, Copy)]
pub(super) struct Filter {
    /// Traits as one number: bits that must be as in `want`.
    mask: u64,
    want: u64,
    max_price: u64,
    /// Bit of `history_up` that must be set; 0 if none must.
    seen: u64,
    from: u32,
    until: u32,
    round_secs: u32,
    /// Bounds that many leases don't set, and whether this one does.
    bounded: bool,
    min_gpus: u8,
    max_gpus: u8,
    min_speed: u8,
    min_score: u16,
    min_bond: u64,
}

impl Filter {
    pub fn new(request: &Request) -> Self {
        let criteria = request.criteria;
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
        let Criteria { min_gpus, max_gpus, min_speed, min_score, max_price, min_bond, .. } = *criteria;
        let seen = request.seen.filter(|_| !criteria.allow_unseen);
        Filter {
            mask: bytemuck::cast(mask),
            want: bytemuck::cast(want),
            max_price,
            seen: seen.map_or(0, |round| 1u64.wrapping_shl(ring_bit(round))),
            from: request.from,
            until: request.until,
            round_secs: request.round_secs,
            bounded: true,
            min_gpus,
            max_gpus,
            min_speed,
            min_score,
            min_bond,
        }
        .with_min_gpus(min_gpus)
    }

    /// The same for machines that have at least so many GPUs.
    pub fn with_min_gpus(self, min_gpus: u8) -> Self {
        let bounded = min_gpus > 1
            || self.max_gpus < u8::MAX
            || self.min_speed > 0
            || self.min_score > 0
            || self.min_bond > 0;
        Filter { min_gpus, bounded, ..self }
    }

    #[inline(always)]
    pub fn fits(&self, slot: &Slot) -> bool {
        let traits: u64 = bytemuck::cast(slot.traits);
        slot.state == SlotState::Idle as u8
            && slot.price <= self.max_price
            && traits & self.mask == self.want
            && slot.committed_until >= self.until
            && slot.history_up & self.seen == self.seen
            && slot.flags & Slot::ABANDONED == 0
            && (slot.turnaround == 0 || self.is_rested(slot))
            && (!self.bounded || self.is_within(slot))
    }

    /// True if the machine's turnaround is over when the lease begins.
    #[inline(always)]
    fn is_rested(&self, slot: &Slot) -> bool {
        let rounds = u64::from(self.from.saturating_sub(slot.lease_until));
        // Products of 32-bit factors fit.
        slot.lease_until == 0
            || rounds.wrapping_mul(u64::from(self.round_secs)) >= u64::from(slot.turnaround).wrapping_mul(60)
    }

    #[inline(always)]
    fn is_within(&self, slot: &Slot) -> bool {
        slot.traits.gpus >= self.min_gpus
            && slot.traits.gpus <= self.max_gpus
            && slot.traits.speed >= self.min_speed
            && slot.score >= self.min_score
            // bond ≥ min_bond × GPUs, which might not fit.
            && NonZeroU64::new(u64::from(slot.traits.gpus))
                .is_none_or(|gpus| slot.bond / gpus >= self.min_bond)
    }
}
