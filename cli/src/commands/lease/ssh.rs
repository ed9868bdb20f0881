//! `leasehold lease ssh`.

use std::{ffi::OsString, fmt, process::Command};

use clap::Args;
use leasehold_operate::{chain::Chain, failure::Failure, text::print_stderr};
use serde::Serialize;

use super::{
    selection::LeaseArgs,
    session::{LoginArgs, Session, program, quote::word, require_answer, unstartable},
};

#[derive(Args)]
pub struct SshArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Slot of the machine; needed if the lease has several.
    #[arg(value_name = "SLOT")]
    pub slot: Option<u16>,
    #[command(flatten)]
    pub login: LoginArgs,
    /// Forward a port of this computer through the machine, as ssh does; several times if need be.
    #[arg(short = 'L', long, value_name = "[ADDRESS:]PORT:HOST:PORT")]
    pub forward: Vec<String>,
    /// Run no command, to forward ports only.
    #[arg(short = 'N', long, conflicts_with = "command")]
    pub no_command: bool,
    /// Give the command a terminal; a shell has one anyway.
    #[arg(short = 't', long)]
    pub tty: bool,
    /// Command to run there, after `--` [default: a shell]
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What would be run, with --dry-run.
#[derive(Debug, Serialize)]
struct Planned {
    machine: String,
    command: Vec<String>,
}

pub async fn run(chain: &Chain, args: SshArgs) -> Result<(), Failure> {
    let leased = args.lease.load(chain).await?;
    let session = Session::open(chain, &[leased], None, &args.login).await?;
    let host = session.one(args.slot)?;
    let mut ssh = program("ssh", &session.config());
    ssh.args(args.forward.iter().flat_map(|forward| ["-L", forward]));
    ssh.args(args.no_command.then_some("-N")).args(args.tty.then_some("-t"));
    ssh.arg(&host.name);
    if !args.command.is_empty() {
        // Its words are ssh's no longer, whatever they begin with.
        ssh.arg("--").args(&args.command);
    }
    if chain.settings.dry_run {
        return chain.settings.output.print(&Planned::new(host.name.clone(), &ssh));
    }
    require_answer(host).await?;
    if host.is_down() {
        print_stderr(format!("leasehold: {} was down in the last closed round", host.name));
    }
    become_it(ssh)
}

/// Goes on as that program, whose exit code is this one's.
#[cfg(unix)]
fn become_it(mut ssh: Command) -> Result<(), Failure> {
    use std::os::unix::process::CommandExt;
    Err(unstartable("ssh", &ssh.exec()))
}

#[cfg(not(unix))]
fn become_it(mut ssh: Command) -> Result<(), Failure> {
    let status = ssh.status().map_err(|error| unstartable("ssh", &error))?;
    std::process::exit(status.code().unwrap_or(255))
}

impl Planned {
    fn new(machine: String, command: &Command) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        Planned { machine, command: words.map(|word| word.to_string_lossy().into_owned()).collect() }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let is_plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-:=@".contains(&byte));
        let words = self.command.iter().map(|text| match is_plain(text) && !text.is_empty() {
            true => text.clone(),
            false => word(text),
        });
        f.write_str(&words.collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_run_can_be_pasted_into_a_shell() {
        let mut ssh = program("ssh", "/a b/config".as_ref());
        ssh.args(["lease-0-1-slot0", "--", "echo", "it's", ""]);
        let planned = Planned::new("lease-0-1-slot0".to_owned(), &ssh);
        assert_eq!(planned.to_string(), "ssh -F '/a b/config' lease-0-1-slot0 -- echo 'it'\\''s' ''");
    }
}
