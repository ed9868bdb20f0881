//! The client's quotes equal the compiled program: on random markets, boards, leases and times, each of the five quotes
//! refuses as the program does, or says to the last unit what the program then does.
//!
//! Accounts are written directly, so that rare combinations of states occur. Every quote is tested twice: with fixed
//! cases, which reach each refusal, and with cases that are new in every run.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use anchor_lang::{AccountSerialize, Space};
use leasehold::{
    error::LeaseholdError,
    instructions::{MeterArgs, OpenLeaseArgs},
    math::{
        matching::{Criteria, CutOff, Place, Policy},
        pricing::{cancel_secs, gross},
        settlement::Payment,
    },
    state::{
        Board, Lease, LeaseState, Ledger, Market, Meter, SLOTS_OFFSET, Slot, SlotState, Traits, board_len,
        ring_bit, split, split_mut,
    },
};
use leasehold_client::{
    board::BoardData,
    error::{Refusal, from_code},
    instruction, quote,
};
use leasehold_tests::{World, anything};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner},
};
use solana_instruction::{Instruction, error::InstructionError};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction_error::TransactionError;

/// Cases of a quote that are the same in every run, and that are new in every run.
const FIXED: u32 = 1_200;
const FRESH: u32 = 150;

/// Content of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Vacant,
    Idle,
    Suspended,
    Barred,
    /// In another lease.
    Elsewhere,
    /// In the lease: and serves it, or is abandoned, forfeited or barred.
    Serving,
    Abandoned,
    Forfeited,
    Convicted,
}

impl Role {
    fn is_in_lease(self) -> bool {
        matches!(self, Role::Serving | Role::Abandoned | Role::Forfeited | Role::Convicted)
    }
}

#[derive(Clone, Debug)]
struct MachineCase {
    role: Role,
    price: u64,
    gpus: u8,
    score: u16,
    metered: bool,
    /// Rounds from the running one to the end of its commitment.
    committed: u32,
    /// Rounds after the lease's first in which it came to the lease.
    late: u32,
    /// Bit r mod 64: verdict of round r.
    up: u64,
    down: u64,
    /// Of its rounds up, how many hundredths are paid.
    settled: u32,
    bond: u64,
}

#[derive(Clone, Debug)]
struct Case {
    paused: bool,
    min_rounds: u32,
    max_rounds: u32,
    fee_bps: u16,
    keeper_share_bps: u16,
    sla_bps: u16,
    multiplier_bps: u32,
    round_secs: u32,
    /// The round that runs, and the second of it.
    round: u32,
    second: u32,
    /// Rounds that are over and not closed.
    lag: u32,
    /// Bit r mod 64: somebody voted in round r.
    voted: u64,
    machines: Vec<MachineCase>,
    /// Rounds from the lease's first to the one after the running, and rounds agreed on.
    age: u32,
    rounds: u32,
    state: LeaseState,
    metered: bool,
    /// Payment units left over by machines that were replaced.
    surplus: u64,
    criteria: Criteria,
    /// The request: machines to open with, rounds to open with or extend by, slot to replace.
    count: u32,
    more: u32,
    slot: u16,
    /// Hint for the program: the quote's cut-off, a wrong one, or `None`.
    hint: u8,
}

fn prices() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 350_000..350_010u64,
        2 => 1..10u64,
        1 => Just(u64::MAX),
        1 => u64::MAX / 2..=u64::MAX,
        1 => (0..64u32).prop_map(|power| 1 << power),
        2 => 1..=u64::MAX,
    ]
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![
        1 => Just(Role::Vacant),
        4 => Just(Role::Idle),
        1 => Just(Role::Suspended),
        1 => Just(Role::Barred),
        1 => Just(Role::Elsewhere),
        6 => Just(Role::Serving),
        1 => select(vec![Role::Abandoned, Role::Forfeited, Role::Convicted]),
    ]
}

fn machines() -> impl Strategy<Value = MachineCase> {
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
        prop_oneof![4 => Just(1_000_000), 1 => Just(0), 1 => 0..=u64::MAX / 64],
    )
        .prop_map(|((role, price, gpus, score, metered), committed, late, (up, down), settled, bond)| {
            MachineCase { role, price, gpus, score, metered, committed, late, up, down, settled, bond }
        })
}

fn criteria() -> impl Strategy<Value = Criteria> {
    let max_price = prop_oneof![2 => Just(u64::MAX), 1 => Just(350_005), 1 => prices()];
    (select(vec![0, 1, 2]), select(vec![0, 5_000]), max_price, any::<bool>()).prop_map(
        |(min_gpus, min_score, max_price, best)| Criteria {
            min_gpus,
            min_score,
            max_price,
            policy: if best { Policy::Best } else { Policy::Cheapest },
            place: Place::Anywhere,
            ..anything()
        },
    )
}

fn cases() -> impl Strategy<Value = Case> {
    let market = (
        prop::bool::weighted(0.1),
        prop_oneof![3 => Just(1), 1 => 1..12u32],
        prop_oneof![4 => Just(10_000), 1 => 12..70u32, 1 => Just(u32::MAX)],
        select(vec![0, 300, 1_111, 3_000]),
        select(vec![0, 4_000, 10_000]),
        select(vec![0, 9_000, 9_500, 10_000]),
        select(vec![0, 10_000, 20_000, 100_000]),
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
    let asked = (prop_oneof![8 => 1..5u32, 1 => Just(0), 1 => 5..20u32], more, 0..16u16, 0..3u8);
    (market, board, lease, asked).prop_map(|(market, board, lease, asked)| {
        let (paused, min_rounds, max_rounds, fee_bps, keeper_share_bps, sla_bps, multiplier_bps) = market;
        let (round_secs, round, second, lag, voted, machines) = board;
        let (age, rounds, state, metered, surplus, criteria) = lease;
        let (count, more, slot, hint) = asked;
        Case {
            paused,
            min_rounds,
            max_rounds,
            fee_bps,
            keeper_share_bps,
            sla_bps,
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
            hint,
        }
    })
}

/// A world whose market, board and lease are made up anew for each case.
struct Stage {
    world: World,
    owner: Keypair,
    /// Serial of the case's lease: each has its own, so that no address is used twice.
    serial: u32,
    market: Market,
    board: Board,
    lease: Lease,
}

impl Stage {
    fn new() -> Self {
        let mut world = World::new();
        let owner = world.wallet();
        let data = world.data(&world.board().address);
        let board = *split(&data).expect("a board").0;
        let market = world.market_account();
        let lease = Lease {
            version: Lease::VERSION,
            bump: 0,
            state: LeaseState::Open,
            board: world.board().address,
            serial: 0,
            buyer: owner.pubkey(),
            owner: owner.pubkey(),
            criteria: anything(),
            terms: market.params.terms(600, 1),
            group: None,
            machines: 0,
            settled: 0,
            from: 0,
            until: 0,
            deposit: 0,
            paid: 0,
            fees: 0,
            refunded: 0,
            refund_due: 0,
            slashed: 0,
            compensation_due: 0,
            meter: None,
            demands: 0,
            reserved: [0; 7],
        };
        Stage { world, owner, serial: 0, market, board, lease }
    }

    /// Makes up everything that a case says. The board's next serial is one above that of the lease.
    fn set(&mut self, case: &Case) {
        self.serial += 2;
        let params = &mut self.market.params;
        self.market.paused = case.paused;
        (params.min_rounds, params.max_rounds) = (case.min_rounds.min(case.max_rounds), case.max_rounds);
        (params.fee_bps, params.keeper_share_bps, params.sla_bps) =
            (case.fee_bps, case.keeper_share_bps, case.sla_bps);
        params.slash_multiplier_bps = case.multiplier_bps;
        self.lease = case.lease(&self.lease, &self.market, self.serial);
        let slots = case.slots(&mut self.lease);
        let header = case.header(&self.board, &slots, &self.lease);
        self.write_board(&header, &slots);
        self.write(self.world.market.address, &self.market.clone(), 8 + Market::INIT_SPACE);
        self.write(self.world.board().lease(self.serial), &self.lease.clone(), 8 + Lease::INIT_SPACE);
        // Nobody has more tokens than there are.
        let held = header.ledger.escrow + header.ledger.accrued;
        let (vault, wallet) = (self.world.board().payment_vault(), self.wallet());
        self.set_tokens(vault, held);
        self.set_tokens(wallet, u64::MAX - held);
        self.world.set_time(i64::from(case.round) * i64::from(case.round_secs) + i64::from(case.second));
    }

    fn wallet(&self) -> Pubkey {
        self.world.market.payment_account(&self.owner.pubkey())
    }

    fn write(&mut self, address: Pubkey, account: &impl AccountSerialize, len: usize) {
        let mut data = vec![];
        account.try_serialize(&mut data).expect("fits memory");
        data.resize(len, 0);
        self.write_data(address, data);
    }

    fn write_data(&mut self, address: Pubkey, data: Vec<u8>) {
        let lamports = self.world.svm.minimum_balance_for_rent_exemption(data.len());
        let account = solana_account::Account { lamports, data, owner: leasehold::ID, ..Default::default() };
        self.world.svm.set_account(address, account).expect("any account can be made up");
    }

    fn write_board(&mut self, header: &Board, slots: &[Slot]) {
        let address = self.world.board().address;
        let mut data = self.world.data(&address)[..8].to_vec();
        data.resize(board_len(slots.len()), 0);
        data[8..SLOTS_OFFSET].copy_from_slice(bytemuck::bytes_of(header));
        data[SLOTS_OFFSET..].copy_from_slice(bytemuck::cast_slice(slots));
        self.write_data(address, data);
    }

    fn set_tokens(&mut self, address: Pubkey, amount: u64) {
        let mut account = self.world.svm.get_account(&address).expect("a token account");
        account.data[64..72].copy_from_slice(&amount.to_le_bytes());
        self.world.svm.set_account(address, account).expect("any account can be made up");
    }

    fn data(&self) -> BoardData {
        BoardData::new(&self.world.data(&self.world.board().address)).expect("a board")
    }

    fn account(&self) -> Lease {
        self.world.lease(self.serial)
    }

    fn slots(&self) -> Vec<Slot> {
        self.world.with_board(|_, slots| slots.to_vec())
    }

    fn ledger(&self) -> Ledger {
        self.world.with_board(|board, _| board.ledger)
    }

    fn tokens(&self) -> u64 {
        self.world.tokens(&self.wallet())
    }

    /// Sends an instruction: nothing, or the number of the error.
    fn send(&mut self, instruction: Instruction) -> Result<(), u32> {
        let owner = self.owner.insecure_clone();
        match self.world.send(&[instruction], &[&owner]) {
            Ok(_) => Ok(()),
            Err(failed) => match failed.err {
                TransactionError::InstructionError(1, InstructionError::Custom(code)) => Err(code),
                other => panic!("{other:?}\n{}", failed.meta.pretty_logs()),
            },
        }
    }
}

impl Stage {
    /// Sends what deposits tokens, for exactly the deposit that was quoted, after one unit less was refused. `None` if
    /// nobody has so many tokens: then the token program refuses, or a sum of deposits overflows.
    fn deposit(
        &mut self,
        quoted: Option<u64>,
        instruction: impl Fn(u64) -> Instruction,
    ) -> Result<Option<Result<(), u32>>, TestCaseError> {
        let Some(deposit) = quoted else { return Ok(Some(self.send(instruction(u64::MAX)))) };
        if deposit > self.tokens() {
            prop_assert!(self.send(instruction(u64::MAX)).is_err());
            return Ok(None);
        }
        if let Some(less) = deposit.checked_sub(1) {
            prop_assert_eq!(self.send(instruction(less)), Err(TOO_DEAR));
        }
        Ok(Some(self.send(instruction(deposit))))
    }
}

impl Case {
    fn lease(&self, blank: &Lease, market: &Market, serial: u32) -> Lease {
        let from = self.round + 1 - self.age;
        let mut terms = market.params.terms(self.round_secs, self.rounds);
        let mut until = from + self.rounds;
        if self.state == LeaseState::Cancelled && !self.metered {
            until = from + self.rounds.div_ceil(2);
            let rest = self.rounds - self.rounds.div_ceil(2);
            terms.cancel_secs = cancel_secs(self.round_secs, rest).expect("fits");
        }
        let meter = Meter { spender: blank.owner, seq: 0, units: 0 };
        Lease {
            state: self.state,
            serial,
            criteria: Criteria { metered: self.metered, ..self.criteria },
            terms,
            from,
            until,
            meter: self.metered.then_some(meter),
            machines: 0,
            settled: 0,
            deposit: 0,
            paid: 0,
            fees: 0,
            refunded: 0,
            refund_due: 0,
            slashed: 0,
            compensation_due: 0,
            group: None,
            ..blank.clone()
        }
    }

    /// The slots; the amount that their machines were paid so far is written to the lease.
    fn slots(&self, lease: &mut Lease) -> Vec<Slot> {
        let settled = lease.state == LeaseState::Settled;
        let count = self.machines.iter().filter(|machine| machine.role.is_in_lease()).count() as u64;
        // All machines of a lease are paid for by tokens that there are.
        let secs = u128::from(self.round_secs) * u128::from(self.rounds + 1);
        let most = u128::from(u64::MAX / 4 / count.max(1)) * 3_600 / secs;
        let most = u64::try_from(most).unwrap_or(u64::MAX).max(1);
        let mut slots = vec![];
        for (machine, index) in self.machines.iter().zip(0..) {
            let mut role = machine.role;
            // A settled lease has let its machines go; a metered one has one machine.
            if role.is_in_lease() && (settled || lease.meter.is_some() && lease.machines == 1) {
                role = Role::Idle;
            }
            let mut slot = machine.slot(index, self.round);
            match role {
                Role::Vacant => slot = Slot { supplier: slot.supplier, ..bytemuck::Zeroable::zeroed() },
                Role::Idle => {}
                Role::Suspended => slot.state = SlotState::Suspended as u8,
                Role::Barred => (slot.state, slot.bond) = (SlotState::Barred as u8, 0),
                Role::Elsewhere => slot.begin_lease(1, self.round - 3, self.round + 3),
                Role::Serving | Role::Abandoned | Role::Forfeited | Role::Convicted => {
                    slot.price = slot.price.min(most);
                    self.serve(&mut slot, machine, lease);
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
            (lease.settled, lease.refunded) = (lease.machines, lease.deposit - lease.paid - lease.fees);
        } else {
            lease.deposit += self.surplus;
        }
        slots
    }

    /// The slot to replace: mostly one of the lease, preferably one whose machine broke its promise.
    fn replaced(&self) -> u16 {
        let of = |wanted: fn(Role) -> bool| {
            let slots = (0..).zip(&self.machines).filter(|(_, machine)| wanted(machine.role));
            slots.map(|(index, _)| index).collect::<Vec<u16>>()
        };
        let (broken, all) = (of(|role| role.is_in_lease() && role != Role::Serving), of(Role::is_in_lease));
        let wanted = if self.slot < 8 && !broken.is_empty() { broken } else { all };
        match wanted.len() {
            0 => self.slot,
            // Any slot at all.
            _ if self.slot >= 10 => self.slot - 10,
            len => wanted[usize::from(self.slot) % len],
        }
    }

    /// First round that is not closed.
    fn next_round(&self) -> u32 {
        self.round - self.lag
    }

    /// Puts a machine into the lease, with the verdicts and payments of its closed rounds.
    fn serve(&self, slot: &mut Slot, machine: &MachineCase, lease: &mut Lease) {
        let from = (lease.from + machine.late).min(lease.until - 1).min(self.round + 1).max(lease.from);
        slot.begin_lease(lease.serial, from, lease.until);
        for round in from..lease.until.min(self.next_round()).max(from) {
            let bit = 1u64 << ring_bit(round);
            let voted = self.voted & bit != 0;
            slot.lease_up += u32::from(voted && machine.up & bit != 0);
            slot.lease_down += u32::from(voted && machine.down & bit != 0);
        }
        (slot.history_up, slot.history_down) = (machine.up, machine.down);
        match machine.role {
            Role::Abandoned => slot.flags = Slot::ABANDONED,
            Role::Forfeited => slot.state = SlotState::Suspended as u8,
            Role::Convicted => (slot.state, slot.bond) = (SlotState::Barred as u8, 0),
            _ => {}
        }
        lease.machines += 1;
        if lease.meter.is_some() {
            return;
        }
        slot.lease_settled = slot.lease_up * machine.settled / 100;
        let before = gross(slot.price, self.round_secs, slot.lease_settled).expect("fits");
        let paid = Payment::difference(before, 0, lease.terms.fee_bps).expect("fits");
        lease.paid += paid.net;
        lease.fees += paid.fee;
        slot.accrued = paid.net;
        // The agreed rounds, whatever happened since.
        let agreed = lease.from + lease.terms.rounds;
        lease.deposit += lease.deposit_of(slot, agreed).expect("fits");
    }

    fn header(&self, blank: &Board, slots: &[Slot], lease: &Lease) -> Board {
        let mut header = *blank;
        (header.round_secs, header.submit_secs) = (self.round_secs, self.round_secs.div_ceil(2));
        header.slots = u32::try_from(slots.len()).expect("few");
        header.machines = header.slots;
        (header.next_serial, header.leases) = (lease.serial + 1, 3);
        header.next_round = self.next_round();
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
    fn slot(&self, index: u8, round: u32) -> Slot {
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
            ..bytemuck::Zeroable::zeroed()
        }
    }
}

/// How often each outcome was reached: the name of an error, or "ok".
type Reached = BTreeMap<String, u32>;

/// Plays cases of a quote: those that are the same in every run must reach every one of these refusals, and success.
#[track_caller]
fn play(refusals: &[LeaseholdError], check: fn(&mut Stage, &Case) -> Result<Option<u32>, TestCaseError>) {
    let stage = RefCell::new(Stage::new());
    let reached = RefCell::new(Reached::new());
    let run = |case: Case| -> TestCaseResult {
        let mut stage = stage.borrow_mut();
        stage.set(&case);
        let refusal = check(&mut stage, &case)?;
        let name = refusal.map_or("ok".to_owned(), |code| match from_code(code) {
            Some(error) => format!("{error:?}"),
            None => code.to_string(),
        });
        *reached.borrow_mut().entry(name).or_default() += 1;
        Ok(())
    };
    let config = |cases| Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config(FIXED), rng).run(&cases(), run).unwrap_or_else(|error| panic!("{error}"));
    println!("{:?}", reached.borrow());
    let found: BTreeSet<String> = reached.borrow().keys().cloned().collect();
    let expected = refusals.iter().map(|error| format!("{error:?}")).chain(["ok".to_owned()]);
    assert_eq!(found, expected.collect(), "not every refusal was reached, or one that is not expected");
    TestRunner::new(config(FRESH)).run(&cases(), run).unwrap_or_else(|error| panic!("{error}"));
}

/// Compares a quote's refusal with the program's. `None` if both refused, or the quote's value if neither did.
fn agreed<T>(quoted: Result<T, Refusal>, played: Result<(), u32>) -> Result<Result<T, u32>, TestCaseError> {
    match (quoted, played) {
        (Ok(quoted), Ok(())) => Ok(Ok(quoted)),
        (Err(refusal), Err(code)) if refusal.code == code => Ok(Err(code)),
        (quoted, played) => {
            let quoted = quoted.err().map(|refusal| refusal.to_string());
            let played = played.err().map(|code| from_code(code).map(|error| error.to_string()));
            Err(TestCaseError::fail(format!("the quote says {quoted:?}, the program {played:?}")))
        }
    }
}

const TOO_DEAR: u32 = LeaseholdError::CostsTooMuch as u32 + anchor_lang::error::ERROR_CODE_OFFSET;

#[test]
fn open_lease_does_what_was_quoted() {
    use LeaseholdError::*;
    let refusals =
        [MathOverflow, MarketPaused, NoMachines, MeterMismatch, AmountIsZero, LeaseLength, NotEnoughMachines];
    play(&refusals, |stage, case| {
        // One of four leases is paid by use; one of those has no deposit.
        let meter = (case.slot % 4 == 0)
            .then(|| MeterArgs { spender: stage.owner.pubkey(), deposit: u64::from(case.slot % 8) * 1_000 });
        let criteria = Criteria { metered: case.slot % 16 == 1, ..case.criteria };
        let data = stage.data();
        let (view, now) = (data.view().expect("a board"), stage.world.now());
        let quoted = match meter {
            None => quote::quote(&stage.market, &view, now, &criteria, case.count, case.more),
            Some(meter) => quote::quote_metered(&stage.market, &view, now, &criteria, case.more, meter),
        };
        let criteria = Criteria { metered: criteria.metered || meter.is_some(), ..criteria };
        let machines = if meter.is_some() { 1 } else { case.count };
        let mut args = stage.world.lease_args(criteria, machines, case.more);
        args.meter = meter;
        args.hint = match (case.hint, &quoted) {
            (0, Ok(quoted)) => Some(quoted.hint),
            (1, _) => Some(CutOff { price: 350_003, score: 5_000 }),
            _ => None,
        };
        let (board, owner, wallet) = (stage.world.board(), stage.owner.pubkey(), stage.wallet());
        let open = |max_deposit| {
            instruction::open_lease(&board, owner, wallet, OpenLeaseArgs { max_deposit, ..args })
        };
        let before = stage.tokens();
        let deposit = quoted.as_ref().ok().map(|quoted| quoted.deposit);
        let Some(played) = stage.deposit(deposit, open)? else { return Ok(Some(MathOverflow.into())) };
        let quoted = match agreed(quoted, played)? {
            Ok(quoted) => quoted,
            Err(code) => return Ok(Some(code)),
        };
        let lease = stage.world.lease(quoted.serial);
        prop_assert_eq!(before - stage.tokens(), quoted.deposit);
        prop_assert_eq!((lease.deposit, lease.machines), (quoted.deposit, quoted.slots.len() as u32));
        prop_assert_eq!((lease.from, lease.until, lease.terms), (quoted.from, quoted.until, quoted.terms));
        let taken = stage.slots();
        let taken = (0..).zip(&taken).filter(|(_, slot)| slot.lease == lease.serial);
        prop_assert_eq!(taken.map(|(index, _)| index).collect::<Vec<u16>>(), quoted.slots);
        Ok(None)
    });
}

#[test]
fn extend_lease_does_what_was_quoted() {
    use LeaseholdError::*;
    let refusals = [MathOverflow, MarketPaused, LeaseNotOpen, LeaseOver, LeaseLength, MachineNotCommitted];
    play(&refusals, |stage, case| {
        let data = stage.data();
        let (lease, address) = (stage.account(), stage.world.board().lease(stage.serial));
        let view = data.view().expect("a board");
        let quoted = quote::extension(&stage.market, &view, stage.world.now(), &lease, case.more);
        let (board, owner, wallet) = (stage.world.board(), stage.owner.pubkey(), stage.wallet());
        let extend = |most| instruction::extend_lease(&board, owner, address, wallet, case.more, most);
        let before = stage.tokens();
        let deposit = quoted.as_ref().ok().map(|quoted| quoted.deposit);
        let Some(played) = stage.deposit(deposit, extend)? else { return Ok(Some(MathOverflow.into())) };
        let quoted = match agreed(quoted, played)? {
            Ok(quoted) => quoted,
            Err(code) => return Ok(Some(code)),
        };
        let after = stage.account();
        prop_assert_eq!(before - stage.tokens(), quoted.deposit);
        prop_assert_eq!((after.deposit, after.deposit - lease.deposit), (quoted.total, quoted.deposit));
        prop_assert_eq!((after.until, after.terms.rounds), (quoted.until, quoted.rounds));
        let ends = stage.slots().into_iter().filter(|slot| slot.lease == after.serial);
        prop_assert!(ends.into_iter().all(|slot| slot.lease_until == quoted.until));
        Ok(None)
    });
}

#[test]
fn cancel_lease_does_what_was_quoted() {
    use LeaseholdError::*;
    play(&[LeaseNotOpen, LeaseMetered, LeaseOver], |stage, _| {
        let data = stage.data();
        let lease = stage.account();
        let quoted = quote::cancellation(&data.view().expect("a board"), stage.world.now(), &lease);
        let (board, owner, address) =
            (stage.world.board(), stage.owner.pubkey(), stage.world.board().lease(stage.serial));
        let played = stage.send(instruction::cancel_lease(&board, owner, address));
        let quoted = match agreed(quoted, played)? {
            Ok(quoted) => quoted,
            Err(code) => return Ok(Some(code)),
        };
        let after = stage.account();
        prop_assert_eq!(after.state, LeaseState::Cancelled);
        prop_assert_eq!((after.until, after.terms.cancel_secs), (quoted.until, quoted.cancel_secs));
        prop_assert_eq!(lease.until - after.until, quoted.rest);

        // Every machine is up until the end, and the lease is settled: the refund is the quoted one.
        let mut data = stage.data();
        let (header, slots) = split_mut(data.bytes_mut()).expect("a board");
        header.next_round = after.until;
        let mut machines = 0;
        for slot in slots.iter_mut().filter(|slot| slot.lease == after.serial) {
            machines += 1;
            prop_assert_eq!(slot.lease_until, quoted.until);
            (slot.state, slot.flags) = (SlotState::Leased as u8, 0);
            (slot.lease_up, slot.lease_down) = (slot.lease_until - slot.lease_from, 0);
        }
        stage.write_data(board.address, data.bytes().to_vec());
        if machines == 0 {
            return Ok(None);
        }
        prop_assert_eq!(stage.send(instruction::settle_lease(&board, owner, address, None)), Ok(()));
        prop_assert_eq!(stage.account().refund_due, quoted.refund);
        Ok(None)
    });
}

#[test]
fn replace_node_does_what_was_quoted() {
    use LeaseholdError::*;
    let refusals = [
        MathOverflow,
        LeaseNotOpen,
        LeaseMetered,
        LeaseOver,
        NoSuchSlot,
        SlotVacant,
        NotInLease,
        MachineNotDown,
        NotEnoughMachines,
    ];
    play(&refusals, |stage, case| {
        let slot = case.replaced();
        let data = stage.data();
        let (lease, address) = (stage.account(), stage.world.board().lease(stage.serial));
        let quoted = quote::replacement(&data.view().expect("a board"), stage.world.now(), &lease, slot);
        let hint = match (case.hint, &quoted) {
            (0, Ok(quoted)) => Some(quoted.hint),
            (1, _) => Some(CutOff { price: 350_003, score: 5_000 }),
            _ => None,
        };
        let (board, owner, wallet) = (stage.world.board(), stage.owner.pubkey(), stage.wallet());
        let replace = |most| instruction::replace_node(&board, owner, address, wallet, slot, most, hint);
        let (before, ledger) = (stage.tokens(), stage.ledger());
        let deposit = quoted.as_ref().ok().map(|quoted| quoted.deposit);
        let Some(played) = stage.deposit(deposit, replace)? else { return Ok(Some(MathOverflow.into())) };
        let quoted = match agreed(quoted, played)? {
            Ok(quoted) => quoted,
            Err(code) => return Ok(Some(code)),
        };
        let (after, slots) = (stage.account(), stage.slots());
        let (old, new) = (slots[usize::from(slot)], slots[usize::from(quoted.slot)]);
        prop_assert_eq!((old.lease, old.lease_until), (0, quoted.old_until));
        prop_assert_eq!(
            (new.lease, new.lease_from, new.lease_until),
            (lease.serial, quoted.from, lease.until)
        );
        let payment = Payment { net: after.paid - lease.paid, fee: after.fees - lease.fees };
        prop_assert_eq!(payment, quoted.outcome.payment);
        prop_assert_eq!(after.slashed - lease.slashed, quoted.outcome.slash);
        prop_assert_eq!(ledger.bonds - stage.ledger().bonds, quoted.outcome.slash);
        prop_assert_eq!(before - stage.tokens(), quoted.deposit);
        prop_assert_eq!((after.deposit, after.deposit - lease.deposit), (quoted.total, quoted.deposit));
        Ok(None)
    });
}

#[test]
fn settle_lease_does_what_was_quoted() {
    play(&[LeaseholdError::LeaseSettled], |stage, _| {
        let data = stage.data();
        let (lease, ledger) = (stage.account(), stage.ledger());
        let view = data.view().expect("a board");
        let quoted = quote::settlement(&view, &lease);
        // So few machines take one transaction.
        prop_assert_eq!(quote::next_settlement(&view, &lease), quoted);
        let (board, owner, address) =
            (stage.world.board(), stage.owner.pubkey(), stage.world.board().lease(stage.serial));
        let played = stage.send(instruction::settle_lease(&board, owner, address, None));
        let quoted = match agreed(quoted, played)? {
            Ok(quoted) => quoted,
            Err(code) => return Ok(Some(code)),
        };
        let after = stage.account();
        let payment = Payment { net: after.paid - lease.paid, fee: after.fees - lease.fees };
        prop_assert_eq!(payment, quoted.payment);
        prop_assert_eq!(stage.ledger().accrued - ledger.accrued, quoted.payment.net);
        prop_assert_eq!(after.refunded - lease.refunded, quoted.refunded);
        prop_assert_eq!(after.slashed - lease.slashed, quoted.slashed);
        prop_assert_eq!(ledger.bonds - stage.ledger().bonds, quoted.slashed);
        prop_assert_eq!(after.settled - lease.settled, quoted.machines);
        let ends = quoted.is_final && after.settled == after.machines;
        prop_assert_eq!(after.state == LeaseState::Settled, ends);
        Ok(None)
    });
}
