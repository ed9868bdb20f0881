//! OpenSSH's programs, with the configuration of a lease.

use std::{io, path::Path, process::Command};

use leasehold_operate::failure::Failure;

/// `ssh` or another program of OpenSSH that reads this configuration and no other.
pub fn program(name: &str, config: &Path) -> Command {
    let mut command = Command::new(name);
    command.arg("-F").arg(config);
    command
}

/// Why it can't be started.
pub fn unstartable(name: &str, error: &io::Error) -> Failure {
    Failure::Input(match error.kind() {
        io::ErrorKind::NotFound => {
            format!(
                "{name} is not installed: install OpenSSH's client (Debian: apt-get install openssh-client)"
            )
        }
        _ => format!("cannot start {name}: {error}"),
    })
}
