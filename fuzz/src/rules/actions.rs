//! What people do: each action is one instruction, called as its handler calls the rule, or a stretch of rounds.

use anchor_lang::prelude::{Error, Result};
use bytemuck::Zeroable;
use leasehold::{
    constants::INITIAL_SCORE,
    instructions::{Machine, MeterArgs, Offer, OpenLeaseArgs},
    math::matching::{Criteria, CutOff, Place, Policy},
    rules::{
        self, dispute::Namesake, extend::Allowance, meter::Ender, replace::Wish, round::Closing, seat::Leaver,
    },
    state::{Demand, Endpoint, LeaseState, Receipt, Slot, SlotState, Traits, Voucher, machine, machine_mut},
};
use solana_pubkey::Pubkey;

use super::world::{LEASES, SLOTS, SUPPLIERS, World, owner, supplier_address};
use crate::input::Input;

/// What ended an instruction that changed nothing.
#[derive(Debug)]
pub enum Refusal {
    /// The program refused it.
    Rule,
    /// There is nothing to do it to, or the mint has not as much.
    Impossible,
}

impl From<Error> for Refusal {
    fn from(_: Error) -> Self {
        Refusal::Rule
    }
}

impl From<leasehold::math::Overflow> for Refusal {
    fn from(_: leasehold::math::Overflow) -> Self {
        Refusal::Rule
    }
}

pub type Done = std::result::Result<(), Refusal>;

/// The same from a quote and from what the program did.
fn agree<T: PartialEq + std::fmt::Debug>(quote: &Result<T>, applied: &Result<T>) {
    match (quote, applied) {
        (Ok(quote), Ok(applied)) => assert_eq!(quote, applied, "invariant 18: a quote differs"),
        (Err(quote), Err(applied)) => assert_eq!(quote, applied, "invariant 18: refusals differ"),
        _ => panic!("invariant 18: quoted {quote:?}, did {applied:?}"),
    }
}

impl World {
    /// Does one thing, and undoes it if it is refused.
    pub fn act(&mut self, input: &mut Input) {
        let before = self.clone();
        if self.attempt(input).is_err() {
            *self = before;
        }
    }

    fn attempt(&mut self, input: &mut Input) -> Done {
        let action = input.u8();
        match action % 32 {
            // Of a byte's last values, so that inputs of the corpus that don't name them mean what they did.
            _ if action == u8::MAX => self.set_access(input)?,
            _ if action == u8::MAX - 1 => self.transfer(input)?,
            0 => self.pass(input.pick(&[60, 600, 3_600, 10_000, 50_000, 90_000, 700_000, 3_000_000])),
            1..=5 => self.rounds(input),
            6 | 7 => self.list(input)?,
            8 => self.reprice(input)?,
            9 => self.withhold(input)?,
            10 => self.retire(input)?,
            11 => self.forfeit(input)?,
            12..=14 => self.open(input)?,
            15 => self.extend(input)?,
            16 => self.cancel(input)?,
            17 | 18 => self.replace(input)?,
            19 => self.settle_some(input)?,
            20 => self.top_up(input)?,
            21 => self.redeem(input)?,
            22 => self.give_notice(input)?,
            23 => self.claim(input)?,
            24 => self.fund(input)?,
            25 => self.take_seat(input)?,
            26 => self.leave_seat(input)?,
            27 => self.demand(input)?,
            28 => self.end_demand(input)?,
            29 => self.equivocate(input)?,
            30 => self.close_lease(input)?,
            _ => self.govern(input)?,
        }
        Ok(())
    }

    pub fn pass(&mut self, secs: u64) {
        self.now += secs as i64;
    }

    fn slot(&self, input: &mut Input) -> u16 {
        u16::from(input.u8() % SLOTS as u8)
    }

    fn lease(&self, input: &mut Input) -> std::result::Result<usize, Refusal> {
        let place = usize::from(input.u8());
        if self.leases.is_empty() { Err(Refusal::Impossible) } else { Ok(place % self.leases.len()) }
    }

    fn pay_in(&mut self, amount: u64) -> Done {
        self.payments.require(amount)?;
        self.payments.paid_in += u128::from(amount);
        Ok(())
    }

    // Rounds.

    /// Some rounds in a row: each ends, is voted on by some seats in two ways, and is perhaps closed.
    fn rounds(&mut self, input: &mut Input) {
        let count = match input.u8() {
            long @ 128.. => 1 + (long & 63),
            short => 1 + short % 8,
        };
        let bitmap = input.u8();
        let (voters, others, other) = match input.u8() {
            0..=159 => (u16::MAX, 0, 0),
            160..=191 => (input.u16(), 0, 0),
            _ => (input.u16(), input.u16(), input.u8()),
        };
        let closes = input.u8();
        for round in 0..count {
            self.one_round(voters, |seat| if others >> seat & 1 == 1 { other } else { bitmap });
            if round + 1 < count || closes & 3 != 3 {
                self.close_votes();
            }
        }
    }

    /// Ends the running round and has the seats of the mask vote on it.
    pub fn one_round(&mut self, voters: u16, bitmap: impl Fn(u8) -> u8) {
        let running = self.board.round_at(self.now).expect("after 1970");
        self.close_votes();
        self.now = self.now.max(self.board.round_end(running));
        for seat in (0..self.board.seat_count).filter(|seat| voters >> seat & 1 == 1) {
            if self.board.seats[usize::from(seat)].is_vacant() {
                continue;
            }
            let Ok(ballot) = rules::round::ballot(&self.board, running, self.now) else { return };
            let covered = (1u16 << ballot.slots.min(8)) - 1;
            let bitmap = bitmap(seat) & covered as u8;
            let bytes = &[bitmap][..rules::round::bitmap_len(ballot.slots)];
            let submitted = rules::round::submit(&mut self.board, seat, running, [seat; 32], bytes, self.now);
            assert_eq!(submitted.is_err(), ballot.has_voted(seat), "a vote in its window: {submitted:?}");
            if submitted.is_ok() {
                self.votes.push(bitmap);
            }
        }
    }

    /// Counts the votes that wait, after their window if necessary.
    pub fn close_votes(&mut self) {
        if let Some(until) = rules::round::count_waits_until(&self.board) {
            if rules::round::closing(&self.board, self.now).is_err() {
                self.now = self.now.max(until + 1);
            }
            self.close_round().expect("votes after their window can be counted");
        }
    }

    /// Closes what can be closed, and checks every verdict against a naive count.
    pub fn close_round(&mut self) -> Result<Closing> {
        let closing = rules::round::closing(&self.board, self.now);
        let (slots, next_round) = (self.slots.clone(), self.board.next_round);
        let up_votes = usize::from(self.board.up_votes);
        let pool = self.board.ledger.keeper_pool;
        rules::round::close(&mut self.board, &mut self.slots, &self.market.params, self.now)?;
        let closing = closing?;
        assert_eq!(closing.next_round(), Some(self.board.next_round), "invariant 18: what closing does");
        assert!(self.board.next_round > next_round, "invariant 6: a round closed twice");
        let counted = match closing {
            Closing::Count(round) => Some(round),
            Closing::Skip(_) => None,
        };
        let votes = std::mem::take(&mut self.votes);
        let quorate = votes.len() >= up_votes;
        for (index, (before, after)) in slots.iter().zip(&self.slots).enumerate() {
            let judged = counted.is_some_and(|round| quorate && before.attested_from <= round);
            let ones = votes.iter().filter(|vote| *vote >> index & 1 == 1).count();
            let up = judged && ones >= up_votes;
            let down = judged && !up && votes.len() - ones >= usize::from(self.board.threshold);
            let verdict = [up, down, judged && !up && !down].map(u32::from);
            let grown = [after.up - before.up, after.down - before.down, after.unseen - before.unseen];
            assert_eq!(grown, verdict, "invariant 6: verdict on slot {index} {before:?}");
            let served =
                counted.is_some_and(|round| (before.lease_from..before.lease_until).contains(&round));
            let grown = [
                after.lease_up - before.lease_up,
                after.lease_down - before.lease_down,
                after.lease_unseen - before.lease_unseen,
            ];
            assert_eq!(grown, verdict.map(|count| if served { count } else { 0 }), "slot {index} {before:?}");
        }
        let ledger = &self.board.ledger;
        assert!(ledger.keeper_pool <= pool && (quorate || ledger.keeper_pool == pool));
        Ok(closing)
    }

    fn take_seat(&mut self, input: &mut Input) -> Done {
        let (index, seat) = (usize::from(input.u8() & 15) % self.keepers.len(), input.u8() & 15);
        self.seat(index, seat)
    }

    pub fn seat(&mut self, keeper: usize, seat: u8) -> Done {
        let bond = self.market.params.keeper_bond;
        Ok(rules::seat::take(&mut self.board, &mut self.keepers[keeper], seat, bond, self.now)?)
    }

    fn leave_seat(&mut self, input: &mut Input) -> Done {
        let seat = input.u8() & 15;
        let leaver = match input.u8() % 3 {
            0 => Leaver::Anybody { now: self.now },
            kind => Leaver::Keeper { forfeits_fees: kind == 1 },
        };
        self.vacate(seat, leaver)
    }

    /// Empties a seat, whose fees are claimed before unless they are forfeited.
    pub fn vacate(&mut self, seat: u8, leaver: Leaver) -> Done {
        if leaver != (Leaver::Keeper { forfeits_fees: true }) {
            let seat = self.board.seat_mut(seat)?;
            let earned = std::mem::take(&mut seat.earned);
            self.board.ledger.keeper_fees -= earned;
            self.payments.paid_out += u128::from(earned);
        }
        let holder = self.board.seat(seat)?.keeper;
        let keeper = self.keepers.iter_mut().find(|keeper| keeper.authority == holder);
        let keeper = keeper.ok_or(Refusal::Impossible)?;
        Ok(rules::seat::leave(&mut self.board, keeper, seat, leaver)?)
    }

    // Machines.

    pub fn list(&mut self, input: &mut Input) -> Done {
        let supplier = usize::from(input.u8()) % SUPPLIERS;
        let vacant = self.slots.iter().position(|slot| slot.is(SlotState::Vacant));
        let round = self.board.round_at(self.now)?;
        let index = match vacant.filter(|_| input.bool()) {
            Some(index) => index,
            None if self.slots.len() < SLOTS => {
                let index = self.slots.len();
                self.board.resize(round, index as u32 + 1);
                let vacant = Slot { generation: self.board.fresh_generation, ..Slot::zeroed() };
                self.slots.push(vacant);
                index
            }
            None => return Err(Refusal::Impossible),
        };
        let traits = Traits {
            class: u16::from(input.u8() & 1),
            gpus: input.pick(&[1, 2, 4, 8, 255, 3]),
            speed: input.u8() & 3,
            country: 276,
            region: input.u8() & 1,
            flags: Traits::METERED,
        };
        let machine = Machine {
            slot: u16::try_from(index).ok(),
            node_key: [0x10 + index as u8; 32],
            traits,
            endpoint: Endpoint { ip: [1; 16], port: [1, 1] },
            price: if input.bool() { input.u64() } else { 1_000 + u64::from(input.u8()) },
            bond: input.between(0, 1 << 40),
            profile: None,
            turnaround: input.u8() & 31,
        };
        rules::machine::require_listing(&self.market, 1)?;
        let term =
            if input.bool() { self.term(input) } else { self.market.params.max_rounds.saturating_mul(2) };
        let committed_until = (round + 1).saturating_add(term);
        self.board.require_commitment(committed_until, round + 1, self.market.params.max_rounds)?;
        rules::machine::require_listable(&machine)?;
        let bond = rules::machine::bond(&self.market.params, &machine.traits, machine.bond)?;
        rules::machine::require_vacant(&self.slots[index])?;
        self.slots[index] = Slot {
            node_key: machine.node_key,
            supplier: supplier_address(supplier),
            traits,
            price: machine.price,
            endpoint: machine.endpoint,
            generation: self.slots[index].generation,
            score: INITIAL_SCORE,
            state: SlotState::Idle as u8,
            committed_until,
            attested_from: round + 1,
            bond,
            profile: Slot::NO_PROFILE,
            turnaround: machine.turnaround,
            ..Slot::zeroed()
        };
        Ok(rules::machine::count_listed(&mut self.board, &mut self.suppliers[supplier], bond)?)
    }

    /// A number of rounds, more often a small one.
    fn term(&self, input: &mut Input) -> u32 {
        match input.u8() {
            short @ 0..=127 => u32::from(short) + 1,
            128..=191 => u32::from(input.u8()) * 8 + 1,
            _ => input.u32(),
        }
    }

    /// Position of the supplier whose machine is in the slot.
    fn supplier_of(&self, slot: u16) -> std::result::Result<usize, Refusal> {
        let address = machine(&self.slots, slot)?.supplier;
        (0..SUPPLIERS).find(|index| supplier_address(*index) == address).ok_or(Refusal::Impossible)
    }

    fn reprice(&mut self, input: &mut Input) -> Done {
        let index = self.slot(input);
        let supplier = self.supplier_of(index)?;
        let next_round = self.board.round_after(self.now)?;
        let now = *machine(&self.slots, index)?;
        let offer = Offer {
            slot: index,
            price: if input.bool() { now.price } else { input.u64() },
            committed_until: match input.u8() % 3 {
                0 => now.committed_until,
                1 => now.lease_until,
                _ => next_round.saturating_add(self.term(input)),
            },
            bond: input.between(0, 1 << 40),
        };
        let slot = machine_mut(&mut self.slots, index)?;
        let bound = slot.is_bound(next_round - 1);
        let supplier = &mut self.suppliers[supplier];
        rules::machine::reprice(&self.market, &mut self.board, slot, supplier, &offer, next_round)?;
        assert!(!bound || (slot.price <= now.price && slot.committed_until == now.committed_until));
        Ok(())
    }

    fn withhold(&mut self, input: &mut Input) -> Done {
        let index = self.slot(input);
        let round = self.board.round_at(self.now)?;
        Ok(rules::machine::withhold(machine_mut(&mut self.slots, index)?, round)?)
    }

    fn retire(&mut self, input: &mut Input) -> Done {
        let index = self.slot(input);
        self.retire_slot(index, input.bool())
    }

    /// Retires a machine, whose supplier's earnings are claimed before.
    pub fn retire_slot(&mut self, index: u16, by_supplier: bool) -> Done {
        let supplier = self.supplier_of(index)?;
        let _ = self.claim_earnings(supplier);
        let round = self.board.round_at(self.now)?;
        let generation = machine(&self.slots, index)?.generation;
        let slot = machine_mut(&mut self.slots, index)?;
        let supplier = &mut self.suppliers[supplier];
        rules::machine::retire(&mut self.board, slot, supplier, by_supplier, self.now, round)?;
        assert!(
            self.slots[usize::from(index)].generation > generation,
            "invariant 11: a generation came back"
        );
        let vacant = self.slots.iter().rev().take_while(|slot| slot.is(SlotState::Vacant)).count();
        let left = self.slots.len() - vacant;
        for slot in self.slots.drain(left..) {
            self.board.outgrow(slot.generation);
        }
        if vacant > 0 {
            self.board.resize(round, left as u32);
        }
        Ok(())
    }

    fn forfeit(&mut self, input: &mut Input) -> Done {
        let index = self.slot(input);
        let round = self.board.round_at(self.now)?;
        Ok(rules::machine::forfeit(machine_mut(&mut self.slots, index)?, round)?)
    }

    // Leases.

    fn open(&mut self, input: &mut Input) -> Done {
        if self.leases.len() >= LEASES {
            return Err(Refusal::Impossible);
        }
        let kind = input.u8();
        let metered = kind & 3 == 3;
        let criteria = Criteria {
            class: input.pick(&[None, None, Some(0), Some(1)]),
            min_gpus: input.u8() & 3,
            min_speed: 0,
            place: input.pick(&[Place::Anywhere, Place::Anywhere, Place::Region(1), Place::Country(276)]),
            min_score: 0,
            max_price: u64::MAX,
            policy: if kind & 4 == 0 { Policy::Cheapest } else { Policy::Best },
            metered,
            max_gpus: u8::MAX,
            min_bond: 0,
            allow_unseen: kind & 8 == 0,
        };
        let meter = MeterArgs { spender: owner(), deposit: input.u64() };
        let args = OpenLeaseArgs {
            nonce: self.board.next_serial.into(),
            owner: owner(),
            criteria,
            gpus: input.between8(1, 32).into(),
            rounds: match input.u8() {
                0..=63 => self.market.params.max_rounds / 4,
                64..=95 => self.market.params.max_rounds,
                96..=127 => self.market.params.min_rounds,
                _ => self.term(input),
            },
            max_deposit: u64::MAX,
            group: None,
            hint: None,
            meter: metered.then_some(meter),
            avoid: if kind & 16 == 0 { Vec::new() } else { vec![self.slot(input)] },
            access: None,
        };
        let World { market, board, slots, now, payments, .. } = &mut *self;
        let quote = rules::open::quote(market, board, slots, *now, &args);
        payments.require(quote.as_ref().map_or(0, |opening| opening.deposit))?;
        let (before, unopened) = (slots.clone(), *board);
        let opened = rules::open::apply(market, board, slots, *now, &args);
        agree(&quote, &opened);
        let opening = opened?;
        let taken =
            |(index, slot): &(usize, &Slot)| slot.lease == opening.serial && before[*index].lease == 0;
        let taken = self.slots.iter().enumerate().filter(taken).count();
        assert_eq!(taken, opening.selection.machines as usize, "invariant 12: machines of a lease");
        let gpus = |index: usize| u32::from(self.slots[index].traits.gpus);
        let all: u32 = opening.selection.slots().map(gpus).sum();
        assert!(all >= args.gpus, "invariant 12: {all} GPUs of {}", args.gpus);
        let needed = opening.selection.slots().all(|index| all - gpus(index) < args.gpus);
        assert!(needed, "invariant 12: a machine is superfluous: {opening:?}");
        let hint = CutOff { price: input.u64(), score: INITIAL_SCORE, slot: self.slot(input) };
        let hinted = OpenLeaseArgs { hint: Some(hint), ..args.clone() };
        let hinted = rules::open::quote(&self.market, &unopened, &before, self.now, &hinted);
        let same = hinted.is_ok_and(|hinted| hinted.selection.words == opening.selection.words);
        assert!(same, "invariant 12: a hint changed the machines: {hint:?}");
        self.leases.push(opening.lease(&args, self.address, args.owner, 0));
        self.pay_in(opening.deposit)
    }

    fn extend(&mut self, input: &mut Input) -> Done {
        let index = self.lease(input)?;
        let rounds = self.term(input);
        let allowed = Allowance { max_deposit: u64::MAX, max_leaving: u32::from(input.u8() & 3) };
        let World { market, board, slots, leases, now, payments, .. } = &mut *self;
        let lease = &mut leases[index];
        let quote = rules::extend::quote(market, board, slots, lease, *now, rounds, allowed.max_leaving);
        payments.require(quote.as_ref().map_or(0, |extension| extension.deposit))?;
        let extended = rules::extend::apply(market, board, slots, lease, *now, rounds, allowed);
        agree(&quote, &extended);
        self.pay_in(extended?.deposit)
    }

    fn cancel(&mut self, input: &mut Input) -> Done {
        let index = self.lease(input)?;
        let mask = if input.bool() { input.u8() } else { 0 };
        let contest: Vec<u16> = (0..SLOTS as u16).filter(|slot| mask >> slot & 1 == 1).collect();
        let World { board, slots, leases, now, .. } = &mut *self;
        let lease = &mut leases[index];
        let quote = rules::cancel::quote(board, slots, lease, *now);
        let cancelled = rules::cancel::apply(board, slots, lease, &contest, *now);
        if cancelled.is_ok() || contest.is_empty() {
            agree(&quote, &cancelled);
        }
        cancelled?;
        Ok(())
    }

    fn replace(&mut self, input: &mut Input) -> Done {
        let index = self.lease(input)?;
        let (old_slot, contest) = (self.slot(input), input.bool());
        let wish = Wish { contest, ..Wish::any(old_slot) };
        let World { board, slots, leases, now, payments, .. } = &mut *self;
        let lease = &mut leases[index];
        let quote = rules::replace::quote(board, slots, lease, &wish, *now);
        payments.require(quote.as_ref().map_or(0, |replacement| replacement.deposit))?;
        let replaced = rules::replace::apply(board, slots, lease, &wish, *now);
        agree(&quote, &replaced);
        let replacement = replaced?;
        let (old, new) = (slots[usize::from(old_slot)], slots[usize::from(replacement.slot)]);
        assert!(new.traits.gpus >= old.traits.gpus, "invariant 12: fewer GPUs than before");
        self.pay_in(replacement.deposit)
    }

    fn transfer(&mut self, input: &mut Input) -> Done {
        let index = self.lease(input)?;
        let owner = Pubkey::new_from_array([input.u8(); 32]);
        Ok(rules::access::transfer(&mut self.leases[index], owner)?)
    }

    fn set_access(&mut self, input: &mut Input) -> Done {
        let (index, key, wipe) = (self.lease(input)?, input.u8(), input.bool());
        let access = (key > 0).then_some([key; 32]);
        Ok(rules::access::set(&mut self.leases[index], access, wipe, self.now)?)
    }

    /// Settles one lease, or those that can be.
    fn settle_some(&mut self, input: &mut Input) -> Done {
        if input.bool() {
            let lease = self.lease(input)?;
            return self.settle(lease);
        }
        for index in 0..self.leases.len() {
            if self.leases[index].state != LeaseState::Settled {
                self.settle(index).expect("invariant 16: a lease can be settled");
            }
        }
        Ok(())
    }

    /// Settles a lease as far as its rounds are closed.
    pub fn settle(&mut self, index: usize) -> Done {
        let World { board, slots, leases, .. } = &mut *self;
        let lease = &mut leases[index];
        let quote = rules::settle::quote(board, slots, lease, u32::MAX);
        let (before, bonds) = (slots.clone(), board.ledger.bonds);
        let settled = rules::settle::apply(board, slots, lease);
        agree(&quote, &settled);
        let settlement = settled?;
        assert_eq!(bonds - board.ledger.bonds, settlement.slashed, "invariant 8: what is slashed");
        for (before, after) in before.iter().zip(slots.iter()) {
            assert!(after.bond <= before.bond && after.accrued >= before.accrued);
            assert!(before.lease == lease.serial || before == after, "invariant 11: another lease's machine");
        }
        Ok(())
    }

    fn top_up(&mut self, input: &mut Input) -> Done {
        let (index, amount) = (self.lease(input)?, input.u64());
        self.payments.require(amount)?;
        rules::meter::top_up(&mut self.board, &mut self.leases[index], amount)?;
        self.pay_in(amount)
    }

    fn redeem(&mut self, input: &mut Input) -> Done {
        let index = self.lease(input)?;
        let lease = &mut self.leases[index];
        let slot =
            self.slots.iter().position(|slot| slot.lease == lease.serial).ok_or(Refusal::Impossible)?;
        let voucher = Voucher {
            slot: slot as u16,
            price: input.u64(),
            seq: input.u64(),
            units: input.u64(),
            ..Voucher::zeroed()
        };
        rules::meter::redeem(&mut self.board, &mut self.slots, lease, &voucher, self.now)?;
        Ok(())
    }

    fn give_notice(&mut self, input: &mut Input) -> Done {
        let index = self.lease(input)?;
        let ender = input.pick(&[Ender::Owner, Ender::Supplier, Ender::Anybody]);
        let World { board, slots, leases, now, .. } = &mut *self;
        let lease = &mut leases[index];
        let machine = rules::meter::machine(slots, lease)?;
        let quote = rules::meter::notice(board, lease, machine, ender, *now);
        let given = rules::meter::give_notice(board, slots, lease, ender, *now);
        agree(&quote, &given);
        given?;
        Ok(())
    }

    fn close_lease(&mut self, input: &mut Input) -> Done {
        let index = self.lease(input)?;
        let _ = self.claim_refund(index);
        self.close_settled(index)
    }

    pub fn close_settled(&mut self, index: usize) -> Done {
        rules::lease::require_closable(&self.board, &self.leases[index], self.now)?;
        self.board.leases -= 1;
        self.leases.remove(index);
        Ok(())
    }

    // Money.

    fn claim(&mut self, input: &mut Input) -> Done {
        match input.u8() % 4 {
            0 => self.claim_earnings(usize::from(input.u8()) % SUPPLIERS),
            1 => {
                let index = self.lease(input)?;
                self.claim_refund(index)
            }
            2 => {
                let fees = rules::claim::due(rules::board::take_fees(&mut self.board))?;
                self.payments.paid_out += u128::from(fees);
                Ok(())
            }
            _ => self.burn(false),
        }
    }

    pub fn claim_earnings(&mut self, supplier: usize) -> Done {
        let address = supplier_address(supplier);
        let theirs = self.slots.iter_mut().filter(|slot| slot.supplier == address);
        let amount: u64 = theirs.map(|slot| std::mem::take(&mut slot.accrued)).sum();
        self.board.ledger.accrued -= amount;
        self.payments.paid_out += u128::from(amount);
        self.claimed[supplier] += u128::from(amount);
        rules::claim::due(amount)?;
        Ok(())
    }

    pub fn claim_refund(&mut self, index: usize) -> Done {
        let amount = rules::claim::due(std::mem::take(&mut self.leases[index].refund_due))?;
        self.board.ledger.refunds -= amount;
        self.payments.paid_out += u128::from(amount);
        Ok(())
    }

    /// Burns what is to be burned.
    pub fn burn(&mut self, by_creator: bool) -> Done {
        self.stake.burned += u128::from(std::mem::take(&mut self.board.ledger.slashed));
        let amount = rules::board::take_burnable(&mut self.board, by_creator)?;
        self.payments.burned += u128::from(amount);
        Ok(())
    }

    fn fund(&mut self, input: &mut Input) -> Done {
        let amount = input.u64();
        self.payments.require(amount)?;
        rules::round::fund(&mut self.board, amount)?;
        self.pay_in(amount)
    }

    // Disputes.

    /// A receipt of a machine that serves a lease or served it.
    fn receipt(&self, input: &mut Input) -> std::result::Result<(usize, Receipt), Refusal> {
        let index = self.lease(input)?;
        let slot = self.slot(input);
        let machine = machine(&self.slots, slot)?;
        let lease = &self.leases[index];
        let since = u64::from(input.u16()) * 60_000;
        let receipt = Receipt {
            cluster: [0x61; 8],
            board: self.address.to_bytes()[..8].try_into().expect("eight bytes"),
            lease: lease.serial,
            generation: machine.generation,
            node_key: machine.node_key,
            supplier: machine.supplier.to_bytes()[..8].try_into().expect("eight bytes"),
            seq: self.next_demand,
            end_ms: u64::try_from(lease.begins()).unwrap_or_default() * 1_000 + since,
            slot,
            ..Receipt::zeroed()
        };
        Ok((index, receipt))
    }

    fn demand(&mut self, input: &mut Input) -> Done {
        let (index, receipt) = self.receipt(input)?;
        let World { board, slots, leases, now, .. } = &mut *self;
        let (machine, due) = rules::dispute::demand(board, slots, &mut leases[index], &receipt, *now)?;
        self.next_demand += 1;
        self.demands.push(Demand {
            version: Demand::VERSION,
            bump: 0,
            claimant: owner(),
            cluster: receipt.cluster,
            board: self.address,
            lease: owner(),
            supplier: machine.supplier,
            node_key: machine.node_key,
            slot: receipt.slot,
            generation: machine.generation,
            serial: receipt.lease,
            seq: receipt.seq,
            leaf: receipt.leaf(),
            due,
            fee: 0,
            shown: None,
        });
        Ok(())
    }

    fn end_demand(&mut self, input: &mut Input) -> Done {
        let (place, answers) = (usize::from(input.u8()), input.bool());
        if self.demands.is_empty() {
            return Err(Refusal::Impossible);
        }
        self.end_one(place % self.demands.len(), answers)
    }

    /// Answers a demand, or enforces it.
    pub fn end_one(&mut self, place: usize, answers: bool) -> Done {
        let demand = self.demands.remove(place);
        let World { board, slots, leases, now, .. } = &mut *self;
        let lease =
            leases.iter_mut().find(|lease| lease.serial == demand.serial).expect("held by the demand");
        let there =
            slots.get(usize::from(demand.slot)).is_some_and(|slot| rules::dispute::is_accused(slot, &demand));
        assert!(there, "invariant 9: a machine left while its receipt was demanded: {demand:?}");
        if answers {
            rules::dispute::release(slots, lease, &demand)?;
        } else {
            rules::dispute::enforce(board, slots, lease, &demand, *now)?;
        }
        Ok(())
    }

    fn equivocate(&mut self, input: &mut Input) -> Done {
        let (index, receipt) = self.receipt(input)?;
        let other = Namesake { end_ms: receipt.end_ms + 1, ..Namesake::of(&receipt) };
        let World { board, slots, leases, .. } = &mut *self;
        let lease = &mut leases[index];
        other.require_contradicting(&receipt, lease)?;
        rules::dispute::accused(board, slots, lease, &receipt)?;
        let machine = machine_mut(slots, receipt.slot)?;
        rules::dispute::convict(board, machine, lease)?;
        Ok(())
    }

    fn govern(&mut self, input: &mut Input) -> Done {
        match input.u8() % 4 {
            0 => self.market.paused = !self.market.paused,
            1 => {
                let rules = &self.market.rules;
                self.market.params.up_votes = input.between8(rules.least_up_votes(), rules.most_up_votes());
            }
            2 => self.market.params.bond_unit = input.between(1, 1 << 40),
            _ => self.record_day(usize::from(input.u8() & 1))?,
        }
        Ok(())
    }

    /// Records the price index of a class.
    fn record_day(&mut self, class: usize) -> Done {
        let index = &mut self.indexes[class];
        let quote = rules::index::quote(&self.board, index, self.now);
        let recorded = rules::index::record(&mut self.board, index, self.now);
        agree(&quote, &recorded);
        recorded?;
        Ok(())
    }
}
