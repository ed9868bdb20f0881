//! Attacks of buyers: hoping for faults, leaving and contesting, blocking.

use leasehold::{
    constants::VOUCHER_SECS,
    error::LeaseholdError,
    rules::{meter::Ender, open::least_deposit},
    state::SlotState,
};

use super::{Attack, Claim, Compared, GPUS, MACHINE, Scene, flooders::Exit, is_refused};
use crate::economics::{
    count,
    money::Money,
    random::Random,
    world::{Wallet, World},
};

pub const BUYER: &[Wallet] = &[Wallet::Buyer];
pub const SUPPLIERS: &[Wallet] = &[Wallet::Supplier, Wallet::Rival];

pub fn run(scene: &Scene, seed: u64) -> Vec<Attack> {
    let one = scene.market.params.min_rounds.max(1);
    vec![
        lottery(scene, "lottery buyer: leases of one round", one, seed),
        lottery(scene, "lottery buyer: leases of an hour", scene.hours(1), seed),
        metered(scene, false),
        metered(scene, true),
        blocking_deposit(scene),
        contest(scene, "a week's lease cancelled after 12 hours", 7, Exit::Cancel),
        contest(scene, "the longest lease cancelled after 12 hours", 60, Exit::Cancel),
        contest(scene, "a machine replaced after 12 hours", 7, Exit::Replace),
        contest_at_the_end(scene),
        open_and_cancel(scene),
        one_round_leases(scene, one),
    ]
}

/// Rounds of so many hours.
pub fn world_hours(world: &World, hours: u32) -> u32 {
    world.rounds(hours * 3_600)
}

/// The least deposit of a metered lease of the machine.
pub fn metered_deposit(world: &World) -> u64 {
    let terms = world.market.params.terms(&world.board, 1);
    least_deposit(world.slot(MACHINE), &terms).expect("a price that fits")
}

/// A buyer that computes nothing leases again and again a machine that is down in 1 percent of the rounds, and hopes.
fn lottery(scene: &Scene, name: &str, rounds: u32, seed: u64) -> Attack {
    let leases = 600 / rounds.clamp(1, 6);
    let mut random = Random::new(seed ^ u64::from(rounds));
    let mut world = scene.world();
    let before = Money::of_stake(i128::from(world.slot(MACHINE).bond));
    let mut downs = 0;
    for _ in 0..leases {
        let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1);
        for _ in 0..rounds {
            let down = random.percent(1);
            downs += u32::from(down);
            world.verdicts(|slot| slot != MACHINE || !down);
        }
        world.settle(lease);
        world.up(1);
    }
    let books = world.finish();
    let bond = Money::of_stake(books.bond(Wallet::Supplier));
    let paid = books.paid(Wallet::Buyer);
    Attack {
        name: name.to_owned(),
        plan: format!(
            "{leases} leases of {} of a machine that is down in 1 percent of them ({downs} in all)",
            count(rounds, "round")
        ),
        cost: (-paid).positive(),
        yields: paid.positive(),
        damage: before - bond,
        claim: Claim::Loses,
    }
}

/// A metered lease with the least deposit blocks a machine: its supplier ends it as soon as it sees it, or never.
fn metered(scene: &Scene, ends: bool) -> Attack {
    let mut world = scene.world();
    let deposit = metered_deposit(&world);
    let one_unit = world.open(Wallet::Buyer, &scene.ask(scene.days(7)).metered(1));
    assert!(is_refused(one_unit, LeaseholdError::DepositTooSmall), "a deposit covers the first hour");
    let lease =
        world.open(Wallet::Buyer, &scene.ask(scene.days(7)).metered(deposit)).expect("a machine is free");
    let began = world.round;
    world.up(1);
    if ends {
        world.up(1);
        world.end_metered(lease, Ender::Supplier).expect("vouchers have paid nothing");
    }
    // Anybody ends it once its deposit runs short.
    for _ in 0..scene.days(1) {
        if world.end_metered(lease, Ender::Anybody).is_ok() {
            break;
        }
        if ends {
            break;
        }
        world.up(1);
    }
    let blocked = until_idle(&mut world, lease, began);
    let paid = world.finish().paid(Wallet::Buyer);
    let (name, how) = if ends {
        (
            "metered griefer: a metered lease of one unit (its supplier ends it)",
            "the supplier ends it in its first round",
        )
    } else {
        (
            "metered griefer: a metered lease of one unit (anybody ends it)",
            "anybody ends it once the deposit runs short",
        )
    };
    Attack {
        name: name.to_owned(),
        plan: format!(
            "with the least deposit, since one unit is refused, takes a machine off the market for {blocked} rounds; {how}"
        ),
        cost: -paid,
        yields: Money::ZERO,
        damage: (scene.worth(blocked) + paid).positive(),
        claim: until_ended(scene, if ends { 0 } else { 3_600 }),
    }
}

/// A machine is blocked from the opening until its last voucher could have been redeemed: three rounds to see the lease and end
/// it, and one for the votes, besides.
fn until_ended(scene: &Scene, secs: u64) -> Claim {
    let most = scene.worth(4) + scene.worth_of_secs(secs + u64::from(VOUCHER_SECS));
    Claim::Harms(most, "the time until the lease is ended and its last voucher could be redeemed")
}

/// A metered lease with a deposit for weeks: its supplier gives notice.
fn blocking_deposit(scene: &Scene) -> Attack {
    let mut world = scene.world();
    let deposit = metered_deposit(&world) * 24 * 28;
    let lease =
        world.open(Wallet::Buyer, &scene.ask(scene.days(28)).metered(deposit)).expect("a machine is free");
    let began = world.round;
    world.up(2);
    world.end_metered(lease, Ender::Supplier).expect("a supplier may end it");
    let blocked = until_idle(&mut world, lease, began);
    let paid = world.finish().paid(Wallet::Buyer);
    Attack {
        name: "metered griefer: a deposit that blocks for weeks".to_owned(),
        plan: format!(
            "a metered lease of 28 days blocks a machine for {blocked} rounds, since its supplier ends it"
        ),
        cost: -paid,
        yields: Money::ZERO,
        damage: (scene.worth(blocked) + paid).positive(),
        claim: until_ended(scene, 0),
    }
}

/// Plays rounds until the machine is idle again. Returns the rounds for which it was not.
fn until_idle(world: &mut World, lease: usize, began: u32) -> u32 {
    while !world.slot(MACHINE).is(SlotState::Idle) {
        world.up(1);
        world.settle(lease);
        assert!(world.round - began < 10_000, "the machine comes free");
    }
    world.round - began
}

/// An owner contests a machine that served it well, against leaving it without a contest.
fn contest(scene: &Scene, how: &str, days: u32, exit: Exit) -> Attack {
    let rounds = scene.days(days);
    let run = |contests: bool| {
        let mut world = scene.world();
        let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1 + scene.hours(12));
        let contested: &[u16] = if contests { &[MACHINE] } else { &[] };
        match exit {
            Exit::Cancel => world.cancel(lease, contested).expect("a lease that runs"),
            Exit::Replace => {
                world.replace(lease, MACHINE, contests).expect("another machine is free");
            }
        }
        world.up(if exit == Exit::Cancel { 1 } else { rounds });
        world.finish()
    };
    let (honest, attacked) = (run(false), run(true));
    Compared {
        name: format!("contesting liar: contest as extortion ({how})"),
        plan: format!(
            "contests a machine that served it, in a lease of {rounds} rounds; as a threat it costs as much"
        ),
        coalition: BUYER,
        others: SUPPLIERS,
        honest: &honest,
        attacked: &attacked,
        plus: Money::ZERO,
        claim: Claim::Destroys(2),
    }
    .attack()
}

/// An owner contests in the last round but one of a day's lease.
fn contest_at_the_end(scene: &Scene) -> Attack {
    let rounds = scene.days(1);
    let run = |contests: bool| {
        let mut world = scene.world();
        let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(rounds - 1);
        if contests {
            world.cancel(lease, &[MACHINE]).expect("a lease that runs");
        }
        world.up(4);
        if contests {
            assert!(world.cancel(lease, &[MACHINE]).is_err(), "a lease that is over can't be contested");
        }
        let rest = world.leases[lease].terms.rounds - world.slot(MACHINE).lease_up;
        (world.finish(), rest)
    };
    let ((honest, _), (attacked, rest)) = (run(false), run(true));
    // The rounds left are neither paid for nor served.
    let saved = scene.worth(rest);
    let cost = honest.paid(Wallet::Buyer) - attacked.paid(Wallet::Buyer) + saved;
    Attack {
        name: "contesting liar: contest as extortion (at the end of a lease)".to_owned(),
        plan: format!("cancels and contests with {} left of {rounds}", count(rest, "round")),
        cost: cost.positive(),
        yields: (-cost).positive(),
        damage: (honest.wealth(SUPPLIERS) - attacked.wealth(SUPPLIERS) - saved).positive(),
        claim: Claim::Destroys(2),
    }
}

/// A lease as long as can be, cancelled at once.
fn open_and_cancel(scene: &Scene) -> Attack {
    let rounds = scene.market.params.max_rounds;
    let mut world = scene.world();
    let began = world.round;
    let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
    world.cancel(lease, &[]).expect("a lease that runs");
    let blocked = until_idle(&mut world, lease, began);
    let books = world.finish();
    Attack {
        name: "open-and-cancel griefer".to_owned(),
        plan: format!(
            "opens a lease of {rounds} rounds and cancels it at once: the machine is taken for {blocked} rounds"
        ),
        cost: -books.paid(Wallet::Buyer),
        yields: Money::ZERO,
        damage: (scene.worth(blocked) - books.paid(Wallet::Supplier)).positive(),
        claim: Claim::Destroys(1),
    }
}

/// Leases of one round in a row: the machine is idle in between.
fn one_round_leases(scene: &Scene, rounds: u32) -> Attack {
    let mut world = scene.world();
    let began = world.round;
    let mut computed = 0;
    for _ in 0..20 {
        let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1 + rounds);
        computed += world.computed[usize::from(MACHINE)];
        world.settle(lease);
    }
    let taken = world.round - began;
    let books = world.finish();
    Attack {
        name: "leases of one round in a row".to_owned(),
        plan: format!("20 leases of {} of {GPUS} GPUs take {taken} rounds", count(rounds, "round")),
        cost: -books.paid(Wallet::Buyer),
        yields: scene.worth(computed),
        damage: (scene.worth(taken) - books.paid(Wallet::Supplier)).positive(),
        claim: Claim::Loses,
    }
}
