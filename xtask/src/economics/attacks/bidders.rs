//! Prices and sizes that are to mislead the program's choice of machines.

use leasehold::{
    constants::{MAX_SLOTS, WORDS},
    error::LeaseholdError,
    instructions::Machine,
    math::matching::CutOff,
    rules::machine::require_listable,
    state::Slot,
};

use super::{Attack, Claim, GPUS, Scene, is_refused};
use crate::economics::{
    money::Money,
    world::{Listing, Wallet, World},
};

pub fn run(scene: &Scene) -> Vec<Attack> {
    let mut attacks = baits(scene);
    attacks.extend([absurd_price(scene), stale_hint(scene)]);
    attacks
}

/// Baits for the order in which machines are taken. Each yields what the buyer pays above the cheapest honest offer.
fn baits(scene: &Scene) -> Vec<Attack> {
    let rounds = scene.days(1);
    let per_gpu = |gpus: u8, price: u64| Listing { gpus, price, ..scene.listing(Wallet::Supplier) };
    let cases: [(&str, &str, Listing, bool); 3] = [
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

/// A board with as many machines as fit, at prices around the usual one, all seen up.
fn full_board(scene: &Scene) -> World {
    let mut world = World::new(scene.market);
    for index in 0..MAX_SLOTS as u64 {
        let price = scene.price + index % 100;
        world.list(Listing { gpus: 1, price, ..scene.listing(Wallet::Rival) });
    }
    for _ in 0..2 {
        world.vote_as_one(&[u64::MAX; WORDS]);
    }
    world
}

/// What a lease of `gpus` GPUs costs on a board, which is then as before.
fn quoted(world: &World, scene: &Scene, gpus: u32, hint: Option<CutOff>) -> (u64, CutOff) {
    let mut ask = scene.ask(scene.days(1));
    ask.gpus = gpus;
    world.quote(Wallet::Buyer, &ask, hint).expect("machines are free")
}

const MANY: [u32; 3] = [40, 1_000, 6_000];

/// One machine of a full board has the highest price that can be listed. Each lease costs what it costs without it.
fn absurd_price(scene: &Scene) -> Attack {
    let mut world = full_board(scene);
    let costs = |world: &World| MANY.map(|gpus| quoted(world, scene, gpus, None).0);
    let honest = costs(&world);
    // One of the dearest, which none of the leases takes.
    let dearest = world.slots.iter().map(|slot| slot.price).max();
    let place = world.slots.iter().rposition(|slot| Some(slot.price) == dearest).expect("a full board");
    let absurd = Slot { price: u64::MAX, ..world.slots[place] };
    let listing = |gpus: u8| Machine {
        slot: None,
        node_key: absurd.node_key,
        endpoint: absurd.endpoint,
        traits: leasehold::state::Traits { gpus, ..absurd.traits },
        price: absurd.price,
        bond: 0,
        profile: None,
        turnaround: 0,
    };
    assert!(require_listable(&listing(1)).is_ok(), "any price that fits 64 bits can be listed");
    assert!(is_refused(require_listable(&listing(2)), LeaseholdError::PriceTooHigh), "sums of prices fit");
    world.slots[place] = absurd;
    let overpaid: u64 =
        costs(&world).iter().zip(honest).map(|(attacked, honest)| attacked.saturating_sub(honest)).sum();
    let overpaid = Money::from(overpaid);
    Attack {
        name: "bidder: one absurd price on a full board".to_owned(),
        plan: format!(
            "one of {MAX_SLOTS} machines at 2^64 - 1 an hour: leases of 40, 1,000 and 6,000 GPUs cost as much as without it (and as few compute units: the benchmarks named `hostile`)"
        ),
        cost: Money::ZERO,
        yields: overpaid,
        damage: overpaid,
        claim: Claim::Loses,
    }
}

/// Between a buyer's quote and its lease, the machine that its hint names is repriced.
fn stale_hint(scene: &Scene) -> Attack {
    let mut world = full_board(scene);
    let mut overpaid = 0;
    for gpus in MANY {
        for price in [1, scene.price - 1, scene.price * 2, u64::MAX >> 8] {
            let (_, hint) = quoted(&world, scene, gpus, None);
            let rounds = scene.market.params.max_rounds;
            world.reprice(hint.slot, price, rounds).expect("an idle machine can be repriced");
            let [with, without] = [Some(hint), None].map(|hint| quoted(&world, scene, gpus, hint));
            assert_eq!(with.1, without.1, "a hint changes nothing but compute units");
            overpaid += with.0.saturating_sub(without.0);
        }
    }
    Attack {
        name: "bidder: a hint made stale by one reprice".to_owned(),
        plan: "reprices the machine that a buyer's hint names: the lease gets the same machines with the hint as without (compute units: `a_hint_that_one_reprice_made_stale_changes_nothing`)".to_owned(),
        cost: Money::ZERO,
        yields: Money::from(overpaid),
        damage: Money::from(overpaid),
        claim: Claim::Loses,
    }
}
