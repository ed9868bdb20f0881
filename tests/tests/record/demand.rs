//! Demands to see a receipt in the log, and their answers.

use leasehold::{
    constants::ANSWER_SECS,
    error::LeaseholdError,
    instructions::{Batch, Machine},
    math::sum_tree::SumTree,
    state::{Receipt, ShownBatch},
};
use leasehold_client::{
    address,
    event::Event,
    instruction,
    record::{SignedReceipt, signatures},
};
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{
    BOND, DEMAND_ROUNDS, DISPUTE_ROUNDS, RECORD_ROUNDS, close_rounds, contradiction, is_convicted, open_log,
    prove, retire, rival, second_board,
};

/// A receipt that is not in the log, and somebody who may demand it from this round on.
pub struct Case {
    pub scene: Recording,
    pub claimant: Keypair,
    /// Receipts of machine 0 in lease 1.
    pub receipts: Vec<SignedReceipt>,
}

/// Index of the demanded receipt.
pub const WANTED: usize = 3;

impl Case {
    /// Two machines, both in lease 1.
    pub fn new(rounds: u32) -> Self {
        let mut scene = Recording::leased(2, 2, rounds);
        let claimant = scene.world.wallet();
        let receipts = scene.receipts(1, 0, 6);
        scene.world.go_to_round(scene.world.round() + RECORD_ROUNDS);
        Case { scene, claimant, receipts }
    }

    /// The same, with the demand made.
    pub fn demanded(rounds: u32) -> (Self, Pubkey) {
        let mut case = Case::new(rounds);
        let (claimant, wanted) = (case.claimant.insecure_clone(), case.wanted());
        let demand = case.scene.world.demand(&claimant, &wanted);
        (case, demand)
    }

    pub fn wanted(&self) -> SignedReceipt {
        self.receipts[WANTED]
    }

    pub fn demand_instructions(&self) -> [Instruction; 2] {
        self.scene.world.demand_instructions(&self.claimant, &self.wanted())
    }

    /// Enforces the demand, as the claimant.
    pub fn enforce(&self) -> Instruction {
        self.enforce_by(&self.claimant.pubkey())
    }

    /// Enforces the demand.
    pub fn enforce_by(&self, caller: &Pubkey) -> Instruction {
        let demand = address::demand(&self.wanted().id());
        instruction::enforce_demand(*caller, demand, &self.scene.world.demand_account(&demand))
    }

    /// Waits until the answer is overdue.
    pub fn go_to_due(&mut self, demand: &Pubkey) {
        let due = self.scene.world.demand_account(demand).due;
        self.scene.world.set_time(due);
    }

    /// Sends instructions signed by the claimant. The last one must be refused.
    #[track_caller]
    pub fn refuses(&mut self, instructions: &[Instruction], error: impl Into<u32>) {
        let claimant = self.claimant.insecure_clone();
        self.scene.world.fails_last(instructions, &[&claimant], error);
    }

    #[track_caller]
    pub fn ok(&mut self, instructions: &[Instruction]) {
        let claimant = self.claimant.insecure_clone();
        self.scene.world.ok(instructions, &[&claimant]);
    }
}

#[test]
fn demand_receipt_ok() {
    let mut case = Case::new(20);
    let (key, now) = (case.claimant.pubkey(), case.scene.world.now());
    let before = case.scene.world.lamports(&key);
    let demand = case.demand_instructions();
    let meta = case.scene.world.ok(&demand, &[&case.claimant]);
    println!("demand_receipt: {} CU", meta.compute_units_consumed);

    let (world, wanted) = (&case.scene.world, case.wanted());
    let address = address::demand(&wanted.id());
    let account = world.demand_account(&address);
    assert_eq!((account.claimant, account.lease), (key, world.lease_address(1)));
    assert_eq!((account.supplier, account.slot, account.generation), (case.scene.supplier.account, 0, 0));
    assert_eq!((account.cluster, account.node_key), (CLUSTER, world.slot(0).node_key));
    assert_eq!((account.board, account.serial, account.seq), (world.board().address, 1, 3));
    assert_eq!((account.leaf, account.shown), (wanted.receipt.leaf(), None));
    assert_eq!((account.due, account.fee), (now + i64::from(ANSWER_SECS), ASK_FEE));
    assert_eq!((world.lease(1).demands, world.slot(0).demands), (1, 1));
    assert_eq!(before - world.lamports(&key), world.lamports(&address) + meta.fee);
    let reported = events(&meta);
    let is_it = matches!(&reported[..], [Event::ReceiptDemanded(event)]
        if event.receipt == wanted.id() && event.due == account.due && event.fee == ASK_FEE && event.slot == 0);
    assert!(is_it, "{reported:?}");
    case.scene.assert_invariants();
}

#[test]
fn a_demand_is_answered_by_anybody_who_gets_its_fee() {
    let (mut case, demand) = Case::demanded(20);
    let answerer = case.scene.world.wallet();
    let key = answerer.pubkey();
    let index = case.scene.seal(0, case.receipts.clone());
    let [show, answer] = case.scene.answer_instructions(&answerer, index, WANTED);
    case.scene.world.fails(answer.clone(), &[&answerer], LeaseholdError::BatchNotShown);
    let claimant = case.claimant.pubkey();
    let rent = case.scene.world.lamports(&demand) - ASK_FEE;
    let before = [key, claimant].map(|wallet| case.scene.world.lamports(&wallet));
    let shown = case.scene.world.ok(&[show], &[&answerer]);
    let header = case.scene.archive.batches[index].header;
    let expected = ShownBatch { root: header.root, count: 6, index: 3 };
    assert_eq!(case.scene.world.demand_account(&demand).shown, Some(expected));
    case.scene.assert_invariants();

    let answered = case.scene.world.ok(&[answer], &[&answerer]);
    let units = [&shown, &answered].map(|meta| meta.compute_units_consumed);
    println!("show_batch and answer_demand: {units:?} CU");
    let fees = shown.fee + answered.fee;
    let after = [key, claimant].map(|wallet| case.scene.world.lamports(&wallet));
    assert_eq!(after, [before[0] + ASK_FEE - fees, before[1] + rent]);
    assert_eq!(case.scene.world.data(&demand), Vec::<u8>::new());
    let slot = case.scene.world.slot(0);
    assert_eq!((case.scene.world.lease(1).demands, slot.demands, slot.bond), (0, 0, BOND));
    let (reported, id) = (events(&answered), case.wanted().id());
    assert!(matches!(&reported[..], [Event::DemandAnswered(event)] if event.receipt == id), "{reported:?}");
    case.scene.assert_invariants();
}

#[test]
fn demand_receipt_fails_when_it_is_too_early_or_too_late() {
    let mut case = Case::new(20);
    let (demand, round) = (case.demand_instructions(), case.scene.world.round());
    case.scene.world.go_to_round(round - 1);
    case.refuses(&demand, LeaseholdError::DemandTooEarly);
    case.scene.world.pass(598);
    case.refuses(&demand, LeaseholdError::DemandTooEarly);

    let last = case.scene.world.lease(1).until + DEMAND_ROUNDS;
    case.scene.world.go_to_round(last + 1);
    case.refuses(&demand, LeaseholdError::DemandTooLate);
    case.scene.world.go_to_round(last);
    case.ok(&demand);
    // Every answer is due before the bond could leave without the demand.
    let due = case.scene.world.demand_account(&address::demand(&case.wanted().id())).due;
    let until = case.scene.world.lease(1).until + DISPUTE_ROUNDS;
    assert!(due < case.scene.world.with_board(|board, _| board.round_end(until - 1)));
    case.scene.assert_invariants();
}

#[test]
fn a_receipt_of_the_future_is_due_with_those_of_the_leases_end() {
    let mut case = Case::new(20);
    let until = case.scene.world.lease(1).until;
    for end_ms in [u64::MAX, u64::from(until + 50) * 600_000] {
        let receipt = Receipt { end_ms, ..case.wanted().receipt };
        case.receipts[WANTED] = SignedReceipt::sign(&node_key(0), receipt);
        let demand = case.demand_instructions();
        case.scene.world.go_to_round(until + RECORD_ROUNDS - 1);
        case.refuses(&demand, LeaseholdError::DemandTooEarly);
        case.scene.world.go_to_round(until + RECORD_ROUNDS);
        case.ok(&demand);
    }
    assert_eq!(case.scene.world.lease(1).demands, 2);
    case.scene.assert_invariants();
}

#[test]
fn a_receipt_is_demanded_once_at_a_time() {
    let (mut case, _) = Case::demanded(200);
    let again = case.demand_instructions();
    case.refuses(&again, SYSTEM_ACCOUNT_IN_USE);
    let index = case.scene.seal(0, case.receipts.clone());
    let answer = case.scene.answer_instructions(&case.claimant, index, WANTED);
    case.ok(&answer);
    // After the answer it can be demanded again, for another fee.
    case.ok(&again);
    let claimant = case.claimant.insecure_clone();
    let other = case.receipts[0];
    case.scene.world.demand(&claimant, &other);
    assert_eq!(case.scene.world.lease(1).demands, 2);
    case.ok(&answer);
    assert_eq!(case.scene.world.lease(1).demands, 1);
    case.scene.assert_invariants();
}

#[test]
fn demand_receipt_fails_when_machine_lease_key_or_board_is_wrong() {
    let mut case = Case::new(50);
    rival(&mut case.scene.world, 2, 1);
    let buyer = case.scene.buyer.insecure_clone();
    assert_eq!(case.scene.world.open(&buyer, anything(), 1, 50), 2);
    let (board, key, wanted) = (case.scene.world.board(), case.claimant.pubkey(), case.wanted());
    let leases = [1, 2].map(|serial| case.scene.world.lease_address(serial));
    let demand = |lease: usize| {
        let demand = instruction::demand_receipt(&board, key, leases[lease - 1], &wanted.receipt);
        [wanted.instruction(), demand]
    };
    // Of another cluster, board, lease, supplier, machine of the slot; the slots of its neighbour, of a rival, of nobody.
    for (receipt, error) in [
        (Receipt { cluster: *b"mainnet!", ..wanted.receipt }, LeaseholdError::OtherCluster),
        (Receipt { board: [1; 8], ..wanted.receipt }, LeaseholdError::OtherBoard),
        (Receipt { lease: 2, ..wanted.receipt }, LeaseholdError::OtherLease),
        (Receipt { supplier: [1; 8], ..wanted.receipt }, LeaseholdError::OtherSupplier),
        (Receipt { generation: 1, ..wanted.receipt }, LeaseholdError::OtherGeneration),
        (Receipt { slot: 1, ..wanted.receipt }, LeaseholdError::WrongMachine),
        (Receipt { slot: 2, ..wanted.receipt }, LeaseholdError::WrongMachine),
        (Receipt { slot: 3, ..wanted.receipt }, LeaseholdError::WrongMachine),
        (Receipt { slot: u16::MAX, ..wanted.receipt }, LeaseholdError::WrongMachine),
    ] {
        let signed = SignedReceipt::sign(&node_key(0), receipt);
        let demand = instruction::demand_receipt(&board, key, leases[0], &receipt);
        case.refuses(&[signed.instruction(), demand], error);
    }
    case.refuses(&demand(2), LeaseholdError::OtherLease);
    // Another id than the receipt's, whether that id was signed or not.
    let mut renamed = instruction::demand_receipt(&board, key, leases[0], &case.receipts[1].receipt);
    let at = 8 + 32;
    renamed.data[at..].copy_from_slice(wanted.receipt.bytes());
    case.refuses(&[wanted.instruction(), renamed.clone()], LeaseholdError::WrongReceipt);
    case.refuses(&[case.receipts[1].instruction(), renamed], LeaseholdError::WrongReceipt);
    // Another receipt than the signed one.
    case.refuses(&[case.receipts[1].instruction(), demand(1)[1].clone()], LeaseholdError::WrongReceipt);

    // Signed by another key than the receipt names.
    let forged = SignedReceipt::sign(&node_key(1), wanted.receipt);
    let other = node_key(1).verifying_key().to_bytes();
    let message = forged.receipt.message();
    let signed = signatures::verify_instruction(&other, &[(&forged.signature, &message)]);
    case.refuses(&[signed, demand(1)[1].clone()], LeaseholdError::WrongReceipt);

    // On another board.
    let second = second_board(&mut case.scene.world);
    let mut elsewhere = demand(1);
    swap(board.address, second.address)(&mut elsewhere[1]);
    case.refuses(&elsewhere, LeaseholdError::WrongBoard);
    case.ok(&demand(1));
    case.scene.assert_invariants();
}

#[test]
fn demand_receipt_fails_when_the_signed_message_is_malformed() {
    let mut case = Case::new(50);
    let good = case.wanted().receipt;
    let bad = [
        Receipt { tag: *b"LEASEHOLD:RCPT:1", ..good },
        Receipt { tag: *b"LEASEHOLD:VCHR:2", ..good },
        Receipt { program: [9; 32], ..good },
        Receipt { flags: 1, ..good },
        Receipt { reserved: 1, ..good },
        Receipt { start_ms: good.end_ms + 1, ..good },
    ];
    for receipt in bad {
        case.receipts[WANTED] = SignedReceipt::sign(&node_key(0), receipt);
        let demand = case.demand_instructions();
        case.refuses(&demand, LeaseholdError::ReceiptMalformed);
    }
    case.scene.assert_invariants();
}

#[test]
fn demand_receipt_fails_when_the_machine_is_gone_or_barred() {
    let mut case = Case::new(20);
    let (demand, wanted) = (case.demand_instructions(), case.wanted());
    let proof = prove(&case.scene.world, [&wanted, &contradiction(0, &wanted)]);
    case.ok(&proof);
    case.refuses(&demand, LeaseholdError::MachineBarred);
    // It has no bond, so it may retire as soon as the lease is settled.
    case.scene.world.go_to_round(case.scene.world.lease(1).until + 2);
    close_rounds(&mut case.scene.world);
    let claimant = case.claimant.insecure_clone();
    case.scene.world.settle(&claimant, 1);
    let leave = retire(&case.scene.world, &case.scene.supplier, &[0]);
    case.scene.world.ok(&[leave], &[&case.scene.supplier.wallet]);
    case.refuses(&demand, LeaseholdError::WrongMachine);
    // The same key again, in the same slot.
    let next = Machine { slot: Some(0), ..signing_machine(0) };
    case.scene.world.list(&case.scene.supplier, COMMITTED, &[next]);
    case.refuses(&demand, LeaseholdError::OtherGeneration);
    case.scene.assert_invariants();
}

#[test]
fn a_demand_is_not_answered_by_another_receipt_with_the_same_number() {
    let (mut case, demand) = Case::demanded(200);
    let mut others = case.receipts.clone();
    others[WANTED] = contradiction(0, &others[WANTED]);
    let index = case.scene.seal(0, others.clone());
    let proof = case.scene.proof(index, WANTED);
    let show = instruction::show_batch(demand, case.scene.log, proof.batch());
    case.ok(&[show]);
    let account = case.scene.world.demand_account(&demand);
    let answer = instruction::answer_demand(case.claimant.pubkey(), demand, &account, proof.path);
    case.refuses(&[answer], LeaseholdError::NotInLog);
    // With both receipts, anybody can also prove that the machine signed two with one number.
    case.go_to_due(&demand);
    let enforce = case.enforce();
    case.ok(&[enforce]);
    assert!(is_convicted(&case.scene.world, 0));
    case.scene.assert_invariants();
}

#[test]
fn a_demand_is_not_answered_by_other_sums() {
    let (mut case, demand) = Case::demanded(200);
    // The log has the receipt's hash, but a lower price.
    let mut leaves: Vec<_> = case.receipts.iter().map(|signed| signed.receipt.leaf()).collect();
    leaves[WANTED].price -= 50;
    let tree = SumTree::new(leaves).expect("sums fit");
    let batch = Batch { root: tree.root(), ..case.scene.batch(0, &case.receipts) };
    let receipts = case.receipts.clone();
    case.scene.append(vec![(batch, receipts)]);
    let show = instruction::show_batch(demand, case.scene.log, case.scene.archive.batch(0));
    case.ok(&[show]);
    let path = tree.path(WANTED).expect("a leaf");
    let account = case.scene.world.demand_account(&demand);
    let answer = instruction::answer_demand(case.claimant.pubkey(), demand, &account, path);
    case.refuses(&[answer], LeaseholdError::NotInLog);
    case.scene.assert_invariants();
}

#[test]
fn show_batch_fails_when_it_is_another_batch() {
    let mut case = Case::new(200);
    let mallory = rival(&mut case.scene.world, 2, 1);
    // Lease 2 has machine 2 alone; its receipts go to her log.
    let buyer = case.scene.buyer.insecure_clone();
    case.scene.world.open(&buyer, anything(), 1, 50);
    let hers = open_log(&mut case.scene.world, &mallory, vec![2]);
    let (claimant, wanted) = (case.claimant.insecure_clone(), case.wanted());
    let demand = case.scene.world.demand(&claimant, &wanted);
    let neighbours = case.scene.seal_next(1, 6);
    let first = case.scene.seal(0, case.receipts[..2].to_vec());
    let show = |case: &Case, index: usize| {
        instruction::show_batch(demand, case.scene.log, case.scene.archive.batch(index))
    };
    let another_machine = show(&case, neighbours);
    case.refuses(&[another_machine], LeaseholdError::NotInLog);
    let another_number = show(&case, first);
    case.refuses(&[another_number], LeaseholdError::WrongReceipt);
    let mut in_her_log = show(&case, first);
    swap(case.scene.log, hers)(&mut in_her_log);
    case.refuses(&[in_her_log], LeaseholdError::WrongSupplier);
    let mut unknown = case.scene.archive.batch(first);
    unknown.header.count = 6;
    case.refuses(&[instruction::show_batch(demand, case.scene.log, unknown)], LeaseholdError::NotInLog);

    let rest = case.receipts[2..].to_vec();
    let index = case.scene.seal(0, rest);
    let answer = case.scene.answer_instructions(&case.claimant, index, WANTED - 2);
    case.ok(&answer);
    case.scene.assert_invariants();
}

#[test]
fn show_batch_fails_when_it_is_of_another_lease() {
    let mut scene = Recording::leased(1, 1, 2);
    let (buyer, claimant) = (scene.buyer.insecure_clone(), scene.world.wallet());
    let receipts = scene.receipts(1, 0, 3);
    scene.world.go_to_round(scene.world.lease(1).until + 2);
    close_rounds(&mut scene.world);
    scene.world.settle(&buyer, 1);
    scene.world.open(&buyer, anything(), 1, 100);
    scene.world.go_to_round(scene.world.round() + RECORD_ROUNDS);
    let demand = scene.world.demand(&claimant, &receipts[1]);
    // Of the same machine and with the same number.
    let of_second = scene.receipts(2, 0, 3);
    let index = scene.seal(0, of_second);
    let show = instruction::show_batch(demand, scene.log, scene.archive.batch(index));
    scene.world.fails(show, &[&claimant], LeaseholdError::WrongReceipt);
    let account = scene.world.demand_account(&demand);
    let mut answer = instruction::answer_demand(claimant.pubkey(), demand, &account, vec![]);
    swap(scene.world.lease_address(1), scene.world.lease_address(2))(&mut answer);
    scene.world.fails(answer, &[&claimant], LeaseholdError::WrongReceipt);
    scene.assert_invariants();
}
