//! Ports, buffers, and challenges to the machines' own endpoints.

use super::access::{Access, tcp};
use super::board::Listed;
use super::probe::{self, Heard};
use super::report::some_of;
use super::{CheckOptions, Report, Subject};
use crate::counters::Outcome;
use crate::machines::{Machine, Serving};
use crate::node::{Node, NodeConfig, NodeError};
use leasehold_client::network::is_public;
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_daemon::udp;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a node may take to count an answer that was received already.
const COUNTED: Duration = Duration::from_secs(10);

/// Answers as the node would, or asks the node that runs, and challenges each machine.
pub(super) async fn check(options: &CheckOptions, subject: &Subject, listed: &Listed, report: &mut Report) {
    let keeper = SigningKey::from_bytes(&rand::random());
    let public = Pubkey::from(keeper.verifying_key().to_bytes());
    let mut keepers = subject.keepers.clone();
    keepers.iter_mut().for_each(|keepers| keepers.push(public));
    let serving = Serving { machines: subject.machines.clone(), keepers };
    let config = NodeConfig { listen: options.listen.clone(), serving, ..NodeConfig::default() };
    let wanted = config.receive_buffer;
    let node = match Node::bind(config).await {
        Ok(node) => {
            let listening: Vec<_> = node.local_addrs().iter().map(ToString::to_string).collect();
            report.ok("listen", format!("UDP {} is free", listening.join(", ")));
            Some(node)
        }
        Err(NodeError::Listen { address, source }) if source.kind() == io::ErrorKind::AddrInUse => {
            report.warning(
                "listen",
                format!("another process listens on UDP {address}, and is asked in this one's place"),
                "nothing, if it is the node; else stop it, or choose another port",
            );
            None
        }
        Err(error) => {
            report.error("listen", error.to_string(), "correct --listen, and check again");
            return;
        }
    };
    check_buffer(wanted, report);
    let asked = asked(options, subject, listed, node.as_ref());
    if Access::of(options).is_some() {
        let endpoints = asked.iter().map(|(_, endpoint)| *endpoint).collect();
        tcp::check(node.as_ref().map_or(&options.listen, |node| node.local_addrs()), endpoints, report).await;
    }
    if node.is_none() && subject.keepers.is_some() {
        report.warning(
            "probe",
            "not tried: the node that runs answers only the keepers of its allow-list".to_owned(),
            "stop it, and check again; or remove `keepers`, as seats change",
        );
        return;
    }
    match probe::ask(&keeper, &asked).await {
        Ok(heard) => judge(&asked, &heard, report),
        Err(error) => report.error("probe", format!("cannot send: {error}"), "check this host's network"),
    }
    if let Some(node) = node {
        if report.rows.iter().all(|row| row.check != "probe" || row.advice.is_none()) {
            check_own(&node, asked.len(), report).await;
        }
        node.shutdown().await;
    }
}

/// A machine whose answers this process did not send has its key elsewhere, too.
async fn check_own(node: &Node, answers: usize, report: &mut Report) {
    let answers = u64::try_from(answers).unwrap_or(u64::MAX);
    let counted = async {
        while node.count(Outcome::Answered) < answers {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(COUNTED, counted).await.is_err() {
        report.error(
            "key",
            format!("{answers} answers came, of which this process sent {}", node.count(Outcome::Answered)),
            "stop the other node that has these keys, here or on another host: two nodes may number two receipts alike, \
             which costs the bond",
        );
    }
}

fn check_buffer(wanted: usize, report: &mut Report) {
    match udp::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false, wanted) {
        Ok(bound) if bound.buffer.is_cut() => {
            report.warning(
                "buffer",
                bound.buffer.to_string(),
                "set it, if this node has more than a few machines",
            );
        }
        Ok(bound) => report.ok("buffer", format!("{} bytes for datagrams that wait", bound.buffer.granted)),
        Err(error) => report.error("buffer", error.to_string(), "check this host's limit of open files"),
    }
}

/// Where to ask each machine: at every given endpoint, or where it is listed, or on this host.
fn asked<'a>(
    options: &CheckOptions,
    subject: &'a Subject,
    listed: &Listed,
    node: Option<&Node>,
) -> Vec<(&'a Machine, SocketAddr)> {
    let own = node.map_or(&options.listen[..], Node::local_addrs).iter().map(|address| reachable(*address));
    let own: Vec<_> = own.collect();
    let of = |machine: &'a Machine| {
        let endpoints = match listed.endpoints.get(&(machine.board, machine.slot)) {
            _ if !options.endpoints.is_empty() => options.endpoints.clone(),
            Some(endpoint) => vec![*endpoint],
            None => own.clone(),
        };
        endpoints.into_iter().map(move |endpoint| (machine, endpoint))
    };
    subject.machines.iter().flat_map(of).collect()
}

/// An address of this host that a socket listens on.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// True if an interface of this host has the address.
fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

fn judge(asked: &[(&Machine, SocketAddr)], heard: &[Heard], report: &mut Report) {
    let mut by_endpoint = BTreeMap::<SocketAddr, Vec<(u32, Heard)>>::new();
    for ((machine, endpoint), heard) in asked.iter().zip(heard) {
        by_endpoint.entry(*endpoint).or_default().push((machine.slot, *heard));
    }
    for (endpoint, machines) in by_endpoint {
        let slots = |wanted: &dyn Fn(&Heard) -> bool| -> Vec<_> {
            let some = machines.iter().filter(|(_, heard)| wanted(heard));
            some.map(|(slot, _)| format!("slot {slot}")).collect()
        };
        let answered = slots(&|heard| *heard == Heard::Answer).len();
        if answered > 0 {
            report.ok("probe", format!("{answered} machines answer at {endpoint}{}", reservation(endpoint)));
        }
        let other_key = slots(&|heard| *heard == Heard::OtherKey);
        if !other_key.is_empty() {
            report.error(
                "probe",
                format!("at {endpoint} another key answers: {}", some_of(&other_key)),
                "another process or host answers there; stop it, or correct the key in the configuration",
            );
        }
        if let Some(Heard::OtherSource(source)) =
            machines.iter().map(|(_, heard)| *heard).find(|heard| matches!(heard, Heard::OtherSource(_)))
        {
            report.error(
                "probe",
                format!("answers of {endpoint} come from {source}, so that keepers drop them"),
                "let the router send answers from the address that was asked, or list the address they come from",
            );
        }
        let silent = slots(&|heard| *heard == Heard::Nothing);
        if !silent.is_empty() {
            tell_silence(endpoint, &silent, report);
        }
    }
}

/// What an answer to this host doesn't show.
fn reservation(endpoint: SocketAddr) -> &'static str {
    if !is_public(endpoint.ip()) {
        "; keepers elsewhere can't reach that address: try the public one with --endpoint"
    } else if is_own(endpoint.ip()) {
        "; asked from this host itself, which shows nothing of firewalls between it and keepers"
    } else {
        "; asked from behind the same router, which shows nothing of firewalls before it"
    }
}

fn tell_silence(endpoint: SocketAddr, silent: &[String], report: &mut Report) {
    let found = format!("no answer at {endpoint}: {}", some_of(silent));
    if is_own(endpoint.ip()) {
        let advice = format!(
            "let the node listen on UDP port {} (--listen), and this host's firewall pass it",
            endpoint.port()
        );
        report.error("probe", found, &advice);
    } else {
        let advice = format!(
            "forward UDP port {} of {} to this host; if it is forwarded, the router doesn't lead hosts behind it back \
             to its own address (hairpin NAT), and only a host elsewhere can try it",
            endpoint.port(),
            endpoint.ip()
        );
        report.warning("probe", found, &advice);
    }
}
