//! `cargo xtask economics`: what attacks cost and yield, and what honest suppliers earn.
//!
//! Every figure comes from running the program's own rules on boards, slots and leases as the program has them.

mod attacks;
mod honest;
mod market;
mod money;
pub mod page;
mod random;
mod search;
mod world;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use leasehold::state::Market;
use serde_json::json;

use crate::root;
use attacks::Attack;
use honest::Honest;

/// The market that the figures of `docs/economics.md` are for, and their seed.
const EXAMPLE: &str = "migrations/example.toml";
const SEED: u64 = 10;

#[derive(clap::Args)]
pub struct Arguments {
    /// Print JSON. Amounts are payment tokens; stake is valued at an assumed price
    #[arg(long)]
    json: bool,
    /// File that describes a market [default: migrations/example.toml]
    #[arg(long)]
    params: Option<PathBuf>,
    /// Seed of all random numbers
    #[arg(long, default_value_t = SEED)]
    seed: u64,
}

/// All figures of a market.
struct Report {
    market: Market,
    seed: u64,
    /// Attacks by who attacks.
    groups: Vec<(&'static str, Vec<Attack>)>,
    honest: Vec<Honest>,
}

impl Report {
    fn attacks(&self) -> impl Iterator<Item = &Attack> {
        self.groups.iter().flat_map(|(_, attacks)| attacks)
    }
}

fn report(path: &Path, seed: u64) -> Result<Report> {
    let market = market::read(path)?;
    let mut groups = Vec::from(attacks::run(&market, seed));
    groups.push(("random", search::run(&market, seed)));
    let honest = honest::run(&market, seed);
    Ok(Report { market, seed, groups, honest })
}

/// "1 round", "2 rounds".
fn count(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn example_path() -> PathBuf {
    root().join(EXAMPLE)
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let path = arguments.params.clone().unwrap_or_else(example_path);
    let report = report(&path, arguments.seed)?;
    if arguments.json {
        print_json(&report)?;
    } else {
        print(&report);
    }
    let won: Vec<_> =
        report.attacks().filter(|attack| attack.wins()).map(|attack| attack.name.as_str()).collect();
    if !won.is_empty() {
        bail!("attacks win that are claimed to lose: {}", won.join("; "));
    }
    Ok(())
}

fn print_json(report: &Report) -> Result<()> {
    let rows: Vec<_> = report.attacks().map(Attack::row).collect();
    let json = json!({
        "units": "payment tokens",
        "stake_price": money::Money(money::STAKE_PRICE),
        "seed": report.seed,
        "attacks": rows,
        "honest": report.honest,
    });
    println!("{}", serde_json::to_string_pretty(&json)?);
    Ok(())
}

fn print(report: &Report) {
    println!("{:<64} {:>10} {:>10} {:>10}  holds", "attack (payment tokens)", "cost", "yield", "damage");
    for attack in report.attacks() {
        let [cost, yields, damage] = [attack.cost, attack.yields, attack.damage].map(money::Money::tokens);
        let holds = match (attack.holds(), attack.wins()) {
            (true, _) => "yes",
            (false, false) => "not closed",
            (false, true) => "NO",
        };
        println!("{:<64} {cost:>10.2} {yields:>10.2} {damage:>10.2}  {holds}", attack.name);
    }
    println!(
        "\nhonest suppliers, per GPU: uptime, round, lease: full pay, earned, damages, bond lost, whole bond lost"
    );
    for row in &report.honest {
        let [full, earned, damages, bond] =
            [row.full, row.earned, row.damages, row.bond].map(money::Money::tokens);
        println!(
            "{:>5.1} % {:>4} s {:<6} {full:>9.2} {earned:>9.2} {damages:>7.3} {bond:>8.3} {:>6.2} %",
            row.uptime * 100.0,
            row.round_secs,
            row.lease,
            row.abandoned * 100.0
        );
    }
}

/// The market of the example, for tests.
#[cfg(test)]
fn example() -> Market {
    market::read(&example_path()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not all of them: `cargo xtask economics` and the documents' check run the rest.
    #[test]
    fn named_attacks_are_worth_no_more_than_is_claimed() {
        for (_, attacks) in attacks::run(&example(), SEED) {
            for attack in attacks {
                assert!(!attack.wins(), "{attack:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_figures() {
        let market = example();
        let [first, second] = [1, 1].map(|seed| search::run(&market, seed));
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
    }
}
