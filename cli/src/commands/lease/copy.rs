//! `leasehold lease copy`: files to and from the machines of a lease.

use std::{
    path::{MAIN_SEPARATOR, Path, PathBuf},
    str::FromStr,
};

use clap::Args;
use leasehold_operate::{
    chain::{Chain, MarketId},
    failure::Failure,
    format::Format,
    stop::Stop,
    table::count,
    text::print_stderr,
};
use tokio::process::Command;

use super::{
    inventory::Host,
    run::{There, all},
    selection::{LeaseArgs, LeaseId},
    session::{LoginArgs, Session, program},
};

/// Machines at a time.
const PARALLEL: usize = 16;

#[derive(Args)]
pub struct CopyArgs {
    /// The lease, and a slot of it for one machine only: its address, or with --market its board's number and its own; then the
    /// slot. For example 0:12, or 0:12:3 for slot 3.
    #[arg(value_name = "LEASE[:SLOT]")]
    pub machines: MachinesId,
    /// File or folder to copy: a path on the machines begins with a colon, as in `:/root/data`; a relative one is from the
    /// user's home folder.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Where to copy it. From several machines, a folder for each is made in it.
    #[arg(value_name = "DEST")]
    pub dest: String,
    /// The market, by number or by address; needed if the lease is named by numbers.
    #[arg(long, env = "LEASEHOLD_MARKET", value_name = "NUMBER|ADDRESS")]
    pub market: Option<MarketId>,
    #[command(flatten)]
    pub login: LoginArgs,
}

/// A lease, and a slot of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachinesId {
    lease: LeaseId,
    slot: Option<u16>,
}

impl FromStr for MachinesId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(lease) = text.parse() {
            return Ok(MachinesId { lease, slot: None });
        }
        let parsed = text.rsplit_once(':').and_then(|(lease, slot)| {
            Some(MachinesId { lease: lease.parse().ok()?, slot: Some(slot.parse().ok()?) })
        });
        parsed
            .ok_or("give the lease's address, or BOARD:SERIAL, and :SLOT for one machine, for example 0:12:3")
    }
}

/// A copy between this computer and machines of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// A local path, and one on the machines.
    Up(PathBuf, String),
    Down(String, PathBuf),
}

impl Way {
    fn new(source: &str, dest: &str) -> Result<Self, Failure> {
        match (source.strip_prefix(':'), dest.strip_prefix(':')) {
            (None, Some(there)) => {
                let path = PathBuf::from(source);
                std::fs::metadata(&path).map_err(|error| Failure::File { path: path.clone(), error })?;
                Ok(Way::Up(path, there.to_owned()))
            }
            (Some(there), None) => Ok(Way::Down(there.to_owned(), PathBuf::from(dest))),
            _ => Err(Failure::Input(
                "exactly one of SOURCE and DEST must be a path on the machines, which begins with a colon: for example \
                 `lease copy 0:12 data :/root/data`"
                    .to_owned(),
            )),
        }
    }
}

pub async fn run(chain: &Chain, args: CopyArgs) -> Result<(), Failure> {
    let way = Way::new(&args.source, &args.dest)?;
    let MachinesId { lease: id, slot } = args.machines;
    let leased = LeaseArgs { id, market: args.market }.load(chain).await?;
    let session = Session::open(chain, &[leased], None, &args.login).await?;
    let hosts = session.some(&slot.map_or_else(Vec::new, |slot| vec![slot]))?;
    let several = hosts.len() > 1;
    let there =
        hosts.into_iter().map(|host| Ok(There::from(host, scp(&session.config(), host, &way, several)?)));
    let there = there.collect::<Result<Vec<_>, Failure>>()?;
    let machines = count(there.len(), "machine");
    let mut stop =
        Stop::listen().map_err(|error| Failure::Input(format!("cannot install signal handlers: {error}")))?;
    let shown = |line: super::run::Line| {
        print_stderr(format!("{} | {}", line.machine, line.text));
        Ok(())
    };
    let ends = tokio::select! {
        biased;
        () = stop.next() => return Err(Failure::OnMachine("stopped: what was being copied is not whole".to_owned())),
        ends = all(there, PARALLEL, shown) => ends?,
    };
    match chain.settings.output {
        Format::Display => ends.success().map(|()| {
            let way = if matches!(way, Way::Up(..)) { "to" } else { "from" };
            print_stderr(format!("Copied {way} {machines}"));
        }),
        output => {
            output.print(&ends)?;
            ends.success()
        }
    }
}

/// `scp` for one machine. From several, each has a folder of its own.
fn scp(config: &Path, host: &Host, way: &Way, several: bool) -> Result<Command, Failure> {
    let mut scp = program("scp", config);
    // Without a question, and without a bar for each file of each machine.
    scp.args(["-q", "-r", "-B", "--"]);
    let there = |path: &str| format!("{}:{}", host.name, if path.is_empty() { "." } else { path });
    match way {
        Way::Up(source, dest) => scp.arg(local(source)).arg(there(dest)),
        Way::Down(source, dest) => {
            let dest = if several { dest.join(&host.name) } else { dest.clone() };
            if several {
                let made = std::fs::create_dir_all(&dest);
                made.map_err(|error| Failure::File { path: dest.clone(), error })?;
            }
            scp.arg(there(source)).arg(local(&dest))
        }
    };
    Ok(scp.into())
}

/// A path that scp does not take for one on a host, whatever it is called.
fn local(path: &Path) -> PathBuf {
    match path.is_absolute() {
        true => path.to_owned(),
        // Keeps a separator at its end, by which scp knows a folder.
        false => PathBuf::from(format!(".{MAIN_SEPARATOR}")).join(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::lease::inventory::tests::inventory;

    #[test]
    fn a_slot_stands_behind_the_lease() {
        let numbers = LeaseId::Numbers { board: 0, serial: 12 };
        let address = leasehold_client::sample::wallet(3);
        for (text, lease, slot) in [
            ("0:12", numbers, None),
            ("0:12:3", numbers, Some(3)),
            (&address.to_string(), LeaseId::Address(address), None),
            (&format!("{address}:7"), LeaseId::Address(address), Some(7)),
        ] {
            assert_eq!(text.parse(), Ok(MachinesId { lease, slot }), "{text}");
        }
        for wrong in ["", "0", "0:", "0:12:", "0:12:3:4", "0:12:70000", "a:b:c"] {
            assert!(wrong.parse::<MachinesId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_path_is_on_the_machines_and_the_other_here() {
        let words = |way: &Way, several| {
            let host = &inventory("A", ["1.1.1.1", "2a00::7"]).hosts[0];
            let scp = scp(Path::new("/c"), host, way, several).unwrap();
            let words = scp.as_std().get_args().map(|word| word.to_string_lossy().into_owned());
            words.skip(6).collect::<Vec<_>>().join(" ")
        };
        let up = |source: &str, dest: &str| Way::Up(source.into(), dest.to_owned());
        assert_eq!(words(&up("a:b", "/x y"), true), "./a:b lease-0-1-slot0:/x y");
        assert_eq!(words(&up("-r", ""), false), "./-r lease-0-1-slot0:.");
        let down = Way::Down("out".to_owned(), "/tmp/o/".into());
        assert_eq!(words(&down, false), "lease-0-1-slot0:out /tmp/o/");
        assert_eq!(Way::new(":a", "b").unwrap(), Way::Down("a".to_owned(), "b".into()));
        for (source, dest) in [("a", "b"), (":a", ":b")] {
            assert!(Way::new(source, dest).unwrap_err().to_string().contains("begins with a colon"));
        }
        assert!(Way::new("/no/such/file", ":b").unwrap_err().to_string().contains("check the path"));
    }
}
