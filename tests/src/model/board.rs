//! Boards, their machines and what these did in leases.

use std::collections::{BTreeMap, BTreeSet};

use leasehold::{
    error::LeaseholdError::*,
    state::{Endpoint, Traits},
};

use super::{Lease, Model, Outcome, Refusal, Rules, Seat, Voting, Who};

/// A board, its leases and its money.
#[derive(Clone, Debug)]
pub struct Board {
    pub creator: Who,
    /// Unix second at which its round 0 begins.
    pub phase: i64,
    pub slots: Vec<Slot>,
    /// Each round in which the number of slots changed, and the number after it.
    pub sizes: Vec<(u32, usize)>,
    /// Generation of a slot that is added.
    pub fresh_generation: u32,
    /// Every pair of slot and generation that a machine ever had; no pair comes twice.
    pub generations: BTreeSet<(u16, u32)>,
    pub next_serial: u32,
    /// By buyer and nonce.
    pub leases: BTreeMap<(Who, u64), Lease>,
    pub seats: Vec<Option<Seat>>,
    pub voting: Option<Voting>,
    /// Seats that voted in closed rounds, and those of the rounds with enough votes.
    pub voters: BTreeMap<u32, BTreeSet<u8>>,
    pub quorate: BTreeSet<u32>,
    /// First round that is not closed, and the votes that make a machine up in it.
    pub next_round: u32,
    pub up_votes: u8,
    pub fees: u64,
    pub keeper_pool: u64,
    /// Payment units, and stake units, that are to be burned.
    pub burning: u64,
    pub slashed: u64,
}

#[derive(Clone, Debug)]
pub struct Slot {
    /// Supplier of the machine; of a vacant slot, the former supplier, who is owed its rent.
    pub owner: Who,
    pub generation: u32,
    pub machine: Option<Machine>,
}

/// Verdict of a quorate round on a machine; a void round has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Up,
    Down,
    Unseen,
}

/// Verdicts of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub up: u32,
    pub down: u32,
    pub unseen: u32,
}

#[derive(Clone, Debug)]
pub struct Machine {
    pub node_key: [u8; 32],
    pub traits: Traits,
    pub endpoint: Endpoint,
    pub profile: u8,
    pub turnaround: u8,
    /// Payment units per GPU and hour.
    pub price: u64,
    pub committed_until: u32,
    pub bond: u64,
    pub accrued: u64,
    /// First round that has a verdict for it; `None` while it gets none.
    pub attested_from: Option<u32>,
    pub verdicts: BTreeMap<u32, Verdict>,
    /// Not offered: slashed, withheld, or forfeited in a running lease.
    pub suspended: bool,
    /// Lost its bond over a receipt.
    pub barred: bool,
    /// Set if it is bound, or was until it gets new conditions.
    pub bound: Option<Bound>,
    /// Its stint in the running lease.
    pub stint: Option<Stint>,
    /// Its stint in the last lease that it left.
    pub last: Option<Stint>,
}

/// The time in which a machine is bound: its rounds down in it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub from: u32,
    pub until: u32,
}

/// A machine's time in a lease.
#[derive(Clone, Copy, Debug)]
pub struct Stint {
    pub serial: u32,
    pub from: u32,
    pub until: u32,
    /// First round after the time agreed on.
    pub agreed: u32,
    /// Rounds up that are paid for.
    pub settled: u32,
    pub abandoned: bool,
    /// Was abandoned after its owner left, while it was bound.
    pub faded: bool,
    pub left: Option<Left>,
    pub contested: bool,
}

/// How an owner left a machine early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// By cancelling, or by ending a metered lease.
    Ended,
    /// By a machine that costs less by so many parts of 65,536.
    Replaced { cheaper: u16 },
}

impl Machine {
    /// Verdicts from round `from` to before `until`.
    pub fn count(&self, from: u32, until: u32) -> Count {
        let mut count = Count::default();
        for (_, verdict) in self.verdicts.range(from..until.max(from)) {
            match verdict {
                Verdict::Up => count.up += 1,
                Verdict::Down => count.down += 1,
                Verdict::Unseen => count.unseen += 1,
            }
        }
        count
    }

    /// Payment units per hour of the whole machine.
    pub fn hourly(&self) -> u64 {
        self.price * u64::from(self.traits.gpus)
    }

    pub fn is_idle(&self) -> bool {
        self.stint.is_none() && !self.suspended && !self.barred
    }

    pub fn is_bound(&self, round: u32) -> bool {
        self.bound.is_some_and(|bound| round < bound.until)
    }

    /// Forfeited, barred or abandoned.
    pub fn has_broken_promise(&self) -> bool {
        self.stint.is_some_and(|stint| self.suspended || self.barred || stint.abandoned)
    }

    pub(super) fn begin(&mut self, serial: u32, from: u32, until: u32) {
        self.stint = Some(Stint {
            serial,
            from,
            until,
            agreed: until,
            settled: 0,
            abandoned: false,
            faded: false,
            left: None,
            contested: false,
        });
    }
}

impl Board {
    pub fn machines(&self) -> impl Iterator<Item = (u16, &Slot, &Machine)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| Some((index, slot, slot.machine.as_ref()?)))
    }

    /// Machines of a lease.
    pub fn leased(&self, serial: u32) -> impl Iterator<Item = (u16, &Machine, Stint)> {
        self.machines()
            .filter_map(|(index, _, machine)| Some((index, machine, machine.stint?)))
            .filter(move |(_, _, stint)| stint.serial == serial)
    }

    /// Machines of a lease that their owner did not leave.
    pub fn serving(&self, serial: u32) -> impl Iterator<Item = (u16, &Machine, Stint)> {
        self.leased(serial).filter(|(_, _, stint)| stint.left.is_none())
    }

    pub fn machine(&self, index: u16) -> Result<&Machine, Vec<Refusal>> {
        let slot = self.slots.get(usize::from(index)).ok_or_else(|| vec![Refusal::Rule(NoSuchSlot)])?;
        slot.machine.as_ref().ok_or_else(|| vec![Refusal::Rule(SlotVacant)])
    }

    pub(super) fn machine_mut(&mut self, index: u16) -> &mut Machine {
        self.slots[usize::from(index)].machine.as_mut().expect("a machine")
    }

    /// Number of slots when a round began.
    pub fn size_at(&self, round: u32) -> usize {
        self.sizes.iter().rev().find(|(changed, _)| *changed < round).map_or(0, |(_, size)| *size)
    }

    pub(super) fn note_size(&mut self, round: u32) {
        self.sizes.push((round, self.slots.len()));
    }

    pub fn escrow(&self) -> u64 {
        self.leases.values().map(Lease::remaining).sum()
    }

    pub fn accrued(&self) -> u64 {
        self.machines().map(|(_, _, machine)| machine.accrued).sum()
    }

    pub fn bonds(&self) -> u64 {
        self.machines().map(|(_, _, machine)| machine.bond).sum()
    }

    pub fn keeper_fees(&self) -> u64 {
        self.seats.iter().flatten().map(|seat| seat.earned).sum()
    }

    pub fn refunds(&self) -> u64 {
        self.leases.values().map(|lease| lease.refund_due).sum()
    }

    /// Balance that the payment vault must have.
    pub fn payment_vault(&self) -> u64 {
        let claims = self.accrued() + self.keeper_fees() + self.refunds();
        self.escrow() + claims + self.fees + self.keeper_pool + self.burning
    }

    /// True if no machine and no lease is left, so that nobody is judged any more.
    pub fn is_unused(&self) -> bool {
        self.machines().next().is_none() && self.leases.is_empty()
    }
}

impl Model {
    pub(super) fn create_board(&mut self, by: Who) -> Outcome {
        let index = self.market.next_board;
        // Multiples of the golden ratio, as parts of a round.
        let part = u64::from(index) * 0x9e37_79b1 % (1 << 32);
        let phase = (part * u64::from(self.market.rules.round_secs)) >> 32;
        let mut board = Board {
            creator: by,
            phase: phase as i64,
            slots: vec![],
            sizes: vec![],
            fresh_generation: 0,
            generations: BTreeSet::new(),
            next_serial: 1,
            leases: BTreeMap::new(),
            seats: vec![None; self.market.rules.seats.into()],
            voting: None,
            voters: BTreeMap::new(),
            quorate: BTreeSet::new(),
            next_round: 0,
            up_votes: self.market.params.up_votes,
            fees: 0,
            keeper_pool: 0,
            burning: 0,
            slashed: 0,
        };
        board.next_round = self.round_at(&board, self.now);
        self.boards.insert(index, board);
        self.market.next_board += 1;
        let rent = self.rents.board + self.rents.payment_vault;
        self.wallet_mut(by).lamports -= rent;
        Ok(())
    }

    pub(super) fn close_board(&mut self, by: Who, board: u32) -> Outcome {
        let state = self.board(board)?;
        let mut rules = Rules::default();
        rules.require(by == state.creator, WrongAuthority);
        let is_unused = state.slots.is_empty()
            && state.leases.is_empty()
            && state.seats.iter().all(Option::is_none)
            && state.payment_vault() == 0
            && state.slashed == 0;
        rules.require(is_unused, BoardInUse);
        rules.hold()?;
        self.boards.remove(&board);
        let rent = self.rents.board + self.rents.payment_vault;
        self.wallet_mut(by).lamports += rent;
        Ok(())
    }
}
