//! Owners who leave, contest and replace machines, and machines that live on being left.

use leasehold::{
    error::LeaseholdError,
    instructions::{Machine, Offer, OpenLeaseArgs, ReplaceNodeArgs},
    rules::extend::Allowance,
    state::Slot,
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{Before, gross, less, net};

/// Formerly, a key without a GPU was paid seventy minutes for being left, and the same lease picked it again.
#[test]
fn attack_key_without_a_gpu_left_and_picked_again() {
    let Scene { mut world, supplier: honest, keepers, buyer } = Scene::listed(0);
    let faker = world.supplier();
    world.list(&faker, COMMITTED, &[Machine { price: 300_000, ..machine(0) }]);
    world.list(&honest, COMMITTED, &[machine(1)]);
    let before = Before::new(&world, &[&faker.wallet, &honest.wallet, &buyer]);
    world.open(&buyer, anything(), 1, 100);
    world.end_round();
    assert_eq!(world.slot(0).lease, 1);
    for _ in 0..2 {
        world.attest(&keepers, |_| true);
    }
    let contest = ReplaceNodeArgs { contest: true, ..replacement(0) };
    let replace = world.replace_instruction(&buyer, 1, contest);
    world.ok(&[replace], &[&buyer]);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    // It was up in three rounds, and gets nothing. It must stay on the market at its price for as many.
    let slot = world.slot(0);
    assert!(slot.has(Slot::BOUND) && slot.committed_until == slot.lease_until + 3);
    let withhold = instruction::withhold_machines(&world.board(), faker.wallet.pubkey(), vec![0]);
    world.fails(withhold, &[&faker.wallet], LeaseholdError::MachineBound);
    // Neither this lease takes it again, nor another that avoids it.
    let again = world.replace_instruction(&buyer, 1, replacement(1));
    world.fails(again, &[&buyer], LeaseholdError::NotEnoughGpus);
    let args = OpenLeaseArgs { avoid: vec![0], ..world.lease_args(&buyer, anything(), 1, 10) };
    let avoiding = world.open_instruction(&buyer, args);
    world.fails(avoiding, &[&buyer], LeaseholdError::NotEnoughGpus);
    for _ in 0..97 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    // The buyer loses half of what it destroys, and pays for the machine that served.
    let lost = 300_000 * 600 * 3 / 3_600;
    let expected = [(0, 0), (net(gross(97)), 0), (less(lost + lost / 2 + gross(97)), 0)];
    assert_eq!(before.gains(&world), expected);
}

/// A buyer that threatens to contest destroys what two hours earned and the exit, and loses half of it.
#[test]
fn attack_contest_as_extortion() {
    let leave = |contest: &[u16]| {
        let mut scene = Scene::listed(1);
        let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
        let before = Before::new(&scene.world, &[&supplier, &buyer]);
        scene = scene.leasing(1, 100);
        for _ in 0..29 {
            scene.world.attest(&scene.keepers, |_| true);
        }
        scene.world.settle(&buyer, 1);
        let cancel = scene.world.cancel_instruction(&buyer, 1, contest);
        scene.world.ok(&[cancel], &[&buyer]);
        scene.world.attest(&scene.keepers, |_| true);
        scene.world.settle(&buyer, 1);
        before.gains(&scene.world)
    };
    let exit: u64 = 350_000 * 2_100 / 3_600;
    let (lost, penalty) = (700_000 + exit, (700_000 + exit).div_ceil(2));
    assert_eq!(leave(&[]), [(net(gross(30) + exit), 0), (less(gross(30) + exit), 0)]);
    assert_eq!(leave(&[0]), [(net(gross(30) + exit - lost), 0), (less(gross(30) + exit + penalty), 0)]);
}

/// A contest can't be settled around: whoever settles before it is known, the last two hours are still there.
#[test]
fn attack_contest_settled_around() {
    let leave = |settled: bool| {
        let mut scene = Scene::listed(1);
        let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
        let before = Before::new(&scene.world, &[&supplier, &buyer]);
        scene = scene.leasing(1, 100);
        for _ in 0..69 {
            scene.world.attest(&scene.keepers, |_| true);
            if settled {
                scene.world.settle(&supplier, 1);
            }
        }
        let cancel = scene.world.cancel_instruction(&buyer, 1, &[0]);
        scene.world.ok(&[cancel], &[&buyer]);
        if settled {
            scene.world.settle(&supplier, 1);
        }
        scene.world.attest(&scene.keepers, |_| true);
        scene.world.settle(&supplier, 1);
        before.gains(&scene.world)
    };
    assert_eq!(leave(true), leave(false));
    // A fifth of 70 rounds' pay is kept; two hours of it can be contested.
    assert_eq!(leave(true)[0], (net(gross(70) - 700_000), 0));
}

/// Nobody can contest at the end of a lease.
#[test]
fn attack_contest_in_the_last_round() {
    let mut scene = Scene::listed(2);
    let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &buyer]);
    scene = scene.leasing(1, 10);
    for _ in 0..9 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    let cancel = scene.world.cancel_instruction(&scene.buyer, 1, &[0]);
    scene.world.fails(cancel, &[&scene.buyer], LeaseholdError::LeaseOver);
    let contest = ReplaceNodeArgs { contest: true, ..replacement(0) };
    let replace = scene.world.replace_instruction(&scene.buyer, 1, contest);
    scene.world.fails(replace, &[&scene.buyer], LeaseholdError::LeaseOver);
    scene.world.attest(&scene.keepers, |_| true);
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(before.gains(&scene.world), [(net(gross(10)), 0), (less(gross(10)), 0)]);
}

/// Leaving by replacing each machine and cancelling at once is not free: the new machines serve their first round.
#[test]
fn attack_free_exit_by_replacing_and_cancelling_in_one_transaction() {
    let mut scene = Scene::listed(2);
    let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &buyer]);
    scene = scene.leasing(1, 100);
    for _ in 0..20 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    let replace = scene.world.replace_instruction(&buyer, 1, replacement(0));
    let cancel = scene.world.cancel_instruction(&buyer, 1, &[]);
    scene.world.ok(&[replace, cancel], &[&buyer]);
    for _ in 0..2 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    scene.world.settle(&buyer, 1);
    // The old machine's 21 rounds, the new one's first, and what leaving that costs: a twentieth of 78 rounds.
    let cost = 350_000 * 2_340 / 3_600;
    let paid = net(gross(21)) + net(gross(1) + cost);
    assert_eq!(before.gains(&scene.world), [(paid, 0), (less(gross(21) + gross(1) + cost), 0)]);
}

/// One of two suppliers commits its machine no longer than the lease, so that the other's can't be extended.
#[test]
fn attack_one_supplier_holds_up_an_extension() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::listed(1);
    let mallory = world.supplier();
    world.list(&mallory, COMMITTED, &[machine(1)]);
    let before = Before::new(&world, &[&supplier.wallet, &mallory.wallet, &buyer]);
    world.open(&buyer, anything(), 2, 10);
    world.end_round();
    let Slot { price, lease_until, .. } = world.slot(1);
    let offer = Offer { slot: 1, price, committed_until: lease_until, bond: 0 };
    let shorten = instruction::reprice_machines(&world.board(), mallory.wallet.pubkey(), vec![offer]);
    world.ok(&[shorten], &[&mallory.wallet]);
    let extend = |world: &World, max_leaving| {
        world.extend_instruction(&buyer, 1, 5, Allowance { max_deposit: u64::MAX, max_leaving })
    };
    let all = extend(&world, 0);
    world.fails(all, &[&buyer], LeaseholdError::MachineNotCommitted);
    let without = extend(&world, 1);
    world.ok(&[without], &[&buyer]);
    for _ in 0..15 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    let expected = [(net(gross(15)), 0), (net(gross(10)), 0), (less(gross(15) + gross(10)), 0)];
    assert_eq!(before.gains(&world), expected);
}
