//! Attacks of buyers who drown the machine they lease.

use leasehold::{math::settlement, rules::meter::Ender, state::Slot};

use super::{
    Attack, Claim, Compared, MACHINE, OTHER, Scene,
    buyers::{BUYER, SUPPLIERS, metered_deposit, world_hours},
    keepers::{PAUSE, PAUSE_ROUNDS},
};
use crate::economics::{
    count,
    money::Money,
    world::{Listing, Wallet, copy},
};

pub fn run(scene: &Scene) -> Vec<Attack> {
    let one = scene.market.params.min_rounds.max(1);
    let pause = || Claim::Concedes(scene.worth(PAUSE_ROUNDS), PAUSE);
    let short = "flooder: a buyer who floods a machine during a short lease";
    let drowned = "flooder: a drowned machine whose tenant computes on";
    let mut attacks = vec![
        flood(scene, &format!("{short} (one round)"), one, |_| true, pause()),
        flood(scene, &format!("{short} (an hour)"), scene.hours(1), |_| true, pause()),
        flood(scene, &format!("{drowned} (a day)"), scene.days(1), |_| true, pause()),
        flood(
            scene,
            &format!("{drowned} (every other round of a day)"),
            scene.days(1),
            |round| round % 2 == 0,
            Claim::Open("a node pauses only after two rounds in a row in which its machine was not up"),
        ),
        flood_the_tail(scene),
    ];
    let late = scene.hours(12);
    let cases = [
        ("a free exit by one drowned round (its first)", 1, 1, Exit::Cancel),
        ("a free exit by one drowned round (its last)", late, 1, Exit::Cancel),
        ("eight hours, then cancel", late, scene.hours(8), Exit::Cancel),
        ("until it is abandoned, then cancel", late, scene.hours(9), Exit::Cancel),
        ("one round, then a cheaper machine", scene.hours(1), 1, Exit::Replace),
        ("two rounds, then a cheaper machine", scene.hours(1), 2, Exit::Replace),
    ];
    let leave = |(name, served, drowned, exit)| {
        leave_drowned(scene, &format!("flooder: {name}"), served, drowned, exit)
    };
    attacks.extend(cases.map(leave));
    attacks.extend([metered_hour_drowned(scene), around_min_rounds(scene)]);
    attacks
}

/// How an owner leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Cancel,
    /// Replaces the machine by another one.
    Replace,
}

/// A buyer drowns the machine it leases, while its job computes on until the node pauses it.
fn flood(scene: &Scene, name: &str, rounds: u32, drowned: impl Fn(u32) -> bool, claim: Claim) -> Attack {
    let run = |floods: bool| {
        let mut world = scene.world();
        world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1);
        for round in 0..rounds {
            world.verdicts(|slot| slot != MACHINE || !floods || !drowned(round));
        }
        let computed = world.computed[usize::from(MACHINE)];
        (world.finish(), computed)
    };
    let ((honest, _), (attacked, computed)) = (run(false), run(true));
    let net = attacked.paid(Wallet::Buyer) + scene.worth(computed);
    Attack {
        name: name.to_owned(),
        plan: format!(
            "drowns the machine in a lease of {}, and computes on in {computed} of them",
            count(rounds, "round")
        ),
        cost: (-net).positive(),
        yields: net.positive(),
        damage: (honest.wealth(SUPPLIERS) - attacked.wealth(SUPPLIERS)).positive(),
        claim,
    }
}

/// A buyer whose job is done drowns the rest of a day's lease instead of cancelling it.
fn flood_the_tail(scene: &Scene) -> Attack {
    let (rounds, done) = (scene.days(1), scene.hours(20));
    let run = |floods: bool| {
        let mut world = scene.world();
        let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1 + done);
        if floods {
            world.down(MACHINE, rounds - done);
        } else {
            world.cancel(lease, &[]).expect("a lease that runs");
            world.up(rounds - done);
        }
        world.finish()
    };
    let (honest, attacked) = (run(false), run(true));
    let most = scene.worth(scene.hours(4)).scale(0.05) + scene.worth(1);
    Compared {
        name: "flooder: the tail of a lease drowned instead of cancelled".to_owned(),
        plan: format!("job done after 20 hours of a day's lease: drowns the last {} rounds", rounds - done),
        coalition: BUYER,
        others: SUPPLIERS,
        honest: &honest,
        attacked: &attacked,
        plus: Money::ZERO,
        claim: Claim::Concedes(most, "what leaving costs, and the round that cancelling would still serve"),
    }
    .attack()
}

const ABANDONED: &str = "nothing is owed for leaving a machine that was abandoned";
const NEVER_UP: &str = "nothing is owed for leaving a machine that was never up";

/// A buyer of a long lease drowns rounds before it leaves, so that leaving costs less: by a round for each, and by all of it
/// if the machine was never up, or is abandoned.
fn leave_drowned(scene: &Scene, name: &str, served: u32, drowned: u32, exit: Exit) -> Attack {
    let rounds = scene.days(30);
    let rest = rounds - served;
    let exit_secs = settlement::exit_at_most(scene.market.rules.round_secs, rounds, rest);
    let run = |floods: bool| {
        let mut world = scene.world();
        let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        if exit == Exit::Replace {
            world.list(Listing { price: scene.price / 2, ..scene.listing(Wallet::Rival) });
        }
        world.up(1 + served - drowned.min(served));
        // Leaves in the last of the rounds that it drowns.
        for _ in 1..drowned {
            world.verdicts(|slot| slot != MACHINE || !floods);
        }
        match exit {
            Exit::Cancel => world.cancel(lease, &[]).expect("a lease that runs"),
            Exit::Replace => {
                world.replace(lease, MACHINE, false).expect("another machine is free");
            }
        }
        world.verdicts(|slot| slot != MACHINE || !floods);
        let slot = world.slot(MACHINE);
        let free = match slot.lease_up {
            0 => Some(NEVER_UP),
            _ => slot.has(Slot::ABANDONED).then_some(ABANDONED),
        };
        world.up(if exit == Exit::Cancel { 1 } else { rounds });
        (world.finish(), free)
    };
    let ((honest, _), (attacked, free)) = (run(false), run(true));
    let claim = match free {
        Some(why) => Claim::Concedes(scene.worth(drowned) + scene.worth_of_secs(exit_secs), why),
        None => {
            let why = "the rounds it drowned, and as many of what leaving costs";
            Claim::Concedes(scene.worth(2 * drowned), why)
        }
    };
    Compared {
        name: name.to_owned(),
        plan: format!(
            "drowns {} of a lease of {rounds}, then leaves; against leaving as it is",
            count(drowned, "round")
        ),
        coalition: BUYER,
        others: SUPPLIERS,
        honest: &honest,
        attacked: &attacked,
        plus: Money::ZERO,
        claim,
    }
    .attack()
}

/// The owner of a metered lease lets it run short and ends it at once, having drowned its only round.
fn metered_hour_drowned(scene: &Scene) -> Attack {
    let run = |floods: bool| {
        let mut world = scene.world();
        let deposit = metered_deposit(&world);
        let ask = scene.ask(scene.days(1)).metered(deposit);
        let lease = world.open(Wallet::Buyer, &ask).expect("a machine is free");
        world.up(2);
        world.verdicts(|slot| slot != MACHINE || !floods);
        world.end_metered(lease, Ender::Owner).expect("a lease that runs short");
        world.up(world_hours(&world, 3));
        world.finish()
    };
    let (honest, attacked) = (run(false), run(true));
    Compared {
        name: "flooder: a metered lease's last round".to_owned(),
        plan: "ends a metered lease within its first hour, having drowned a round, so as not to owe the hour"
            .to_owned(),
        coalition: BUYER,
        others: SUPPLIERS,
        honest: &honest,
        attacked: &attacked,
        plus: Money::ZERO,
        claim: Claim::Concedes(scene.worth(1), "the price of the round it drowned"),
    }
    .attack()
}

/// In a market whose shortest lease is a day, a machine joins for the last hour of one and is drowned in all of it.
fn around_min_rounds(scene: &Scene) -> Attack {
    let mut market = copy(scene.market);
    let rounds = scene.days(1);
    market.params.min_rounds = rounds;
    let scene = Scene::new(&market);
    let last = scene.hours(1);
    assert!(scene.world().open(Wallet::Buyer, &scene.ask(last)).is_err(), "a lease of an hour is refused");
    let run = |floods: bool| {
        let mut world = scene.world();
        let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(rounds - last);
        let new = world.replace(lease, MACHINE, false).expect("another machine is free");
        assert_eq!(new, OTHER);
        world.up(1);
        for _ in 0..last {
            world.verdicts(|slot| slot != OTHER || !floods);
        }
        let computed = world.computed[usize::from(OTHER)];
        (world.finish(), computed)
    };
    let ((honest, _), (attacked, computed)) = (run(false), run(true));
    let saved = attacked.paid(Wallet::Buyer) - honest.paid(Wallet::Buyer);
    let gain = saved - scene.worth_of_other(last.saturating_sub(computed));
    let lost = honest.bond(Wallet::Rival) - attacked.bond(Wallet::Rival);
    // As much as of a machine that is in the lease from its beginning.
    let most = {
        let mut world = scene.world();
        let before = i128::from(world.slot(MACHINE).bond);
        world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1 + rounds - last);
        world.down(MACHINE, last);
        before - world.finish().bond(Wallet::Supplier)
    };
    let claim = Claim::Concedes(scene.worth_of_other(PAUSE_ROUNDS), PAUSE);
    Attack {
        name: "flooder: replace_node around min_rounds".to_owned(),
        plan: format!(
            "where the shortest lease is a day: a machine joins one for its last {}, is drowned, and loses {:.2} of its bond",
            count(last, "round"),
            Money::of_stake(lost).tokens()
        ),
        cost: (-gain).positive(),
        yields: gain.positive(),
        damage: (honest.wealth(SUPPLIERS) - attacked.wealth(SUPPLIERS)).positive(),
        claim: if lost <= most { claim } else { Claim::Loses },
    }
}
