//! One telling of a story.

use leasehold::{
    instructions::{Machine, MeterArgs, OpenLeaseArgs},
    math::matching::Criteria,
    state::{Board, LeaseState, Params, RoundRules, Slot, SlotState},
};
use leasehold_tests::{
    PAYMENTS, STAKE, START,
    model::{AUTHORITY, Action, BUYERS, KEEPERS, LeaseId, Program, SUPPLIERS, Who, everybody, naive},
    params, public, spender,
};

use super::story::{HOUR, MACHINES, SEATS, Story, bare, nth, supplier_of};
use crate::{specs::Spec, voting::bitmap};

/// What keepers see of a round, as sets of seats and machines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdicts {
    pub absent: u8,
    pub down: u8,
    /// Seats that vote against every machine.
    pub liars: u8,
    /// Machines that no keeper can reach, and those that only one can.
    pub drowned: u8,
    pub partly: u8,
}

/// A machine's time in a lease, once it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub lease: u32,
    pub slot: usize,
    pub from: u32,
    pub up: u32,
    /// Its supplier forfeited it.
    pub forfeited: bool,
    /// Rounds down beyond the allowance.
    pub over: u32,
    /// Payment units per hour.
    pub price: u64,
    /// Payment units that its owner owed for leaving it.
    pub exit: u128,
}

pub struct World<P> {
    program: P,
    now: i64,
    leases: Vec<LeaseId>,
    /// Payment units that the rounds and vouchers which owners paid for are worth to them.
    served: Vec<i128>,
    pub ended: Vec<Ended>,
    /// Who gave a lease to whom. Its price is not on the chain, so what one of the two gains the other may have paid for.
    pub given: Vec<[Who; 2]>,
}

/// What is in the keepers' pool at first: enough for every round of a story, and too little for more than the least pay.
const POOL: u64 = 6_000_000;

/// A machine with one GPU that may have metered leases.
fn listed(number: u8, price: u64, slot: Option<u16>) -> Machine {
    let spec = Spec { metered: true, gpus: 1, ..Spec::plain(number) };
    Machine { price, ..spec.machine(slot) }
}

/// Rules and parameters of a story's market.
pub fn market(story: &Story) -> (RoundRules, Params) {
    let rules = RoundRules {
        round_secs: story.round_secs,
        submit_secs: story.round_secs / 2,
        seats: SEATS,
        threshold: story.threshold,
        abandon_rounds: 36,
        sla_bps: story.sla_bps,
    };
    let params = Params {
        up_votes: 2,
        hold_bps: story.hold_bps,
        fee_bps: story.fee_bps,
        min_rounds: story.min_rounds,
        max_rounds: 2_000,
        ..params()
    };
    (rules, params)
}

impl<P: Program> World<P> {
    /// A board in a new market, three suppliers with two machines each, and four keepers; two rounds are over.
    pub fn begin(program: P, story: &Story) -> Self {
        let served = vec![0; everybody().count()];
        let mut world = World { program, now: START, leases: vec![], served, ended: vec![], given: vec![] };
        world.must(Action::CreateBoard { by: AUTHORITY });
        for (number, by) in SUPPLIERS.into_iter().enumerate() {
            world.must(Action::RegisterSupplier { by });
            world.must(Action::DepositStake { by, amount: 20_000 * STAKE });
            let machines = (2 * number..2 * number + 2)
                .map(|index| listed(index as u8, story.prices[index], None))
                .collect();
            let until = world.round() + 4_000;
            world.must(Action::ListMachines { by, board: 0, until, machines, former: vec![] });
        }
        for (seat, by) in (0..SEATS).zip(KEEPERS) {
            world.must(Action::RegisterKeeper { by });
            world.must(Action::DepositBond { by, amount: 3_000 * STAKE });
            world.must(Action::TakeSeat { by, board: 0, seat });
        }
        world.must(Action::FundKeepers { by: AUTHORITY, board: 0, amount: POOL });
        for _ in 0..2 {
            world.end_round(&Verdicts::default());
        }
        world
    }

    pub fn fork(&self) -> Self {
        World {
            program: self.program.fork(),
            now: self.now,
            leases: self.leases.clone(),
            served: self.served.clone(),
            ended: self.ended.clone(),
            given: self.given.clone(),
        }
    }

    fn must(&mut self, action: Action) {
        let name = format!("{action:?}");
        self.act(&action).unwrap_or_else(|code| panic!("{name} is refused with {code}"));
    }

    pub fn act(&mut self, action: &Action) -> Result<(), u32> {
        if let Action::SettleLease { lease } = action {
            let before = (self.served.clone(), self.ended.clone());
            self.note_ends(*lease);
            return self.program.send(action).inspect_err(|_| (self.served, self.ended) = before);
        }
        let paid = |program: &P, id: &LeaseId| program.lease(*id).and_then(|lease| Some(lease.meter?.paid));
        if let Action::RedeemVoucher { lease, .. } = action {
            let before = paid(&self.program, lease);
            self.program.send(action)?;
            // A voucher is signed for what was served, and what it does not pay was not.
            let served = paid(&self.program, lease).zip(before).map(|(after, before)| after - before);
            let owner = self.owner(*lease).expect("one of all");
            self.served[usize::from(owner.0)] += i128::from(served.expect("a metered lease"));
            return Ok(());
        }
        self.program.send(action)?;
        if let Action::OpenLease { by, args, .. } = action {
            self.leases.push(LeaseId { board: 0, buyer: *by, nonce: args.nonce });
        }
        if let Action::TransferLease { by, to, .. } = action {
            self.given.push([*by, *to]);
        }
        Ok(())
    }

    fn header(&self) -> Box<Board> {
        self.program.board(0).expect("the board").0
    }

    fn slots(&self) -> Vec<Slot> {
        self.program.board(0).expect("the board").1
    }

    pub fn round(&self) -> u32 {
        self.header().round_at(self.now).expect("in range")
    }

    fn pass_to(&mut self, now: i64) {
        self.now = now;
        self.program.set_time(now);
    }

    pub fn lease(&self, pick: u8) -> Option<LeaseId> {
        nth(&self.leases, pick)
    }

    /// Machines that serve a lease.
    pub fn serving(&self, id: LeaseId) -> Vec<u16> {
        let Some(lease) = self.program.lease(id) else { return vec![] };
        let slots = (0u16..).zip(self.slots());
        slots.filter(|(_, slot)| slot.serves(lease.serial)).map(|(index, _)| index).collect()
    }

    /// The lease of each machine.
    pub fn places(&self) -> Vec<u32> {
        self.slots().iter().map(|slot| slot.lease).collect()
    }

    pub fn open(&self, by: Who, gpus: u32, rounds: u32, hours: Option<u64>) -> Action {
        self.open_avoiding(by, gpus, rounds, hours, vec![])
    }

    pub fn open_avoiding(
        &self,
        by: Who,
        gpus: u32,
        rounds: u32,
        hours: Option<u64>,
        avoid: Vec<u16>,
    ) -> Action {
        let mut args = OpenLeaseArgs { avoid, ..bare(self.leases.len() as u64, gpus, rounds) };
        if let Some(hours) = hours {
            args.criteria = Criteria { metered: true, ..args.criteria };
            args.meter = Some(MeterArgs { spender: public(&spender()), deposit: hours * HOUR });
        }
        Action::OpenLease { by, owner: by, board: 0, args: Box::new(args) }
    }

    /// Who owns a lease.
    pub fn owner(&self, id: LeaseId) -> Option<Who> {
        let owner = self.program.lease(id)?.owner;
        everybody().find(|who| self.program.key(*who) == owner)
    }

    /// The machine in a slot; `None` if the board does not have the slot, or the slot is vacant.
    pub fn machine(&self, slot: u16) -> Option<Slot> {
        let machine = self.slots().get(usize::from(slot)).copied();
        machine.filter(|slot| !slot.is(SlotState::Vacant))
    }

    /// Lists a machine in a slot that it left, or in the next one if the board was cut there. `None` if there is no such slot.
    pub fn relist(&self, slot: u16, price: u64) -> Option<Action> {
        let slots = self.slots();
        let place = match slots.get(usize::from(slot)) {
            Some(left) if left.is(SlotState::Vacant) => Some(slot),
            None if slots.len() == usize::from(slot) => None,
            _ => return None,
        };
        let machines = vec![listed(slot as u8 + MACHINES as u8, price, place)];
        let (by, until) = (supplier_of(slot), self.round() + 2_000);
        Some(Action::ListMachines { by, board: 0, until, machines, former: vec![] })
    }

    /// Ends the running round; keepers vote as they see it, and it is closed.
    pub fn end_round(&mut self, seen: &Verdicts) {
        let round = self.round();
        self.pass_to(self.header().round_end(round) + 1);
        let slots = self.slots().len();
        let mut voters = (0..SEATS).filter(|seat| seen.absent >> seat & 1 == 0);
        let first = voters.next();
        for seat in first.into_iter().chain(voters) {
            let hears = |machine: usize| {
                let is = |set: u8| set >> machine & 1 == 1;
                let reached = !is(seen.drowned) && (!is(seen.partly) || Some(seat) == first);
                !is(seen.down) && reached && seen.liars >> seat & 1 == 0
            };
            let by = KEEPERS[usize::from(seat)];
            let bitmap = bitmap(slots.min(MACHINES), hears);
            self.must(Action::SubmitRound { by, board: 0, seat, round, bitmap });
        }
        let submit_ends = self.header().round_end(round) + i64::from(self.header().submit_secs);
        self.pass_to(submit_ends + 1);
        self.must(Action::CloseRound { board: 0 });
    }

    /// Everybody is up for some rounds more; those until all leases are over are void. Then they are settled.
    pub fn settle_everything(&mut self) {
        for _ in 0..20 {
            self.end_round(&Verdicts::default());
        }
        let leases = self.leases.iter().filter_map(|id| self.program.lease(*id));
        let ends = leases.map(|lease| lease.settles_from(lease.until));
        let last = ends.max().unwrap_or_default();
        if last > self.header().next_round {
            self.pass_to(self.header().round_end(last) + i64::from(self.header().round_secs));
            self.must(Action::CloseRound { board: 0 });
        }
        for id in self.leases.clone() {
            if self.program.lease(id).is_some_and(|lease| lease.state != LeaseState::Settled) {
                self.must(Action::SettleLease { lease: id });
            }
        }
    }

    /// Records the machines that a settlement settles for good.
    fn note_ends(&mut self, id: LeaseId) {
        let Some(lease) = self.program.lease(id) else { return };
        let (next_round, owner) =
            (self.header().next_round, usize::from(self.owner(id).expect("one of all").0));
        let due =
            |slot: &&Slot| slot.lease == lease.serial && next_round >= lease.settles_from(slot.lease_until);
        let terms = lease.terms;
        for (index, slot) in self.slots().iter().enumerate().filter(|(_, slot)| due(slot)) {
            let price = lease.hourly(slot).expect("fits");
            let secs = |rounds: u32| u128::from(terms.round_secs) * u128::from(rounds);
            let (served, agreed) = (slot.lease_until - slot.lease_from, slot.lease_agreed - slot.lease_from);
            let judged = slot.lease_up + slot.lease_down + slot.lease_unseen;
            let forfeited = slot.is(SlotState::Suspended);
            let void = match !forfeited && slot.lease_up > 0 && 2 * judged >= served {
                true => (served - judged) * slot.lease_up / judged,
                false => 0,
            };
            self.served[owner] += naive::cost_floor(price, secs(slot.lease_up + void)) as i128;
            let is_left = slot.has(Slot::LEFT);
            let over = slot.lease_down.saturating_sub(naive::allow(served, terms.sla_bps));
            let owed = is_left && slot.lease_up > 0 && !slot.has_broken_promise();
            let rest = secs(agreed - served);
            let leaving = naive::exit_secs(secs(terms.rounds), rest);
            let cheaper = rest * u128::from(slot.cheaper_q16) / 65_536;
            let most = match &lease.meter {
                None if slot.has(Slot::REPLACED) => leaving.min(cheaper),
                None => leaving,
                Some(meter) if meter.owes_hour => 3_600u128.saturating_sub(secs(served)),
                Some(_) => 0,
            };
            let most = if owed { most.saturating_sub(secs(over)) } else { 0 };
            let exit = naive::cost_floor(price, most);
            let (lease, from, up) = (slot.lease, slot.lease_from, slot.lease_up);
            self.ended.push(Ended { lease, slot: index, from, up, forfeited, over, price, exit });
        }
    }

    /// Payment units that owners saved by leaving framed machines: a round for each one down beyond the allowance, or all of
    /// it where a machine was never up. And those that a forfeiture, which the supplier itself signs, pays an owner for rounds
    /// in which the machine was framed before.
    pub fn exits_saved(&self, framed: &World<P>) -> i128 {
        let same = |one: &Ended, other: &Ended| {
            (one.lease, one.slot, one.from) == (other.lease, other.slot, other.from)
        };
        let secs = u128::from(self.header().round_secs);
        let saved = self.ended.iter().map(|honest| {
            let framed = framed.ended.iter().find(|framed| same(honest, framed)).expect("it ends everywhere");
            if honest.forfeited {
                return naive::cost_floor(honest.price, secs * u128::from(honest.up - framed.up)) + 1;
            }
            if framed.up == 0 {
                return honest.exit;
            }
            let rounds = u128::from(framed.over.saturating_sub(honest.over));
            honest.exit.min(naive::cost_floor(honest.price, secs * rounds) + 1)
        });
        saved.sum::<u128>() as i128
    }

    /// Payment units of each supplier, buyer, of all keepers, and the authority: tokens, claims, and the rounds that they paid
    /// for. What is in the keepers' pool is nobody's yet: a round without enough votes leaves it there.
    pub fn worths(&self) -> Vec<i128> {
        let (header, slots) = (self.header(), self.slots());
        let owned: Vec<_> = self.leases.iter().filter_map(|id| self.program.lease(*id)).collect();
        let tokens = |who: Who| {
            let key = self.program.key(who);
            let theirs = owned.iter().filter(|lease| lease.owner == key);
            let refunds = theirs.map(|lease| i128::from(lease.refund_due)).sum::<i128>();
            let tokens = i128::from(self.program.tokens(who).0) - i128::from(PAYMENTS);
            tokens + refunds + self.served[usize::from(who.0)]
        };
        let suppliers = SUPPLIERS.map(|who| {
            let theirs = (0u16..).zip(&slots).filter(|(index, _)| supplier_of(*index) == who);
            tokens(who) + theirs.map(|(_, slot)| i128::from(slot.accrued)).sum::<i128>()
        });
        let buyers = BUYERS.map(tokens);
        let keepers = self.earned().iter().map(|earned| i128::from(*earned)).sum::<i128>();
        let authority = tokens(AUTHORITY) + i128::from(header.ledger.fees);
        suppliers.into_iter().chain(buyers).chain([keepers, authority]).collect()
    }

    /// Payment units that each seat earned.
    pub fn earned(&self) -> Vec<u64> {
        self.header().seats.iter().map(|seat| seat.earned).collect()
    }

    /// Stake units of each supplier.
    pub fn stakes(&self) -> Vec<u64> {
        let slots = self.slots();
        SUPPLIERS
            .map(|who| {
                let bonds = (0u16..).zip(&slots).filter(|(index, _)| supplier_of(*index) == who);
                let free = self.program.supplier(who).map_or(0, |supplier| supplier.stake.free);
                free + bonds.map(|(_, slot)| slot.bond).sum::<u64>()
            })
            .to_vec()
    }
}
