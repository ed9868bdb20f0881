//! `leasehold-authorized-keys`: see [`key_command`].

#[path = "../access/key_command.rs"]
mod key_command;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    key_command::run(&arguments)
}
