//! `leasehold completion`.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use leasehold_operate::{failure::Failure, output::write};

#[derive(Args)]
pub struct CompletionArgs {
    /// The shell that completes.
    #[arg(short, long, default_value = "bash")]
    pub shell: Shell,
}

/// Prints a script by which the shell completes `command`.
pub fn run(args: &CompletionArgs, command: Command) -> Result<(), Failure> {
    write(&script(args.shell, command))
}

fn script(shell: Shell, mut command: Command) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut command, "leasehold", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::*;
    use crate::args::Cli;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell, Cli::command())).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
