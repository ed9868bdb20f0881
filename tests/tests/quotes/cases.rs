//! Random markets, boards, leases and times.

use leasehold::math::matching::{Criteria, Place, Policy};
use leasehold::math::settlement::{Payment, owed_before_end};
use leasehold::rules::lease::leave;
use leasehold::state::{
    Board, Lease, LeaseState, Ledger, MachineId, Market, Meter, Slot, SlotState, Traits, ring_bit,
};
use leasehold_tests::anything;
use proptest::prelude::*;
use proptest::sample::select;
use solana_pubkey::Pubkey;

/// Content of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Vacant,
    Idle,
    Suspended,
    Barred,
    /// In another lease.
    Elsewhere,
    /// In the lease: and serves it, was replaced, or is abandoned, forfeited or barred.
    Serving,
    Replaced,
    Abandoned,
    Forfeited,
    Convicted,
}

impl Role {
    pub fn is_in_lease(self) -> bool {
        matches!(
            self,
            Role::Serving | Role::Replaced | Role::Abandoned | Role::Forfeited | Role::Convicted
        )
    }
}

#[derive(Clone, Debug)]
pub struct MachineCase {
    pub role: Role,
    pub price: u64,
    pub gpus: u8,
    pub score: u16,
    pub metered: bool,
    /// Rounds from the running one to the end of its commitment.
    pub committed: u32,
    /// Rounds after the lease's first in which it came to the lease.
    pub late: u32,
    /// Bit r mod 64: verdict of round r.
    pub up: u64,
    pub down: u64,
    /// Of its rounds up, how many hundredths are paid.
    pub settled: u32,
    pub bond: u64,
    /// If it was replaced: contested, and by a machine that costs less by so many parts of 65,536.
    pub contested: bool,
    pub cheaper_q16: u16,
    /// Minutes after a lease until it can be leased again.
    pub turnaround: u8,
    /// It is bound.
    pub bound: bool,
}

/// Mistake in a request to open a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// It has no GPUs.
    NoGpus,
    /// It avoids too many slots.
    TooManyAvoided,
    /// It has a meter, and does not ask for metered machines.
    NotMetered,
    /// It has a meter, and asks for more GPUs than a machine has.
    TwoMetered,
    /// It offers a payment unit too little.
    TooLittle,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub paused: bool,
    pub min_rounds: u32,
    pub max_rounds: u32,
    pub fee_bps: u16,
    pub keeper_share_bps: u16,
    pub sla_bps: u16,
    pub hold_bps: u16,
    pub standby_bps: u16,
    pub multiplier_bps: u32,
    pub round_secs: u32,
    /// The round that runs, and the second of it.
    pub round: u32,
    pub second: u32,
    /// Rounds that are over and not closed.
    pub lag: u32,
    /// Bit r mod 64: somebody voted in round r.
    pub voted: u64,
    pub machines: Vec<MachineCase>,
    /// Rounds from the lease's first to the one after the running, and rounds agreed on.
    pub age: u32,
    pub rounds: u32,
    pub state: LeaseState,
    pub metered: bool,
    /// Payment units left over by machines that were replaced.
    pub surplus: u64,
    pub criteria: Criteria,
    /// The request: GPUs to open with, rounds to open with or extend by, slot to replace.
    pub count: u32,
    pub more: u32,
    pub slot: u16,
    /// Machines that are not picked, those that are contested, and how many may leave at the old end: as bits, and a number.
    pub avoid: u8,
    pub contest: u8,
    pub max_leaving: u32,
    /// Hint for the program: the quote's cut-off, a wrong one, or `None`.
    pub hint: u8,
    /// Set by [`openings`] alone.
    pub mistake: Option<Mistake>,
}

pub fn prices() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 350_000..350_010u64,
        2 => 1..10u64,
        1 => Just(u64::MAX),
        1 => u64::MAX / 2..=u64::MAX,
        1 => (0..64u32).prop_map(|power| 1 << power),
        2 => 1..=u64::MAX,
    ]
}

pub fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![
        1 => Just(Role::Vacant),
        4 => Just(Role::Idle),
        1 => Just(Role::Suspended),
        1 => Just(Role::Barred),
        1 => Just(Role::Elsewhere),
        6 => Just(Role::Serving),
        1 => Just(Role::Replaced),
        1 => select(vec![Role::Abandoned, Role::Forfeited, Role::Convicted]),
    ]
}

pub fn machines() -> impl Strategy<Value = MachineCase> {
    let verdicts = prop_oneof![
        3 => Just((u64::MAX, 0)),
        1 => Just((0, u64::MAX)),
        2 => any::<(u64, u64)>().prop_map(|(up, down)| (up, down & !up)),
        // Up most of the time.
        2 => any::<(u64, u64, u64)>().prop_map(|(a, b, c)| (!(a & b & c), a & b & c)),
    ];
    (
        (roles(), prices(), select(vec![1, 2, 8]), select(vec![0, 5_000, 10_000]), any::<bool>()),
        prop_oneof![4 => 60..200u32, 1 => 0..60u32],
        prop_oneof![5 => Just(0), 1 => 0..4u32],
        verdicts,
        prop_oneof![3 => Just(100), 2 => Just(0), 2 => 0..=100u32],
        (
            prop_oneof![4 => Just(1_000_000), 1 => Just(0), 1 => 0..=u64::MAX / 64],
            any::<bool>(),
            prop_oneof![Just(0u16), any::<u16>()],
            prop_oneof![4 => Just(0u8), 1 => 0..40u8],
            prop::bool::weighted(0.1),
        ),
    )
        .prop_map(|((role, price, gpus, score, metered), committed, late, (up, down), settled, rest)| {
            let (bond, contested, cheaper_q16, turnaround, bound) = rest;
            MachineCase {
                role,
                // The price of the whole machine fits 64 bits.
                price: price.min(u64::MAX / u64::from(gpus)),
                gpus,
                score,
                metered,
                committed,
                late,
                up,
                down,
                settled,
                bond,
                contested,
                cheaper_q16,
                turnaround,
                bound,
            }
        })
}

pub fn criteria() -> impl Strategy<Value = Criteria> {
    let max_price = prop_oneof![2 => Just(u64::MAX), 1 => Just(350_005), 1 => prices()];
    let gpus = (select(vec![0, 1, 2]), select(vec![1, 2, 8, 255]));
    let least = (select(vec![0, 5_000]), select(vec![0, 0, 100_000]));
    (gpus, least, max_price, any::<bool>(), any::<bool>()).prop_map(
        |((min_gpus, max_gpus), (min_score, min_bond), max_price, best, allow_unseen)| Criteria {
            min_gpus,
            max_gpus,
            min_score,
            min_bond,
            max_price,
            allow_unseen,
            policy: if best { Policy::Best } else { Policy::Cheapest },
            place: Place::Anywhere,
            ..anything()
        },
    )
}

pub fn cases() -> impl Strategy<Value = Case> {
    let market = (
        prop::bool::weighted(0.1),
        prop_oneof![3 => Just(1), 1 => 1..12u32],
        prop_oneof![4 => Just(10_000), 1 => 12..70u32, 1 => Just(u32::MAX)],
        select(vec![0, 300, 1_111, 3_000]),
        select(vec![0, 4_000, 10_000]),
        select(vec![0, 9_000, 9_500, 10_000]),
        (select(vec![1_000, 2_000, 5_000]), select(vec![100, 1_000, 10_000])),
        select(vec![1_000, 10_000, 20_000, 100_000]),
    );
    let board = (
        select(vec![10, 60, 600, 3_600]),
        1_000..1_000_000u32,
        0..10u32,
        0..4u32,
        prop_oneof![2 => Just(u64::MAX), 1 => any::<u64>()],
        prop::collection::vec(machines(), 0..14),
    );
    let state = prop_oneof![8 => Just(LeaseState::Open), 2 => Just(LeaseState::Cancelled), 1 => Just(LeaseState::Settled)];
    let lease = (
        prop_oneof![4 => 0..30u32, 1 => 30..60u32],
        prop_oneof![3 => 8..60u32, 1 => 1..8u32],
        state,
        prop::bool::weighted(0.15),
        prop_oneof![3 => Just(0), 1 => 0..1_000_000u64],
        criteria(),
    );
    let more = prop_oneof![6 => 1..40u32, 1 => Just(0), 1 => Just(u32::MAX), 1 => 40..20_000u32];
    let few = || prop_oneof![2 => Just(0u8), 1 => any::<u8>()];
    let asked = (prop_oneof![8 => 1..5u32, 1 => 5..20u32, 1 => 20..90u32], more, 0..16u16, 0..3u8);
    let asked = (asked, few(), few(), prop_oneof![Just(0u32), 1..4u32]);
    (market, board, lease, asked).prop_map(|(market, board, lease, asked)| {
        let (paused, min_rounds, max_rounds, fee_bps, keeper_share_bps, sla_bps, pay, multiplier_bps) = market;
        let (hold_bps, standby_bps) = pay;
        let (round_secs, round, second, lag, voted, machines) = board;
        let (age, rounds, state, metered, surplus, criteria) = lease;
        let ((count, more, slot, hint), avoid, contest, max_leaving) = asked;
        Case {
            paused,
            min_rounds,
            max_rounds,
            fee_bps,
            keeper_share_bps,
            sla_bps,
            hold_bps,
            standby_bps,
            multiplier_bps,
            round_secs,
            round,
            second,
            lag,
            voted,
            machines,
            age,
            rounds,
            state,
            metered,
            surplus,
            criteria,
            count,
            more,
            slot,
            avoid,
            contest,
            max_leaving,
            hint,
            mistake: None,
        }
    })
}

/// Cases of which some have a mistake in the request to open a lease.
pub fn openings() -> impl Strategy<Value = Case> {
    let mistakes = prop_oneof![
        12 => Just(None),
        1 => select(vec![Mistake::NoGpus, Mistake::TooManyAvoided, Mistake::NotMetered]).prop_map(Some),
        1 => Just(Some(Mistake::TwoMetered)),
        2 => Just(Some(Mistake::TooLittle)),
    ];
    (cases(), mistakes).prop_map(|(case, mistake)| Case { mistake, ..case })
}

impl Case {
    pub fn lease(&self, blank: &Lease, board: &Board, market: &Market, serial: u32) -> Lease {
        let from = self.round + 1 - self.age;
        let board = Board { round_secs: self.round_secs, sla_bps: self.sla_bps, ..*board };
        let terms = market.params.terms(&board, self.rounds);
        let mut until = from + self.rounds;
        if self.state == LeaseState::Cancelled && !self.metered {
            until = from + self.rounds.div_ceil(2);
        }
        let meter = Meter { spender: blank.owner, seq: 0, units: 0, paid: 100_000, owes_hour: false };
        Lease {
            state: self.state,
            serial,
            nonce: serial.into(),
            criteria: Criteria { metered: self.metered, ..self.criteria },
            terms,
            from,
            until,
            meter: self.metered.then_some(meter),
            ..blank.clone()
        }
    }

    /// Slots that are not picked.
    pub fn avoided(&self) -> Vec<u16> {
        (0..8).filter(|slot| self.avoid >> slot & 1 == 1).collect()
    }

    /// The slots; the amount that their machines were paid so far is written to the lease.
    pub fn slots(&self, blank: &Board, lease: &mut Lease) -> Vec<Slot> {
        let settled = lease.state == LeaseState::Settled;
        let count = self.machines.iter().filter(|machine| machine.role.is_in_lease()).count() as u64;
        // All machines of a lease are paid for by tokens that there are.
        // Twice, for what an extension may cost.
        let secs = 2 * u128::from(self.round_secs) * u128::from(self.rounds + 1);
        let most = u128::from(u64::MAX / 4 / count.max(1)) * 3_600 / secs;
        let most = u64::try_from(most).unwrap_or(u64::MAX).max(1);
        let mut slots = vec![];
        for (machine, index) in self.machines.iter().zip(0..) {
            let mut role = machine.role;
            // A settled lease has let its machines go; a metered one has one machine.
            let whole = settled || lease.meter.is_some() && (lease.machines == 1 || role == Role::Replaced);
            if role.is_in_lease() && whole {
                role = Role::Idle;
            }
            let mut slot = machine.slot(index, self.round);
            match role {
                Role::Vacant => slot = Slot { supplier: slot.supplier, ..bytemuck::Zeroable::zeroed() },
                Role::Idle => {}
                Role::Suspended => slot.state = SlotState::Suspended as u8,
                Role::Barred => (slot.state, slot.bond) = (SlotState::Barred as u8, 0),
                Role::Elsewhere => slot.begin_lease(1, self.round - 3, self.round + 3),
                _ => {
                    slot.price = slot.price.min((most / u64::from(machine.gpus)).max(1));
                    self.serve(blank, index.into(), &mut slot, machine, lease);
                }
            }
            slots.push(slot);
        }
        if lease.meter.is_some() {
            lease.deposit = 1_000_000;
            (lease.paid, lease.fees) = (90_000, 10_000);
        }
        lease.machines = lease.machines.max(1);
        if settled {
            (lease.unsettled, lease.refunded) = (0, lease.deposit - lease.paid - lease.fees);
        } else {
            lease.deposit += self.surplus;
        }
        slots
    }

    /// The slot to replace: mostly one of the lease, preferably one whose machine broke its promise.
    pub fn replaced(&self) -> u16 {
        let of = |wanted: fn(Role) -> bool| {
            let slots = (0..).zip(&self.machines).filter(|(_, machine)| wanted(machine.role));
            slots.map(|(index, _)| index).collect::<Vec<u16>>()
        };
        let broken = of(|role| matches!(role, Role::Abandoned | Role::Forfeited | Role::Convicted));
        let all = of(Role::is_in_lease);
        let wanted = if self.slot < 8 && !broken.is_empty() { broken } else { all };
        match wanted.len() {
            0 => self.slot,
            // Any slot at all.
            _ if self.slot >= 10 => self.slot - 10,
            len => wanted[usize::from(self.slot) % len],
        }
    }

    /// First round that is not closed.
    pub fn next_round(&self) -> u32 {
        self.round - self.lag
    }

    /// Puts a machine into the lease, with the verdicts and payments of its closed rounds.
    fn serve(&self, blank: &Board, index: u16, slot: &mut Slot, machine: &MachineCase, lease: &mut Lease) {
        let from = (lease.from + machine.late).min(lease.until - 1).min(self.round + 1).max(lease.from);
        slot.begin_lease(lease.serial, from, lease.until);
        for round in from..lease.until.min(self.next_round()).max(from) {
            let bit = 1u64 << ring_bit(round);
            let voted = self.voted & bit != 0;
            slot.lease_up += u32::from(voted && machine.up & bit != 0);
            let (up, down) = (machine.up & bit != 0, machine.down & bit != 0);
            slot.lease_down += u32::from(voted && !up && down);
            slot.lease_unseen += u32::from(voted && !up && !down);
        }
        (slot.history_up, slot.history_down) = (machine.up, machine.down & !machine.up);
        match machine.role {
            Role::Abandoned => slot.flags |= Slot::ABANDONED,
            Role::Forfeited => slot.state = SlotState::Suspended as u8,
            Role::Convicted => (slot.state, slot.bond) = (SlotState::Barred as u8, 0),
            _ => {}
        }
        lease.unsettled += 1;
        lease.machines += u32::from(machine.role != Role::Replaced);
        let mut early = lease.until;
        slot.lease_agreed = lease.from + lease.terms.rounds;
        if machine.role == Role::Replaced {
            early = (self.next_round().max(from) + 1).min(slot.lease_until);
            lease.replaced.push(MachineId { slot: index, generation: slot.generation });
        }
        // Cancelled with the whole lease, or replaced.
        if early < slot.lease_agreed {
            let contested = if machine.contested { Slot::CONTESTED } else { 0 };
            let how = if machine.role == Role::Replaced { Slot::REPLACED } else { 0 };
            slot.cheaper_q16 = machine.cheaper_q16;
            leave(&self.board(blank), slot, early, contested | how);
        }
        if lease.meter.is_some() {
            return;
        }
        slot.lease_settled = slot.lease_up * machine.settled / 100;
        let before = owed_before_end(slot.hourly(), slot.lease_settled, &lease.terms).expect("fits");
        let paid = Payment::difference(before, 0, lease.terms.fee_bps).expect("fits");
        lease.paid += paid.net;
        lease.fees += paid.fee;
        slot.accrued = paid.net;
        lease.deposit += lease.deposit_of(slot, slot.lease_agreed).expect("fits");
    }

    /// The board's header but for its sums.
    fn board(&self, blank: &Board) -> Board {
        let mut header = *blank;
        (header.round_secs, header.submit_secs) = (self.round_secs, self.round_secs.div_ceil(2));
        (header.sla_bps, header.next_round) = (self.sla_bps, self.next_round());
        header.quorate = self.voted;
        // The last round that is closed and was quorate.
        let closed = self.next_round().saturating_sub(64)..self.next_round();
        let is_quorate = |round: &u32| self.voted >> ring_bit(*round) & 1 == 1;
        header.last_quorate = closed.rev().find(is_quorate).unwrap_or_default();
        header
    }

    pub fn header(&self, blank: &Board, slots: &[Slot], lease: &Lease) -> Board {
        let mut header = self.board(blank);
        header.slots = u32::try_from(slots.len()).expect("few");
        header.machines = header.slots;
        (header.next_serial, header.leases) = (lease.serial + 1, 3);
        for (bit, votes) in header.votes.iter_mut().enumerate() {
            *votes = u16::from(self.voted >> bit & 1 == 1);
        }
        header.ledger = Ledger {
            escrow: lease.remaining().expect("consistent"),
            accrued: slots.iter().map(|slot| slot.accrued).sum(),
            bonds: slots.iter().map(|slot| slot.bond).sum(),
            ..bytemuck::Zeroable::zeroed()
        };
        header
    }
}

impl MachineCase {
    /// The machine, in no lease.
    pub fn slot(&self, index: u8, round: u32) -> Slot {
        Slot {
            node_key: [index; 32],
            supplier: Pubkey::new_from_array([9; 32]),
            traits: Traits {
                gpus: self.gpus,
                speed: 2,
                country: 276,
                region: 1,
                flags: if self.metered { Traits::METERED } else { 0 },
                class: 0,
            },
            price: self.price,
            score: self.score,
            state: SlotState::Idle as u8,
            committed_until: round + self.committed,
            bond: self.bond,
            turnaround: self.turnaround,
            flags: if self.bound { Slot::BOUND } else { 0 },
            history_up: self.up,
            history_down: self.down & !self.up,
            ..bytemuck::Zeroable::zeroed()
        }
    }
}
