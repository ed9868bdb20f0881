//! The board, machines and lease of a case.

use leasehold::math::matching::Criteria;
use leasehold::math::settlement::{Payment, owed_before_end};
use leasehold::rules::lease::leave;
use leasehold::state::{
    Board, Lease, LeaseState, Ledger, MachineId, Market, Meter, Slot, SlotState, Traits, ring_bit,
};
use solana_pubkey::Pubkey;

use crate::cases::{Case, MachineCase, Role};

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
