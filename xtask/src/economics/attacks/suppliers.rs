//! Attacks of suppliers: keys without GPUs, leaving a lease for a better price, baits, slashing oneself.

use super::{Attack, Claim, GPUS, MACHINE, OTHER, Scene};
use crate::economics::{
    money::Money,
    world::{Ask, Listing, Wallet, World},
};

/// Rounds of the last 64 in which a machine may be dark without being abandoned.
fn dark_of_64(scene: &Scene) -> u32 {
    u32::from(scene.market.rules.abandon_rounds) - 1
}

pub fn run(scene: &Scene) -> Vec<Attack> {
    let mut attacks = vec![
        fake(
            scene,
            "fake: replaced and contested in its first round",
            30,
            1,
            Answer::Replace { contest: true },
        ),
        fake(
            scene,
            "fake: cancelled and contested in its first round",
            30,
            1,
            Answer::Cancel { contest: true },
        ),
        fake(
            scene,
            "fake: settles each round, contested after 12 hours",
            30,
            scene.hours(12),
            Answer::Replace { contest: true },
        ),
        fake(scene, "fake: replaced without a contest", 30, 1, Answer::Replace { contest: false }),
        fake(scene, "fake: left without a contest", 30, 1, Answer::Cancel { contest: false }),
        picked_again(scene),
        listed_twice(scene),
    ];
    for (times, percent) in [("1.2", 120), ("1.5", 150), ("2", 200), ("3", 300)] {
        attacks.push(desert(
            scene,
            format!("deserter, two days left, spot x {times}: forfeits"),
            percent,
            7,
            5,
            Way::Forfeit,
        ));
    }
    attacks.push(desert(scene, "deserter, two days left, spot x 2: goes dark".into(), 200, 7, 5, Way::Dark));
    for (times, percent) in [("1.2", 120), ("1.5", 150), ("2", 200), ("3", 300)] {
        attacks.push(desert(
            scene,
            format!("deserter, 20 days left, spot x {times}: forfeits"),
            percent,
            30,
            10,
            Way::Forfeit,
        ));
    }
    attacks.extend([
        desert(scene, "deserter, 20 days left, spot x 2: goes dark".into(), 200, 30, 10, Way::Dark),
        desert(
            scene,
            "deserter, 20 days left, spot x 2: pardoned by its replacer".into(),
            200,
            30,
            10,
            Way::Pardoned,
        ),
        desert(
            scene,
            "deserter, 20 days left, spot x 2: pardoned, then leases itself".into(),
            200,
            30,
            10,
            Way::SelfLeased,
        ),
        desert(
            scene,
            "deserter, two days left, spot x 2: pardoned by its replacer".into(),
            200,
            7,
            5,
            Way::Pardoned,
        ),
        dark_within_allowance(scene),
        forfeit_at_the_end(scene),
    ]);
    attacks.extend([slash_oneself(scene), escape_bound(scene)]);
    attacks.extend(baits(scene));
    attacks
}

/// What the buyer of a key without a GPU does about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Replace { contest: bool },
    Cancel { contest: bool },
}

/// A key without a GPU answers every probe until its buyer leaves it.
fn fake(scene: &Scene, name: &str, days: u32, served: u32, answer: Answer) -> Attack {
    let rounds = scene.days(days);
    let mut world = scene.world();
    let bond = world.slot(MACHINE).bond;
    let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
    for _ in 0..served {
        world.up(1);
        world.settle(lease);
    }
    let new = match answer {
        Answer::Replace { contest } => {
            Some(world.replace(lease, MACHINE, contest).expect("another machine is free"))
        }
        Answer::Cancel { contest } => {
            let contested: &[u16] = if contest { &[MACHINE] } else { &[] };
            world.cancel(lease, contested).expect("a lease that runs");
            None
        }
    };
    world.up(1);
    if let Some(new) = new {
        assert_eq!(new, OTHER);
        world.up(rounds);
    }
    let books = world.finish();
    let earned = books.paid(Wallet::Supplier);
    // What another machine served the buyer.
    let other = new.map_or(Money::ZERO, |_| scene.worth_of_other(rounds - served));
    let lost = Money::of_stake(i128::from(bond) - books.bond(Wallet::Supplier));
    let (claim, how) = match answer {
        Answer::Replace { contest: true } | Answer::Cancel { contest: true } => {
            let kept = scene.worth(served.saturating_sub(scene.hours(2)));
            (Claim::Concedes(kept, "what it earned more than two hours before it was contested"), "contested")
        }
        Answer::Replace { contest: false } => (
            Claim::Concedes(scene.worth(served), "the rounds until its owner left, who did not contest it"),
            "not contested",
        ),
        Answer::Cancel { contest: false } => {
            (Claim::Open("an owner who does not contest pays what leaving costs"), "not contested")
        }
    };
    Attack {
        name: name.to_owned(),
        plan: format!("a key without a GPU is leased for {rounds} rounds and left after {served}, {how}"),
        cost: lost,
        yields: earned,
        damage: -books.paid(Wallet::Buyer) - other,
        claim,
    }
}

/// The same fake stays the cheapest machine: who replaced it, and who avoids it, does not get it again.
fn picked_again(scene: &Scene) -> Attack {
    let mut world = scene.world();
    world.list(Listing { price: scene.price * 2, ..scene.listing(Wallet::Rival) });
    world.up(2);
    let rounds = scene.hours(6);
    let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
    world.up(1);
    let first = world.replace(lease, MACHINE, true).expect("another machine is free");
    world.up(2);
    world.settle(lease);
    let second = world.replace(lease, first, false).expect("a third machine is free");
    let again = u32::from(second == MACHINE);
    world.up(2);
    world.settle(lease);
    // It is offered again, as cheap as before, once it is not bound any more.
    world
        .reprice(MACHINE, scene.price, scene.market.params.max_rounds)
        .expect("an idle machine can be offered");
    world.up(1);
    let ask = Ask { avoid: vec![MACHINE], ..scene.ask(rounds) };
    world.open(Wallet::Buyer, &ask).expect("a machine is free");
    let again = again + u32::from(world.slot(MACHINE).lease != 0);
    Attack {
        name: "fake: picked again".to_owned(),
        plan: format!(
            "the fake is still the cheapest: taken again {again} times by a buyer who replaced or avoids it"
        ),
        cost: Money::ZERO,
        yields: scene.worth(rounds * again),
        damage: scene.worth(rounds * again),
        claim: Claim::Loses,
    }
}

/// One computer on two slots: keepers vote up only the lowest slot of a key.
fn listed_twice(scene: &Scene) -> Attack {
    let mut world = World::new(scene.market);
    let [first, second] = [0, 1].map(|_| world.list(scene.listing(Wallet::Supplier)));
    let rounds = scene.hours(6);
    for _ in 0..2 {
        world.down(second, 1);
    }
    world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
    let taken = world.open(Wallet::Buyer, &scene.ask(rounds)).is_ok();
    assert!(world.slot(first).lease != 0);
    let yields = if taken { scene.worth(rounds) } else { Money::ZERO };
    Attack {
        name: "fake: one computer listed twice".to_owned(),
        plan: "keepers vote up the lowest slot of a key, so the second was never seen up and fits no request"
            .to_owned(),
        cost: Money::ZERO,
        yields,
        damage: yields,
        claim: Claim::Loses,
    }
}

/// How a supplier leaves a lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It says so.
    Forfeit,
    /// Without a word, and nobody does anything about it.
    Dark,
    /// Without a word, and its owner replaces it in the next round; while it is bound it is dark as often as it may be.
    Pardoned,
    /// The same, but while it is bound it leases itself and only its key answers.
    SelfLeased,
}

/// A supplier sells its machine elsewhere for `percent` of its price, in mid-lease.
fn desert(scene: &Scene, name: String, percent: u32, days: u32, served_days: u32, way: Way) -> Attack {
    let (rounds, served) = (scene.days(days), scene.days(served_days));
    let spot = |rounds: u32| scene.worth(rounds).scale(f64::from(percent) / 100.0);
    let honest = play(scene, rounds, |world, _| world.up(rounds));
    let mut sold = 0;
    let attacked = play(scene, rounds, |world, lease| {
        world.up(served);
        match way {
            Way::Forfeit => {
                world.forfeit(MACHINE).expect("a leased machine");
                sold = rounds - served;
            }
            Way::Dark => {
                world.down(MACHINE, rounds - served);
                sold = rounds - served;
                return;
            }
            Way::SelfLeased => {
                replaced(world, lease);
                sold = rounds - served;
                let bound = world.slot(MACHINE).committed_until.saturating_sub(world.round + 1);
                let mut ask = scene.ask(bound.min(sold - 3));
                ask.criteria.allow_unseen = true;
                world.open(Wallet::Stranger, &ask).expect("the machine is free");
                assert!(world.slot(MACHINE).lease != 0);
            }
            Way::Pardoned => {
                replaced(world, lease);
                sold = 2;
                let mut round = 0;
                while sold < rounds - served && world.slot(MACHINE).is_bound(world.round) {
                    // Dark at first, so that it is never one round too many.
                    let dark = round % 64 < dark_of_64(scene);
                    world.verdicts(|slot| slot != MACHINE || !dark);
                    sold += u32::from(dark);
                    round += 1;
                }
                let free = (rounds - served).saturating_sub(2 + round);
                sold += free;
                world.up(free);
                return;
            }
        }
        world.up(rounds - served);
    });
    let lost = Money::of_stake(honest.bond(Wallet::Supplier) - attacked.bond(Wallet::Supplier));
    let earned = attacked.paid(Wallet::Supplier) + attacked.paid(Wallet::Stranger);
    let forgone = honest.paid(Wallet::Supplier) - earned;
    // The owner leases at the spot price for the rest.
    let owner = attacked.paid(Wallet::Buyer) - honest.paid(Wallet::Buyer);
    let owner = match way {
        Way::Pardoned | Way::SelfLeased => -owner,
        Way::Forfeit | Way::Dark => spot(rounds - served) - owner,
    };
    let claim = match (days, way) {
        (7, Way::Forfeit | Way::Dark) if percent <= 200 => Claim::Loses,
        (_, Way::Forfeit | Way::Dark) => Claim::Open(
            "a bond covers only so many hours at a higher price: ask for a higher one, or for shorter leases",
        ),
        (_, Way::Pardoned) => {
            Claim::Open("a machine that was replaced is bound for a week at most, and may be dark then")
        }
        (_, Way::SelfLeased) => {
            Claim::Open("nobody sees whether a GPU is behind the key of a machine that leases itself")
        }
    };
    Attack {
        name,
        plan: format!("leaves a lease of {days} days after {served_days} and sells {sold} rounds elsewhere"),
        cost: lost + forgone,
        yields: spot(sold),
        damage: owner.positive(),
        claim,
    }
}

/// A machine goes dark for a round and its owner replaces it.
fn replaced(world: &mut World, lease: usize) {
    world.down(MACHINE, 1);
    world.replace(lease, MACHINE, false).expect("another machine is free");
    world.down(MACHINE, 1);
    world.settle(lease);
}

/// Opens a lease of the machine, plays, and settles it.
fn play(
    scene: &Scene,
    rounds: u32,
    mut act: impl FnMut(&mut World, usize),
) -> crate::economics::world::Books {
    let mut world = scene.world();
    let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
    world.up(1);
    act(&mut world, lease);
    let until = world.leases[lease].until;
    while world.round < until {
        world.up(1);
    }
    world.finish()
}

/// A machine of a week's lease sells as many rounds elsewhere, at twice its price, as it may be down.
fn dark_within_allowance(scene: &Scene) -> Attack {
    let rounds = scene.days(7);
    let allowed = leasehold::math::slashing::allowance(rounds, scene.market.rules.sla_bps);
    let honest = play(scene, rounds, |world, _| world.up(rounds));
    let attacked = play(scene, rounds, |world, lease| {
        // Dark five of six rounds, until its owner cancels to be rid of it.
        let mut dark = 0;
        world.up(1);
        while dark < allowed {
            let now = (allowed - dark).min(5);
            world.down(MACHINE, now);
            world.up(1);
            dark += now;
        }
        world.cancel(lease, &[]).expect("a lease that runs");
    });
    let lost = Money::of_stake(honest.bond(Wallet::Supplier) - attacked.bond(Wallet::Supplier));
    let served = scene.worth(allowed.div_ceil(5) + 2);
    // What leaving would have paid a blameless machine is burned.
    let paid = attacked.paid(Wallet::Supplier);
    Attack {
        name: "goes dark within its allowance until its owner pays it for leaving".to_owned(),
        plan: format!("sells {allowed} of {rounds} rounds elsewhere at twice its price; its owner cancels"),
        cost: lost + scene.worth(allowed),
        yields: scene.worth(allowed * 2) + (paid - served).positive(),
        damage: (-attacked.paid(Wallet::Buyer) - served).positive(),
        claim: Claim::Concedes(scene.worth(allowed), "the rounds in which it may be down"),
    }
}

/// A supplier forfeits in the last round but one, to sell at three times its price what is left, and to keep what was kept.
fn forfeit_at_the_end(scene: &Scene) -> Attack {
    let rounds = scene.days(7);
    let honest = play(scene, rounds, |world, _| world.up(rounds));
    let attacked = play(scene, rounds, |world, _| {
        world.up(rounds - 2);
        world.forfeit(MACHINE).expect("a leased machine");
    });
    let lost = Money::of_stake(honest.bond(Wallet::Supplier) - attacked.bond(Wallet::Supplier));
    let forgone = honest.paid(Wallet::Supplier) - attacked.paid(Wallet::Supplier);
    Attack {
        name: "forfeits to keep what was held back".to_owned(),
        plan: "forfeits with two rounds of a week left, and sells them at three times the price".to_owned(),
        cost: lost + forgone,
        yields: scene.worth(2 * 3),
        damage: Money::ZERO,
        claim: Claim::Loses,
    }
}

/// A supplier leases its own machine and lets it be slashed.
fn slash_oneself(scene: &Scene) -> Attack {
    let rounds = scene.days(1);
    let run = |forfeits: bool| {
        let mut world = scene.world();
        world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(2);
        if forfeits {
            world.forfeit(MACHINE).expect("a leased machine");
        }
        world.up(rounds);
        world.finish()
    };
    let (honest, attacked) = (run(false), run(true));
    let both = [Wallet::Supplier, Wallet::Buyer];
    let change = attacked.wealth(&both) - honest.wealth(&both);
    Attack {
        name: "slashes itself".to_owned(),
        plan: "a supplier leases its own machine and forfeits it".to_owned(),
        cost: (-change).positive(),
        yields: change.positive(),
        damage: Money::ZERO,
        claim: Claim::Loses,
    }
}

/// A bound machine that is about to be abandoned is leased by its own supplier for a round, in which it is up.
fn escape_bound(scene: &Scene) -> Attack {
    let mut world = scene.world();
    let before = world.slot(MACHINE).bond;
    let lease = world.open(Wallet::Buyer, &scene.ask(scene.days(30))).expect("a machine is free");
    world.up(1 + scene.days(7));
    world.down(MACHINE, 1);
    world.replace(lease, MACHINE, false).expect("another machine is free");
    world.up(1);
    world.settle(lease);
    let allowed = {
        let (board, rules) = (&world.board, &world.market.rules);
        leasehold::math::slashing::abandon_allowance(0, board.round_secs, rules.sla_bps)
    };
    world.down(MACHINE, allowed);
    assert!(world.slot(MACHINE).is_bound(world.round) && world.slot(MACHINE).bond == before);
    let mut ask = scene.ask(scene.market.params.min_rounds);
    ask.criteria.allow_unseen = true;
    let own = world.open(Wallet::Buyer, &ask).expect("the machine is free");
    assert!(world.slot(MACHINE).lease != 0);
    world.down(MACHINE, 1);
    world.up(ask.rounds);
    world.settle(own);
    let after = world.slot(MACHINE).bond;
    Attack {
        name: "deserter: leases itself before it is abandoned".to_owned(),
        plan: "a bound machine that is dark is leased by its supplier just before it would lose its bond"
            .to_owned(),
        cost: Money::of_stake(i128::from(before) - i128::from(after)),
        yields: if after == before { Money::of_stake(i128::from(before)) } else { Money::ZERO },
        damage: Money::ZERO,
        claim: Claim::Loses,
    }
}

/// Baits for the order in which machines are taken. Each yields what the buyer pays above the cheapest honest offer.
fn baits(scene: &Scene) -> Vec<Attack> {
    let rounds = scene.days(1);
    let per_gpu = |gpus: u8, price: u64| Listing { gpus, price, ..scene.listing(Wallet::Supplier) };
    let absurd = u64::MAX / 4;
    let cases: [(&str, &str, Listing, bool); 4] = [
        (
            "bidder: a bait of 255 GPUs",
            "255 GPUs at a unit below the market",
            per_gpu(255, scene.price - 1),
            false,
        ),
        (
            "bidder: a bait of 255 GPUs, any size allowed",
            "the same, to a buyer that takes machines of any size",
            per_gpu(255, scene.price - 1),
            true,
        ),
        (
            "bidder: one absurd price",
            "one GPU at an absurd price beside honest machines",
            per_gpu(1, absurd),
            false,
        ),
        (
            "bidder: a bait of one GPU less",
            "a machine of one GPU less at a unit below the market",
            per_gpu(GPUS - 1, scene.price - 1),
            false,
        ),
    ];
    let run = |(name, plan, bait, any): (&str, &str, Listing, bool)| {
        let mut world = World::new(scene.market);
        world.list(bait);
        for _ in 0..3 {
            world.list(scene.listing(Wallet::Rival));
        }
        world.up(2);
        let mut ask = scene.ask(rounds);
        if any {
            ask.criteria.max_gpus = u8::MAX;
        }
        let lease = world.open(Wallet::Buyer, &ask).expect("machines are free");
        let overpaid = Money::from(world.leases[lease].deposit) - scene.worth(rounds);
        Attack {
            name: name.to_owned(),
            plan: plan.to_owned(),
            cost: Money::ZERO,
            yields: overpaid.positive(),
            damage: overpaid.positive(),
            claim: Claim::Loses,
        }
    };
    cases.into_iter().map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that was bound once could never raise its price again if its next commitment bound it.
    #[test]
    fn a_machine_that_was_bound_is_free_afterwards() {
        let market = crate::economics::example();
        let scene = Scene::new(&market);
        let mut world = scene.world();
        let lease = world.open(Wallet::Buyer, &scene.ask(scene.days(7))).unwrap();
        world.up(1 + scene.days(1));
        world.replace(lease, MACHINE, true).unwrap();
        world.up(1);
        world.settle(lease);
        let rounds = scene.days(7);
        assert!(world.slot(MACHINE).is_bound(world.round));
        assert!(world.reprice(MACHINE, scene.price * 2, rounds).is_err());
        world.up(scene.days(1) + 1);
        assert!(!world.slot(MACHINE).is_bound(world.round));
        world.reprice(MACHINE, scene.price * 2, rounds).unwrap();
        assert!(!world.slot(MACHINE).is_bound(world.round));
        world.reprice(MACHINE, scene.price * 3, rounds).unwrap();
    }
}
