//! Random adversaries, besides the named ones: false verdicts on random leases, and random strategies of coalitions.
//!
//! A round that was not paid counts as not served. Then nobody may end with more because a machine was called down or unseen,
//! but for what leaving costs, which shrinks by a round for each one down beyond the allowance, and for what the claims below
//! concede.

use anchor_lang::prelude::Pubkey;
use bytemuck::Zeroable;
use leasehold::{
    math::{
        pricing,
        settlement::{self, Terms},
        slashing,
    },
    rules::settle,
    state::{Lease, LeaseState, Market, Meter, Slot, SlotState, Traits},
};

use super::{
    attacks::{Attack, Claim, MACHINE, Scene},
    money::Money,
    random::Random,
    world::{Ask, Books, Wallet},
};

/// Number of false verdicts, and of strategies of each kind.
const VERDICTS: u32 = 100_000;
const STRATEGIES: u32 = 150;
/// Payment units by which sums of rounded amounts may differ.
const ROUNDING: i128 = 4;

pub fn run(market: &Market, seed: u64) -> Vec<Attack> {
    let scene = Scene::new(market);
    let mut attacks = false_verdicts(&scene, seed);
    attacks.push(owners(&scene, seed));
    attacks.push(suppliers(&scene, seed));
    attacks
}

/// How a lease ended, as far as it matters for what a false verdict can gain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Case {
    Served,
    Left,
    NeverUp,
    Abandoned,
    Contested,
    Metered,
}

impl Case {
    const ALL: [Case; 6] =
        [Case::Served, Case::Left, Case::NeverUp, Case::Abandoned, Case::Contested, Case::Metered];

    fn name(self) -> &'static str {
        match self {
            Case::Served => "a lease that runs to its end",
            Case::Left => "a machine that is left early",
            Case::NeverUp => "a machine that was never up, and is left",
            Case::Abandoned => "a machine that is abandoned by it, and left",
            Case::Contested => "a machine that is contested",
            Case::Metered => "a metered lease",
        }
    }
}

/// A machine of a lease, all of whose rounds are closed.
#[derive(Clone, Copy)]
struct Ended {
    slot: Slot,
    case: Case,
}

/// What both sides of a lease end with, in payment units. To the owner, rounds that were paid for are worth their price.
#[derive(Clone, Copy)]
struct End {
    owner: i128,
    supplier: i128,
    slash: u64,
    exit: i128,
}

/// One round that was up is called down or unseen, in random leases.
fn false_verdicts(scene: &Scene, seed: u64) -> Vec<Attack> {
    let mut random = Random::new(seed ^ 0xfa15e);
    let bare = scene.bare();
    let terms = bare.market.params.terms(&bare.board, 1);
    // By case: the most that an owner gained, what of it is conceded, and what the supplier lost; in seconds of machine time.
    let mut most = Case::ALL.map(|case| (case, 0.0f64, 0.0f64, 0.0f64));
    for _ in 0..VERDICTS {
        let (lease, before) = random_end(terms, &mut random);
        let is_down = random.percent(70);
        let after = called(&mut random, &lease, &before, is_down);
        let (honest, false_) = (end(&lease, &before.slot), end(&lease, &after.slot));
        let hourly = lease.hourly(&before.slot).unwrap_or(1).max(1);
        let secs = |units: i128| (units - ROUNDING) as f64 * 3_600.0 / hourly as f64;
        let gain = secs(false_.owner - honest.owner);
        assert!(secs(false_.supplier - honest.supplier) <= 0.0, "a supplier gains by a false verdict");
        assert!(false_.slash >= honest.slash, "a supplier keeps more of its bond by a false verdict");
        let Some((_, gained, conceded, lost)) = most.iter_mut().find(|(case, ..)| *case == after.case) else {
            continue;
        };
        // A round off what leaving costs.
        let round = if is_down { f64::from(lease.terms.round_secs) } else { 0.0 };
        let exit = secs(honest.exit + ROUNDING);
        // Half of what a contest takes less: two rounds, and what leaving costs.
        let of_contest =
            if before.case == Case::Contested { f64::from(lease.terms.round_secs) + exit / 2.0 } else { 0.0 };
        let allowed = match after.case {
            Case::Served => 0.0,
            Case::Left | Case::Metered | Case::Contested => round + of_contest,
            Case::NeverUp | Case::Abandoned => exit.max(round) + of_contest,
        };
        if gain > *gained {
            (*gained, *lost) = (gain, secs(honest.supplier - false_.supplier).max(0.0));
        }
        // The tightest bound that anything came close to.
        if gain - allowed > *conceded {
            *conceded = gain - allowed;
        }
    }
    let row = |(case, gained, beyond, lost): (Case, f64, f64, f64)| {
        let worth = |secs: f64| scene.worth_of_secs(secs.max(0.0) as u64);
        let why = match case {
            Case::Served => "nothing",
            Case::Left | Case::Metered => "a round off what leaving costs",
            Case::NeverUp => "nothing is owed for leaving a machine that was never up",
            Case::Abandoned => "nothing is owed for leaving a machine that was abandoned",
            Case::Contested => "half of what leaving costs, of the penalty for contesting",
        };
        let claim = if beyond > 1.0 { Claim::Loses } else { Claim::Concedes(worth(gained), why) };
        Attack {
            name: format!("one false verdict: {}", case.name()),
            plan: format!(
                "the most that an owner gains by it in {VERDICTS} random leases, with rounds of up to an hour"
            ),
            cost: Money::ZERO,
            yields: worth(gained),
            damage: worth(lost),
            claim,
        }
    };
    most.into_iter().map(row).collect()
}

/// A random machine of a random lease.
fn random_end(mut terms: Terms, random: &mut Random) -> (Lease, Ended) {
    terms.round_secs = [10, 60, 600, 3_600][random.below(4) as usize];
    let agreed = 2 + random.below(5_000);
    let left = random.percent(60);
    terms.rounds = agreed + random.below(2_000);
    let served = if left { 1 + random.below(agreed - 1) } else { agreed };
    let up = 1 + random.below(served);
    let rest = served - up;
    let down = if random.percent(50) { random.below(rest + 1) } else { random.below(5).min(rest) };
    let unseen = if random.percent(30) { random.below(rest - down + 1) } else { 0 };
    let metered = random.percent(20);
    let mut slot = Slot {
        traits: Traits { gpus: 1, ..Traits::default() },
        price: 3_600 * (1 + u64::from(random.below(1_000_000))),
        bond: u64::from(random.below(u32::MAX)),
        lease: 1,
        lease_up: up,
        lease_down: down,
        lease_unseen: unseen,
        lease_from: 1_000,
        lease_until: 1_000 + served,
        lease_agreed: 1_000 + agreed,
        state: SlotState::Leased as u8,
        ..Slot::zeroed()
    };
    let mut case = if metered { Case::Metered } else { Case::Served };
    if left {
        slot.flags |= Slot::LEFT;
        if random.percent(30) {
            slot.flags |= Slot::DARK;
        }
        if !metered {
            case = Case::Left;
            if random.percent(40) {
                slot.flags |= Slot::REPLACED;
                slot.cheaper_q16 = random.below(1 << 16) as u16;
            }
            if random.percent(30) {
                slot.flags |= Slot::CONTESTED;
                case = Case::Contested;
            }
        }
    }
    let meter = metered.then(|| Meter {
        spender: Pubkey::default(),
        seq: 0,
        units: 0,
        paid: 0,
        owes_hour: random.percent(70),
    });
    let lease = Lease {
        version: Lease::VERSION,
        bump: 0,
        state: LeaseState::Open,
        board: Pubkey::default(),
        serial: 1,
        nonce: 0,
        buyer: Pubkey::default(),
        owner: Pubkey::default(),
        criteria: Ask::new(0, 1, 1).criteria,
        terms,
        group: None,
        gpus: 1,
        machines: 1,
        unsettled: 1,
        from: 1_000,
        until: slot.lease_until,
        deposit: u64::MAX >> 8,
        paid: 0,
        fees: 0,
        refunded: 0,
        burned: 0,
        refund_due: 0,
        slashed: 0,
        meter,
        demands: 0,
        access: None,
        access_epoch: 0,
        data_epoch: 0,
        reserved: [0; 7],
        replaced: Vec::new(),
    };
    (lease, Ended { slot, case })
}

/// The same, but one of the rounds that it was up is called down or unseen.
fn called(random: &mut Random, lease: &Lease, before: &Ended, is_down: bool) -> Ended {
    let mut after = *before;
    let slot = &mut after.slot;
    slot.lease_up -= 1;
    if !is_down {
        slot.lease_unseen += 1;
    } else {
        slot.lease_down += 1;
        if slot.has(Slot::LEFT) && random.percent(50) {
            slot.flags |= Slot::DARK;
        }
        let agreed = slot.lease_agreed - slot.lease_from;
        let (round_secs, sla) = (lease.terms.round_secs, lease.terms.sla_bps);
        let most = slashing::abandon_allowance(agreed, round_secs, sla);
        if slot.lease_down > most && random.percent(30) {
            slot.flags |= Slot::ABANDONED;
            if matches!(before.case, Case::Left | Case::Contested) {
                after.case = Case::Abandoned;
            }
        }
    }
    if slot.lease_up == 0 && after.case != Case::Served {
        after.case = Case::NeverUp;
    }
    after
}

/// What both sides end with.
fn end(lease: &Lease, slot: &Slot) -> End {
    let service = lease.service(slot).expect("amounts fit");
    let outcome = settle::outcome(lease, slot).expect("amounts fit");
    let rounds = service.up + settlement::void(&service);
    let served = pricing::gross(service.price, lease.terms.round_secs, rounds).expect("amounts fit");
    let paid = outcome.payment.gross().expect("amounts fit");
    let burned = outcome.burned.total().expect("amounts fit");
    let exit = settlement::exit_secs(&service, &lease.terms);
    End {
        owner: i128::from(served) - i128::from(paid) - i128::from(burned),
        supplier: outcome.payment.net.into(),
        slash: outcome.slash,
        exit: i128::from(service.price) * i128::from(exit) / 3_600,
    }
}

/// A random strategy.
#[derive(Clone, Copy, Debug)]
struct Strategy {
    rounds: u32,
    /// Colluding seats, and honest keepers that are absent: too few together to decide anything.
    seats: u8,
    absent: u8,
    /// Percent of the rounds in which the machine is drowned, or dark.
    dark: u32,
    /// Percent of the rounds in which the seats lie.
    lies: u32,
    /// Round in which the owner leaves.
    leaves: Option<u32>,
    replaces: bool,
    contests: bool,
    seed: u64,
}

impl Strategy {
    fn random(scene: &Scene, random: &mut Random, least: u8) -> Self {
        // So few that they can neither call a machine down nor keep it from being up.
        let decide =
            scene.market.rules.threshold.min(scene.market.rules.seats - scene.market.params.up_votes + 1);
        let seats = random.below(u32::from(least.min(decide))) as u8;
        let absent = random.below(u32::from(decide - seats)) as u8;
        let rounds = 2 + random.below(80);
        Strategy {
            rounds,
            seats,
            absent,
            dark: [0, 3, 20, 60, 100][random.below(5) as usize],
            lies: [0, 50, 100][random.below(3) as usize],
            leaves: random.percent(60).then(|| random.below(rounds - 1)),
            replaces: random.percent(40),
            contests: random.percent(30),
            seed: random.next(),
        }
    }

    /// Plays it. `deviates`: with its lies, else with the same actions of the owner alone. Returns the books, the rounds that
    /// the first machine was up.
    fn play(&self, scene: &Scene, deviates: bool, friend: Wallet) -> Played {
        let n = scene.market.rules.seats;
        let mut random = Random::new(self.seed);
        let mut world = scene.world();
        world.fund(1_000_000_000);
        let lease = world.open(Wallet::Buyer, &scene.ask(self.rounds)).expect("a machine is free");
        world.up(1);
        let mut dark_rounds = 0;
        for round in 0..self.rounds {
            if self.leaves == Some(round) {
                let contest: &[u16] = if self.contests { &[MACHINE] } else { &[] };
                // The last round can't be left, and there may be no other machine.
                if self.replaces {
                    let _ = world.replace(lease, MACHINE, self.contests);
                } else {
                    let _ = world.cancel(lease, contest);
                }
            }
            let serves = world.round < world.slot(MACHINE).lease_until;
            let dark = random.percent(self.dark) && serves;
            let lies = random.percent(self.lies);
            dark_rounds += u32::from(dark);
            let up_votes = friend == Wallet::Supplier;
            world.vote(|seat, slot| {
                if !deviates {
                    return Some(true);
                }
                let colludes = seat < self.seats;
                let present = colludes || seat >= self.seats + self.absent;
                let honest = slot != MACHINE || !dark;
                let answer = if colludes && lies && slot == MACHINE { up_votes } else { honest };
                (present && seat < n).then_some(answer)
            });
            world.settle(lease);
        }
        world.up(2);
        world.settle(lease);
        let up = world.slot(MACHINE).lease_up;
        let served = world.served;
        let mut ours: Vec<Wallet> = (0..self.seats).map(Wallet::Keeper).collect();
        ours.push(friend);
        Played { books: world.finish(), up, served, dark_rounds, ours }
    }
}

struct Played {
    books: Books,
    up: u32,
    served: Money,
    dark_rounds: u32,
    ours: Vec<Wallet>,
}

/// Owners with fewer than k seats, the absent included, who drown machines, vote, leave and contest.
fn owners(scene: &Scene, seed: u64) -> Attack {
    let mut random = Random::new(seed ^ 0x0b5e55ed);
    let (mut best, mut damage, mut beyond) = (Money::ZERO, Money::ZERO, Money::ZERO);
    for _ in 0..STRATEGIES {
        let strategy = Strategy::random(scene, &mut random, scene.market.rules.threshold);
        let honest = strategy.play(scene, false, Wallet::Buyer);
        let attacked = strategy.play(scene, true, Wallet::Buyer);
        let wealth = |played: &Played| played.books.wealth(&played.ours) + played.served;
        let gain = wealth(&attacked) - wealth(&honest);
        // A round off what leaving costs for each false one; all of it if the machine was never up or abandoned; of a contest half
        // of both.
        let exit = strategy.leaves.map_or(0, |round| {
            settlement::exit_at_most(
                scene.market.rules.round_secs,
                strategy.rounds,
                strategy.rounds - round - 1,
            )
        });
        let lost = honest.up.saturating_sub(attacked.up);
        let mut conceded = if exit > 0 { scene.worth(lost) } else { Money::ZERO };
        if attacked.up == 0 || strategy.contests {
            conceded += scene.worth_of_secs(exit);
        }
        if strategy.contests {
            conceded += scene.worth(lost.min(scene.hours(2)));
        }
        if gain - conceded > beyond {
            beyond = gain - conceded;
        }
        if gain > best {
            best = gain;
            let other = [Wallet::Supplier];
            damage = (honest.books.wealth(&other) - attacked.books.wealth(&other)).positive();
        }
    }
    let why = "a round off what leaving costs for each, or what the rows above concede";
    Attack {
        name: "random owners with too few seats to decide".to_owned(),
        plan: format!(
            "the best of {STRATEGIES} strategies: drowning, voting, knocking keepers out, leaving, contesting"
        ),
        cost: Money::ZERO,
        yields: best,
        damage,
        claim: if beyond > Money(ROUNDING) { Claim::Loses } else { Claim::Concedes(best, why) },
    }
}

/// Suppliers with fewer than u seats, whose machines are dark in some rounds, which they sell elsewhere at their own price.
fn suppliers(scene: &Scene, seed: u64) -> Attack {
    let mut random = Random::new(seed ^ 0x5e11e5);
    let (mut best, mut cost) = (Money(i128::MIN), Money::ZERO);
    for _ in 0..STRATEGIES {
        // Without contests: to be dark before one loses less than to serve before one.
        let strategy = Strategy::random(scene, &mut random, scene.market.params.up_votes);
        let strategy = Strategy { contests: false, ..strategy };
        let honest = strategy.play(scene, false, Wallet::Supplier);
        let attacked = strategy.play(scene, true, Wallet::Supplier);
        let fee = 1.0 - f64::from(scene.market.params.fee_bps) / 10_000.0;
        let elsewhere = scene.worth(attacked.dark_rounds).scale(fee);
        let change = attacked.books.wealth(&attacked.ours) - honest.books.wealth(&honest.ours);
        let gain = change + elsewhere;
        if gain > best && attacked.dark_rounds > 0 {
            (best, cost) = (gain, (-change).positive());
        }
    }
    Attack {
        name: "random suppliers with too few seats to decide".to_owned(),
        plan: format!(
            "the best of {STRATEGIES} strategies: dark rounds sold elsewhere at the same price, voting, knocking keepers out"
        ),
        cost,
        yields: best + cost,
        damage: Money::ZERO,
        claim: Claim::Concedes(Money(ROUNDING), "rounding"),
    }
}
