//! A board's machines to probe, and the work that its slots show: leases to settle or end, demands to enforce.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
};

use leasehold::{
    math::{Exact, pricing::rate, settlement, sub},
    rules::meter::{self, Ender},
    state::{Board, Demand, Lease, Slot},
};
use leasehold_client::board::BoardView;
use solana_pubkey::Pubkey;

use crate::prober::Target;

/// A lease's account with its address.
pub type LeaseAccount = (Pubkey, Lease);

/// A board's machines to probe, leases that are not settled, and demands that are open.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// The round in which the machines below are probed.
    pub round: u32,
    /// Machines that get a verdict in that round.
    pub targets: Arc<[Target]>,
    /// Leases with machines that are not settled for good, by serial.
    pub leases: BTreeMap<u32, LeaseSnapshot>,
    pub demands: Vec<DemandSnapshot>,
    /// Hardware classes with a price index, and the Unix second from which its next day can be recorded.
    pub indexes: Vec<(u16, i64)>,
}

/// A lease with machines that are not settled for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSnapshot {
    pub address: Pubkey,
    /// Once all rounds before this one are closed, at least one of its machines can be settled for good.
    pub due_from: u32,
    /// Rounds up that are not paid yet, of the machine with the most of them.
    pub unpaid: u32,
    /// Payment units that a settlement in mid-term would add to the keeper pool, give or take one.
    pub keepers_part: u64,
    /// True if anybody may end it, since its deposit does not cover the standby price.
    pub is_short: bool,
}

/// An open demand for a receipt.
#[derive(Clone, Debug)]
pub struct DemandSnapshot {
    pub address: Pubkey,
    pub account: Arc<Demand>,
}

impl Fleet {
    /// Reads a board's slots at Unix time `now`. `leases`: accounts of the leases that the slots name, by serial; a lease
    /// without one is left out. Demands and price indexes are in accounts of their own: there are none yet.
    pub fn of(board: &BoardView, round: u32, now: i64, leases: &HashMap<u32, LeaseAccount>) -> Self {
        let attested = |(_, slot): &(u16, &Slot)| slot.attested_from <= round;
        let target = |(index, slot): (u16, &Slot)| Target {
            slot: index.into(),
            generation: slot.generation,
            node_key: Pubkey::from(slot.node_key),
            endpoint: SocketAddr::new(Ipv6Addr::from(slot.endpoint.ip).into(), slot.endpoint.port()),
        };
        let mut found = BTreeMap::new();
        for slot in board.slots.iter().filter(|slot| slot.lease != 0) {
            let Some((address, lease)) = leases.get(&slot.lease) else { continue };
            let due_from = lease.settles_from(slot.lease_until);
            let unpaid = slot.lease_up.saturating_sub(slot.lease_settled);
            // Amounts that don't fit would be refused by the program, too.
            let part = keepers_part(lease, slot).unwrap_or_default();
            let is_short = is_short(board.header, lease, slot, now);
            found
                .entry(slot.lease)
                .and_modify(|known: &mut LeaseSnapshot| {
                    known.due_from = known.due_from.min(due_from);
                    known.unpaid = known.unpaid.max(unpaid);
                    known.keepers_part = known.keepers_part.saturating_add(part);
                })
                .or_insert(LeaseSnapshot {
                    address: *address,
                    due_from,
                    unpaid,
                    keepers_part: part,
                    is_short,
                });
        }
        let targets = board.machines().filter(attested).map(target).collect();
        Self { round, targets, leases: found, demands: Vec::new(), indexes: Vec::new() }
    }
}

/// Keepers' part of the fee that a settlement in mid-term takes for a machine.
fn keepers_part(lease: &Lease, slot: &Slot) -> Exact<u64> {
    let service = lease.service(slot)?;
    let payment = match &lease.meter {
        None => settlement::interim(&service, &lease.terms)?,
        Some(meter) => {
            let most = sub(lease.deposit, meter.paid)?;
            settlement::interim_within(&service, &lease.terms, lease.standby_paid()?, most)?
        }
    };
    rate(payment.fee, lease.terms.keeper_share_bps)
}

/// True if anybody may end the metered lease of a machine.
fn is_short(board: &Board, lease: &Lease, slot: &Slot, now: i64) -> bool {
    lease.meter.is_some() && meter::notice(board, lease, slot, Ender::Anybody, now).is_ok()
}

#[cfg(test)]
pub(super) mod tests {
    use leasehold::{
        constants::VOUCHER_SECS,
        math::{
            matching::{Criteria, Place, Policy},
            settlement::Terms,
        },
        state::{LeaseState, Meter, SlotState, Traits},
    };

    use super::*;

    const ROUND_SECS: u32 = 600;

    /// A lease for rounds 10 to 99 whose keepers get half of a fee of ten percent.
    pub fn lease(serial: u32, meter: Option<Meter>) -> Lease {
        let criteria = Criteria {
            class: None,
            min_gpus: 0,
            min_speed: 0,
            place: Place::Anywhere,
            min_score: 0,
            max_price: u64::MAX,
            policy: Policy::Cheapest,
            metered: meter.is_some(),
            max_gpus: 8,
            min_bond: 0,
            allow_unseen: false,
        };
        let terms = Terms {
            round_secs: ROUND_SECS,
            phase_secs: 0,
            rounds: 90,
            min_rounds: 1,
            slash_multiplier_bps: 10_000,
            fee_bps: 1_000,
            keeper_share_bps: 5_000,
            sla_bps: 9_900,
            hold_bps: 2_000,
            standby_bps: 1_000,
        };
        Lease {
            version: Lease::VERSION,
            bump: 255,
            state: LeaseState::Open,
            board: Pubkey::default(),
            serial,
            nonce: 0,
            buyer: Pubkey::default(),
            owner: Pubkey::default(),
            criteria,
            terms,
            group: None,
            gpus: 1,
            machines: 1,
            unsettled: 1,
            from: 10,
            until: 100,
            deposit: 1_000_000,
            paid: 0,
            fees: 0,
            refunded: 0,
            burned: 0,
            refund_due: 0,
            slashed: 0,
            meter,
            demands: 0,
            access: None,
            access_epoch: 0,
            data_epoch: 0,
            reserved: [0; 7],
            replaced: Vec::new(),
        }
    }

    fn metered(deposit: u64) -> Lease {
        let meter = Meter { spender: Pubkey::default(), seq: 0, units: 0, paid: 0, owes_hour: false };
        Lease { deposit, ..lease(0, Some(meter)) }
    }

    fn slot(serial: u32, until: u32) -> Slot {
        let mut slot: Slot = bytemuck::Zeroable::zeroed();
        slot.state = SlotState::Leased as u8;
        slot.begin_lease(serial, 10, until);
        (slot.traits.gpus, slot.price) = (1, 6_000);
        // Any machine may serve a metered lease; whether it does, its lease says.
        slot.traits.flags = Traits::METERED;
        slot
    }

    fn fleet(slots: &[Slot], leases: impl IntoIterator<Item = (u32, Lease)>) -> Fleet {
        let mut header: Board = bytemuck::Zeroable::zeroed();
        header.round_secs = ROUND_SECS;
        let leases = leases.into_iter().map(|(serial, lease)| {
            (serial, (Pubkey::new_from_array([serial as u8; 32]), Lease { serial, ..lease }))
        });
        let now = i64::from(ROUND_SECS) * 50;
        Fleet::of(&BoardView { header: &header, slots }, 50, now, &leases.collect())
    }

    #[test]
    fn only_a_metered_lease_waits_for_its_last_voucher() {
        let slots = [slot(1, 100), slot(2, 100), slot(0, 0)];
        let fleet = fleet(&slots, [(1, lease(1, None)), (2, metered(u64::MAX))]);
        let due: Vec<_> = fleet.leases.iter().map(|(serial, lease)| (*serial, lease.due_from)).collect();
        assert_eq!(due, [(1, 100), (2, 100 + VOUCHER_SECS / ROUND_SECS)]);
        assert_eq!(fleet.leases[&1].address, Pubkey::new_from_array([1; 32]));
    }

    #[test]
    fn a_machine_that_left_makes_its_lease_due() {
        let fleet = fleet(&[slot(1, 100), slot(1, 40), slot(1, 100)], [(1, lease(1, None))]);
        assert_eq!(fleet.leases[&1].due_from, 40);
    }

    #[test]
    fn a_lease_whose_account_was_not_found_is_left_out() {
        assert!(fleet(&[slot(1, 100)], []).leases.is_empty());
    }

    #[test]
    fn the_keepers_part_is_of_what_a_settlement_would_pay() {
        let mut slots = [slot(1, 100), slot(1, 100)];
        // Ten rounds up beyond the two hours that are kept, of 1,000 units each.
        (slots[0].lease_up, slots[0].lease_settled) = (22, 12);
        (slots[1].lease_up, slots[1].lease_settled) = (12, 12);
        let fleet = fleet(&slots, [(1, lease(1, None))]);
        assert_eq!((fleet.leases[&1].unpaid, fleet.leases[&1].keepers_part), (10, 500));
    }

    #[test]
    fn a_metered_lease_is_short_where_anybody_may_end_it() {
        // The standby price is 100 units a round; until an hour from now there are 47 rounds.
        let is_short = |deposit| fleet(&[slot(1, 100)], [(1, metered(deposit))]).leases[&1].is_short;
        assert!(is_short(4_699) && !is_short(4_700));
        assert!(!fleet(&[slot(1, 100)], [(1, Lease { deposit: 0, ..lease(1, None) })]).leases[&1].is_short);
    }

    #[test]
    fn machines_are_probed_from_the_round_in_which_they_are_judged() {
        let mut slots = [slot(0, 0), slot(0, 0)];
        (slots[0].attested_from, slots[1].attested_from) = (50, 51);
        slots[0].generation = 1 << 20;
        let fleet = fleet(&slots, []);
        assert_eq!(fleet.targets.len(), 1);
        assert_eq!((fleet.targets[0].slot, fleet.targets[0].generation), (0, 1 << 20));
    }
}
