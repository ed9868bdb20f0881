//! `leasehold lease run`: a command on all machines of a lease.

mod there;

use std::{fmt, io::Write, sync::Arc};

use clap::Args;
use leasehold_operate::{
    chain::Chain, failure::Failure, format::Format, output::forgiven, stop::Stop, text::line,
};
use serde::Serialize;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

pub use self::there::{Line, There, wrapped};
use super::{
    selection::LeasesArgs,
    session::{LoginArgs, Session},
};

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub leases: LeasesArgs,
    /// Only on the machines in these slots.
    #[arg(long, value_name = "SLOT", value_delimiter = ',')]
    pub slots: Vec<u16>,
    /// Machines at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub parallel: u16,
    #[command(flatten)]
    pub login: LoginArgs,
    /// Command to run, after `--`; the machine's shell reads it as with ssh. It gets no standard input.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// End of a command on a machine.
#[derive(Debug, Serialize)]
pub struct Ended {
    pub machine: String,
    pub lease: String,
    pub slot: u16,
    /// `None` if a signal ended ssh.
    pub exit_code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Ends of a command on all machines.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Ends(pub Vec<Ended>);

pub async fn run(chain: &Chain, args: RunArgs) -> Result<(), Failure> {
    let leases = args.leases.load(chain).await?;
    let session = Session::open(chain, &leases, args.leases.group, &args.login).await?;
    let output = chain.settings.output;
    let command = args.command.join(" ");
    let there: Vec<_> = session
        .some(&args.slots)?
        .into_iter()
        .map(|host| There::new(&session, host, &wrapped(&command)))
        .collect();
    let mut stop =
        Stop::listen().map_err(|error| Failure::Input(format!("cannot install signal handlers: {error}")))?;
    let shown = |line: Line| if output == Format::Display { line.print() } else { Ok(()) };
    let ends = tokio::select! {
        biased;
        // Every ssh ends with this, and with it the command at its other end.
        () = stop.next() => return Err(Failure::OnMachine("stopped on all machines".to_owned())),
        ends = all(there, args.parallel.into(), shown) => ends?,
    };
    if output != Format::Display {
        output.print(&ends)?;
    }
    ends.success()
}

/// Runs commands on machines, so many at a time, and shows each line as it comes.
pub async fn all(
    there: Vec<There>,
    parallel: usize,
    shown: impl Fn(Line) -> Result<(), Failure>,
) -> Result<Ends, Failure> {
    let (places, (sender, mut lines)) = (Arc::new(Semaphore::new(parallel)), mpsc::channel(256));
    let mut running = JoinSet::new();
    for (place, there) in there.into_iter().enumerate() {
        let (places, sender) = (places.clone(), sender.clone());
        running.spawn(async move {
            let _place = places.acquire_owned().await;
            there.run(sender).await.map(|ended| (place, ended))
        });
    }
    drop(sender);
    while let Some(line) = lines.recv().await {
        shown(line)?;
    }
    let mut ends = Vec::new();
    while let Some(ended) = running.join_next().await {
        ends.push(ended.map_err(|error| Failure::Input(error.to_string()))??);
    }
    ends.sort_by_key(|(place, _)| *place);
    Ok(Ends(ends.into_iter().map(|(_, ended)| ended).collect()))
}

impl Ends {
    /// Refuses if the command failed on a machine, and names them.
    pub fn success(&self) -> Result<(), Failure> {
        let failed = self.0.iter().filter(|ended| ended.exit_code != Some(0));
        let failed: Vec<_> = failed.map(Ended::name).collect();
        if failed.is_empty() {
            return Ok(());
        }
        let (of, names) = (self.0.len(), leasehold_operate::table::some(&failed));
        Err(Failure::OnMachine(format!("failed on {} of {of}: {names}", failed.len())))
    }
}

impl Ended {
    fn name(&self) -> String {
        match self.exit_code {
            // ssh's own.
            Some(255) => format!("{} (no connection, or exit code 255)", self.machine),
            Some(code) => format!("{} (exit code {code})", self.machine),
            None => format!("{} (ended by a signal)", self.machine),
        }
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|ended| writeln!(f, "{}", ended.name()))
    }
}

impl Line {
    /// Prints it behind the machine's name, without characters that would control the terminal.
    fn print(&self) -> Result<(), Failure> {
        let text = format!("{} | {}\n", self.machine, line(&self.text));
        let written = match self.is_error {
            true => std::io::stderr().lock().write_all(text.as_bytes()),
            false => std::io::stdout().lock().write_all(text.as_bytes()),
        };
        forgiven(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_succeeds_if_it_does_on_every_machine() {
        let ended = |slot, exit_code| Ended {
            machine: format!("lease-0-1-slot{slot}"),
            lease: String::new(),
            slot,
            exit_code,
            stdout: String::new(),
            stderr: String::new(),
        };
        assert!(Ends(vec![ended(0, Some(0)), ended(1, Some(0))]).success().is_ok());
        let failed = Ends(vec![ended(0, Some(0)), ended(1, Some(7)), ended(2, Some(255)), ended(3, None)]);
        let error = failed.success().unwrap_err();
        assert_eq!(error.code(), 6);
        let expected = "failed on 3 of 4: lease-0-1-slot1 (exit code 7), lease-0-1-slot2 (no connection, or exit code 255), \
                        lease-0-1-slot3 (ended by a signal)";
        assert_eq!(error.to_string(), expected);
    }
}
