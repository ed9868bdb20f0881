//! Machines that are made unreachable, or go dark themselves, to gain by it.

use leasehold::{
    error::LeaseholdError,
    instructions::{Machine, MeterArgs, Offer, OpenLeaseArgs},
    state::{Slot, SlotState},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{BOND, Before, gross, less, net, slashed};

/// What supplier and buyer gain in a lease of `rounds` rounds of one machine, up in rounds where `up` says so.
fn lease(rounds: u32, up: impl Fn(u32) -> bool) -> Vec<(i64, i64)> {
    let mut scene = Scene::listed(1);
    let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &buyer]);
    scene = scene.leasing(1, rounds);
    for round in 0..rounds {
        scene.world.attest(&scene.keepers, |_| up(round));
    }
    scene.world.settle(&buyer, 1);
    before.gains(&scene.world)
}

/// Formerly, a buyer who flooded eight H100 for ten minutes of an hour's lease took 1,560 USD of its bond.
#[test]
fn attack_flooding_a_machine_during_a_short_lease() {
    for down in 0..=6u64 {
        let mut scene = Scene::listed(0);
        let mut large = machine(0);
        (large.traits.class, large.traits.gpus) = (2, 8);
        scene.world.list(&scene.supplier, COMMITTED, &[large]);
        let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
        let before = Before::new(&scene.world, &[&supplier, &buyer]);
        scene = scene.leasing(8, 6);
        for round in 0..6 {
            scene.world.attest(&scene.keepers, |_| round >= down);
        }
        scene.world.settle(&buyer, 1);
        let (up, over) = (6 - down, down.saturating_sub(1));
        let gross = |rounds: u64| 2_800_000 * 600 * rounds / 3_600;
        let damages = gross(over).min(gross(up) / 5);
        // The buyer pays for what it had, and gets nothing of what the supplier loses.
        let supplier = (net(gross(up) - damages), less(slashed(32 * BOND, over)));
        assert_eq!(before.gains(&scene.world), [supplier, (less(gross(up)), 0)], "{down} rounds");
        let ledger = scene.world.with_board(|board, _| board.ledger);
        assert_eq!((ledger.burning, ledger.slashed), (damages, slashed(32 * BOND, over)));
    }
}

/// Formerly, one percent of unavailability was worth 0.85 hours of price to the buyer of an hour.
#[test]
fn attack_lottery_buyer_of_short_leases() {
    let [supplier, buyer] = lease(6, |round| round != 3)[..] else { panic!("two wallets") };
    assert_eq!(buyer, (less(gross(5)), 0), "it pays for five rounds of six");
    assert_eq!(supplier, (net(gross(5)), 0), "one round down is in any lease's allowance");
}

/// Formerly the same bet for nothing: a lease of one unit of deposit.
#[test]
fn attack_metered_lease_of_one_unit() {
    let mut scene = Scene::listed(0);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(0)]);
    let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let least = scene.world.metered_args(&buyer, 35_000, 50);
    let spender = public(&spender());
    for deposit in [1, 34_999] {
        let one = OpenLeaseArgs { meter: Some(MeterArgs { spender, deposit }), ..least.clone() };
        let one = scene.world.open_instruction(&buyer, one);
        scene.world.fails(one, &[&buyer], LeaseholdError::DepositTooSmall);
    }
    let before = Before::new(&scene.world, &[&supplier, &buyer]);
    let open = scene.world.open_instruction(&buyer, least);
    scene.world.ok(&[open], &[&buyer]);
    scene.world.end_round();
    scene.world.attest(&scene.keepers, |_| true);
    // It drowns the machine, and leaves: it owes the rest of the hour all the same.
    let board = scene.world.board();
    let notice = instruction::give_notice(&board, buyer.pubkey(), scene.world.lease_address(1), None);
    scene.world.ok(&[notice], &[&buyer]);
    for _ in 0..3 {
        scene.world.attest(&scene.keepers, |_| false);
    }
    scene.world.settle(&buyer, 1);
    let (standby, exit) = (35_000 * 600 / 3_600, 35_000 * 2_400 / 3_600);
    assert_eq!(before.gains(&scene.world), [(net(standby), 0), (less(standby + exit), 0)]);
    assert_eq!(scene.world.with_board(|board, _| board.ledger.burning), exit);
}

/// An owner who wants to be rid of the rest of a lease drowns the machine: that saves what cancelling costs, and pays nobody.
#[test]
fn attack_tail_of_a_lease_drowned_instead_of_cancelled() {
    let [supplier, drowner] = lease(100, |round| round < 80)[..] else { panic!("two wallets") };
    // Five of the 20 rounds are allowed.
    assert_eq!(drowner, (less(gross(80)), 0));
    assert_eq!(supplier, (net(gross(80) - gross(15)), less(slashed(BOND, 15))));

    let mut scene = Scene::listed(1);
    let (supplier, owner) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &owner]);
    scene = scene.leasing(1, 100);
    for _ in 0..80 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    let cancel = scene.world.cancel_instruction(&owner, 1, &[]);
    scene.world.ok(&[cancel], &[&owner]);
    scene.world.attest(&scene.keepers, |_| true);
    scene.world.settle(&owner, 1);
    // The running round, and a twentieth of the other 19: less than two rounds in all, for drowning twenty.
    let cost = gross(81) + 350_000 * 570 / 3_600;
    assert_eq!(before.gains(&scene.world), [(net(cost), 0), (less(cost), 0)]);
    assert!(cost - gross(80) < gross(2));
}

/// Drowning the last round before one leaves makes the exit burned, not free.
#[test]
fn attack_free_exit_by_one_drowned_round() {
    let leave = |drowned: bool| {
        let mut scene = Scene::listed(1);
        let (supplier, owner) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
        let before = Before::new(&scene.world, &[&supplier, &owner]);
        scene = scene.leasing(1, 100);
        for _ in 0..19 {
            scene.world.attest(&scene.keepers, |_| true);
        }
        let cancel = scene.world.cancel_instruction(&owner, 1, &[]);
        scene.world.ok(&[cancel], &[&owner]);
        scene.world.attest(&scene.keepers, |_| !drowned);
        scene.world.settle(&owner, 1);
        (before.gains(&scene.world), scene.world.with_board(|board, _| board.ledger.burning))
    };
    // A twentieth of 80 rounds.
    let exit = 350_000 * 2_400 / 3_600;
    assert_eq!(leave(false), (vec![(net(gross(20) + exit), 0), (less(gross(20) + exit), 0)], 0));
    assert_eq!(leave(true), (vec![(net(gross(19)), 0), (less(gross(19) + exit), 0)], exit));
}

/// A supplier that goes dark as long as it may, so that its buyer pays it for leaving and it can sell the machine again.
#[test]
fn attack_dark_within_the_allowance_until_its_buyer_leaves() {
    let mut scene = Scene::listed(1);
    let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &buyer]);
    scene = scene.leasing(1, 100);
    for round in 0..62 {
        scene.world.attest(&scene.keepers, |_| round < 60);
    }
    let cancel = scene.world.cancel_instruction(&buyer, 1, &[]);
    scene.world.ok(&[cancel], &[&buyer]);
    scene.world.attest(&scene.keepers, |_| false);
    scene.world.settle(&buyer, 1);
    // Three of 63 rounds are allowed; it is paid for those it served. What the buyer owes for leaving is burned.
    let exit = 350_000 * 1_110 / 3_600;
    assert_eq!(before.gains(&scene.world), [(net(gross(60)), 0), (less(gross(60) + exit), 0)]);
    // Until the end that was agreed on it can't be withheld, sold for more, or retired.
    let (board, key, slot) = (scene.world.board(), supplier.pubkey(), scene.world.slot(0));
    assert!(slot.has(Slot::BOUND));
    assert_eq!(slot.committed_until, slot.lease_agreed);
    let withhold = instruction::withhold_machines(&board, key, vec![0]);
    scene.world.fails(withhold, &[&supplier], LeaseholdError::MachineBound);
    let offer = Offer { slot: 0, price: slot.price + 1, committed_until: slot.committed_until, bond: 0 };
    let dearer = instruction::reprice_machines(&board, key, vec![offer]);
    scene.world.fails(dearer, &[&supplier], LeaseholdError::MachineBound);
    // Its buyer leases it again at the same price, if it is up.
    scene.world.attest(&scene.keepers, |_| true);
    scene.world.open(&buyer, anything(), 1, 35);
    assert_eq!(scene.world.slot(0).lease, 2);
    scene.world.assert_invariants();
}

/// A supplier that stays dark while it is bound loses its bond, although nobody leases it.
#[test]
fn attack_deserter_whom_its_replacer_pardons() {
    let rules = leasehold::state::RoundRules { sla_bps: 10_000, ..rules() };
    let mut scene = Scene::under(rules, params(), 2);
    let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &buyer]);
    scene = scene.leasing(1, 50);
    for round in 0..21 {
        scene.world.attest(&scene.keepers, |machine| machine == 1 || round < 20);
    }
    let replace = scene.world.replace_instruction(&buyer, 1, replacement(0));
    scene.world.ok(&[replace], &[&buyer]);
    for _ in 0..29 {
        scene.world.attest(&scene.keepers, |machine| machine == 1);
    }
    scene.world.settle(&buyer, 1);
    // Two rounds down are one too many: its price, which is burned. Then more, until four are down of the last 64: the bond.
    // The other machine serves the last 28 rounds. The buyer pays for rounds in which it was served, no more.
    let earned = net(gross(20) - gross(1)) + net(gross(28));
    assert_eq!(before.gains(&scene.world), [(earned, less(BOND)), (less(gross(20) + gross(28)), 0)]);
    assert!(scene.world.slot(0).bond == 0 && !scene.world.slot(0).has(Slot::BOUND));
}

/// Forfeiting keeps nothing of what is held back, costs the whole bond, and pays the owner.
#[test]
fn attack_forfeiting_to_keep_the_hold_back() {
    let [dark, _] = lease(100, |round| round < 70)[..] else { panic!("two wallets") };
    let mut scene = Scene::listed(1);
    let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &buyer]);
    scene = scene.leasing(1, 100);
    for _ in 0..70 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    scene.world.settle(&buyer, 1);
    scene.world.forfeit(&scene.supplier, &[0]);
    for _ in 0..30 {
        scene.world.attest(&scene.keepers, |_| false);
    }
    scene.world.settle(&buyer, 1);
    let damages = gross(70) / 5;
    let found = before.gains(&scene.world);
    assert_eq!(found, [(net(gross(70) - damages), less(BOND)), (less(gross(70) - damages), 0)]);
    // As much as going dark would have earned it, but that costs a part of the bond only.
    assert_eq!(dark, (net(gross(70) - damages), less(slashed(BOND, 25))));
    scene.world.assert_invariants();
}

/// Halfway through a lease, others pay twice the price: its supplier forfeits the machine, and lists the same GPU under another
/// key. What it gains by that is the buyers' new price; what it loses is a fifth of what it earned, and the bond.
#[test]
fn attack_deserter_who_forfeits_when_the_open_market_pays_more() {
    let play = |deserts: bool| {
        let mut scene = Scene::listed(1);
        let second = scene.world.wallet();
        let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
        let before = Before::new(&scene.world, &[&supplier, &buyer, &second]);
        scene = scene.leasing(1, 100);
        for _ in 0..50 {
            scene.world.attest(&scene.keepers, |_| true);
        }
        if deserts {
            scene.world.forfeit(&scene.supplier, &[0]);
            scene.world.list(&scene.supplier, COMMITTED, &[Machine { price: 700_000, ..machine(1) }]);
            assert_eq!(scene.world.open(&second, anything(), 1, 49), 2);
        }
        for _ in 50..100 {
            scene.world.attest(&scene.keepers, |machine| !deserts || machine == 1);
        }
        scene.world.settle(&buyer, 1);
        if deserts {
            scene.world.settle(&buyer, 2);
            assert!(scene.world.slot(0).bond == 0 && scene.world.slot(0).is(SlotState::Suspended));
        }
        before.gains(&scene.world)
    };
    assert_eq!(play(false), [(net(gross(100)), 0), (less(gross(100)), 0), (0, 0)]);
    let (kept, sold) = (gross(50) - gross(50) / 5, 2 * gross(49));
    let expected = [(net(kept) + net(sold), less(BOND)), (less(kept), 0), (less(sold), 0)];
    assert_eq!(play(true), expected);
}

/// A machine that joins for the last rounds is judged on the market's shortest lease: flooding it costs its supplier no bond.
#[test]
fn attack_replacement_flooded_in_the_few_rounds_that_it_serves() {
    let mut scene = Scene::under(rules(), leasehold::state::Params { min_rounds: 144, ..params() }, 1);
    let newcomer = scene.world.supplier();
    scene.world.list(&newcomer, COMMITTED, &[Machine { price: 350_000, ..machine(1) }]);
    let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &newcomer.wallet, &buyer]);
    scene = scene.leasing(1, 144);
    for _ in 0..134 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    let replace = scene.world.replace_instruction(&buyer, 1, replacement(0));
    scene.world.ok(&[replace], &[&buyer]);
    scene.world.attest(&scene.keepers, |_| true);
    // Nine rounds, of which it is down in seven: as many as of 144.
    for round in 0..9 {
        scene.world.attest(&scene.keepers, |machine| machine == 0 || round < 2);
    }
    scene.world.settle(&buyer, 1);
    assert_eq!(scene.world.slot(1).lease_down, 7);
    let expected = [(net(gross(135)), 0), (net(gross(2)), 0), (less(gross(135) + gross(2)), 0)];
    assert_eq!(before.gains(&scene.world), expected);
}
