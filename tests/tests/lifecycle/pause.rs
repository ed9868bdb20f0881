//! Invariant 17: pausing never blocks a withdrawal.

use leasehold::{error::LeaseholdError, instructions::Offer, rules::extend::Allowance};
use leasehold_client::instruction;
use leasehold_tests::{Scene, anything, machine, replacement};
use solana_signer::Signer;

use crate::{attest, finish, is_up};

fn set_paused(scene: &mut Scene, paused: bool) {
    let authority = scene.world.authority.insecure_clone();
    let pause = instruction::set_paused(&scene.world.market, authority.pubkey(), paused);
    scene.world.ok(&[pause], &[&authority]);
}

#[test]
fn a_paused_market_lets_everything_out_and_nothing_in() {
    let mut scene = Scene::leased(8, 3, 8);
    scene.world.open(&scene.buyer, anything(), 2, 20);
    attest(&mut scene, |machine| machine != 1);
    set_paused(&mut scene, true);

    let (board, key) = (scene.world.board(), scene.buyer.pubkey());
    let args = scene.world.lease_args(&scene.buyer, anything(), 1, 1);
    let open = scene.world.open_instruction(&scene.buyer, args);
    let allowed = Allowance { max_deposit: u64::MAX, max_leaving: 0 };
    let extend = scene.world.extend_instruction(&scene.buyer, 1, 1, allowed);
    for refused in [open, extend] {
        scene.world.fails(refused, &[&scene.buyer], LeaseholdError::MarketPaused);
    }
    let list = scene.world.list_instruction(&scene.supplier, scene.world.round() + 9, &[machine(9)]);
    scene.world.fails(list, &[&scene.supplier.wallet], LeaseholdError::MarketPaused);

    // Leases run and end as usual, and machines are replaced.
    let replace = scene.world.replace_instruction(&scene.buyer, 1, replacement(1));
    scene.world.ok(&[replace], &[&scene.buyer]);
    let cancel = scene.world.cancel_instruction(&scene.buyer, 2, &[]);
    scene.world.ok(&[cancel], &[&scene.buyer]);
    let heir = scene.world.wallet();
    let transfer = instruction::transfer_lease(key, scene.world.lease_address(2), heir.pubkey());
    scene.world.ok(&[transfer], &[&scene.buyer]);
    let offer = Offer { slot: 6, price: 1, committed_until: scene.world.round() + 9, bond: 0 };
    let reprice = instruction::reprice_machines(&board, scene.supplier.wallet.pubkey(), vec![offer]);
    scene.world.ok(&[reprice], &[&scene.supplier.wallet]);
    attest(&mut scene, is_up);
    scene.world.settle(&heir, 2);

    // Claims and withdrawals of every kind follow; the market stays paused.
    assert!(scene.world.market_account().paused);
    finish(scene, &[&heir]);
}

#[test]
fn a_market_that_is_resumed_goes_on() {
    let mut scene = Scene::listed(2);
    set_paused(&mut scene, true);
    set_paused(&mut scene, false);
    scene.world.open(&scene.buyer, anything(), 2, 3);
    finish(scene, &[]);
}
