//! Attacks of suppliers: leaving a lease for a better price, going dark, slashing oneself.

use super::{Attack, Claim, MACHINE, Scene, record};
use crate::economics::{
    money::Money,
    world::{Wallet, World},
};

/// Rounds of the last 64 in which a machine may be dark without being abandoned.
fn dark_of_64(scene: &Scene) -> u32 {
    u32::from(scene.market.rules.abandon_rounds) - 1
}

pub fn run(scene: &Scene) -> Vec<Attack> {
    let mut attacks = Vec::new();
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
            "deserter, 20 days left, spot x 2: a deserter whom its replacer pardons".into(),
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
            "deserter, two days left, spot x 2: a deserter whom its replacer pardons".into(),
            200,
            7,
            5,
            Way::Pardoned,
        ),
        dark_within_allowance(scene),
        forfeit_at_the_end(scene),
    ]);
    attacks.extend([slash_oneself(scene), escape_bound(scene)]);
    attacks.extend([
        few_voters(scene),
        halt(scene, 4),
        halt(scene, 13),
        claims(scene),
        record::bond_that_leaves(scene),
    ]);
    attacks
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
        name: "supplier: a machine that goes dark within its allowance until the buyer pays it for leaving"
            .to_owned(),
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
        name: "supplier: forfeiting to keep the hold-back".to_owned(),
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
        name: "supplier: slashes itself".to_owned(),
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
    replaced(&mut world, lease);
    let allowed = {
        let (board, rules) = (&world.board, &world.market.rules);
        leasehold::math::slashing::abandon_allowance(0, board.round_secs, rules.sla_bps)
    };
    // One round more would be too many, both of the week and of the last 64, of which it was down in two already.
    world.down(MACHINE, allowed.max(dark_of_64(scene).saturating_sub(2)));
    assert!(world.slot(MACHINE).is_bound(world.round), "it was up for a week");
    assert_eq!(world.slot(MACHINE).bond, before, "it is not abandoned yet");
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

/// Fewer than k keepers vote for a day, in which a leased machine is sold elsewhere at twice its price.
fn few_voters(scene: &Scene) -> Attack {
    let voters = scene.market.rules.threshold - 1;
    let (rounds, dark) = (scene.days(7), scene.days(1));
    let honest = play(scene, rounds, |world, _| world.up(rounds));
    let attacked = play(scene, rounds, |world, _| {
        for _ in 0..dark {
            world.vote(|seat, slot| (seat < voters).then_some(slot != MACHINE));
        }
    });
    let change = attacked.wealth(&[Wallet::Supplier]) - honest.wealth(&[Wallet::Supplier]);
    Attack {
        name: "supplier: darkness on a board with few voters".to_owned(),
        plan: format!(
            "sells a day of a week's lease elsewhere at twice its price while {voters} of {} keepers vote: it is not paid, and not slashed",
            scene.market.rules.seats
        ),
        cost: (-change).positive(),
        yields: scene.worth(dark).scale(2.0),
        damage: Money::ZERO,
        claim: Claim::Open(
            "where fewer keepers vote than can call a machine down, none is: such a board is shown as one",
        ),
    }
}

/// Solana halts in a day's lease: nobody can vote. The machine may be dark in the meantime; its tenant may compute on.
fn halt(scene: &Scene, hours: u32) -> Attack {
    let (rounds, halted) = (scene.days(1), scene.hours(hours));
    let run = |halts: bool| {
        play(scene, rounds, |world, _| {
            world.up(scene.hours(5));
            for _ in 0..halted {
                world.vote(|_, _| (!halts).then_some(true));
            }
        })
    };
    let (honest, attacked) = (run(false), run(true));
    assert_eq!(honest.bond(Wallet::Supplier), attacked.bond(Wallet::Supplier), "void rounds slash nobody");
    let saved = attacked.paid(Wallet::Buyer) - honest.paid(Wallet::Buyer);
    let is_paid = saved < scene.worth(halted);
    let (who, most, why) = if is_paid {
        (
            "machine that is dark in it is paid",
            scene.net(halted),
            "void rounds are paid in proportion to the others",
        )
    } else {
        (
            "tenant that computes on in it pays nothing",
            scene.worth(halted),
            "void rounds are not paid where the others are less than half of the lease",
        )
    };
    let pay = attacked.paid(Wallet::Supplier) - (honest.paid(Wallet::Supplier) - scene.net(halted));
    let (yields, damage) = if is_paid { (pay, scene.worth(halted)) } else { (saved, scene.net(halted)) };
    Attack {
        name: format!("a halt of Solana ({hours} hours of a day)"),
        plan: format!("nobody can vote in {halted} rounds, which slash nobody; a {who}"),
        cost: Money::ZERO,
        yields,
        damage,
        claim: Claim::Concedes(most, why),
    }
}

/// A stranger forces a claim after each round, against one at the end.
fn claims(scene: &Scene) -> Attack {
    let rounds = scene.days(1);
    let run = |forces: bool| {
        let mut world = scene.world();
        let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1);
        for _ in 0..rounds {
            world.up(1);
            world.settle(lease);
            if forces {
                // Refused where nothing is due.
                let _ = world.claim(MACHINE);
            }
        }
        world.finish()
    };
    let (honest, attacked) = (run(false), run(true));
    let supplier = [Wallet::Supplier];
    let lost = honest.wealth(&supplier) - attacked.wealth(&supplier);
    Attack {
        name: "stranger: claims forced by strangers".to_owned(),
        plan: "has a machine's pay claimed after each round: it goes to the supplier's own account (`attack_claim_of_a_stranger`), and is as much".to_owned(),
        cost: Money::ZERO,
        yields: Money::ZERO,
        damage: Money(lost.0.abs()),
        claim: Claim::Destroys(1),
    }
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
