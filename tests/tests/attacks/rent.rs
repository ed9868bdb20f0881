//! Rent of slots after the cluster changed it.

use leasehold::state::{Params, board_len};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_keypair::Keypair;
use solana_rent::Rent;
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;
use solana_transaction_error::TransactionError;

/// Multiplies the rent of a byte by `halves` / 2.
fn set_rent(world: &mut World, halves: u64) {
    let mut rent = world.svm.get_sysvar::<Rent>();
    rent.lamports_per_byte = rent.lamports_per_byte * halves / 2;
    world.svm.set_sysvar(&rent);
}

fn rent_of(world: &World, slots: usize) -> u64 {
    world.svm.minimum_balance_for_rent_exemption(board_len(slots))
}

/// Lamports of a supplier's wallet and account; somebody else pays for its transactions.
fn wealth(world: &World, supplier: &SupplierActor) -> u64 {
    world.lamports(&supplier.wallet.pubkey()) + world.lamports(&supplier.account)
}

/// Lists machines in new slots and retires them.
fn list_and_retire(world: &mut World, payer: &Keypair, supplier: &SupplierActor, machines: u16) {
    let first = world.with_board(|_, slots| slots.len() as u16);
    let batch: Vec<_> = (first..first + machines).map(machine).collect();
    let list = world.list_instruction(supplier, world.round() + 9, &batch);
    world.ok(&[list], &[payer, &supplier.wallet]);
    let slots = (first..first + machines).collect();
    let key = supplier.wallet.pubkey();
    let retire = instruction::retire_machines(&world.board(), key, supplier.account, slots);
    world.ok(&[retire], &[payer, &supplier.wallet]);
    assert_eq!(world.with_board(|_, slots| slots.len()), usize::from(first));
}

/// A board with machines, their supplier, another supplier, and a wallet that pays for transactions.
fn stage(machines: u16) -> (World, SupplierActor, SupplierActor, Keypair) {
    let mut world = World::with(rules(), Params { bond_unit: 1, ..params() });
    let (supplier, mallory, payer) = (world.supplier(), world.supplier(), world.wallet());
    let all: Vec<_> = (0..machines).map(machine).collect();
    world.list(&supplier, COMMITTED, &all);
    (world, supplier, mallory, payer)
}

#[test]
fn attack_rent_of_others_after_rent_has_fallen() {
    let (mut world, supplier, mallory, payer) = stage(600);
    let board = world.board();
    let (paid, owned) = (world.lamports(&board.address), wealth(&world, &mallory));
    set_rent(&mut world, 1);
    assert!(paid > rent_of(&world, 600) * 19 / 10, "far more lies there than is needed");
    for machines in [1, 11, 5] {
        list_and_retire(&mut world, &payer, &mallory, machines);
        assert_eq!(wealth(&world, &mallory), owned, "she gets back exactly what she paid");
        assert_eq!(world.lamports(&board.address), paid);
    }

    // Cutting off slots that another supplier left gains nothing either.
    let key = supplier.wallet.pubkey();
    let retire = instruction::retire_machines(&board, key, supplier.account, vec![598]);
    world.ok(&[retire], &[&payer, &supplier.wallet]);
    let before = wealth(&world, &supplier);
    let slot = rent_of(&world, 1) - rent_of(&world, 0);
    let again = leasehold::instructions::Machine { slot: Some(598), ..machine(700) };
    let until = world.round() + 9;
    let list =
        instruction::list_machines(&board, mallory.wallet.pubkey(), until, vec![again], &[supplier.account]);
    world.ok(&[list], &[&payer, &mallory.wallet]);
    assert_eq!((owned - wealth(&world, &mallory), wealth(&world, &supplier) - before), (slot, slot));
    let leave = |who: &SupplierActor, slots| {
        instruction::retire_machines(&board, who.wallet.pubkey(), who.account, slots)
    };
    world.ok(&[leave(&mallory, vec![598])], &[&payer, &mallory.wallet]);
    world.ok(&[leave(&supplier, vec![599])], &[&payer, &supplier.wallet]);
    world.ok(&[instruction::trim_board(&board, &[mallory.account])], &[&payer]);
    assert_eq!(wealth(&world, &mallory), owned);

    // Everybody leaves; the creator of the board gets the rest.
    let before = wealth(&world, &supplier);
    for first in (0..598u16).step_by(299).rev() {
        let slots = (first..first + 299).collect();
        world.ok(&[leave(&supplier, slots)], &[&payer, &supplier.wallet]);
    }
    assert_eq!(wealth(&world, &supplier) - before, 598 * slot);
    let authority = world.authority.insecure_clone();
    let creator = authority.pubkey();
    let rest = world.lamports(&board.address) + world.lamports(&board.payment_vault());
    // The new rent of 600 slots was paid back; the rest stayed on the board.
    assert_eq!(world.lamports(&board.address), paid - 600 * slot);
    let before = world.lamports(&creator);
    let close = instruction::close_board(&board, creator, world.market.payment_account(&creator));
    world.ok(&[close], &[&payer, &authority]);
    assert_eq!(world.lamports(&creator) - before, rest);
    world.assert_invariants();
}

#[test]
fn attack_rent_that_rose_stops_no_listing_and_pays_nobody() {
    let (mut world, supplier, mallory, payer) = stage(20);
    let board = world.board();
    let owned = wealth(&world, &mallory);
    set_rent(&mut world, 4);
    let missing = rent_of(&world, 20) - world.lamports(&board.address);
    let slot = rent_of(&world, 1) - rent_of(&world, 0);
    list_and_retire(&mut world, &payer, &mallory, 3);
    // The first to list adds the lamports that the account lacks, and gets back only the rent of its own slots.
    assert_eq!(owned - wealth(&world, &mallory), missing);
    assert_eq!(world.lamports(&board.address), rent_of(&world, 20));
    list_and_retire(&mut world, &payer, &mallory, 3);
    assert_eq!(owned - wealth(&world, &mallory), missing);

    let before = wealth(&world, &supplier);
    let key = supplier.wallet.pubkey();
    let leave = instruction::retire_machines(&board, key, supplier.account, (0..20).collect());
    world.ok(&[leave], &[&payer, &supplier.wallet]);
    assert_eq!(wealth(&world, &supplier) - before, 20 * slot);
    assert_eq!(world.lamports(&board.address), rent_of(&world, 0));
    world.assert_invariants();
}

/// The runtime refuses to shrink an account that holds less than its rent; anybody can add the missing lamports.
#[test]
fn attack_rent_that_rose_is_not_paid_out_of_what_the_board_lacks() {
    let (mut world, supplier, _, payer) = stage(20);
    let board = world.board();
    set_rent(&mut world, 4);
    let (held, before) = (world.lamports(&board.address), wealth(&world, &supplier));
    let key = supplier.wallet.pubkey();
    let leave = |slots| instruction::retire_machines(&board, key, supplier.account, slots);
    // Machines can retire as long as the board keeps its length.
    world.ok(&[leave((0..10).collect())], &[&payer, &supplier.wallet]);
    let refused = world.send(&[leave((10..20).collect())], &[&payer, &supplier.wallet]);
    let poor = |error: &TransactionError| matches!(error, TransactionError::InsufficientFundsForRent { .. });
    assert!(refused.is_err_and(|failed| poor(&failed.err)));
    let gift = transfer(&payer.pubkey(), &board.address, rent_of(&world, 0) - held);
    world.ok(&[gift, leave((10..20).collect())], &[&payer, &supplier.wallet]);
    assert_eq!(world.with_board(|_, slots| slots.len()), 0);
    assert_eq!((wealth(&world, &supplier), world.lamports(&board.address)), (before, rent_of(&world, 0)));
    world.assert_invariants();
}
