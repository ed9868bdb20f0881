//! Attacks by trading with oneself, and those of the authority.

use leasehold::{
    math::wide,
    rules::{machine, market},
    state::{Market, Slot},
};

use super::{Attack, Claim, MACHINE, Scene};
use crate::economics::{
    money::Money,
    world::{Listing, Wallet, World},
};

pub fn run(scene: &Scene) -> Vec<Attack> {
    let keepers: Vec<Wallet> = (0..scene.market.rules.seats).map(Wallet::Keeper).collect();
    vec![
        wash(scene, "wash trader", &[], Claim::Loses),
        wash(scene, "wash trader who is all keepers", &keepers, Claim::Loses),
        move_index(scene),
        hold_up_extension(scene),
        raise_bonds(scene),
        raise_up_votes(scene),
        hoard_pool(scene),
    ]
}

/// A supplier leases its own machine for a day.
fn wash(scene: &Scene, name: &str, keepers: &[Wallet], claim: Claim) -> Attack {
    let mut world = scene.world();
    let rounds = scene.days(1);
    let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
    world.up(1 + rounds);
    world.settle(lease);
    world.up(scene.days(7));
    let before = Money::of_stake(i128::from(world.slot(MACHINE).bond));
    let books = world.finish();
    let ours: Vec<_> = [Wallet::Buyer, Wallet::Supplier].iter().chain(keepers).copied().collect();
    let change = books.wealth(&ours) - before;
    Attack {
        name: name.to_owned(),
        plan: format!(
            "leases its own machine for {rounds} rounds ({:.2} tokens)",
            scene.worth(rounds).tokens()
        ),
        cost: (-change).positive(),
        yields: change.positive(),
        damage: Money::ZERO,
        claim,
    }
}

/// A tenth of a class's volume is washed at ten times the price, to move the price index.
fn move_index(scene: &Scene) -> Attack {
    let rounds = scene.days(1);
    let run = |washes: bool| {
        let mut world = World::new(scene.market);
        for _ in 0..9 {
            world.list(scene.listing(Wallet::Rival));
        }
        let price = if washes { scene.price * 10 } else { scene.price };
        world.list(Listing { price, ..scene.listing(Wallet::Supplier) });
        let class = usize::from(scene.class);
        world.board.sums[class].index = scene.price;
        world.up(2);
        for _ in 0..10 {
            world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        }
        world.up(1 + rounds);
        for lease in 0..10 {
            world.settle(lease);
        }
        let sums = world.board.sums[class];
        let (index, _) = wide::div(sums.paid(), sums.gpu_rounds).expect("an average price fits");
        (index as f64, world.finish())
    };
    let ((honest, _), (moved, books)) = (run(false), run(true));
    let washed = scene.worth(rounds * 10);
    let fee = Money(washed.0 * i128::from(scene.market.params.fee_bps) / 10_000);
    let percent = (moved / honest - 1.0) * 100.0;
    assert!(percent <= 10.01 && books.paid(Wallet::Supplier) == washed - fee, "{percent} {books:?}");
    Attack {
        name: "wash trader: the index moved by washing".to_owned(),
        plan: format!(
            "a tenth of a day's volume of ten machines, washed at ten times the price, moves the index by {percent:.1} percent"
        ),
        cost: fee,
        yields: Money::ZERO,
        damage: Money::ZERO,
        claim: Claim::Loses,
    }
}

/// One of two suppliers of a lease shortens its commitment, so that the lease can't be extended.
fn hold_up_extension(scene: &Scene) -> Attack {
    let rounds = scene.days(1);
    let mut world = World::new(scene.market);
    world.list(scene.listing(Wallet::Rival));
    let short = world.list(Listing { rounds: 3 + rounds, ..scene.listing(Wallet::Supplier) });
    world.up(2);
    let mut ask = scene.ask(rounds);
    ask.gpus *= 2;
    let lease = world.open(Wallet::Buyer, &ask).expect("both machines are free");
    world.up(2);
    assert!(world.extend(lease, rounds, 0).is_err(), "a machine that is not committed can't be extended");
    let held_up = world.extend(lease, rounds, 1).is_err();
    let yields = if held_up { scene.worth(rounds) } else { Money::ZERO };
    assert!(world.slot(short).lease != 0);
    Attack {
        name: "supplier: one supplier that holds up an extension".to_owned(),
        plan:
            "one of two machines is not committed for the extension: its owner lets it leave at the old end"
                .to_owned(),
        cost: Money::ZERO,
        yields,
        damage: yields,
        claim: Claim::Loses,
    }
}

/// The market's parameters, changed as its authority can.
fn changed(scene: &Scene, change: impl Fn(&mut Market)) -> (Market, bool) {
    let mut other = World::new(scene.market).market;
    change(&mut other);
    let proposal = market::proposal(scene.market, other.params.clone(), 0);
    (other, proposal.is_ok())
}

/// The authority raises the bond tenfold, to trap machines that can't pay it.
fn raise_bonds(scene: &Scene) -> Attack {
    let (raised, allowed) = changed(scene, |market| market.params.bond_unit *= 10);
    assert!(allowed);
    let mut world = scene.world();
    world.market.params = raised.params;
    let round = world.round;
    let bond = world.slot(MACHINE).bond;
    machine::withhold(&mut world.slots[usize::from(MACHINE)], round)
        .expect("an idle machine can be withheld");
    let World { board, slots, suppliers, .. } = &mut world;
    let slot: &mut Slot = &mut slots[usize::from(MACHINE)];
    let supplier = suppliers.get_mut(&Wallet::Supplier).expect("a supplier");
    let now = board.round_end(round);
    machine::retire(board, slot, supplier, true, now, round)
        .expect("a machine that was never leased retires");
    let lost = i128::from(bond) - i128::from(supplier.stake.free);
    Attack {
        name: "authority: a raised bond that traps idle machines".to_owned(),
        plan: "ten times the bond, after the timelock: an idle machine is withheld and retires with its bond"
            .to_owned(),
        cost: Money::ZERO,
        yields: Money::ZERO,
        damage: Money::of_stake(lost),
        claim: Claim::Destroys(1),
    }
}

/// The authority raises u as far as it may, so that fewer seats can keep a machine from being up.
fn raise_up_votes(scene: &Scene) -> Attack {
    let most = scene.market.rules.most_up_votes();
    let (raised, allowed) = changed(scene, |market| market.params.up_votes = most);
    let (_, beyond) = changed(scene, |market| market.params.up_votes = most + 1);
    assert!(allowed && !beyond);
    let seats = scene.market.rules.seats - most + 1;
    let rounds = scene.days(1);
    let run = |attacks: bool| {
        let mut world = scene.world();
        world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1);
        world.market.params = raised.params.clone();
        // It counts from the round on that is closed next but one.
        for _ in 0..rounds {
            world.vote(|seat, slot| Some(!attacks || slot != MACHINE || seat >= seats));
        }
        let computed = world.computed[usize::from(MACHINE)];
        (world.finish(), computed)
    };
    let ((honest, _), (attacked, computed)) = (run(false), run(true));
    let net = attacked.paid(Wallet::Buyer) + scene.worth(computed);
    let supplier = [Wallet::Supplier];
    Attack {
        name: "authority: raises u".to_owned(),
        plan: format!(
            "u = {most} after the timelock, and {seats} friendly seats leave a friend's machine unseen for a day"
        ),
        cost: (-net).positive(),
        yields: net.positive(),
        damage: honest.wealth(&supplier) - attacked.wealth(&supplier),
        claim: Claim::Concedes(scene.worth(super::keepers::PAUSE_ROUNDS), super::keepers::PAUSE),
    }
}

/// The keepers' pool is full, and the authority raises the fee to empty it, or closes the board.
fn hoard_pool(scene: &Scene) -> Attack {
    let mut world = scene.world();
    let at_most = leasehold::rules::round::pool_at_most(&world.board, &world.market.params);
    world.fund(at_most * 10);
    world.up(1);
    let kept = Money::from(world.board.ledger.keeper_pool);
    let burned = Money::from(world.board.ledger.burning);
    let books = world.finish();
    assert!(kept <= Money::from(at_most) && burned > Money::ZERO);
    let gained = books.paid(Wallet::Authority);
    Attack {
        name: "authority: hoards the keepers' pool".to_owned(),
        plan: format!(
            "a pool of {:.0} tokens keeps {:.0}; the rest is burned, and none of it is ever the authority's",
            Money::from(at_most * 10).tokens(),
            kept.tokens()
        ),
        cost: Money::ZERO,
        yields: gained,
        damage: Money::ZERO,
        claim: Claim::Loses,
    }
}
