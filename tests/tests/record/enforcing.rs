//! Demands that nobody answers; and bonds and leases that must stay until demands are due.

use leasehold::{
    constants::{DEMAND_ROUNDS, DISPUTE_ROUNDS},
    error::LeaseholdError,
    instructions::Machine,
    state::{Keeper, LeaseState, SlotState},
};
use leasehold_client::{event::Event, instruction};
use leasehold_tests::*;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::demand::{Case, WANTED};
use crate::{BOND, close_rounds, contradiction, is_convicted, prove, retire, rival, second_board, split};

#[test]
fn a_demand_that_nobody_answers_costs_the_machine_its_bond() {
    let (mut case, demand) = Case::demanded(200);
    let early = case.enforce(None);
    let due = case.scene.world.demand_account(&demand).due;
    case.scene.world.go_to_round(due - 1);
    case.scene.world.pass(598);
    case.refuses(&[early], LeaseholdError::AnswerNotDue);
    case.scene.world.pass(1);
    let keeper =
        KeeperActor { wallet: case.scene.keepers[1].wallet.insecure_clone(), ..case.scene.keepers[1] };
    let before = case.scene.world.lamports(&case.claimant.pubkey());
    let rent = case.scene.world.lamports(&demand);
    let enforce = case.enforce(Some(&keeper));
    let meta = case.scene.world.ok(&[enforce], &[&keeper.wallet]);
    println!("enforce_demand: {} CU", meta.compute_units_consumed);

    // The lease goes on.
    let world = &case.scene.world;
    let [buyers, burned, markets, callers] = split(BOND);
    assert!(is_convicted(world, 0) && world.slot(0).lease == 1);
    assert_eq!(world.slot(1).bond, BOND);
    let lease = world.lease(1);
    assert_eq!((lease.demands, lease.slashed, lease.compensation_due), (0, BOND, buyers));
    assert_eq!((lease.state, lease.paid), (LeaseState::Open, 0));
    let ledger = world.with_board(|board, _| board.ledger);
    assert_eq!((ledger.compensation, ledger.to_burn, ledger.market_stake), (buyers, burned, markets));
    assert_eq!(world.account::<Keeper>(&keeper.account).stake.free, callers);
    assert_eq!(world.lamports(&case.claimant.pubkey()), before + rent, "the claimant's rent comes back");
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
    let enforce = case.enforce(None);
    case.ok(&[enforce]);
    // The caller has no keeper's account, so its part is burned. The machine does not serve the lease any more, so the
    // owner's part is burned too: the board does not know whose lease it was.
    let [buyers, burned, markets, callers] = split(BOND);
    let ledger = case.scene.world.with_board(|board, _| board.ledger);
    assert_eq!((ledger.to_burn, ledger.market_stake), (buyers + burned + callers, markets));
    assert!(is_convicted(&case.scene.world, 0));
    assert_eq!(case.scene.world.lease(1).compensation_due, 0);
    case.scene.assert_invariants();
}

#[test]
fn a_late_answer_counts_as_long_as_nobody_enforces() {
    let (mut case, demand) = Case::demanded(200);
    case.go_to_due(&demand);
    case.scene.world.pass(5_000);
    let index = case.scene.seal(0, case.receipts.clone());
    let answer = case.scene.answer_instructions(&case.claimant, index, WANTED);
    case.ok(&answer);
    assert_eq!(case.scene.world.slot(0).bond, BOND);
    let enforce = case.enforce(None);
    case.refuses(&[enforce], anchor_lang::error::ErrorCode::AccountNotInitialized);
    case.scene.assert_invariants();
}

#[test]
fn a_demand_on_a_machine_that_has_gone_ends_without_harm_to_the_next() {
    let (mut case, demand) = Case::demanded(20);
    let (wanted, claimant) = (case.wanted(), case.claimant.insecure_clone());
    let proof = prove(&case.scene.world, &claimant, [&wanted, &contradiction(0, &wanted)], None);
    case.ok(&proof);
    case.scene.world.go_to_round(case.scene.world.lease(1).until + 2);
    close_rounds(&mut case.scene.world);
    case.scene.world.settle(&claimant, 1);
    let leave = retire(&case.scene.world, &case.scene.supplier, &[0]);
    case.scene.world.ok(&[leave], &[&case.scene.supplier.wallet]);
    // The same key again, in the same slot.
    let next = Machine { slot: Some(0), ..signing_machine(0) };
    case.scene.world.list(&case.scene.supplier, COMMITTED, &[next]);
    case.go_to_due(&demand);
    let before = case.scene.world.slot(0);
    let enforce = case.enforce(None);
    let meta = case.scene.world.ok(&[enforce], &[&claimant]);
    let reported = events(&meta);
    assert!(matches!(&reported[..], [Event::MachineConvicted(event)] if event.slashed == 0), "{reported:?}");
    assert_eq!(case.scene.world.slot(0), before);
    assert_eq!((case.scene.world.lease(1).demands, case.scene.world.lease(1).slashed), (0, BOND));
    case.scene.assert_invariants();
}

#[test]
fn a_demand_on_a_machine_that_was_barred_meanwhile_ends_without_a_second_slash() {
    let (mut case, demand) = Case::demanded(200);
    let wanted = case.wanted();
    let proof = prove(&case.scene.world, &case.claimant, [&wanted, &contradiction(0, &wanted)], None);
    case.ok(&proof);
    case.go_to_due(&demand);
    let enforce = case.enforce(None);
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
    let (good, board) = (case.enforce(None), case.scene.world.board());
    let bent = |from: Pubkey, to: Pubkey| {
        let mut bent = good.clone();
        // The first account is the caller's.
        for meta in bent.accounts.iter_mut().skip(1).filter(|meta| meta.pubkey == from) {
            meta.pubkey = to;
        }
        bent
    };
    let rent_to_mallory = bent(case.claimant.pubkey(), mallory.pubkey());
    case.refuses(&[rent_to_mallory], LeaseholdError::WrongAuthority);
    case.refuses(&[bent(board.lease(1), board.lease(2))], LeaseholdError::WrongReceipt);
    case.refuses(&[bent(board.address, second.address)], LeaseholdError::WrongBoard);
    let keepers = instruction::enforce_demand(
        &board,
        case.claimant.pubkey(),
        case.claimant.pubkey(),
        board.lease(1),
        demand,
        Some(case.scene.keepers[0].account),
    );
    case.refuses(&[keepers], LeaseholdError::WrongAuthority);
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
    let (board, key) = (case.scene.world.board(), buyer.pubkey());
    let wallet = case.scene.world.market.payment_account(&key);
    let refund = instruction::claim_refund(&board, key, board.lease(1), wallet);
    case.scene.world.ok(&[refund], &[&buyer]);
    let close = instruction::close_lease(&board, key, board.lease(1));
    case.refuses(core::slice::from_ref(&close), LeaseholdError::DisputesOpen);
    let demand = case.demand_instructions();
    case.ok(&demand);
    case.refuses(core::slice::from_ref(&close), LeaseholdError::DemandsLeft);
    case.scene.world.go_to_round(until + DISPUTE_ROUNDS);
    case.refuses(core::slice::from_ref(&close), LeaseholdError::DemandsLeft);
    let enforce = case.enforce(None);
    case.ok(&[enforce]);
    case.ok(&[close]);
    assert_eq!(case.scene.world.with_board(|board, _| board.leases), 0);
    case.scene.assert_invariants();
}

#[test]
fn no_bond_leaves_while_it_can_be_lost() {
    let (mut case, demand) = Case::demanded(20);
    let buyer = case.scene.buyer.insecure_clone();
    let until = case.scene.world.lease(1).until;
    case.scene.world.go_to_round(until);
    let leave = retire(&case.scene.world, &case.scene.supplier, &[0]);
    let supplier = case.scene.supplier.wallet.insecure_clone();
    case.scene.world.fails(leave.clone(), &[&supplier], LeaseholdError::MachineLeased);
    case.scene.world.go_to_round(until + 1);
    close_rounds(&mut case.scene.world);
    case.scene.world.settle(&buyer, 1);
    case.scene.world.fails(leave.clone(), &[&supplier], LeaseholdError::DisputesOpen);
    case.go_to_due(&demand);
    case.scene.world.fails(leave.clone(), &[&supplier], LeaseholdError::DisputesOpen);
    case.scene.world.go_to_round(until + DISPUTE_ROUNDS - 1);
    case.scene.world.fails(leave.clone(), &[&supplier], LeaseholdError::DisputesOpen);
    let enforce = case.enforce(None);
    case.ok(&[enforce]);
    // Machine 0 has no bond any more. Machine 1 has one, and no demand.
    case.scene.world.ok(&[leave], &[&supplier]);
    let other = retire(&case.scene.world, &case.scene.supplier, &[1]);
    case.scene.world.fails(other.clone(), &[&supplier], LeaseholdError::DisputesOpen);
    case.scene.world.go_to_round(until + DISPUTE_ROUNDS);
    case.scene.world.ok(&[other], &[&supplier]);
    case.scene.assert_invariants();
}
