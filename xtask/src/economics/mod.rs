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
    let mut groups = attacks::run(&market, seed);
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
    refuse_winners(report.attacks())
}

/// Fails if an attack wins that is claimed to lose.
fn refuse_winners<'a>(attacks: impl Iterator<Item = &'a Attack>) -> Result<()> {
    let won: Vec<_> = attacks.filter(|attack| attack.wins()).map(|attack| attack.name.as_str()).collect();
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
    let width = report.attacks().map(|attack| attack.name.len()).max().unwrap_or_default();
    println!("{:<width$} {:>10} {:>10} {:>10}  holds", "attack (payment tokens)", "cost", "yield", "damage");
    for attack in report.attacks() {
        let [cost, yields, damage] = [attack.cost, attack.yields, attack.damage].map(money::Money::tokens);
        let holds = match (attack.holds(), attack.wins()) {
            (true, _) => "yes",
            (false, false) => "not closed",
            (false, true) => "NO",
        };
        println!("{:<width$} {cost:>10.2} {yields:>10.2} {damage:>10.2}  {holds}", attack.name);
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

    /// The attackers of the design, as it names them, but for those of what is still to be built: seats by lot, rewards, score,
    /// proofs behind votes and of GPUs, shells.
    const DESIGN: [&str; 36] = [
        "a rival's key listed on a lower slot",
        "a rival's endpoint taken",
        "a drowned machine whose tenant computes on",
        "a deserter whom its replacer pardons",
        "forfeiting to keep the hold-back",
        "darkness on a board with few voters",
        "the tail of a lease drowned instead of cancelled",
        "a free exit by one drowned round",
        "contest as extortion",
        "contest settled around",
        "a bait of 255 GPUs",
        "claims forced by strangers",
        "a deposit that blocks for weeks",
        "keepers who knock keepers out",
        "the index moved by washing",
        "one supplier that holds up an extension",
        "five seats that veto",
        "a buyer who floods a machine during a short lease",
        "a metered lease of one unit",
        "nine seats of a new board",
        "a key without a GPU, left and picked again",
        "one computer listed many times",
        "a machine that goes dark within its allowance until the buyer pays it for leaving",
        "replace_node around min_rounds",
        "a demand kept until another machine has the slot",
        "generations turned around",
        "a bond that leaves while a demand is due",
        "one absurd price on a full board",
        "a hint made stale by one reprice",
        "a receipt of another cluster",
        "a voucher of another cluster",
        "a raised bond that traps idle machines",
        "a class renamed",
        "a keeper that copies",
        "an extension in the last second",
        "a halt of Solana",
    ];

    fn named() -> Vec<Attack> {
        attacks::run(&example(), SEED).into_iter().flat_map(|(_, attacks)| attacks).collect()
    }

    /// Not all of them: `cargo xtask economics` and the documents' check run the rest.
    #[test]
    fn named_attacks_are_worth_no_more_than_is_claimed() {
        let attacks = named();
        for attack in &attacks {
            assert!(!attack.wins(), "{attack:?}");
        }
        refuse_winners(attacks.iter()).unwrap();
    }

    #[test]
    fn every_attacker_of_the_design_has_a_row_that_names_it() {
        let attacks = named();
        let missing: Vec<_> =
            DESIGN.iter().filter(|name| !attacks.iter().any(|attack| attack.name.contains(*name))).collect();
        assert!(missing.is_empty(), "{missing:#?}");
        let mut names: Vec<_> = attacks.iter().map(|attack| &attack.name).collect();
        names.sort();
        assert!(names.is_sorted_by(|one, next| one < next), "a name is given twice: {names:#?}");
    }

    /// A bond of a five-hundredth is worth less than what a machine earns elsewhere in two days.
    #[test]
    fn an_attack_that_wins_though_it_is_claimed_to_lose_is_named_by_the_error() {
        let mut market = example();
        market.params.bond_unit /= 500;
        let attacks = attacks::run(&market, SEED);
        let error = refuse_winners(attacks.iter().flat_map(|(_, attacks)| attacks)).unwrap_err().to_string();
        assert!(error.contains("deserter, two days left, spot x 2: forfeits"), "{error}");
    }

    /// Long rounds; and few seats, with a strict SLA.
    #[test]
    fn named_attacks_lose_in_other_markets_too() {
        let [mut long, mut few] = [example(), example()];
        (long.rules.round_secs, long.rules.submit_secs, long.params.max_rounds) = (3_600, 1_800, 2_000);
        (few.rules.seats, few.rules.threshold, few.rules.sla_bps, few.params.up_votes) = (7, 5, 9_950, 3);
        for market in [long, few] {
            market.params.validate(&market.rules).unwrap();
            let attacks = attacks::run(&market, SEED);
            refuse_winners(attacks.iter().flat_map(|(_, attacks)| attacks)).unwrap();
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_figures() {
        let market = example();
        let [first, second] = [1, 1].map(|seed| search::run(&market, seed));
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
    }
}
