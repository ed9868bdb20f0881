//! The command line of Leasehold. Commands are grouped as the program's instructions are, by object.

pub mod act;
mod alternatives;
mod amount;
pub mod args;
mod bonds;
pub mod chain;
pub mod commands;
pub mod config;
mod costs;
mod criteria;
mod deliver;
pub mod failure;
mod kinds;
mod live;
pub mod outcome;
mod output;
mod payee;
mod pick;
pub mod plan;
mod progress;
mod spread;
pub mod stop;
pub mod table;
pub mod text;
pub mod time;
mod undo;

use args::{Cli, Command};
use chain::Chain;
use config::Settings;
use failure::Failure;

/// Runs one command: data go to standard output, everything else to standard error.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    // These two need no settings, and work where the file with them is broken.
    match &cli.command {
        Command::Completion(args) => return commands::completion::run(args),
        Command::Man(args) => return commands::man::run(args, cli.global.output),
        _ => {}
    }
    let settings = Settings::load(&cli.global)?;
    match cli.command {
        Command::Completion(_) | Command::Man(_) => Ok(()),
        Command::Address => commands::address::run(&settings),
        Command::Offers(args) => commands::offers::run(&Chain::new(settings), args).await,
        Command::Quote(args) => commands::quote::run(&Chain::new(settings), args).await,
        Command::Lease { command } => commands::lease::run(&Chain::new(settings), command).await,
        Command::Supplier { command } => commands::supplier::run(&Chain::new(settings), command).await,
        Command::Machine { command } => commands::machine::run(&Chain::new(settings), command).await,
        Command::Keeper { command } => commands::keeper::run(&Chain::new(settings), command).await,
        Command::Board { command } => commands::board::run(&Chain::new(settings), command).await,
        Command::Market { command } => commands::market::run(&Chain::new(settings), command).await,
        Command::Log { command } => commands::log::run(&Chain::new(settings), command).await,
        Command::Receipt { command } => commands::receipt::run(&Chain::new(settings), command).await,
    }
}
