//! The command line of Leasehold. Commands are grouped as the program's instructions are, by object.

pub mod amount;
pub mod archive;
pub mod args;
pub mod commands;
pub mod failure;
pub mod output;

use args::{Cli, Command};
use failure::Failure;

/// Runs one command: data go to standard output, everything else to standard error.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Receipt { command } => commands::receipt::run(&cli.global, command).await,
    }
}
