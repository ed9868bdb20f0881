//! Creating and closing a log, its operator and its lanes.

use anchor_lang::Discriminator;
use leasehold::{
    error::LeaseholdError,
    instructions::{Batch, Machine},
    state::{ComputeLog, LANES_OFFSET, Lane, SKIP, log_len, split_log, split_log_mut},
};
use leasehold_client::{address, instruction};
use leasehold_tests::*;
use solana_instruction::{Instruction, error::InstructionError};
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{DISPUTE_ROUNDS, close_rounds, open_log, retire, rival, second_board};

pub fn open_lanes(scene: &Recording, machines: &[u16]) -> Instruction {
    let Recording { world, supplier, .. } = scene;
    instruction::open_lanes(&world.board(), supplier.wallet.pubkey(), supplier.account, machines.to_vec())
}

fn keys(scene: &Recording) -> Vec<(u32, u16)> {
    scene.log_data().view().expect("a log").1.iter().map(Lane::key).collect()
}

#[test]
fn create_log_ok() {
    let Scene { mut world, supplier, buyer, .. } = Scene::listed(1);
    let (key, operator) = (supplier.wallet.pubkey(), world.wallet());
    let create = instruction::create_log(key, supplier.account, operator.pubkey());
    let by_stranger = instruction::create_log(buyer.pubkey(), supplier.account, buyer.pubkey());
    world.fails(by_stranger, &[&buyer], LeaseholdError::WrongAuthority);
    let before = world.lamports(&key);
    let meta = world.ok(core::slice::from_ref(&create), &[&supplier.wallet]);

    let address = address::log(&supplier.account);
    let data = world.data(&address);
    let (log, lanes) = split_log(&data).expect("a log");
    assert_eq!((log.supplier, log.operator), (supplier.account, operator.pubkey()));
    assert_eq!((log.version, log.batches, log.receipts, log.lanes), (ComputeLog::VERSION, 0, 0, 0));
    assert_eq!((lanes.len(), data.len()), (0, LANES_OFFSET));
    let rent = world.svm.minimum_balance_for_rent_exemption(LANES_OFFSET);
    assert_eq!((world.lamports(&address), before - world.lamports(&key)), (rent, rent + meta.fee));
    world.fails(create, &[&supplier.wallet], SYSTEM_ACCOUNT_IN_USE);
    world.assert_invariants();
}

#[test]
fn set_log_operator_ok() {
    let mut scene = Recording::leased(1, 1, 5);
    let (key, account) = (scene.supplier.wallet.pubkey(), scene.supplier.account);
    let (next, mallory) = (scene.world.wallet(), scene.world.supplier());
    let set = instruction::set_log_operator(key, account, next.pubkey());
    scene.world.ok(&[set], &[&scene.supplier.wallet]);

    let batch = scene.batch(0, &scene.receipts(1, 0, 2));
    let by_old = scene.append_by(&scene.operator, vec![batch]);
    scene.world.fails(by_old, &[&scene.operator], LeaseholdError::WrongAuthority);
    scene.operator = next;
    scene.seal_next(0, 2);
    // The supplier's authority may always append.
    scene.operator = scene.supplier.wallet.insecure_clone();
    scene.seal_next(0, 1);

    let theirs = mallory.wallet.pubkey();
    let by_stranger = instruction::set_log_operator(theirs, account, theirs);
    scene.world.fails(by_stranger, &[&mallory.wallet], LeaseholdError::WrongAuthority);
    let mut of_hers = instruction::set_log_operator(theirs, mallory.account, theirs);
    swap(address::log(&mallory.account), scene.log)(&mut of_hers);
    scene.world.fails(of_hers, &[&mallory.wallet], LeaseholdError::WrongSupplier);
    scene.assert_invariants();
}

#[test]
fn open_lanes_keeps_lanes_sorted_with_their_counters() {
    let mut scene = Recording::listed(1);
    let Recording { world, supplier, .. } = &mut scene;
    let (key, account) = (supplier.wallet.pubkey(), supplier.account);
    let more: Vec<_> = (1..12).map(signing_machine).collect();
    world.list(supplier, COMMITTED, &more);
    // A second board, with machines of the same supplier.
    let second = second_board(world);
    let until = world.round() + COMMITTED;
    let elsewhere: Vec<_> = (0..4).map(|number| signing_machine(100 + number)).collect();
    world.ok(&[instruction::list_machines(&second, key, until, elsewhere, &[])], &[&supplier.wallet]);
    let lanes_there = instruction::open_lanes(&second, key, account, vec![3, 1]);
    world.ok(&[lanes_there], &[&supplier.wallet]);

    let some = open_lanes(&scene, &[9, 5]);
    scene.world.ok(&[some], &[&scene.supplier.wallet]);
    scene.world.open(&scene.buyer, anything(), 12, 5);
    scene.world.end_round();
    let both = [5, 9].map(|slot| scene.receipts(1, slot, 3));
    let batches = [5, 9].map(|slot| scene.batch(slot, &both[usize::from(slot == 9)]));
    let [five, nine] = both;
    scene.append(vec![(batches[0], five), (batches[1], nine)]);
    let before = [5, 9].map(|slot| scene.lane(slot));
    let rest = open_lanes(&scene, &[11, 2, 7, 1]);
    scene.world.ok(&[rest], &[&scene.supplier.wallet]);
    assert_eq!(
        keys(&scene),
        [0, 1, 2, 5, 7, 9, 11].map(|slot| (0, slot)).into_iter().chain([(1, 1), (1, 3)]).collect::<Vec<_>>()
    );
    assert_eq!([5, 9].map(|slot| scene.lane(slot)), before);
    assert_eq!((before[0].batches, before[0].next_seq), (1, 3));
    assert_eq!(scene.lane(7), Lane { board: 0, slot: 7, ..bytemuck::Zeroable::zeroed() });
    // The same slot of another board has a lane of its own.
    assert_eq!(scene.log_data().lane(1, 1).expect("a lane").batches, 0);
    scene.assert_invariants();
}

#[test]
fn open_lanes_fails_when_a_lane_is_there_or_the_machine_is_not_theirs() {
    let mut scene = Recording::listed(3);
    let mallory = rival(&mut scene.world, 3, 2);
    let key = scene.supplier.wallet.insecure_clone();
    for (machines, error) in [
        (vec![], LeaseholdError::NoMachines),
        (vec![1], LeaseholdError::LaneExists),
        (vec![5], LeaseholdError::NoSuchSlot),
        (vec![3], LeaseholdError::WrongSupplier),
    ] {
        let open = open_lanes(&scene, &machines);
        scene.world.fails(open, &[&key], error);
    }
    // Twice in one instruction.
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(5)]);
    let twice = open_lanes(&scene, &[5, 5]);
    scene.world.fails(twice, &[&key], LeaseholdError::LaneExists);

    let theirs = mallory.wallet.pubkey();
    let mut in_ours = instruction::open_lanes(&scene.world.board(), theirs, mallory.account, vec![3]);
    swap(address::log(&mallory.account), scene.log)(&mut in_ours);
    scene.world.fails(in_ours, &[&mallory.wallet], LeaseholdError::WrongSupplier);
    let by_her = instruction::open_lanes(&scene.world.board(), theirs, scene.supplier.account, vec![5]);
    scene.world.fails(by_her, &[&mallory.wallet], LeaseholdError::WrongAuthority);
    scene.assert_invariants();
}

#[test]
fn open_lanes_costs_the_rent_of_each_lane_and_adds_256_at_once() {
    let mut scene = Recording::listed(40);
    let (key, account) = (scene.supplier.wallet.pubkey(), scene.supplier.account);
    let log = address::log(&account);
    let more: Vec<u16> = (40..440).collect();
    let machines: Vec<_> = more.iter().map(|number| signing_machine(*number)).collect();
    scene.world.list(&scene.supplier, COMMITTED, &machines);

    let too_many = open_lanes(&scene, &more[..257]);
    let refused = scene.world.instruction_error(too_many, &[&scene.supplier.wallet]);
    assert_eq!(
        refused,
        InstructionError::InvalidRealloc,
        "an account grows by at most 10,240 bytes in an instruction"
    );
    let before = scene.world.lamports(&key);
    let most = open_lanes(&scene, &more[..256]);
    let meta = scene.world.ok(&[most], &[&scene.supplier.wallet]);
    let lanes = 40 + 256;
    let rent = |lanes| scene.world.svm.minimum_balance_for_rent_exemption(log_len(lanes));
    assert_eq!(scene.world.lamports(&log), rent(lanes));
    assert_eq!(before - scene.world.lamports(&key), rent(lanes) - rent(40) + meta.fee);
    assert_eq!(scene.log_header().lanes as usize, lanes);
    assert_eq!(scene.world.data(&log).len(), log_len(lanes));
    println!("open_lanes of 256: {} CU", meta.compute_units_consumed);
    scene.assert_invariants();
}

#[test]
fn the_next_machine_in_a_slot_starts_a_new_lane() {
    let mut scene = Recording::leased(2, 1, 2);
    let buyer = scene.buyer.insecure_clone();
    scene.seal_next(0, 3);
    scene.seal_next(0, 2);
    assert_eq!((scene.lane(0).batches, scene.lane(0).next_seq), (2, 5));
    scene.world.go_to_round(scene.world.lease(1).until + DISPUTE_ROUNDS);
    close_rounds(&mut scene.world);
    scene.world.settle(&buyer, 1);
    let leave = retire(&scene.world, &scene.supplier, &[0]);
    scene.world.ok(&[leave], &[&scene.supplier.wallet]);
    let next = Machine { slot: Some(0), ..signing_machine(7) };
    scene.world.list(&scene.supplier, COMMITTED, &[next]);
    // Slot 0 is the lower of two at one price.
    assert_eq!(scene.world.open(&buyer, anything(), 1, 5), 2);
    scene.world.end_round();
    assert_eq!((scene.world.slot(0).lease, scene.world.slot(0).generation), (2, 1));

    let key = node_key(7);
    let receipts: Vec<_> = (0..2)
        .map(|seq| leasehold_client::record::SignedReceipt::sign(&key, scene.world.receipt(2, 0, seq)))
        .collect();
    let as_before = Batch { number: 2, ..scene.batch(0, &receipts) };
    let append = scene.append_instruction(vec![as_before]);
    let operator = scene.operator.insecure_clone();
    scene.world.fails(append, &[&operator], LeaseholdError::BatchOutOfOrder);
    scene.seal(0, receipts);
    let header = scene.archive.batches[2].header;
    assert_eq!((header.generation, header.number, header.first_seq, header.lease), (1, 0, 0, 2));
    assert_eq!(header.node_key, key.verifying_key().to_bytes());
    let lane = scene.lane(0);
    assert_eq!((lane.generation, lane.batches, lane.next_seq), (1, 1, 2));
    assert_eq!(keys(&scene), [(0, 0), (0, 1)], "the lane is reused");
    // The batches of the first machine are still in the log.
    let proof = scene.proof(0, 1).instruction();
    scene.world.ok(&[proof], &[&buyer]);
    scene.assert_invariants();
}

#[test]
fn skip_receipts_leaves_out_numbers_of_the_running_lease() {
    let mut scene = Recording::leased(2, 2, 20);
    let operator = scene.operator.insecure_clone();
    let (board, account) = (scene.world.board(), scene.supplier.account);
    let skip =
        |key: &Keypair, slot, lease| instruction::skip_receipts(&board, key.pubkey(), account, slot, lease);
    // A machine that has appended nothing yet, and one that has.
    scene.world.ok(&[skip(&operator, 1, 1)], &[&operator]);
    let lane = scene.lane(1);
    assert_eq!((lane.lease, lane.batches, lane.next_seq), (1, 0, SKIP));
    scene.seal_next(0, 3);
    scene.world.ok(&[skip(&operator, 0, 1)], &[&operator]);
    let lane = scene.lane(0);
    assert_eq!((lane.lease, lane.batches, lane.next_seq), (1, 1, 3 + SKIP));
    // The supplier may, too, and twice.
    let wallet = scene.supplier.wallet.insecure_clone();
    scene.world.ok(&[skip(&wallet, 0, 1)], &[&wallet]);
    assert_eq!(scene.lane(0).next_seq, 3 + 2 * SKIP);
    let index = scene.seal_next(0, 2);
    assert_eq!(scene.archive.batches[index].header.first_seq, 3 + 2 * SKIP);

    let mallory = rival(&mut scene.world, 2, 1);
    open_log(&mut scene.world, &mallory, vec![2]);
    for (signer, slot, lease, error) in [
        (&operator, 0, 2, LeaseholdError::NotInLease),
        (&operator, 0, 0, LeaseholdError::NotInLease),
        (&operator, 2, 1, LeaseholdError::WrongSupplier),
        (&operator, 3, 1, LeaseholdError::NoSuchSlot),
        (&mallory.wallet, 0, 1, LeaseholdError::WrongAuthority),
    ] {
        scene.world.fails(skip(signer, slot, lease), &[signer], error);
    }
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(3)]);
    scene.world.open(&scene.buyer, anything(), 2, 20);
    assert_eq!(scene.world.slot(3).lease, 2);
    scene.world.fails(skip(&operator, 3, 2), &[&operator], LeaseholdError::NoLane);
    let mut theirs = skip(&mallory.wallet, 0, 1);
    swap(account, mallory.account)(&mut theirs);
    scene.world.fails(theirs, &[&mallory.wallet], LeaseholdError::WrongSupplier);
    scene.assert_invariants();
}

/// The next machine in a slot, and the next lease, have numbers of their own.
#[test]
fn skip_receipts_leaves_out_numbers_in_all_later_leases() {
    let mut scene = Recording::leased(1, 1, 2);
    let (operator, buyer) = (scene.operator.insecure_clone(), scene.buyer.insecure_clone());
    let (board, account) = (scene.world.board(), scene.supplier.account);
    let skip = |lease| instruction::skip_receipts(&board, operator.pubkey(), account, 0, lease);
    scene.world.ok(&[skip(1)], &[&operator]);
    scene.world.go_to_round(scene.world.lease(1).until + 2);
    close_rounds(&mut scene.world);
    scene.world.settle(&buyer, 1);
    scene.world.fails(skip(1), &[&operator], LeaseholdError::NotInLease);
    assert_eq!(scene.world.open(&buyer, anything(), 1, 50), 2);
    scene.world.end_round();
    let receipts = scene.receipts(2, 0, 2);
    scene.seal(0, receipts);
    assert_eq!((scene.lane(0).lease, scene.lane(0).next_seq), (2, SKIP + 2));
    scene.assert_invariants();
}

#[test]
fn close_log_ok_once_the_supplier_has_no_machines() {
    let mut scene = Recording::leased(1, 1, 2);
    let buyer = scene.buyer.insecure_clone();
    scene.seal_next(0, 3);
    let (key, account) = (scene.supplier.wallet.pubkey(), scene.supplier.account);
    let close = instruction::close_log(key, account);
    let wallet = scene.supplier.wallet.insecure_clone();
    scene.world.fails(close.clone(), &[&wallet], LeaseholdError::MachinesLeft);
    scene.world.go_to_round(scene.world.lease(1).until + DISPUTE_ROUNDS);
    close_rounds(&mut scene.world);
    scene.world.settle(&buyer, 1);
    let leave = retire(&scene.world, &scene.supplier, &[0]);
    scene.world.ok(&[leave], &[&wallet]);

    let mut mallorys = instruction::close_log(buyer.pubkey(), account);
    scene.world.fails(mallorys.clone(), &[&buyer], LeaseholdError::WrongAuthority);
    let mallory = scene.world.supplier();
    mallorys = instruction::close_log(mallory.wallet.pubkey(), mallory.account);
    swap(address::log(&mallory.account), scene.log)(&mut mallorys);
    scene.world.fails(mallorys, &[&mallory.wallet], LeaseholdError::WrongSupplier);

    let leave = instruction::close_supplier(&scene.world.market, key);
    scene.world.fails(leave, &[&wallet], LeaseholdError::LogLeft);
    let (rent, before) = (scene.world.lamports(&scene.log), scene.world.lamports(&key));
    let meta = scene.world.ok(&[close], &[&wallet]);
    assert_eq!(scene.world.lamports(&key), before + rent - meta.fee);
    assert_eq!(scene.world.data(&scene.log), Vec::<u8>::new());
    scene.world.assert_invariants();
    // A log that is created again starts empty.
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(0)]);
    let again = open_log(&mut scene.world, &scene.supplier, vec![0]);
    assert_eq!(again, scene.log);
    assert_eq!((scene.log_header().batches, scene.lane(0).batches), (0, 0));
    scene.world.assert_invariants();
}

#[test]
fn split_log_fails_when_the_account_is_too_short() {
    let mut scene = Recording::leased(1, 1, 2);
    scene.seal_next(0, 1);
    let whole = scene.world.data(&scene.log);
    assert!(whole.starts_with(ComputeLog::DISCRIMINATOR));
    let malformed = |error: anchor_lang::error::Error| {
        assert_eq!(error, LeaseholdError::LogMalformed.into());
    };
    for len in [0, 8, LANES_OFFSET - 1, whole.len() - 1, LANES_OFFSET + 39] {
        malformed(split_log(&whole[..len]).map(|_| ()).unwrap_err());
        malformed(split_log_mut(&mut whole.clone()[..len]).map(|_| ()).unwrap_err());
    }
    assert_eq!(split_log(&whole).map(|(_, lanes)| lanes.len()).ok(), Some(1));
    scene.assert_invariants();
}
