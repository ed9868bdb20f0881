//! `cargo xtask economics`: what attacks cost and yield, and what honest suppliers earn.
//!
//! Every figure comes from running the program's own rules on boards, slots and leases as the program has them.

mod attacks;
mod market;
mod money;
mod random;
mod world;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::root;

/// The market that the figures of `docs/economics.md` are for.
const EXAMPLE: &str = "migrations/example.toml";
/// The seed of these figures.
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

pub fn run(arguments: &Arguments) -> Result<()> {
    let path = arguments.params.clone().unwrap_or_else(|| root().join(EXAMPLE));
    let market = market::read(&path)?;
    let attacks = attacks::run(&market, arguments.seed);
    for attack in &attacks {
        println!("{:70} {:>12.3} {:>12.3} {:>12.3} {:5} {:?}", attack.name, attack.cost.tokens(), attack.yields.tokens(), attack.damage.tokens(), attack.holds(), attack.claim);
        println!("      {}", attack.plan);
    }
    let won: Vec<_> = attacks.iter().filter(|attack| attack.wins()).map(|attack| attack.name.as_str()).collect();
    if !won.is_empty() {
        bail!("attacks that are claimed to lose win: {}", won.join("; "));
    }
    Ok(())
}

/// The market of the example, for tests.
#[cfg(test)]
fn example() -> leasehold::state::Market {
    market::read(&root().join(EXAMPLE)).unwrap()
}
