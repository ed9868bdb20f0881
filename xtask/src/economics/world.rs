//! A market with one board that runs on the program's rules: wallets act, keepers vote, rounds close, leases settle, and what
//! each wallet ends with is counted.

use std::collections::BTreeMap;

use anchor_lang::prelude::Pubkey;
use bytemuck::Zeroable;
use leasehold::{
    constants::WORDS,
    instructions::{MeterArgs, Offer, OpenLeaseArgs},
    math::{
        matching::{Criteria, CutOff, Place, Policy},
        pricing, settlement,
    },
    rules::{
        cancel, claim, extend, machine, meter, open, replace, round,
        seat::{self, Leaver},
        settle,
    },
    state::{
        Board, Endpoint, Keeper, Lease, LeaseState, Market, Slot, SlotState, StakeLedger, Supplier, Traits,
        Verdict,
    },
};

use super::money::{self, Money};

/// Somebody with a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wallet {
    Buyer,
    Supplier,
    Rival,
    Stranger,
    Keeper(u8),
    Authority,
}

impl Wallet {
    fn key(self) -> Pubkey {
        let byte = match self {
            Wallet::Buyer => 1,
            Wallet::Supplier => 2,
            Wallet::Rival => 3,
            Wallet::Stranger => 4,
            Wallet::Authority => 5,
            Wallet::Keeper(seat) => 32 + seat,
        };
        Pubkey::new_from_array([byte; 32])
    }

    /// The wallets that can supply.
    const SUPPLIERS: [Wallet; 3] = [Wallet::Supplier, Wallet::Rival, Wallet::Buyer];
}

/// First round that is played.
const FIRST_ROUND: u32 = 100_000;

/// Result of an action: refused actions are mistakes of a scenario, but for those that try whether they are.
pub type Acted<T> = anchor_lang::Result<T>;

#[derive(Debug)]
pub struct World {
    pub market: Market,
    pub board: Box<Board>,
    pub slots: Vec<Slot>,
    pub leases: Vec<Lease>,
    pub suppliers: BTreeMap<Wallet, Supplier>,
    pub keepers: Vec<Keeper>,
    /// Payment tokens that each wallet gained.
    gained: BTreeMap<Wallet, Money>,
    /// Price of the rounds up, and of those void that count as up, in all leases that are settled.
    pub served: Money,
    /// Rounds in which a tenant computed on each slot, since the last lease began.
    pub computed: Vec<u32>,
    /// The round that runs.
    pub round: u32,
    /// Unix time: in the running round, after the votes on the one before it are counted.
    now: i64,
}

/// A machine to list.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    pub by: Wallet,
    pub class: u16,
    pub gpus: u8,
    /// Payment units per GPU and hour.
    pub price: u64,
    /// Rounds for which it is committed.
    pub rounds: u32,
    pub region: u8,
}

impl World {
    /// A market whose seats are all held.
    pub fn new(market: &Market) -> Self {
        let market = copy(market);
        let mut board = Box::new(Board::zeroed());
        board.adopt(&market.rules);
        (board.next_serial, board.next_round) = (1, FIRST_ROUND);
        board.up_votes = market.params.up_votes;
        let now = board.round_end(FIRST_ROUND).saturating_sub(1);
        let stake = |key: Wallet, free: u64| (key.key(), StakeLedger { free, ..StakeLedger::default() });
        let mut keepers = Vec::new();
        for index in 0..market.rules.seats {
            let (authority, stake) = stake(Wallet::Keeper(index), market.params.keeper_bond);
            let mut keeper = Keeper {
                version: Keeper::VERSION,
                bump: 0,
                market: board.market,
                authority,
                stake,
                locked: 0,
                seats: 0,
                reserved: [0; 64],
            };
            seat::take(&mut board, &mut keeper, index, market.params.keeper_bond, now).expect("a free seat");
            keepers.push(keeper);
        }
        let supplier = |wallet: Wallet| {
            let (authority, stake) = stake(wallet, 0);
            let market = board.market;
            (
                wallet,
                Supplier {
                    version: Supplier::VERSION,
                    bump: 0,
                    market,
                    authority,
                    stake,
                    machines: 0,
                    reserved: [0; 96],
                },
            )
        };
        let suppliers = Wallet::SUPPLIERS.into_iter().map(supplier).collect();
        World {
            market,
            board,
            slots: Vec::new(),
            leases: Vec::new(),
            suppliers,
            keepers,
            gained: BTreeMap::new(),
            served: Money::ZERO,
            computed: Vec::new(),
            round: FIRST_ROUND,
            now,
        }
    }

    /// Lists a machine, which is bonded with the minimum. Returns its slot.
    pub fn list(&mut self, listing: Listing) -> u16 {
        let Listing { by, class, gpus, price, rounds, region } = listing;
        let traits = Traits { class, gpus, speed: 1, region, flags: Traits::METERED, ..Traits::default() };
        let bond = machine::bond(&self.market.params, &traits, 0).expect("a class of the market");
        let supplier = self.suppliers.get_mut(&by).expect("a wallet that supplies");
        supplier.stake.deposit(bond).expect("a bond is positive");
        let next_round = self.round + 1;
        let index = u16::try_from(self.slots.len()).expect("few machines");
        self.slots.push(Slot {
            node_key: [u8::try_from(index).unwrap_or(u8::MAX); 32],
            supplier: by.key(),
            traits,
            price,
            bond,
            endpoint: Endpoint { ip: [1; 16], port: [1, 0] },
            committed_until: next_round + rounds,
            attested_from: next_round,
            state: SlotState::Idle as u8,
            profile: Slot::NO_PROFILE,
            ..Slot::zeroed()
        });
        self.computed.push(0);
        self.board.resize(self.round, u32::from(index) + 1);
        machine::count_listed(&mut self.board, supplier, bond).expect("room for a machine");
        index
    }

    pub fn slot(&self, slot: u16) -> &Slot {
        &self.slots[usize::from(slot)]
    }

    /// Offers a machine anew.
    pub fn reprice(&mut self, slot: u16, price: u64, rounds: u32) -> Acted<()> {
        let offer = Offer { slot, price, committed_until: self.round + 1 + rounds, bond: 0 };
        let World { market, board, slots, suppliers, round, .. } = self;
        let slot = &mut slots[usize::from(slot)];
        let supplier = suppliers.values_mut().find(|supplier| supplier.authority == slot.supplier);
        machine::reprice(market, board, slot, supplier.expect("a supplier"), &offer, *round + 1)
    }

    /// Leases GPUs of a class from the next round on. Returns the lease's place in `leases`.
    pub fn open(&mut self, owner: Wallet, request: &Ask) -> Acted<usize> {
        let nonce = self.leases.len() as u64;
        let args = request.args(owner, nonce);
        let opening = open::apply(&self.market, &mut self.board, &mut self.slots, self.now, &args)?;
        for slot in opening.selection.slots() {
            self.computed[slot] = 0;
        }
        self.book(owner, -Money::from(opening.deposit));
        self.leases.push(opening.lease(&args, Pubkey::default(), owner.key(), 0));
        Ok(self.leases.len() - 1)
    }

    /// Deposit of a lease that would be opened now with that hint, and the hint that its quote gives.
    pub fn quote(&self, owner: Wallet, request: &Ask, hint: Option<CutOff>) -> Acted<(u64, CutOff)> {
        let args = OpenLeaseArgs { hint, ..request.args(owner, self.leases.len() as u64) };
        let opening = open::quote(&self.market, &self.board, &self.slots, self.now, &args)?;
        Ok((opening.deposit, opening.selection.cut_off))
    }

    pub fn cancel(&mut self, lease: usize, contest: &[u16]) -> Acted<()> {
        cancel::apply(&self.board, &mut self.slots, &mut self.leases[lease], contest, self.now).map(drop)
    }

    /// Replaces a machine. Returns the slot of the new one.
    pub fn replace(&mut self, lease: usize, old_slot: u16, contest: bool) -> Acted<u16> {
        let wish = replace::Wish { contest, ..replace::Wish::any(old_slot) };
        let World { board, slots, leases, now, .. } = self;
        let replacement = replace::apply(board, slots, &mut leases[lease], &wish, *now)?;
        self.computed[usize::from(replacement.slot)] = 0;
        self.book(self.owner(lease), -Money::from(replacement.deposit));
        Ok(replacement.slot)
    }

    pub fn extend(&mut self, lease: usize, rounds: u32, max_leaving: u32) -> Acted<()> {
        let allowed = extend::Allowance { max_deposit: u64::MAX, max_leaving };
        let World { market, board, slots, leases, now, .. } = self;
        let extension = extend::apply(market, board, slots, &mut leases[lease], *now, rounds, allowed)?;
        self.book(self.owner(lease), -Money::from(extension.deposit));
        Ok(())
    }

    pub fn forfeit(&mut self, slot: u16) -> Acted<()> {
        machine::forfeit(&mut self.slots[usize::from(slot)], self.round)
    }

    pub fn end_metered(&mut self, lease: usize, ender: meter::Ender) -> Acted<()> {
        meter::give_notice(&self.board, &mut self.slots, &mut self.leases[lease], ender, self.now).map(drop)
    }

    /// Ends the running round, lets the keepers vote on it, and counts their votes. `vote` has the answer that a seat
    /// claims to have from a slot; `None` if the seat does not vote.
    pub fn vote(&mut self, vote: impl Fn(u8, u16) -> Option<bool>) {
        self.compute();
        let ended = self.round;
        let ballots = self.board.slots_at(ended + 1);
        self.now = self.board.round_end(ended);
        for seat in 0..self.market.rules.seats {
            let mut bitmap = vec![0u8; round::bitmap_len(ballots)];
            let mut attends = false;
            for slot in 0..ballots {
                let answer = vote(seat, u16::try_from(slot).expect("few machines"));
                attends |= answer.is_some();
                if answer == Some(true) {
                    bitmap[slot as usize / 8] |= 1 << (slot % 8);
                }
            }
            if attends && !self.board.seats[usize::from(seat)].is_vacant() {
                round::submit(&mut self.board, seat, ended, [0; 32], &bitmap, self.now)
                    .expect("a vote in time");
            }
        }
        self.count(ended);
    }

    /// As [`World::vote`], all seats as one, with a bit for each machine that is up; for thousands of machines. Nobody counts
    /// what their tenants compute.
    pub fn vote_as_one(&mut self, up: &[u64; WORDS]) {
        let ended = self.round;
        let seats = self.board.taken_seats();
        let tally = &mut self.board.tally;
        (tally.round, tally.submitted) = (ended, seats);
        for (power, plane) in tally.planes.iter_mut().enumerate() {
            if (seats.count_ones() >> power) & 1 == 1 {
                plane.copy_from_slice(up);
            }
        }
        self.count(ended);
    }

    /// Counts the votes on the round that ended.
    fn count(&mut self, ended: u32) {
        self.now = self.board.round_end(ended) + i64::from(self.board.submit_secs) + 1;
        if self.board.is_voting() {
            round::close(&mut self.board, &mut self.slots, &self.market.params, self.now)
                .expect("a round whose submit window is over");
        }
        self.round = ended + 1;
    }

    /// As [`World::vote`], all seats as one.
    pub fn verdicts(&mut self, is_up: impl Fn(u16) -> bool) {
        self.vote(|_, slot| Some(is_up(slot)));
    }

    /// Rounds in which every machine is up.
    pub fn up(&mut self, rounds: u32) {
        for _ in 0..rounds {
            self.verdicts(|_| true);
        }
    }

    /// Rounds in which nobody answers at `slot`, and every other machine is up.
    pub fn down(&mut self, slot: u16, rounds: u32) {
        for _ in 0..rounds {
            self.verdicts(|other| other != slot);
        }
    }

    /// Counts the running round as computed for the tenants that are not paused: a node pauses its tenant once its machine was
    /// up in none of two quorate rounds in a row, which it knows of in the round after the second.
    fn compute(&mut self) {
        let World { board, slots, computed, round, .. } = self;
        for (slot, computed) in slots.iter().zip(computed) {
            if slot.lease == 0 || *round < slot.lease_from || *round >= slot.lease_until {
                continue;
            }
            let known = (slot.lease_from..round.saturating_sub(1))
                .rev()
                .filter_map(|round| board.verdict(slot, round));
            let mut quorate = known.filter(|verdict| *verdict != Verdict::Void).take(2);
            let dark = |verdict: Option<Verdict>| verdict.is_some_and(|verdict| verdict != Verdict::Up);
            let is_paused = dark(quorate.next()) && dark(quorate.next());
            *computed += u32::from(!is_paused);
        }
    }

    /// Settles a lease as far as its rounds are closed.
    pub fn settle(&mut self, lease: usize) {
        let World { board, slots, leases, served, .. } = self;
        let lease = &mut leases[lease];
        while lease.state != LeaseState::Settled {
            let before = (lease.unsettled, lease.paid);
            let due =
                slots.iter().filter(|slot| slot.lease == lease.serial && settle::is_due(board, lease, slot));
            for slot in due {
                let service = lease.service(slot).expect("amounts fit");
                let rounds = service.up + settlement::void(&service);
                let price = pricing::gross(service.price, lease.terms.round_secs, rounds);
                *served += Money::from(price.expect("amounts fit"));
            }
            settle::apply(board, slots, lease).expect("a settlement never fails");
            if (lease.unsettled, lease.paid) == before {
                break;
            }
        }
    }

    /// Settles all leases, pays out what anybody may claim, and checks that nothing appeared or vanished.
    pub fn finish(mut self) -> Books {
        for lease in 0..self.leases.len() {
            self.settle(lease);
        }
        let mut books = Books { gained: std::mem::take(&mut self.gained), ..Books::default() };
        let mut book = |wallet, units: u64| *books.gained.entry(wallet).or_default() += Money::from(units);
        for slot in &self.slots {
            book(wallet_of(&slot.supplier), slot.accrued);
        }
        for lease in &self.leases {
            book(wallet_of(&lease.owner), lease.refund_due);
        }
        for (index, seat) in self.board.seats.iter().enumerate() {
            book(Wallet::Keeper(u8::try_from(index).unwrap_or(u8::MAX)), seat.earned);
        }
        let ledger = self.board.ledger;
        book(Wallet::Authority, ledger.fees);
        books.pool = ledger.keeper_pool.into();
        books.burned = ledger.burning.into();
        for slot in &self.slots {
            *books.bonds.entry(wallet_of(&slot.supplier)).or_default() += i128::from(slot.bond);
        }
        for (wallet, supplier) in &self.suppliers {
            *books.bonds.entry(*wallet).or_default() += i128::from(supplier.stake.free);
        }
        books.slashed = ledger.slashed.into();
        let sum = books.gained.values().fold(books.pool + books.burned, |sum, gained| sum + *gained);
        assert_eq!(sum + Money::from(ledger.escrow), Money::ZERO, "payments are neither made nor lost");
        assert_eq!(
            ledger.bonds,
            self.slots.iter().map(|slot| slot.bond).sum::<u64>(),
            "bonds are in the slots"
        );
        books.world = Some(self);
        books
    }

    fn book(&mut self, wallet: Wallet, amount: Money) {
        *self.gained.entry(wallet).or_default() += amount;
    }

    /// A stranger funds the keepers.
    pub fn fund(&mut self, amount: u64) {
        round::fund(&mut self.board, amount).expect("a positive amount");
        self.book(Wallet::Stranger, -Money::from(amount));
    }

    /// Claims what a machine has earned, for its supplier.
    pub fn claim(&mut self, slot: u16) -> Acted<()> {
        let slot = &mut self.slots[usize::from(slot)];
        let amount = claim::due(slot.accrued)?;
        slot.accrued = 0;
        self.board.ledger.accrued -= amount;
        let supplier = wallet_of(&slot.supplier);
        self.book(supplier, Money::from(amount));
        Ok(())
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    /// Lets the running round pass, but for its last second.
    pub fn skip_to_last_second(&mut self) {
        self.now = self.board.round_end(self.round).saturating_sub(1);
    }

    /// Vacates a keeper's seat that was idle for a day.
    pub fn vacate(&mut self, index: u8) -> Acted<()> {
        let leaver = Leaver::Anybody { now: self.now };
        seat::leave(&mut self.board, &mut self.keepers[usize::from(index)], index, leaver)
    }

    fn owner(&self, lease: usize) -> Wallet {
        wallet_of(&self.leases[lease].owner)
    }

    /// Rounds of so many seconds.
    pub fn rounds(&self, secs: u32) -> u32 {
        self.board.rounds_in(secs)
    }
}

fn wallet_of(key: &Pubkey) -> Wallet {
    match key.to_bytes()[0] {
        1 => Wallet::Buyer,
        2 => Wallet::Supplier,
        3 => Wallet::Rival,
        4 => Wallet::Stranger,
        5 => Wallet::Authority,
        byte => Wallet::Keeper(byte - 32),
    }
}

/// A copy of a market's account, without proposals.
pub fn copy(market: &Market) -> Market {
    Market { params: market.params.clone(), pending_params: None, reserved: market.reserved, ..*market }
}

/// What a buyer asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    pub criteria: Criteria,
    pub gpus: u32,
    pub rounds: u32,
    /// Deposit of a metered lease in payment units.
    pub meter: Option<u64>,
    pub avoid: Vec<u16>,
}

impl Ask {
    /// The cheapest machines of a class, of at most as many GPUs as are asked for.
    pub fn new(class: u16, gpus: u32, rounds: u32) -> Self {
        let criteria = Criteria {
            class: Some(class),
            min_gpus: 1,
            max_gpus: u8::try_from(gpus).unwrap_or(u8::MAX),
            min_speed: 0,
            place: Place::Anywhere,
            min_score: 0,
            max_price: u64::MAX,
            min_bond: 0,
            policy: Policy::Cheapest,
            metered: false,
            allow_unseen: false,
        };
        Ask { criteria, gpus, rounds, meter: None, avoid: Vec::new() }
    }

    fn args(&self, owner: Wallet, nonce: u64) -> OpenLeaseArgs {
        OpenLeaseArgs {
            nonce,
            owner: owner.key(),
            criteria: self.criteria,
            gpus: self.gpus,
            rounds: self.rounds,
            max_deposit: u64::MAX,
            group: None,
            hint: None,
            meter: self.meter.map(|deposit| MeterArgs { spender: owner.key(), deposit }),
            avoid: self.avoid.clone(),
            access: None,
        }
    }

    pub fn in_region(self, region: u8) -> Self {
        Ask { criteria: Criteria { place: Place::Region(region), ..self.criteria }, ..self }
    }

    pub fn metered(self, deposit: u64) -> Self {
        Ask { criteria: Criteria { metered: true, ..self.criteria }, meter: Some(deposit), ..self }
    }
}

/// What each wallet ends with.
#[derive(Debug, Default)]
pub struct Books {
    gained: BTreeMap<Wallet, Money>,
    /// Stake units that suppliers still own.
    bonds: BTreeMap<Wallet, i128>,
    pub pool: Money,
    pub burned: Money,
    /// Stake units burned.
    pub slashed: i128,
    pub world: Option<World>,
}

impl Books {
    /// Payment tokens gained less those spent.
    pub fn paid(&self, wallet: Wallet) -> Money {
        self.gained.get(&wallet).copied().unwrap_or_default()
    }

    /// Stake units that a supplier owns.
    pub fn bond(&self, wallet: Wallet) -> i128 {
        self.bonds.get(&wallet).copied().unwrap_or_default()
    }

    /// What a coalition owns: payment tokens gained, and bonds at the assumed price of stake.
    pub fn wealth(&self, wallets: &[Wallet]) -> Money {
        wallets
            .iter()
            .fold(Money::ZERO, |sum, wallet| sum + self.paid(*wallet) + Money::of_stake(self.bond(*wallet)))
    }
}

/// The class and price of the machines in the scenarios: the last but one of the market's list, if it has two.
pub fn usual_class(market: &Market) -> (u16, u64) {
    let class = market.params.classes.len().saturating_sub(2);
    let class = u16::try_from(class).unwrap_or_default();
    (class, money::price(&market.params, class))
}
