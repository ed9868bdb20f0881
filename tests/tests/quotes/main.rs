//! The client's quotes equal the compiled program: on random markets, boards, leases and times, each of the five quotes
//! refuses as the program does, or says to the last unit what the program then does.
//!
//! Accounts are written directly, so that rare combinations of states occur. Every quote is tested twice: with fixed
//! cases, which reach each refusal, and with cases that are new in every run.

mod boards;
mod cases;
mod stage;

use leasehold::error::LeaseholdError;
use leasehold::instructions::{MeterArgs, OpenLeaseArgs, ReplaceNodeArgs};
use leasehold::math::matching::{Criteria, CutOff};
use leasehold::math::settlement::Payment;
use leasehold::rules::{extend::Allowance, open, replace::Wish};
use leasehold::state::{Lease, LeaseState, Slot};
use leasehold_client::error::{Refusal, from_code};
use leasehold_client::{instruction, quote};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use solana_signer::Signer;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use cases::*;
use stage::*;

/// Cases of a quote that are the same in every run, and that are new in every run.
const FIXED: u32 = 1_200;
const FRESH: u32 = 150;

/// How often each outcome was reached: the name of an error, or "ok".
type Reached = BTreeMap<String, u32>;

/// Plays a case, and returns the number of the refusal. `None` if nothing was refused.
type Check = fn(&mut Stage, &Case) -> Result<Option<u32>, TestCaseError>;

/// As [`play_cases`], on any cases.
#[track_caller]
fn play(refusals: &[LeaseholdError], check: Check) {
    play_cases(&cases(), refusals, check);
}

/// Plays cases of a quote: those that are the same in every run must reach every one of these refusals, and success.
#[track_caller]
fn play_cases(cases: &impl Strategy<Value = Case>, refusals: &[LeaseholdError], check: Check) {
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
    TestRunner::new_with_rng(config(FIXED), rng).run(cases, run).unwrap_or_else(|error| panic!("{error}"));
    println!("{:?}", reached.borrow());
    let found: BTreeSet<String> = reached.borrow().keys().cloned().collect();
    let expected = refusals.iter().map(|error| format!("{error:?}")).chain(["ok".to_owned()]);
    assert_eq!(found, expected.collect(), "not every refusal was reached, or one that is not expected");
    TestRunner::new(config(FRESH)).run(cases, run).unwrap_or_else(|error| panic!("{error}"));
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
    let refusals = [
        MathOverflow,
        MarketPaused,
        NoGpus,
        AvoidsTooMany,
        MeterMismatch,
        MeteredMachines,
        DepositTooSmall,
        LeaseLength,
        BoardUnseen,
        NotEnoughGpus,
        CostsTooMuch,
    ];
    play_cases(&openings(), &refusals, |stage, case| {
        // One of four leases is paid by use.
        let deposit = u64::from(case.slot % 8) * 50_000;
        let meter = (case.slot % 4 == 0 || case.mistake == Some(Mistake::TwoMetered))
            .then(|| MeterArgs { spender: stage.owner.pubkey(), deposit });
        let criteria = Criteria { metered: case.slot % 16 == 1, ..case.criteria };
        let data = stage.data();
        let (view, now, avoid) = (data.view().expect("a board"), stage.world.now(), case.avoided());
        let quoted = match meter {
            None => quote::quote(&stage.market, &view, now, &criteria, case.count, case.more, &avoid),
            Some(meter) => {
                quote::quote_metered(&stage.market, &view, now, &criteria, case.more, &avoid, meter)
            }
        };
        let criteria = Criteria { metered: criteria.metered || meter.is_some(), ..criteria };
        let gpus = if meter.is_some() { criteria.min_gpus.max(1).into() } else { case.count };
        let mut args = stage.world.lease_args(&stage.owner, criteria, gpus, case.more);
        (args.meter, args.avoid) = (meter, avoid);
        args.hint = match (case.hint, &quoted) {
            (0, Ok(quoted)) => Some(quoted.hint),
            (1, _) => Some(CutOff { price: 350_003, score: 5_000, slot: 3 }),
            _ => None,
        };
        let (board, owner, wallet) = (stage.world.board(), stage.owner.pubkey(), stage.wallet());
        if let Some(mistake) = case.mistake {
            // The client's quotes can't make these mistakes; the rule behind them refuses them.
            match mistake {
                Mistake::NoGpus => args.gpus = 0,
                Mistake::TooManyAvoided => args.avoid = (0..17).collect(),
                Mistake::NotMetered => {
                    args.criteria.metered = false;
                    args.meter = Some(MeterArgs { spender: owner, deposit });
                }
                Mistake::TwoMetered => args.gpus = 9,
                Mistake::TooLittle => {
                    let too_little = quoted.map_or(Some(u64::MAX), |quoted| quoted.deposit.checked_sub(1));
                    args.max_deposit =
                        too_little.ok_or_else(|| TestCaseError::reject("nothing is less than no deposit"))?;
                }
            }
            let quoted = open::quote(&stage.market, view.header, view.slots, now, &args);
            let played = stage.send(instruction::open_lease(&board, owner, wallet, args));
            return match agreed(quoted.map_err(Refusal::from), played)? {
                Ok(_) => Err(TestCaseError::fail("nobody refused the mistake")),
                Err(code) => Ok(Some(code)),
            };
        }
        let (nonce, serial) = (args.nonce, view.header.next_serial);
        let open = |max_deposit| {
            instruction::open_lease(&board, owner, wallet, OpenLeaseArgs { max_deposit, ..args.clone() })
        };
        let before = stage.tokens();
        let deposit = quoted.as_ref().ok().map(|quoted| quoted.deposit);
        let Some(played) = stage.deposit(deposit, open)? else { return Ok(Some(MathOverflow.into())) };
        let quoted = match agreed(quoted, played)? {
            Ok(quoted) => quoted,
            Err(code) => return Ok(Some(code)),
        };
        let lease: Lease = stage.world.account(&board.lease(&owner, nonce));
        prop_assert_eq!(before - stage.tokens(), quoted.deposit);
        prop_assert_eq!((lease.serial, lease.deposit), (serial, quoted.deposit));
        prop_assert_eq!((lease.machines, lease.gpus), (quoted.slots.len() as u32, quoted.gpus));
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
        let (lease, address) = (stage.account(), stage.address(stage.serial));
        let (view, max_leaving) = (data.view().expect("a board"), case.max_leaving);
        let quoted =
            quote::extension(&stage.market, &view, stage.world.now(), &lease, case.more, max_leaving);
        let (board, owner, wallet) = (stage.world.board(), stage.owner.pubkey(), stage.wallet());
        let extend = |max_deposit| {
            let allowed = Allowance { max_deposit, max_leaving };
            instruction::extend_lease(&board, owner, owner, address, wallet, case.more, allowed)
        };
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
        prop_assert_eq!((lease.machines - after.machines) as usize, quoted.leaving.len());
        let slots = stage.slots();
        for (index, slot) in (0..).zip(&slots).filter(|(_, slot)| slot.serves(after.serial)) {
            let until = if quoted.leaving.contains(&index) { lease.until } else { quoted.until };
            prop_assert_eq!(slot.lease_until, until);
        }
        Ok(None)
    });
}

#[test]
fn cancel_lease_does_what_was_quoted() {
    use LeaseholdError::*;
    play(&[LeaseNotOpen, LeaseMetered, LeaseOver, NotInLease], |stage, case| {
        let data = stage.data();
        let lease = stage.account();
        let contest = stage.contested(case);
        let quoted = quote::cancellation(&data.view().expect("a board"), stage.world.now(), &lease, &contest);
        let (board, owner, address) =
            (stage.world.board(), stage.owner.pubkey(), stage.address(stage.serial));
        let played = stage.send(instruction::cancel_lease(&board, owner, address, contest));
        let quoted = match agreed(quoted, played)? {
            Ok(quoted) => quoted,
            Err(code) => return Ok(Some(code)),
        };
        let after = stage.account();
        prop_assert_eq!((after.state, after.until), (LeaseState::Cancelled, quoted.until));
        let slots = stage.slots();
        for machine in &quoted.machines {
            prop_assert_eq!(slots[usize::from(machine.slot)].lease_until, machine.until);
        }

        // Every machine is up until the end, and the lease is settled: all comes as it was quoted.
        stage.close_rounds(&after);
        if lease.unsettled == 0 {
            return Ok(None);
        }
        let ledger = stage.ledger();
        prop_assert_eq!(stage.send(instruction::settle_lease(&board, address)), Ok(()));
        let (settled, found) = (stage.account(), stage.ledger());
        prop_assert_eq!(settled.refunded - after.refunded, quoted.refund());
        let payment = Payment { net: settled.paid - after.paid, fee: settled.fees - after.fees };
        prop_assert_eq!(payment, quoted.settlement.payment);
        let burned = quoted.burned.total().expect("fits");
        prop_assert_eq!((settled.burned - after.burned, quoted.settlement.burned), (burned, burned));
        prop_assert_eq!(found.slashed - ledger.slashed, quoted.settlement.slashed);
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
        BoardUnseen,
        NotEnoughGpus,
    ];
    play(&refusals, |stage, case| {
        let (old_slot, avoid, contest) = (case.replaced(), case.avoided(), case.contest & 1 == 1);
        let data = stage.data();
        let (lease, address) = (stage.account(), stage.address(stage.serial));
        let view = data.view().expect("a board");
        let min_bond = u64::from(case.contest >> 1 & 1) * 100_001;
        let wish = Wish { avoid: &avoid, min_bond, contest, ..Wish::any(old_slot) };
        let quoted = quote::replacement(&view, stage.world.now(), &lease, &wish);
        let hint = match (case.hint, &quoted) {
            (0, Ok(quoted)) => Some(quoted.hint),
            (1, _) => Some(CutOff { price: 350_003, score: 5_000, slot: 3 }),
            _ => None,
        };
        let (board, owner, wallet) = (stage.world.board(), stage.owner.pubkey(), stage.wallet());
        let replace = |max_deposit| {
            let args =
                ReplaceNodeArgs { old_slot, max_deposit, contest, avoid: avoid.clone(), min_bond, hint };
            instruction::replace_node(&board, owner, owner, address, wallet, args)
        };
        let before = stage.tokens();
        let deposit = quoted.as_ref().ok().map(|quoted| quoted.deposit);
        let Some(played) = stage.deposit(deposit, replace)? else { return Ok(Some(MathOverflow.into())) };
        let quoted = match agreed(quoted, played)? {
            Ok(quoted) => quoted,
            Err(code) => return Ok(Some(code)),
        };
        let (after, slots) = (stage.account(), stage.slots());
        let (old, new) = (slots[usize::from(old_slot)], slots[usize::from(quoted.slot)]);
        prop_assert_eq!((old.lease, old.lease_until), (lease.serial, quoted.old.until));
        prop_assert_eq!(old.has(Slot::CONTESTED), contest);
        prop_assert_eq!(
            (new.lease, new.lease_from, new.lease_until),
            (lease.serial, quoted.from, lease.until)
        );
        prop_assert_eq!(before - stage.tokens(), quoted.deposit);
        prop_assert_eq!((after.deposit, after.deposit - lease.deposit), (quoted.total, quoted.deposit));
        let left = after.replaced.last().map(|left| (left.slot, left.generation));
        prop_assert_eq!(left, Some((old_slot, old.generation)));

        // The old machine is up until its end, and settled alone: its refund is the quoted one.
        stage.close_rounds_of(old_slot);
        prop_assert_eq!(stage.send(instruction::settle_lease(&board, address)), Ok(()));
        let (settled, slots) = (stage.account(), stage.slots());
        let outcome = &quoted.old.outcome;
        prop_assert_eq!(settled.refunded - after.refunded, quoted.refund);
        prop_assert_eq!(settled.paid - after.paid, outcome.payment.net);
        prop_assert_eq!(settled.burned - after.burned, outcome.burned.total().expect("fits"));
        prop_assert_eq!(old.bond - slots[usize::from(old_slot)].bond, outcome.slash);
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
        let (board, address) = (stage.world.board(), stage.address(stage.serial));
        let played = stage.send(instruction::settle_lease(&board, address));
        let quoted = match agreed(quoted, played)? {
            Ok(quoted) => quoted,
            Err(code) => return Ok(Some(code)),
        };
        let after = stage.account();
        let payment = Payment { net: after.paid - lease.paid, fee: after.fees - lease.fees };
        prop_assert_eq!(payment, quoted.payment);
        prop_assert_eq!(stage.ledger().accrued - ledger.accrued, quoted.payment.net);
        prop_assert_eq!(after.refunded - lease.refunded, quoted.refunded);
        prop_assert_eq!(after.burned - lease.burned, quoted.burned);
        prop_assert_eq!(after.slashed - lease.slashed, quoted.slashed);
        prop_assert_eq!(ledger.bonds - stage.ledger().bonds, quoted.slashed);
        prop_assert_eq!(lease.unsettled - after.unsettled, quoted.machines);
        let ends = quoted.is_final && after.unsettled == 0;
        prop_assert_eq!(after.state == LeaseState::Settled, ends);
        Ok(None)
    });
}
