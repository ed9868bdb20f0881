//! Attacks, each by name: what it costs, what it yields and what it destroys, as the program's rules have it.

mod bidders;
mod buyers;
mod fakes;
mod flooders;
mod keepers;
mod record;
mod refused;
mod suppliers;
mod traders;

use leasehold::{error::LeaseholdError, state::Market};
use serde::Serialize;

use super::{
    money::Money,
    world::{Acted, Ask, Books, Listing, Wallet, World, usual_class},
};

/// What the design claims of an attack.
#[derive(Clone, Debug)]
pub enum Claim {
    /// It yields no more than it costs.
    Loses,
    /// It yields at most so much more than it costs, and that is conceded: why.
    Concedes(Money, &'static str),
    /// It yields nothing, and destroys at most so many times what it costs.
    Destroys(u32),
    /// It yields nothing, and destroys at most so much each time: why.
    Harms(Money, &'static str),
    /// It can't be done: what refuses it.
    Refused(&'static str),
    /// Nothing is claimed: it is not closed, and why.
    Open(&'static str),
}

/// An attack that was run.
#[derive(Clone, Debug)]
pub struct Attack {
    pub name: String,
    pub plan: String,
    /// Lost for good by those who attack.
    pub cost: Money,
    /// Gained by those who attack.
    pub yields: Money,
    /// Lost by everybody else.
    pub damage: Money,
    pub claim: Claim,
}

impl Attack {
    /// True if the attack is worth no more than is claimed.
    pub fn holds(&self) -> bool {
        let gain = self.yields - self.cost;
        match self.claim {
            Claim::Loses | Claim::Open(_) => gain <= Money::ZERO,
            Claim::Concedes(most, _) => gain <= most,
            Claim::Harms(most, _) => gain <= Money::ZERO && self.damage <= most,
            Claim::Refused(_) => gain <= Money::ZERO && self.damage <= Money::ZERO,
            Claim::Destroys(times) => {
                gain <= Money::ZERO && self.damage.0 <= self.cost.0 * i128::from(times) + 1
            }
        }
    }

    /// True if something is claimed of it that is not so.
    pub fn wins(&self) -> bool {
        !matches!(self.claim, Claim::Open(_)) && !self.holds()
    }

    pub fn row(&self) -> Row<'_> {
        let (claim, why, most) = match &self.claim {
            Claim::Loses => ("loses", None, None),
            Claim::Concedes(most, why) => ("concedes", Some(*why), Some(*most)),
            Claim::Destroys(_) => ("yields nothing", None, None),
            Claim::Harms(most, why) => ("yields nothing", Some(*why), Some(*most)),
            Claim::Refused(why) => ("refused", Some(*why), None),
            Claim::Open(why) => ("open", Some(*why), None),
        };
        let Attack { name, plan, cost, yields, damage, .. } = self;
        Row {
            name,
            plan,
            cost: *cost,
            yields: *yields,
            damage: *damage,
            holds: self.holds(),
            claim,
            most,
            why,
        }
    }
}

/// An attack in JSON. Amounts are payment tokens.
#[derive(Serialize)]
pub struct Row<'a> {
    pub name: &'a str,
    pub plan: &'a str,
    pub cost: Money,
    #[serde(rename = "yield")]
    pub yields: Money,
    pub damage: Money,
    pub holds: bool,
    pub claim: &'static str,
    /// What is gained, or destroyed if nothing is gained, at most, and why; or what refuses it, or why nothing is claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
}

/// Runs all of them, by who attacks.
pub fn run(market: &Market, seed: u64) -> Vec<(&'static str, Vec<Attack>)> {
    let scene = Scene::new(market);
    vec![
        ("keepers", keepers::run(&scene)),
        ("flooders", flooders::run(&scene)),
        ("buyers", buyers::run(&scene, seed)),
        ("fakes", fakes::run(&scene)),
        ("suppliers", suppliers::run(&scene)),
        ("bidders", bidders::run(&scene)),
        ("traders", traders::run(&scene)),
        ("refused", refused::run(&scene)),
    ]
}

/// GPUs of the machines in the scenarios.
pub const GPUS: u8 = 8;
/// The slots of a scene: the machine of [`Wallet::Supplier`], and a dearer one of [`Wallet::Rival`].
pub const MACHINE: u16 = 0;
const OTHER: u16 = 1;

/// Where attacks happen: two machines of eight GPUs on a board whose keepers are all there.
pub struct Scene<'a> {
    pub market: &'a Market,
    class: u16,
    price: u64,
}

impl<'a> Scene<'a> {
    pub fn new(market: &'a Market) -> Self {
        let (class, price) = usual_class(market);
        Scene { market, class, price }
    }

    /// The machines, seen up once and idle.
    pub fn world(&self) -> World {
        let mut world = self.bare();
        world.list(self.listing(Wallet::Supplier));
        world.list(Listing { price: self.other_price(), ..self.listing(Wallet::Rival) });
        world.up(2);
        world
    }

    /// A board without machines.
    pub fn bare(&self) -> World {
        World::new(self.market)
    }

    fn listing(&self, by: Wallet) -> Listing {
        // Longer than any lease, by the rounds that pass before.
        let rounds = self.market.params.max_rounds + 64;
        Listing { by, class: self.class, gpus: GPUS, price: self.price, rounds, region: 0 }
    }

    /// Asks for one machine.
    pub fn ask(&self, rounds: u32) -> Ask {
        Ask::new(self.class, u32::from(GPUS), rounds)
    }

    /// Rounds of so many days, as far as a lease may be that long.
    fn days(&self, days: u32) -> u32 {
        let rounds = days * 86_400 / self.market.rules.round_secs;
        rounds.clamp(self.market.params.min_rounds, self.market.params.max_rounds)
    }

    /// Rounds of so many hours, at least one.
    pub fn hours(&self, hours: u32) -> u32 {
        (hours * 3_600 / self.market.rules.round_secs).max(1)
    }

    /// Price per GPU and hour of [`OTHER`]: five percent more.
    fn other_price(&self) -> u64 {
        self.price + self.price / 20
    }

    /// Payment units of so many rounds of [`MACHINE`].
    pub fn worth(&self, rounds: u32) -> Money {
        self.worth_at(self.price, rounds)
    }

    pub fn worth_of_secs(&self, secs: u64) -> Money {
        Money::of_time(self.price * u64::from(GPUS), secs)
    }

    /// The same, less the market's fee.
    pub fn net(&self, rounds: u32) -> Money {
        let whole = self.worth(rounds);
        whole - Money(whole.0 * i128::from(self.market.params.fee_bps) / 10_000)
    }

    /// The same of [`OTHER`].
    fn worth_of_other(&self, rounds: u32) -> Money {
        self.worth_at(self.other_price(), rounds)
    }

    fn worth_at(&self, price: u64, rounds: u32) -> Money {
        let secs = u64::from(rounds) * u64::from(self.market.rules.round_secs);
        Money::of_time(price * u64::from(GPUS), secs)
    }
}

/// An attack by comparison with what happens without it: `coalition` gains and the `others` lose. `plus`: what the coalition
/// gains besides, that the books don't have (computing that was not paid for, sales elsewhere).
struct Compared<'a> {
    name: String,
    plan: String,
    coalition: &'a [Wallet],
    others: &'a [Wallet],
    honest: &'a Books,
    attacked: &'a Books,
    plus: Money,
    claim: Claim,
}

impl Compared<'_> {
    fn attack(self) -> Attack {
        let Compared { name, plan, coalition, others, honest, attacked, plus, claim } = self;
        let change = |wallets| attacked.wealth(wallets) - honest.wealth(wallets);
        let gain = change(coalition);
        Attack {
            name,
            plan,
            cost: (-gain).positive(),
            yields: gain.positive() + plus,
            damage: (-change(others)).positive(),
            claim,
        }
    }
}

/// True if the program refuses it by that rule.
fn is_refused<T>(acted: Acted<T>, rule: LeaseholdError) -> bool {
    acted.err().is_some_and(|error| error == rule.into())
}

/// An attack that can't be done.
struct Barred {
    name: &'static str,
    plan: &'static str,
    /// What refuses it.
    by: &'static str,
    /// True if it was refused, each way that was tried.
    refused: bool,
    /// What it would be worth: its yield, and the damage, if it is not refused.
    prize: Money,
}

impl Barred {
    fn attack(self) -> Attack {
        let Barred { name, plan, by, refused, prize } = self;
        let won = if refused { Money::ZERO } else { prize };
        Attack {
            name: name.to_owned(),
            plan: plan.to_owned(),
            cost: Money::ZERO,
            yields: won,
            damage: won,
            claim: Claim::Refused(by),
        }
    }
}
