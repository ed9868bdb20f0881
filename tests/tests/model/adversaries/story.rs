//! What happens in a story: who does what in which round, which machines are really down, and who is framed.

use leasehold::instructions::{Offer, ReplaceNodeArgs};
use leasehold_tests::model::{Action, BUYERS, LeaseId, Program, SUPPLIERS, Who};
use leasehold_tests::replacement;
use proptest::{collection::vec, option, prelude::*};

use super::world::World;
use crate::picks;

/// Machines of a story.
pub const MACHINES: usize = 6;
/// Seats.
pub const SEATS: u8 = 4;
/// Deposits of metered leases for so many hours are this much each, in payment units.
pub const HOUR: u64 = 35_100;

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
    /// Seats that do not vote in any telling.
    pub absent: u8,
    /// Seats that do not vote where machines are framed: somebody keeps them from it. Only in rounds in which no machine is
    /// down in truth, since a round without enough votes has no verdicts, and a machine that is down gains by that.
    pub knocked: u8,
    pub liars: u8,
    pub drowned: u8,
    pub partly: u8,
}

/// An instruction that somebody tries.
#[derive(Clone, Debug)]
pub enum Deed {
    Open {
        buyer: bool,
        gpus: u32,
        rounds: u32,
    },
    OpenMetered {
        buyer: bool,
        rounds: u32,
        hours: u64,
    },
    Cancel {
        lease: u8,
        contest: u8,
    },
    Replace {
        lease: u8,
        slot: u8,
        avoid: u8,
        contest: bool,
    },
    Extend {
        lease: u8,
        rounds: u32,
        leaving: u32,
    },
    Transfer {
        lease: u8,
        to: u8,
    },
    TopUp {
        lease: u8,
        hours: u64,
    },
    Notice {
        lease: u8,
        by_owner: bool,
    },
    Redeem {
        lease: u8,
        part: u8,
    },
    Forfeit {
        slot: u8,
    },
    Settle {
        lease: u8,
    },
    /// A supplier takes a lease, of its own machine where that is the one picked.
    OpenOwn {
        supplier: u8,
        rounds: u32,
        avoid: u8,
    },
    Withhold {
        slot: u8,
    },
    /// A leased machine keeps its price, and is committed to the end of its lease only.
    Reprice {
        slot: u8,
        price: u64,
        rounds: u32,
    },
    Retire {
        slot: u8,
    },
    /// A machine that was retired comes back, as another generation.
    Relist {
        slot: u8,
        price: u64,
    },
}

/// Every deed.
pub const DEEDS: [&str; 16] = [
    "Open",
    "OpenMetered",
    "Cancel",
    "Replace",
    "Extend",
    "Transfer",
    "TopUp",
    "Notice",
    "Redeem",
    "Forfeit",
    "Settle",
    "OpenOwn",
    "Withhold",
    "Reprice",
    "Retire",
    "Relist",
];

fn slots() -> impl Strategy<Value = u8> {
    0..MACHINES as u8
}

fn prices() -> impl Strategy<Value = u64> {
    prop_oneof![2 => 350_000..350_003u64, 2 => 100_000..1_000_000u64, 1 => 1..50u64]
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
        1 => (0..4u8, 1..20u32, prop_oneof![1 => Just(0u32), 1 => 1..4u32])
            .prop_map(|(lease, rounds, leaving)| Deed::Extend { lease, rounds, leaving }),
        1 => (0..4u8, 0..5u8).prop_map(|(lease, to)| Deed::Transfer { lease, to }),
        1 => (0..4u8, 1..6u64).prop_map(|(lease, hours)| Deed::TopUp { lease, hours }),
        1 => (0..3u8, rounds(), any::<u8>())
            .prop_map(|(supplier, rounds, avoid)| Deed::OpenOwn { supplier, rounds, avoid }),
        1 => slots().prop_map(|slot| Deed::Withhold { slot }),
        2 => (slots(), prices(), 20..4_000u32)
            .prop_map(|(slot, price, rounds)| Deed::Reprice { slot, price, rounds }),
        1 => slots().prop_map(|slot| Deed::Retire { slot }),
        2 => (slots(), prices()).prop_map(|(slot, price)| Deed::Relist { slot, price }),
        1 => (0..4u8, any::<bool>()).prop_map(|(lease, by_owner)| Deed::Notice { lease, by_owner }),
        1 => (0..4u8, any::<u8>()).prop_map(|(lease, part)| Deed::Redeem { lease, part }),
        1 => slots().prop_map(|slot| Deed::Forfeit { slot }),
        3 => (0..4u8).prop_map(|lease| Deed::Settle { lease }),
    ]
}

/// Machines that are framed or down: mostly none or one.
fn some() -> impl Strategy<Value = u8> {
    prop_oneof![5 => Just(0u8), 3 => (0..MACHINES).prop_map(|bit| 1 << bit), 1 => any::<u8>()]
}

/// `lies_only`: keepers lie, but with the absent they are too few, and no machine is drowned.
pub fn stories(lies_only: bool) -> impl Strategy<Value = Story> {
    let seats =
        || prop_oneof![3 => Just(0u8), 2 => (0..SEATS).prop_map(|seat| 1 << seat), 1 => 0..1u8 << SEATS];
    let absent = option::weighted(0.2, 0..SEATS).prop_map(|seat| seat.map_or(0, |seat| 1 << seat));
    let frame = (some(), some(), seats(), seats(), absent).prop_map(
        move |(drowned, partly, liars, knocked, absent)| match lies_only {
            // One seat lies, and one is absent: two of four.
            true => Frame { liars: liars & liars.wrapping_neg(), absent, ..Frame::default() },
            false => Frame { drowned, partly, liars, knocked, absent },
        },
    );
    let scene = (prop_oneof![3 => Just(vec![]), 2 => vec(deeds(), 1..3)], some(), frame).prop_map(
        |(deeds, down, frame)| {
            let knocked = if down == 0 { frame.knocked } else { 0 };
            Scene { deeds, down, frame: Frame { knocked, ..frame } }
        },
    );
    let terms = (
        prop_oneof![Just(600u32), Just(3_600), Just(60)],
        3..=4u8,
        prop_oneof![Just(9_500u16), Just(9_900), Just(8_000)],
        prop_oneof![Just(2_000u16), Just(5_000)],
        prop_oneof![Just(250u16), Just(0), Just(3_000)],
        1..4u32,
    );
    (terms, vec(prices(), MACHINES), vec(scene, 2..40)).prop_map(
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
    pub fn name(&self) -> String {
        format!("{self:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
    }

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
                Action::CancelLease { by: world.owner(id)?, lease: id, contest }
            }
            Deed::Replace { lease, slot, avoid, contest } => {
                let id = world.lease(*lease)?;
                let serving = world.serving(id);
                let slot = *serving.get(usize::from(*slot) % serving.len().max(1))?;
                let by = world.owner(id)?;
                let avoid = slots_of(*avoid);
                let args = ReplaceNodeArgs { contest: *contest, avoid, ..replacement(slot) };
                Action::ReplaceNode { by, payer: by, lease: id, args }
            }
            Deed::Extend { lease, rounds, leaving } => {
                let id = world.lease(*lease)?;
                let (by, rounds, max_deposit) = (world.owner(id)?, *rounds, u64::MAX);
                Action::ExtendLease { by, payer: by, lease: id, rounds, max_deposit, max_leaving: *leaving }
            }
            Deed::Transfer { lease, to } => {
                let id = world.lease(*lease)?;
                let to = SUPPLIERS.into_iter().chain(BUYERS).nth(usize::from(*to))?;
                Action::TransferLease { by: world.owner(id)?, lease: id, to }
            }
            Deed::TopUp { lease, hours } => {
                let id = world.lease(*lease)?;
                Action::TopUpLease { by: world.owner(id)?, lease: id, amount: hours * HOUR }
            }
            Deed::Notice { lease, by_owner } => {
                let id = world.lease(*lease)?;
                let slot = *world.serving(id).first()?;
                let supplier = supplier_of(slot);
                match by_owner {
                    true => Action::GiveNotice { by: world.owner(id)?, lease: id, supplier: None },
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
            Deed::OpenOwn { supplier, rounds, avoid } => {
                let by = SUPPLIERS[usize::from(*supplier)];
                let theirs = (0..MACHINES as u16).filter(|slot| supplier_of(*slot) == by);
                let others = avoid | !theirs.fold(0, |slots, slot| slots | 1 << slot);
                // Half of the time, of its own machines alone.
                let avoid = if avoid & 1 == 0 { others } else { *avoid };
                world.open_avoiding(by, 1, *rounds, None, slots_of(avoid))
            }
            Deed::Withhold { slot } => {
                let slot = u16::from(*slot);
                Action::WithholdMachines { by: supplier_of(slot), board: 0, slots: vec![slot] }
            }
            Deed::Reprice { slot, price, rounds } => {
                let slot = u16::from(*slot);
                let machine = world.machine(slot)?;
                let (price, committed_until) = match machine.lease {
                    0 => (*price, world.round() + rounds),
                    _ => (machine.price, machine.lease_until),
                };
                let offer = Offer { slot, price, committed_until, bond: 0 };
                Action::RepriceMachines { by: supplier_of(slot), board: 0, offers: vec![offer] }
            }
            Deed::Retire { slot } => {
                let (slot, by) = (u16::from(*slot), supplier_of(u16::from(*slot)));
                Action::RetireMachines { by, supplier: by, board: 0, slots: vec![slot] }
            }
            Deed::Relist { slot, price } => world.relist(u16::from(*slot), *price)?,
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

/// A set of slots.
fn slots_of(bits: u8) -> Vec<u16> {
    (0..MACHINES as u16).filter(|slot| bits >> slot & 1 == 1).collect()
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
