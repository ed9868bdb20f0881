//! Demands that nobody answers; and bonds and leases that must stay until demands are due.

use leasehold::{
    error::LeaseholdError,
    instructions::Machine,
    state::{LeaseState, SlotState},
};
use leasehold_client::{event::Event, instruction};
use leasehold_tests::*;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::demand::{Case, WANTED};
use crate::{
    BOND, DEMAND_ROUNDS, DISPUTE_ROUNDS, close_rounds, contradiction, is_convicted, prove, retire, rival,
    second_board,
};

#[test]
fn a_demand_that_nobody_answers_costs_the_machine_its_bond() {
    let (mut case, demand) = Case::demanded(200);
    let anybody = case.scene.world.wallet();
    let enforce = case.enforce_by(&anybody.pubkey());
    let due = case.scene.world.demand_account(&demand).due;
    case.scene.world.set_time(due - 1);
    case.scene.world.fails(enforce.clone(), &[&anybody], LeaseholdError::AnswerNotDue);
    case.scene.world.set_time(due);
    let wallets = [case.claimant.pubkey(), anybody.pubkey()];
    let before = wallets.map(|wallet| case.scene.world.lamports(&wallet));
    let rent = case.scene.world.lamports(&demand) - ASK_FEE;
    let meta = case.scene.world.ok(&[enforce], &[&anybody]);
    println!("enforce_demand: {} CU", meta.compute_units_consumed);

    // The lease goes on.
    let world = &case.scene.world;
    assert!(is_convicted(world, 0) && world.slot(0).lease == 1);
    assert_eq!((world.slot(0).demands, world.slot(1).bond), (0, BOND));
    let lease = world.lease(1);
    assert_eq!((lease.demands, lease.slashed), (0, BOND));
    assert_eq!((lease.state, lease.paid), (LeaseState::Open, 0));
    let ledger = world.with_board(|board, _| board.ledger);
    assert_eq!((ledger.bonds, ledger.slashed), (BOND, BOND), "all of it is burned");
    let after = wallets.map(|wallet| world.lamports(&wallet));
    assert_eq!(after[0], before[0] + rent, "the claimant's rent comes back");
    assert_eq!(after[1], before[1] + ASK_FEE - meta.fee, "whoever enforces it earns the fee");
    assert_eq!(world.data(&demand), Vec::<u8>::new());
    let (reported, id) = (events(&meta), case.wanted().id());
    let is_it = matches!(&reported[..], [Event::MachineConvicted(event)]
        if event.receipt == id && event.slashed == BOND && event.slot == 0);
    assert!(is_it, "{reported:?}");
    case.scene.assert_invariants();
}

#[test]
fn a_demand_can_be_enforced_after_the_lease() {
    let (mut case, demand) = Case::demanded(20);
    case.go_to_due(&demand);
    close_rounds(&mut case.scene.world);
    let buyer = case.scene.buyer.insecure_clone();
    case.scene.world.settle(&buyer, 1);
    assert!(case.scene.world.slot(0).is(SlotState::Idle));
    let enforce = case.enforce();
    case.ok(&[enforce]);
    assert!(is_convicted(&case.scene.world, 0));
    assert_eq!(case.scene.world.with_board(|board, _| board.ledger.slashed), BOND);
    assert_eq!(case.scene.world.lease(1).slashed, BOND);
    case.scene.assert_invariants();
}

#[test]
fn a_late_answer_counts_as_long_as_nobody_enforces() {
    let (mut case, demand) = Case::demanded(200);
    case.go_to_due(&demand);
    case.scene.world.pass(5_000);
    let index = case.scene.seal(0, case.receipts.clone());
    let answer = case.scene.answer_instructions(&case.claimant, index, WANTED);
    let enforce = case.enforce();
    case.ok(&answer);
    assert_eq!(case.scene.world.slot(0).bond, BOND);
    case.refuses(&[enforce], anchor_lang::error::ErrorCode::AccountNotInitialized);
    case.scene.assert_invariants();
}

/// A demand that was kept until another machine has the slot would take that machine's bond.
#[test]
fn attack_demand_kept_until_another_machine_has_the_slot() {
    let (mut case, demand) = Case::demanded(20);
    let (wanted, claimant) = (case.wanted(), case.claimant.insecure_clone());
    let (supplier, buyer) = (case.scene.supplier.wallet.insecure_clone(), case.scene.buyer.insecure_clone());
    let before = Before::new(&case.scene.world, &[&supplier, &buyer, &claimant]);
    let proof = prove(&case.scene.world, [&wanted, &contradiction(0, &wanted)]);
    case.ok(&proof);
    case.scene.world.go_to_round(case.scene.world.lease(1).until + 2);
    close_rounds(&mut case.scene.world);
    case.scene.world.settle(&claimant, 1);
    // A barred machine waits for no dispute, but for its open demands.
    let leave = retire(&case.scene.world, &case.scene.supplier, &[0]);
    case.scene.world.fails(leave.clone(), &[&supplier], LeaseholdError::DemandsLeft);
    case.go_to_due(&demand);
    let enforce = case.enforce();
    let meta = case.scene.world.ok(&[enforce], &[&claimant]);
    let reported = events(&meta);
    assert!(matches!(&reported[..], [Event::MachineConvicted(event)] if event.slashed == 0), "{reported:?}");
    case.scene.world.ok(&[leave], &[&supplier]);
    // The same key again, in the same slot.
    let next = Machine { slot: Some(0), ..signing_machine(0) };
    case.scene.world.list(&case.scene.supplier, COMMITTED, &[next]);
    let relisted = case.scene.world.slot(0);
    let again = case.demand_instructions();
    case.refuses(&again, LeaseholdError::OtherGeneration);
    assert_eq!(case.scene.world.slot(0), relisted);
    // One bond in all, for the contradiction. Nobody voted: the buyer's deposit comes back.
    let deposit = case.scene.world.lease(1).deposit as i64;
    assert_eq!(before.gains(&case.scene.world), [(0, less(BOND)), (deposit, 0), (0, 0)]);
    assert_eq!((case.scene.world.lease(1).demands, case.scene.world.lease(1).slashed), (0, BOND));
    case.scene.assert_invariants();
}

#[test]
fn a_demand_on_a_machine_that_was_barred_meanwhile_ends_without_a_second_slash() {
    let (mut case, demand) = Case::demanded(200);
    let wanted = case.wanted();
    let proof = prove(&case.scene.world, [&wanted, &contradiction(0, &wanted)]);
    case.ok(&proof);
    case.go_to_due(&demand);
    let enforce = case.enforce();
    case.ok(&[enforce]);
    let lease = case.scene.world.lease(1);
    assert_eq!((lease.demands, lease.slashed), (0, BOND));
    case.scene.assert_invariants();
}

#[test]
fn enforce_demand_fails_when_an_account_is_the_wrong_one() {
    let (mut case, demand) = Case::demanded(200);
    let mallory = case.scene.world.wallet();
    let buyer = case.scene.buyer.insecure_clone();
    rival(&mut case.scene.world, 2, 1);
    case.scene.world.open(&buyer, anything(), 1, 50);
    let second = second_board(&mut case.scene.world);
    case.go_to_due(&demand);
    let (good, board) = (case.enforce(), case.scene.world.board());
    let bent = |from: Pubkey, to: Pubkey| {
        let mut bent = good.clone();
        // The first account is the caller's.
        for meta in bent.accounts.iter_mut().skip(1).filter(|meta| meta.pubkey == from) {
            meta.pubkey = to;
        }
        bent
    };
    let rent_to_mallory = bent(case.claimant.pubkey(), mallory.pubkey());
    case.refuses(&[rent_to_mallory], LeaseholdError::WrongClaimant);
    let [first, other] = [1, 2].map(|serial| case.scene.world.lease_address(serial));
    case.refuses(&[bent(first, other)], LeaseholdError::WrongReceipt);
    case.refuses(&[bent(board.address, second.address)], LeaseholdError::WrongBoard);
    case.ok(&[good]);
    case.scene.assert_invariants();
}

#[test]
fn a_lease_stays_while_its_receipts_can_be_demanded_and_are() {
    let mut case = Case::new(20);
    let buyer = case.scene.buyer.insecure_clone();
    let until = case.scene.world.lease(1).until;
    case.scene.world.go_to_round(until + DEMAND_ROUNDS);
    close_rounds(&mut case.scene.world);
    case.scene.world.settle(&buyer, 1);
    let (board, lease, key) = (case.scene.world.board(), case.scene.world.lease_address(1), buyer.pubkey());
    let wallet = case.scene.world.market.payment_account(&key);
    let refund = instruction::claim_refund(&board, key, lease, wallet);
    case.scene.world.ok(&[refund], &[&buyer]);
    let close = instruction::close_lease(&board, key, lease);
    case.refuses(core::slice::from_ref(&close), LeaseholdError::DisputesOpen);
    let demand = case.demand_instructions();
    case.ok(&demand);
    case.refuses(core::slice::from_ref(&close), LeaseholdError::DemandsLeft);
    case.scene.world.go_to_round(until + DISPUTE_ROUNDS);
    case.refuses(core::slice::from_ref(&close), LeaseholdError::DemandsLeft);
    let enforce = case.enforce();
    case.ok(&[enforce]);
    case.ok(&[close]);
    assert_eq!(case.scene.world.with_board(|board, _| board.leases), 0);
    case.scene.assert_invariants();
}

/// A supplier tries at every moment to get out the bonds of a machine with a demand on it and of one without.
#[test]
fn attack_bond_that_leaves_while_a_due_demand_is_open() {
    let (mut case, demand) = Case::demanded(20);
    let (supplier, buyer) = (case.scene.supplier.wallet.insecure_clone(), case.scene.buyer.insecure_clone());
    let claimant = case.claimant.insecure_clone();
    let before = Before::new(&case.scene.world, &[&supplier, &buyer, &claimant]);
    let until = case.scene.world.lease(1).until;
    case.scene.world.go_to_round(until);
    let leave = retire(&case.scene.world, &case.scene.supplier, &[0]);
    case.scene.world.fails(leave.clone(), &[&supplier], LeaseholdError::MachineLeased);
    case.scene.world.go_to_round(until + 1);
    close_rounds(&mut case.scene.world);
    case.scene.world.settle(&buyer, 1);
    // Machine 1 has no demand.
    let other = retire(&case.scene.world, &case.scene.supplier, &[1]);
    case.scene.world.fails(other.clone(), &[&supplier], LeaseholdError::DisputesOpen);
    case.scene.world.fails(leave.clone(), &[&supplier], LeaseholdError::DemandsLeft);
    case.go_to_due(&demand);
    case.scene.world.fails(leave.clone(), &[&supplier], LeaseholdError::DemandsLeft);
    case.scene.world.go_to_round(until + DISPUTE_ROUNDS - 1);
    case.scene.world.fails(other.clone(), &[&supplier], LeaseholdError::DisputesOpen);
    // The demand holds the bond until it ends, however long that takes.
    case.scene.world.go_to_round(until + DISPUTE_ROUNDS + 100);
    case.scene.world.fails(leave.clone(), &[&supplier], LeaseholdError::DemandsLeft);
    let enforce = case.enforce();
    case.ok(&[enforce]);
    case.scene.world.ok(&[leave, other], &[&supplier]);
    // One of two bonds came back as free stake; nobody voted, so nobody was paid.
    let deposit = case.scene.world.lease(1).deposit as i64;
    assert_eq!(before.gains(&case.scene.world), [(0, less(BOND)), (deposit, 0), (0, 0)]);
    case.scene.assert_invariants();
}
