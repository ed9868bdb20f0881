//! The commands of `leasehold`, grouped by object as the program's instructions are.

pub mod args;
mod boards;
mod bonds;
mod burned;
pub mod commands;
mod criteria;
mod kinds;
mod live;
mod ports;
mod request;

use clap::CommandFactory;
use leasehold_operate::{chain::Chain, config::Settings, failure::Failure};

use args::{Cli, Command};

/// Runs one command: data go to standard output, everything else to standard error.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    // These two need no settings, and work even if the file with them is broken.
    match &cli.command {
        Command::Completion(args) => return commands::completion::run(args, Cli::command()),
        Command::Man(args) => return commands::man::run(args, Cli::command(), cli.global.output),
        _ => {}
    }
    let chain = Chain::new(Settings::load(&cli.global)?);
    match cli.command {
        Command::Completion(_) | Command::Man(_) => Ok(()),
        Command::Address => commands::address::run(&chain.settings),
        Command::Offers(args) => commands::offers::run(&chain, args).await,
        Command::Quote(args) => commands::quote::run(&chain, args).await,
        Command::Lease { command } => commands::lease::run(&chain, command).await,
        Command::Supplier { command } => commands::supplier::run(&chain, command).await,
        Command::Machine { command } => commands::machine::run(&chain, command).await,
        Command::Keeper { command } => commands::keeper::run(&chain, command).await,
        Command::Board { command } => commands::board::run(&chain, command).await,
        Command::Market { command } => commands::market::run(&chain, command).await,
        Command::Log { command } => commands::log::run(&chain, command).await,
        Command::Receipt { command } => commands::receipt::run(&chain, command).await,
    }
}
