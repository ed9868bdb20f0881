//! Keys without GPUs, and listings with somebody else's key or address.

use leasehold::state::{Endpoint, Slot};

use super::{Attack, Claim, MACHINE, OTHER, Scene};
use crate::economics::{
    money::Money,
    world::{Ask, Listing, Wallet, World},
};

pub fn run(scene: &Scene) -> Vec<Attack> {
    vec![
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
            "fake: contest settled around (settles each round, contested after 12 hours)",
            30,
            scene.hours(12),
            Answer::Replace { contest: true },
        ),
        fake(scene, "fake: replaced without a contest", 30, 1, Answer::Replace { contest: false }),
        fake(scene, "fake: left without a contest", 30, 1, Answer::Cancel { contest: false }),
        picked_again(scene),
        listed_many_times(scene),
        rivals(scene, "a rival's key listed on a lower slot", |own, rival| Slot {
            node_key: rival.node_key,
            ..*own
        }),
        rivals(scene, "a rival's endpoint taken", |own, rival| Slot { endpoint: rival.endpoint, ..*own }),
    ]
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
        name: "fake: a key without a GPU, left and picked again".to_owned(),
        plan: format!(
            "the fake is still the cheapest: taken again {again} times by a buyer who replaced or avoids it"
        ),
        cost: Money::ZERO,
        yields: scene.worth(rounds * again),
        damage: scene.worth(rounds * again),
        claim: Claim::Loses,
    }
}

/// A board as its keepers see it: of the slots that answer with one key, the lowest is up. `answers` has the slots that do.
fn probed(slots: &[Slot], answers: &[bool]) -> Vec<bool> {
    let answered = |slot: usize| answers.get(slot).copied().unwrap_or_default();
    let is_lowest = |slot: usize, key: &[u8; 32]| {
        !slots.iter().take(slot).enumerate().any(|(lower, other)| answered(lower) && other.node_key == *key)
    };
    let up = |(slot, machine): (usize, &Slot)| answered(slot) && is_lowest(slot, &machine.node_key);
    slots.iter().enumerate().map(up).collect()
}

fn is_up(up: &[bool], slot: u16) -> bool {
    up.get(usize::from(slot)).copied().unwrap_or_default()
}

/// One computer answers for five slots with one key.
fn listed_many_times(scene: &Scene) -> Attack {
    const TIMES: usize = 5;
    let mut world = World::new(scene.market);
    for _ in 0..TIMES {
        let slot = world.list(scene.listing(Wallet::Supplier));
        world.slots[usize::from(slot)].node_key = [7; 32];
    }
    let up = probed(&world.slots, &[true; TIMES]);
    for _ in 0..2 {
        world.verdicts(|slot| is_up(&up, slot));
    }
    let rounds = scene.hours(6);
    world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
    let mut again = 0;
    while world.open(Wallet::Buyer, &scene.ask(rounds)).is_ok() {
        again += 1;
    }
    let yields = scene.worth(rounds * again);
    Attack {
        name: "fake: one computer listed many times".to_owned(),
        plan: format!(
            "answers for {TIMES} slots with one key: keepers vote up the lowest, so that the others were never seen up and fit no request (test: `one_computer_listed_many_times_is_up_once`)"
        ),
        cost: Money::ZERO,
        yields,
        damage: yields,
        claim: Claim::Loses,
    }
}

/// A listing with a rival's key or address. It does not answer, since the rival's node answers for its own slot alone.
fn rivals(scene: &Scene, how: &str, forge: impl Fn(&Slot, &Slot) -> Slot) -> Attack {
    let rounds = scene.days(1);
    let run = |forges: bool| {
        let mut world = scene.world();
        let address = Endpoint { ip: [9; 16], ..world.slots[usize::from(OTHER)].endpoint };
        world.slots[usize::from(OTHER)].endpoint = address;
        if forges {
            let [own, rival] = [MACHINE, OTHER].map(|slot| *world.slot(slot));
            world.slots[usize::from(MACHINE)] = forge(&own, &rival);
        }
        let up = probed(&world.slots, &[false, true]);
        world.verdicts(|slot| is_up(&up, slot));
        world.open(Wallet::Buyer, &scene.ask(rounds)).expect("the rival's machine is free");
        for _ in 0..=rounds {
            world.verdicts(|slot| is_up(&up, slot));
        }
        world.finish()
    };
    let (honest, attacked) = (run(false), run(true));
    let rival = [Wallet::Rival];
    let test = if how.contains("key") {
        "a_rivals_key_on_a_lower_slot_puts_nobody_out"
    } else {
        "a_rivals_endpoint_taken_puts_nobody_out"
    };
    Attack {
        name: format!("fake: {how}"),
        plan: format!(
            "a node answers for its own slot alone, and a slot that does not answer puts nobody out: the rival is leased and paid as before (test: `{test}`)"
        ),
        cost: Money::ZERO,
        yields: attacked.paid(Wallet::Supplier).positive(),
        damage: (honest.wealth(&rival) - attacked.wealth(&rival)).positive(),
        claim: Claim::Destroys(1),
    }
}
