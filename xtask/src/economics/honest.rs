//! What honest suppliers earn and lose, whose machines fail now and then.
//!
//! Each machine has outages: log-normal with a median of 30 minutes and a sigma of 1.3 (30 percent are longer than an hour, 3
//! percent longer than six), as often as makes its uptime. A round is down if the outage covers its beginning. All machines are
//! on one board, where each is in a lease of its own uptime, and every round is closed and every lease settled by the program's
//! rules.

use leasehold::{
    constants::{MAX_SLOTS, WORDS},
    rules::settle,
    state::{LeaseState, Market, Slot},
};
use serde::Serialize;

use super::{
    money::Money,
    random::Random,
    world::{Ask, Listing, Wallet, World, copy, usual_class},
};

/// Uptimes, in tenths of a percent.
pub const UPTIMES: [u32; 3] = [980, 993, 995];
pub const ROUND_SECS: [u32; 3] = [600, 60, 10];
pub const LEASES: [(&str, u32); 4] =
    [("hour", 3_600), ("day", 86_400), ("week", 604_800), ("month", 2_592_000)];
pub const MEDIAN_SECS: f64 = 1_800.0;
pub const SIGMA: f64 = 1.3;
/// Most machine-rounds of an uptime in one simulation: as many machines as that allows.
const WORK: u32 = 6_000_000;
/// Fewest machines of an uptime.
const LEAST: u32 = 200;

/// Means of machines of one uptime in leases of one length. Amounts are payment tokens for each GPU.
#[derive(Clone, Debug, Serialize)]
pub struct Honest {
    pub uptime: f64,
    pub round_secs: u32,
    pub lease: &'static str,
    pub lease_secs: u32,
    /// Number of machines simulated.
    pub machines: u32,
    /// Pay for a lease without an outage, less fees.
    pub full: Money,
    /// Pay received, and what of it was lost for rounds down beyond the allowance.
    pub earned: Money,
    pub damages: Money,
    /// Stake lost, at its assumed price.
    pub bond: Money,
    /// Part of the machines that lost their whole bond.
    pub abandoned: f64,
}

/// Runs all of them.
pub fn run(market: &Market, seed: u64) -> Vec<Honest> {
    let mut rows = Vec::new();
    for round_secs in ROUND_SECS {
        for (lease, lease_secs) in LEASES {
            rows.extend(simulate(market, round_secs, lease, lease_secs, seed));
        }
    }
    rows
}

fn simulate(market: &Market, round_secs: u32, name: &'static str, lease_secs: u32, seed: u64) -> Vec<Honest> {
    let (class, price) = usual_class(market);
    let rounds = lease_secs / round_secs;
    let mut market = copy(market);
    (market.rules.round_secs, market.rules.submit_secs) = (round_secs, (round_secs / 2).max(1));
    (market.params.min_rounds, market.params.max_rounds) = (1, rounds);
    let mut world = World::new(&market);

    let machines = (WORK / rounds).clamp(LEAST, (MAX_SLOTS / UPTIMES.len()) as u32);
    for region in 0..UPTIMES.len() as u8 {
        for _ in 0..machines {
            let listing = Listing { by: Wallet::Supplier, class, gpus: 1, price, rounds: rounds + 4, region };
            world.list(listing);
        }
    }
    let mut all = [u64::MAX; WORDS];
    mask(&mut all, world.slots.len());
    world.vote_as_one(&all);
    world.vote_as_one(&all);
    for region in 0..UPTIMES.len() as u8 {
        let ask = Ask::new(class, machines, rounds).in_region(region);
        world.open(Wallet::Buyer, &ask).expect("machines are free");
    }
    world.vote_as_one(&all);

    let bond = world.slots.first().map_or(0, |slot| slot.bond);
    let changes = outages(seed, machines, rounds, round_secs);
    let mut words = all;
    let mut changes = changes.into_iter().peekable();
    for round in 0..rounds {
        while let Some((_, slot)) = changes.next_if(|(at, _)| *at == round) {
            words[slot as usize / 64] ^= 1 << (slot % 64);
        }
        world.vote_as_one(&words);
    }
    let abandoned: Vec<bool> = world.slots.iter().map(|slot| slot.has(Slot::ABANDONED)).collect();
    for lease in 0..world.leases.len() {
        settle_all(&mut world, lease);
    }
    let row = |group: usize, uptime: u32| {
        let first = group * machines as usize;
        let slots = &world.slots[first..first + machines as usize];
        let lease = &world.leases[group];
        let mean = |sum: Money| Money(sum.0 / i128::from(machines));
        let earned = slots.iter().fold(Money::ZERO, |sum, slot| sum + Money::from(slot.accrued));
        let lost: i128 = slots.iter().map(|slot| i128::from(bond - slot.bond)).sum();
        let whole = Money::of_time(price, u64::from(lease_secs));
        let fee = Money(whole.0 * i128::from(market.params.fee_bps) / 10_000);
        let number = abandoned[first..first + machines as usize].iter().filter(|is| **is).count();
        Honest {
            uptime: f64::from(uptime) / 1_000.0,
            round_secs,
            lease: name,
            lease_secs,
            machines,
            full: whole - fee,
            earned: mean(earned),
            damages: mean(Money::from(lease.burned)),
            bond: mean(Money::of_stake(lost)),
            abandoned: number as f64 / f64::from(machines),
        }
    };
    UPTIMES.iter().enumerate().map(|(group, uptime)| row(group, *uptime)).collect()
}

fn settle_all(world: &mut World, lease: usize) {
    let World { board, slots, leases, .. } = world;
    while leases[lease].state != LeaseState::Settled {
        settle::apply(board, slots, &mut leases[lease]).expect("a settlement never fails");
    }
}

/// Rounds of the lease at which machines go down or come back, in order.
fn outages(seed: u64, machines: u32, rounds: u32, round_secs: u32) -> Vec<(u32, u32)> {
    let mut changes = Vec::new();
    let mean = MEDIAN_SECS * (SIGMA * SIGMA / 2.0).exp();
    let lease_secs = f64::from(rounds) * f64::from(round_secs);
    let round_of = |secs: f64| (secs.max(0.0) / f64::from(round_secs)).ceil() as u32;
    for (group, uptime) in UPTIMES.iter().enumerate() {
        let up = f64::from(*uptime) / 1_000.0;
        let between = mean * up / (1.0 - up);
        for machine in 0..machines {
            let slot = group as u32 * machines + machine;
            // A machine has the same outages whatever the length of a round.
            let mut random = Random::new(seed ^ u64::from(*uptime) << 32 ^ u64::from(machine) << 44);
            random.next();
            // Begins long before the lease, so that an outage may be under way.
            let mut time = -30.0 * 86_400.0;
            loop {
                time += random.exponential(between);
                if time >= lease_secs {
                    break;
                }
                let ends = time + random.lognormal(MEDIAN_SECS, SIGMA);
                let (from, until) = (round_of(time), round_of(ends));
                if until > from {
                    changes.extend([(from, slot), (until, slot)]);
                }
                time = ends;
            }
        }
    }
    changes.sort_unstable();
    changes
}

/// Clears the bits at and above `slots`.
fn mask(words: &mut [u64; WORDS], slots: usize) {
    for (index, word) in words.iter_mut().enumerate() {
        let bits = slots.saturating_sub(index * 64).min(64);
        *word &= if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
    }
}
