//! `leasehold lease forward`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
};

use clap::Args;
use leasehold_operate::{chain::Chain, failure::Failure, stop::Stop, table::Table, text::print_stderr};
use serde::Serialize;
use tokio::{
    io::{AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinSet,
};

use super::{
    selection::LeasesArgs,
    session::{LoginArgs, Session, program, served},
};

/// Port that is listened at by default.
pub const PORT: u16 = 7_022;
/// The first loopback address after the one that everything else listens at.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[derive(Args)]
pub struct ForwardArgs {
    #[command(flatten)]
    pub leases: LeasesArgs,
    /// Port to listen at. On Linux each machine has a loopback address of its own, from 127.0.0.2 on; elsewhere a port of its
    /// own, from this one on.
    #[arg(long, value_name = "PORT", default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    #[command(flatten)]
    pub login: LoginArgs,
}

/// Where the machines can be reached while the command runs.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Listening(Vec<Door>);

#[derive(Debug, Serialize)]
struct Door {
    machine: String,
    address: IpAddr,
    port: u16,
}

/// Where the machine in that place of an inventory is listened for.
pub fn listens_at(port: u16, place: usize) -> Result<SocketAddr, Failure> {
    let many = || Failure::Input("too many machines: name fewer leases".to_owned());
    if cfg!(target_os = "linux") {
        let place = u32::try_from(place).ok().filter(|place| *place < 1 << 23).ok_or_else(many)?;
        return Ok(SocketAddr::new(Ipv4Addr::from_bits(FIRST.to_bits().saturating_add(place)).into(), port));
    }
    let port = u16::try_from(place).ok().and_then(|place| port.checked_add(place)).ok_or_else(many)?;
    Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
}

pub async fn run(chain: &Chain, args: ForwardArgs) -> Result<(), Failure> {
    let leases = args.leases.load(chain).await?;
    let session = Session::open(chain, &leases, args.leases.group, &args.login).await?;
    let (mut listeners, mut doors) = (Vec::new(), Vec::new());
    for (place, host) in session.inventory.hosts.iter().enumerate() {
        if host.authorized.is_none() {
            return Err(Failure::Input(format!(
                "the public half of the key of {} is missing: put it beside --identity",
                host.name
            )));
        }
        let at = listens_at(args.port, place)?;
        let listener = TcpListener::bind(at).await;
        let listener = listener.map_err(|error| {
            Failure::Input(format!("cannot listen at {at}: {error}: choose another --port"))
        })?;
        doors.push(Door { machine: host.name.clone(), address: at.ip(), port: at.port() });
        listeners.push((listener, served(host)));
    }
    let mut stop =
        Stop::listen().map_err(|error| Failure::Input(format!("cannot install signal handlers: {error}")))?;
    chain.settings.output.print(&Listening(doors))?;
    let mut serving: JoinSet<()> =
        listeners.into_iter().map(|(listener, name)| serve(listener, session.config(), name)).collect();
    stop.next().await;
    serving.shutdown().await;
    Ok(())
}

/// Connects each caller to the machine; all end when this is dropped.
async fn serve(listener: TcpListener, config: PathBuf, name: String) {
    let mut callers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(callers.spawn(connect(stream, config.clone(), name.clone()))),
                // Too many files are open: some callers have to go first.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            },
            Some(_) = callers.join_next() => {}
        }
    }
}

/// Whoever calls from this computer still needs the tenant's key.
async fn connect(mut stream: TcpStream, config: PathBuf, name: String) {
    let mut ssh = Command::from(program("ssh", &config));
    ssh.args(["-T", "-o", "BatchMode=yes"]).arg(&name);
    let child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            return print_stderr(format!("leasehold: {}", super::session::unstartable("ssh", &error)));
        }
    };
    let (Some(mut there), Some(mut back)) = (child.stdin.take(), child.stdout.take()) else { return };
    let (mut from, mut to) = stream.split();
    let up = async {
        let _ = copy(&mut from, &mut there).await;
        drop(there);
        std::future::pending::<()>().await;
    };
    let down = async {
        let _ = copy(&mut back, &mut to).await;
        let _ = to.shutdown().await;
    };
    // A caller that has nothing more to say may still listen; once the machine has ended, nobody does.
    tokio::select! {
        () = down => {}
        () = up => {}
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut table = Table::new(&["MACHINE", "ADDRESS", ">PORT"]);
        for Door { machine, address, port } in &self.0 {
            table.row(vec![machine.clone(), address.to_string(), port.to_string()]);
        }
        write!(f, "{table}\nConnections to these go to the machines. Ctrl-C ends them.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_is_listened_for_at_another_place() {
        let places: std::collections::BTreeSet<_> =
            (0..600).map(|place| listens_at(PORT, place).unwrap()).collect();
        assert_eq!(places.len(), 600);
        assert!(places.iter().all(|at| at.ip().is_loopback()));
        assert!(listens_at(PORT, usize::MAX).is_err());
    }
}
