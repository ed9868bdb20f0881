//! `leasehold completion`.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::{args::Cli, failure::Failure, output::write};

#[derive(Args)]
pub struct CompletionArgs {
    /// The shell that completes.
    #[arg(short, long, default_value = "bash")]
    pub shell: Shell,
}

/// Prints a script for the shell.
pub fn run(args: &CompletionArgs) -> Result<(), Failure> {
    write(&script(args.shell))
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "leasehold", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
