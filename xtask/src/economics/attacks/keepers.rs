//! Attacks of keepers: colluding below, at and above each threshold, lazy ones, and those who silence others.

use super::{Attack, Claim, MACHINE, Scene};
use crate::economics::{
    money::Money,
    world::{Books, Wallet},
};

/// What a server to probe from costs a day: an assumption.
const SERVER_A_DAY: Money = Money(1_700_000);
/// Rounds that a tenant computes before the node pauses it.
pub const PAUSE_ROUNDS: u32 = 3;
pub const PAUSE: &str = "the rounds before the node pauses its tenant";

pub fn run(scene: &Scene) -> Vec<Attack> {
    let rules = &scene.market.rules;
    let (n, k, u) = (rules.seats, rules.threshold, scene.market.params.up_votes);
    let veto = n - k + 1;
    let mut attacks = vec![
        hold_back(scene, "u - 1 seats hold back their ups", u - 1, 0),
        hold_back(scene, "five seats that veto (u seats hold back their ups)", u, 0),
        hold_back(scene, "k - 1 seats hold back their ups", k - 1, 0),
    ];
    // As many absent as make up what the seats lack.
    let absent = (n - u + 1).saturating_sub(k - 1);
    if absent > 0 {
        attacks.push(hold_back(scene, "k - 1 seats hold back their ups", k - 1, absent));
    }
    attacks.push(hold_back(scene, "k seats hold back their ups", k, 0));
    if k + 1 < n {
        attacks.push(hold_back(scene, "k + 1 seats hold back their ups", k + 1, 0));
    }
    attacks.extend([hold_back(scene, "all seats hold back their ups", n, 0), seize(scene)]);
    attacks.extend([
        call_up(scene, "u - 1", u - 1, 0, None, Claim::Loses),
        call_up(scene, "u - 1", u - 1, 1, None, Claim::Loses),
    ]);
    let noticed = scene.hours(6);
    let kept = scene.worth(noticed - scene.hours(2));
    let why = "what a key without a GPU earns: the owner's contest takes its last two hours";
    let claim = || Claim::Concedes(kept, why);
    attacks.push(call_up(scene, "u", u.max(veto), 0, Some(noticed), claim()));
    attacks.push(call_up(scene, "k", k, 0, Some(noticed), claim()));
    attacks.extend([lazy(scene, u), knock_out(scene, false), knock_out(scene, true)]);
    attacks
}

/// Seats withhold their ups from a machine that a friend leases for a day.
fn hold_back(scene: &Scene, name: &str, seats: u8, absent: u8) -> Attack {
    let n = scene.market.rules.seats;
    let decides = seats + absent > n - scene.market.params.up_votes;
    let claim = if decides { Claim::Concedes(scene.worth(PAUSE_ROUNDS), PAUSE) } else { Claim::Loses };
    let run = |attacks: bool| -> (Books, u32) {
        let mut world = scene.world();
        let rounds = scene.days(1);
        world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1);
        for _ in 0..rounds {
            world.vote(|seat, slot| {
                let colludes = attacks && seat < seats;
                (!attacks || seat < n - absent).then_some(!colludes || slot != MACHINE)
            });
        }
        let computed = world.computed[usize::from(MACHINE)];
        (world.finish(), computed)
    };
    let ((honest, _), (attacked, computed)) = (run(false), run(true));
    let net = attacked.paid(Wallet::Buyer) + scene.worth(computed);
    let others = [Wallet::Supplier];
    let with = match absent {
        0 => String::new(),
        1 => ", one honest keeper absent".to_owned(),
        more => format!(", {more} honest keepers absent"),
    };
    Attack {
        name: format!("keepers: {name}{with}"),
        plan: format!("{seats} of {n} seats see nothing of a machine that a friend leases for a day{with}"),
        cost: (-net).positive(),
        yields: net.positive(),
        damage: honest.wealth(&others) - attacked.wealth(&others),
        claim,
    }
}

/// Seats of a new board call every machine down that is leased, until each is abandoned. They have no friend in it.
fn seize(scene: &Scene) -> Attack {
    let (n, k) = (scene.market.rules.seats, scene.market.rules.threshold);
    let rounds = scene.days(7);
    let run = |attacks: bool| {
        let mut world = scene.world();
        let mut ask = scene.ask(rounds);
        ask.gpus *= 2;
        world.open(Wallet::Buyer, &ask).expect("both machines are free");
        world.up(1);
        for _ in 0..rounds {
            world.vote(|seat, _| Some(!attacks || seat >= k));
        }
        world.finish()
    };
    let (honest, attacked) = (run(false), run(true));
    let ours: Vec<Wallet> = (0..k).map(Wallet::Keeper).collect();
    let others = [Wallet::Supplier, Wallet::Rival];
    let gain = attacked.wealth(&ours) - honest.wealth(&ours);
    let bonds = honest.slashed - attacked.slashed;
    assert!(bonds < 0, "bonds are burned");
    Attack {
        name: "keepers: nine seats of a new board (k seats call all machines down)".to_owned(),
        plan: format!(
            "{k} of {n} seats have every leased bond burned ({:.0} tokens); none of it is anybody's",
            Money::of_stake(-bonds).tokens()
        ),
        cost: (-gain).positive(),
        yields: gain.positive(),
        damage: honest.wealth(&others) - attacked.wealth(&others),
        claim: Claim::Loses,
    }
}

/// Seats call a friend's machine up that is dark for a day. Its owner contests it after some rounds, or never.
fn call_up(
    scene: &Scene,
    threshold: &str,
    seats: u8,
    absent: u8,
    contested: Option<u32>,
    claim: Claim,
) -> Attack {
    let n = scene.market.rules.seats;
    let run = |attacks: bool| {
        let mut world = scene.world();
        let rounds = scene.days(1);
        let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1);
        for round in 0..rounds {
            if attacks && Some(round + 1) == contested {
                world.replace(lease, MACHINE, true).expect("another machine is free");
            }
            let vote = |seat: u8, slot: u16| {
                let present = !attacks || seat < n - absent;
                present.then_some(!attacks || slot != MACHINE || seat < seats)
            };
            world.vote(vote);
        }
        world.finish()
    };
    let (honest, attacked) = (run(false), run(true));
    let lost = Money::of_stake(honest.bond(Wallet::Supplier) - attacked.bond(Wallet::Supplier));
    // Of what the buyer paid, the other machine served its part.
    let served = contested.map_or(Money::ZERO, |round| scene.worth_of_other(scene.days(1) - round));
    let with = if absent > 0 { ", one honest keeper absent" } else { "" };
    let until = contested.map_or(String::new(), |_| ", contested after six hours".to_owned());
    Attack {
        name: format!("keepers: {threshold} seats call a dark machine up{with}"),
        plan: format!("{seats} of {n} seats call a friend's dark machine up, leased for a day{with}{until}"),
        cost: lost,
        yields: attacked.paid(Wallet::Supplier),
        damage: (-attacked.paid(Wallet::Buyer) - served).positive(),
        claim,
    }
}

/// As many lazy keepers as can call a machine up set every bit; a machine is dark for a day.
fn lazy(scene: &Scene, seats: u8) -> Attack {
    let n = scene.market.rules.seats;
    let run = |seats: u8| {
        let mut world = scene.world();
        let rounds = scene.days(1);
        world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1);
        for _ in 0..rounds {
            world.vote(|seat, slot| Some(slot != MACHINE || seat < seats));
        }
        world.finish()
    };
    let damage = -run(seats).paid(Wallet::Buyer) + run(seats - 1).paid(Wallet::Buyer);
    Attack {
        name: "keepers: lazy ones, or a keeper that copies".to_owned(),
        plan: format!(
            "{seats} of {n} keepers vote without probing for a day, while a leased machine is dark"
        ),
        cost: Money::ZERO,
        yields: Money(SERVER_A_DAY.0 * i128::from(seats)),
        damage,
        claim: Claim::Open("votes are not proved: seats by lot bring proofs behind votes"),
    }
}

/// Seats keep the others from voting for a week. `long`: the others' seats are vacated after a day, and the pool is short.
fn knock_out(scene: &Scene, long: bool) -> Attack {
    let n = scene.market.rules.seats;
    let k = scene.market.rules.threshold;
    let run = |attacks: bool| {
        let mut world = scene.world();
        let week = scene.days(7);
        let fee = scene.market.params.keeper_fee.max(1);
        let mut gone = false;
        for _ in 0..week {
            // Half of what all seats would be paid at least, or ten times that.
            world.fund(fee * u64::from(n) * if long { 1 } else { 20 } / 2);
            world.vote(|seat, _| (!attacks || seat < k).then_some(true));
            if attacks && long && !gone {
                let seats: Vec<u8> = (k..n).collect();
                gone = seats.iter().all(|seat| {
                    let earned = world.board.seats[usize::from(*seat)].earned;
                    earned == 0 && world.vacate(*seat).is_ok()
                });
            }
        }
        world.finish()
    };
    let (honest, attacked) = (run(false), run(true));
    let ours: Vec<Wallet> = (0..k).map(Wallet::Keeper).collect();
    let others: Vec<Wallet> = (k..n).map(Wallet::Keeper).collect();
    let gain = attacked.wealth(&ours) - honest.wealth(&ours);
    let theirs = honest.wealth(&others);
    let (name, plan) = if long {
        (
            "keepers who knock keepers out (of a board whose pool is short)",
            "until their seats are vacated, while the pool is short",
        )
    } else {
        ("keepers who knock keepers out", "for a week, while the pool is full")
    };
    Attack {
        name: name.to_owned(),
        plan: format!("{k} of {n} keepers keep the others from voting {plan}"),
        cost: (-gain).positive(),
        yields: gain.positive(),
        damage: honest.wealth(&others) - attacked.wealth(&others),
        claim: if long {
            Claim::Concedes(theirs, "the pay of seats that nobody takes")
        } else {
            Claim::Loses
        },
    }
}
