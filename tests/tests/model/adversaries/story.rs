//! What happens in a story: who does what in which round, which machines are really down, and who is framed.

use leasehold::instructions::ReplaceNodeArgs;
use leasehold_tests::model::{Action, BUYERS, LeaseId, Program, SUPPLIERS, Who};
use leasehold_tests::replacement;
use proptest::{collection::vec, option, prelude::*};

use super::world::World;
use crate::picks;

/// Machines of a story.
pub const MACHINES: usize = 6;
/// Seats.
pub const SEATS: u8 = 4;

#[derive(Clone, Debug)]
pub struct Story {
    pub round_secs: u32,
    /// Votes against a machine that make it down.
    pub threshold: u8,
    pub sla_bps: u16,
    pub hold_bps: u16,
    pub fee_bps: u16,
    pub min_rounds: u32,
    pub prices: [u64; MACHINES],
    pub scenes: Vec<Scene>,
}

/// A round.
#[derive(Clone, Debug)]
pub struct Scene {
    pub deeds: Vec<Deed>,
    /// Machines that are down in truth.
    pub down: u8,
    pub frame: Frame,
}

/// Who does not vote, who lies, and which machines no keeper, or one keeper only, can reach.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frame {
    pub absent: u8,
    pub liars: u8,
    pub drowned: u8,
    pub partly: u8,
}

/// An instruction that somebody tries.
#[derive(Clone, Debug)]
pub enum Deed {
    Open { buyer: bool, gpus: u32, rounds: u32 },
    OpenMetered { buyer: bool, rounds: u32, hours: u64 },
    Cancel { lease: u8, contest: u8 },
    Replace { lease: u8, slot: u8, avoid: u8, contest: bool },
    Extend { lease: u8, rounds: u32 },
    Notice { lease: u8, by_owner: bool },
    Redeem { lease: u8, part: u8 },
    Forfeit { slot: u8 },
    Settle { lease: u8 },
}

fn deeds() -> impl Strategy<Value = Deed> {
    let rounds = || prop_oneof![3 => 1..8u32, 2 => 8..40u32, 1 => 40..800u32];
    prop_oneof![
        4 => (any::<bool>(), 1..4u32, rounds())
            .prop_map(|(buyer, gpus, rounds)| Deed::Open { buyer, gpus, rounds }),
        1 => (any::<bool>(), rounds(), 1..6u64)
            .prop_map(|(buyer, rounds, hours)| Deed::OpenMetered { buyer, rounds, hours }),
        3 => (0..4u8, prop_oneof![2 => Just(0u8), 1 => any::<u8>()])
            .prop_map(|(lease, contest)| Deed::Cancel { lease, contest }),
        4 => (0..4u8, 0..MACHINES as u8, any::<u8>(), prop::bool::weighted(0.3))
            .prop_map(|(lease, slot, avoid, contest)| Deed::Replace { lease, slot, avoid, contest }),
        1 => (0..4u8, 1..20u32).prop_map(|(lease, rounds)| Deed::Extend { lease, rounds }),
        1 => (0..4u8, any::<bool>()).prop_map(|(lease, by_owner)| Deed::Notice { lease, by_owner }),
        1 => (0..4u8, any::<u8>()).prop_map(|(lease, part)| Deed::Redeem { lease, part }),
        1 => (0..MACHINES as u8).prop_map(|slot| Deed::Forfeit { slot }),
        3 => (0..4u8).prop_map(|lease| Deed::Settle { lease }),
    ]
}

/// Machines that are framed or down: mostly none or one.
fn some() -> impl Strategy<Value = u8> {
    prop_oneof![5 => Just(0u8), 3 => (0..MACHINES).prop_map(|bit| 1 << bit), 1 => any::<u8>()]
}

/// `lies_only`: keepers lie, but with the absent they are too few, and no machine is drowned.
pub fn stories(lies_only: bool) -> impl Strategy<Value = Story> {
    let frame = (some(), some(), some(), option::weighted(0.2, 0..SEATS)).prop_map(
        move |(drowned, partly, liars, absent)| match lies_only {
            // At most two of four seats.
            true => Frame { liars: liars & 1, absent: absent.map_or(0, |_| 0b10), ..Frame::default() },
            false => Frame { drowned, partly, liars: 0, absent: absent.map_or(0, |seat| 1 << seat) },
        },
    );
    let scene = (prop_oneof![3 => Just(vec![]), 2 => vec(deeds(), 1..3)], some(), frame)
        .prop_map(|(deeds, down, frame)| Scene { deeds, down, frame });
    let price = prop_oneof![2 => 350_000..350_003u64, 2 => 100_000..1_000_000u64, 1 => 1..50u64];
    let terms = (
        prop_oneof![Just(600u32), Just(3_600), Just(60)],
        3..=4u8,
        prop_oneof![Just(9_500u16), Just(9_900), Just(8_000)],
        prop_oneof![Just(2_000u16), Just(5_000)],
        prop_oneof![Just(250u16), Just(0), Just(3_000)],
        1..4u32,
    );
    (terms, vec(price, MACHINES), vec(scene, 2..40)).prop_map(
        |((round_secs, threshold, sla_bps, hold_bps, fee_bps, min_rounds), prices, scenes)| Story {
            round_secs,
            threshold,
            sla_bps,
            hold_bps,
            fee_bps,
            min_rounds,
            prices: prices.try_into().expect("as many as machines"),
            scenes,
        },
    )
}

impl Deed {
    /// The instruction, in the state of the honest telling. `None` if there is nothing that it could name.
    pub fn action(&self, world: &World<impl Program>) -> Option<Action> {
        let buyer = |second: &bool| BUYERS[usize::from(*second)];
        Some(match self {
            Deed::Open { buyer: second, gpus, rounds } => world.open(buyer(second), *gpus, *rounds, None),
            Deed::OpenMetered { buyer: second, rounds, hours } => {
                world.open(buyer(second), 1, *rounds, Some(*hours))
            }
            Deed::Cancel { lease, contest } => {
                let id = world.lease(*lease)?;
                let contest = world.serving(id).into_iter().filter(|slot| contest >> slot & 1 == 1).collect();
                Action::CancelLease { by: id.buyer, lease: id, contest }
            }
            Deed::Replace { lease, slot, avoid, contest } => {
                let id = world.lease(*lease)?;
                let serving = world.serving(id);
                let slot = *serving.get(usize::from(*slot) % serving.len().max(1))?;
                let avoid = (0..MACHINES as u16).filter(|slot| avoid >> slot & 1 == 1).collect();
                let args = ReplaceNodeArgs { contest: *contest, avoid, ..replacement(slot) };
                Action::ReplaceNode { by: id.buyer, payer: id.buyer, lease: id, args }
            }
            Deed::Extend { lease, rounds } => {
                let id = world.lease(*lease)?;
                let (rounds, max_deposit) = (*rounds, u64::MAX);
                Action::ExtendLease {
                    by: id.buyer,
                    payer: id.buyer,
                    lease: id,
                    rounds,
                    max_deposit,
                    max_leaving: 0,
                }
            }
            Deed::Notice { lease, by_owner } => {
                let id = world.lease(*lease)?;
                let slot = *world.serving(id).first()?;
                let supplier = supplier_of(slot);
                match by_owner {
                    true => Action::GiveNotice { by: id.buyer, lease: id, supplier: None },
                    false => Action::GiveNotice { by: supplier, lease: id, supplier: Some(supplier) },
                }
            }
            Deed::Redeem { lease, part } => {
                let id = world.lease(*lease)?;
                let slot = *world.serving(id).first()?;
                Action::RedeemVoucher { lease: id, slot, price: u64::from(*part) * 5_000 }
            }
            Deed::Forfeit { slot } => {
                let slot = u16::from(*slot);
                Action::ForfeitMachines { by: supplier_of(slot), board: 0, slots: vec![slot] }
            }
            Deed::Settle { lease } => Action::SettleLease { lease: world.lease(*lease)? },
        })
    }

    /// The same without a contest.
    pub fn without_contest(&self, action: &Action) -> Action {
        match action.clone() {
            Action::CancelLease { by, lease, .. } => Action::CancelLease { by, lease, contest: vec![] },
            Action::ReplaceNode { by, payer, lease, args } => {
                Action::ReplaceNode { by, payer, lease, args: ReplaceNodeArgs { contest: false, ..args } }
            }
            other => other,
        }
    }
}

/// Each supplier has two machines.
pub fn supplier_of(slot: u16) -> Who {
    SUPPLIERS[usize::from(slot) / 2]
}

/// A lease by its number of opening.
pub fn nth(leases: &[LeaseId], pick: u8) -> Option<LeaseId> {
    leases.get(usize::from(pick) % leases.len().max(1)).copied()
}

pub use picks::bare;
