//! The machines that serve a lease, or all leases of a group.

mod host;

use std::{cmp::Reverse, fmt};

use leasehold::state::LeaseState;
use serde::Serialize;

pub use self::host::Host;
use super::leased::Leased;
use crate::{
    live::span,
    ports::{all_answer, yes_or_no},
};
use leasehold_operate::{
    failure::Failure,
    table::Table,
    time::{rfc3339, start_of},
};

/// Machines that a warning names at most.
const NAMED: usize = 8;

/// Machines to connect to. JSON is a list of them.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Inventory {
    /// Number of the group, if one was requested.
    #[serde(skip)]
    pub group: Option<u64>,
    /// By board, lease and slot.
    pub hosts: Vec<Host>,
}

impl Inventory {
    /// Machines that serve these leases, and notes. Leases of a group that don't run are left out.
    pub fn new(group: Option<u64>, leases: &[Leased], now: i64) -> Result<(Self, Vec<String>), Failure> {
        let (mut hosts, mut notes, mut refused) = (Vec::new(), Vec::new(), None);
        for leased in leases {
            match require_running(leased, now) {
                Ok(note) => notes.extend(note),
                Err(error) => {
                    notes.extend(group.map(|_| format!("left out: {error}")));
                    refused = Some(error);
                    continue;
                }
            }
            let view = leased.view()?;
            let (lost, serving): (Vec<_>, Vec<_>) =
                view.leased(leased.lease.serial).partition(|(_, slot)| slot.has_broken_promise());
            hosts.extend(serving.into_iter().map(|(index, slot)| Host::new(leased, &view, index, slot)));
            let lost = some(lost.iter().map(|(index, _)| index.to_string()).collect());
            notes.extend(lost.map(|slots| {
                let name = leased.name();
                format!("left out of {name}, forfeited or abandoned: slots {slots}")
            }));
        }
        if hosts.is_empty() {
            return Err(refused.unwrap_or_else(|| {
                let text = "no machine serves the lease any more: replace them by `leasehold lease replace`";
                Failure::Refused(text.to_owned())
            }));
        }
        Ok((Inventory { group, hosts }, notes))
    }

    /// Leaves out machines with private or loopback addresses, and names them. Refuses if no machine is left.
    pub fn leave_out_private(&mut self) -> Result<Option<String>, Failure> {
        let (astray, hosts): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.hosts).into_iter().partition(Host::is_astray);
        self.hosts = hosts;
        let astray = some(astray.iter().map(|host| format!("{} ({})", host.name, host.address)).collect());
        let Some(names) = astray else { return Ok(None) };
        let note = format!("left out, with private or loopback addresses: {names}");
        if self.hosts.is_empty() {
            return Err(Failure::Refused(format!("{note}: pass --allow-private on a test network")));
        }
        Ok(Some(note))
    }

    /// "group-3", or "lease-0-12".
    pub fn name(&self) -> String {
        match (self.group, self.hosts.first()) {
            (Some(group), _) => format!("group-{group}"),
            (None, Some(host)) => format!("lease-{}-{}", host.board, host.serial),
            (None, None) => "lease".to_owned(),
        }
    }

    /// Ray's head: of machines that are not down, the one that was up in most rounds of its lease.
    pub fn head(&self) -> Option<&Host> {
        self.hosts
            .iter()
            .min_by_key(|host| (host.is_down(), Reverse(host.rounds_up), host.board, host.serial, host.slot))
    }

    /// Machines of each lease.
    pub fn leases(&self) -> impl Iterator<Item = &[Host]> {
        self.hosts.chunk_by(|one, next| (one.board, one.serial) == (next.board, next.serial))
    }

    /// Warnings before these addresses are used.
    pub fn warnings(&self) -> Vec<String> {
        let down = self.hosts.iter().filter(|host| host.is_down()).map(|host| host.name.clone());
        let astray = self.hosts.iter().filter(|host| host.is_astray());
        let astray = astray.map(|host| format!("{} ({})", host.name, host.address));
        [
            ("down in the last closed round", some(down.collect())),
            (
                "private or loopback addresses, which lead to this machine or its network",
                some(astray.collect()),
            ),
        ]
        .into_iter()
        .filter_map(|(what, names)| Some(format!("{what}: {}", names?)))
        .collect()
    }

    /// The warnings as comments of a file.
    pub fn comments(&self) -> String {
        self.warnings().iter().map(|warning| format!("# {warning}\n")).collect()
    }
}

impl Inventory {
    /// Tries to connect to each machine.
    pub async fn try_ports(&mut self) {
        let endpoints: Vec<_> = self.hosts.iter().map(Host::endpoint).collect();
        for (host, answer) in self.hosts.iter_mut().zip(all_answer(&endpoints).await) {
            host.answers = Some(answer);
        }
    }
}

/// The first names of a list and how many more there are, `None` if it is empty.
fn some(names: Vec<String>) -> Option<String> {
    let (first, rest) = names.split_at(names.len().min(NAMED));
    match (first, rest.len()) {
        ([], _) => None,
        (first, 0) => Some(first.join(", ")),
        (first, more) => Some(format!("{} and {more} more", first.join(", "))),
    }
}

/// Refuses a lease that has ended. Returns a note on one that does not run yet or ends soon.
fn require_running(leased: &Leased, now: i64) -> Result<Option<String>, Failure> {
    let Leased { lease, .. } = leased;
    let time = |round| start_of(&lease.terms, round);
    let (start, end) = (time(lease.from), time(lease.until));
    let refused = |why: String| Err(Failure::Refused(format!("{} {why}", leased.name())));
    match lease.state {
        LeaseState::Settled => refused("is settled: its machines no longer serve it".to_owned()),
        _ if now >= end => refused(format!("ended at {}: its machines no longer serve it", rfc3339(end))),
        LeaseState::Cancelled => Ok(Some(format!(
            "{} is cancelled: its machines serve it until {} at the latest",
            leased.name(),
            rfc3339(end)
        ))),
        LeaseState::Open if now < start => {
            let secs = u64::try_from(start.saturating_sub(now)).unwrap_or(0);
            let (name, start) = (leased.name(), rfc3339(start));
            Ok(Some(format!(
                "{name} begins at {start}, in {}: its machines serve it from then on",
                span(secs)
            )))
        }
        LeaseState::Open => Ok(None),
    }
}

/// Refuses a lease that has not begun: its machines serve others.
pub fn require_begun(leased: &Leased, now: i64) -> Result<(), Failure> {
    let start = start_of(&leased.lease.terms, leased.lease.from);
    match u64::try_from(start.saturating_sub(now)) {
        Ok(secs) if secs > 0 => Err(Failure::Refused(format!(
            "{} begins at {}, in {}: its machines let you in from then on",
            leased.name(),
            rfc3339(start),
            span(secs)
        ))),
        _ => Ok(()),
    }
}

impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut heads = vec!["LEASE", ">SLOT", "NOW", "ADDRESS", ">PORT"];
        let was_tried = self.hosts.iter().any(|host| host.answers.is_some());
        heads.extend(was_tried.then_some("ANSWERS"));
        heads.extend(["CLASS", ">GPUS", "COUNTRY", "NODE KEY"]);
        let mut table = Table::new(&heads);
        for host in &self.hosts {
            let mut row = vec![
                format!("{}:{}", host.board, host.serial),
                host.slot.to_string(),
                host.now.to_owned(),
                host.address.to_string(),
                host.port.to_string(),
            ];
            row.extend(was_tried.then(|| yes_or_no(host.answers).to_owned()));
            row.extend([
                host.class.clone(),
                host.gpus.to_string(),
                host.country.clone(),
                host.node_key.clone(),
            ]);
            table.row(row);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
pub mod tests {
    use leasehold::state::{LeaseState, Slot, SlotState};
    use leasehold_client::sample::change;
    use leasehold_operate::format::Format;

    use super::{super::leased::tests::sample, host::tests::host, *};

    /// Round 1,000 of 990 to 1,009 runs.
    const NOW: i64 = 600_000;

    /// A lease of two machines at these addresses, whose class is called that; the second one is down.
    pub fn inventory(class: &str, addresses: [&str; 2]) -> Inventory {
        let [first, second] = addresses.map(|address| host(class, address));
        let second = Host {
            name: "lease-0-1-slot1".to_owned(),
            slot: 1,
            now: "down",
            rounds_up: 10,
            port: 7_001,
            ..second
        };
        Inventory { group: None, hosts: vec![first, second] }
    }

    fn refused(leased: Leased, now: i64) -> String {
        let failure = Inventory::new(None, &[leased], now).unwrap_err();
        assert_eq!(failure.code(), 3);
        failure.to_string()
    }

    #[test]
    fn machines_that_stand_by_their_lease_are_listed() {
        let mut leased = sample(1);
        let (all, notes) = Inventory::new(None, &[sample(1)], NOW).unwrap();
        let slots = |inventory: &Inventory| inventory.hosts.iter().map(|host| host.slot).collect::<Vec<_>>();
        assert!(slots(&all) == [0, 1] && notes.is_empty() && all.name() == "lease-0-1");
        change(&mut leased.data.account, |_, slots| slots[0].flags = Slot::ABANDONED);
        let (one, notes) = Inventory::new(None, &[leased], NOW).unwrap();
        assert_eq!(slots(&one), [1]);
        assert!(notes.len() == 1 && notes[0].ends_with("abandoned: slots 0"), "{notes:?}");
        let mut leased = sample(1);
        change(&mut leased.data.account, |_, slots| {
            slots[..2].iter_mut().for_each(|slot| slot.state = SlotState::Suspended as u8)
        });
        assert!(refused(leased, NOW).starts_with("no machine serves the lease any more"));
    }

    #[test]
    fn a_lease_that_does_not_run_is_refused_with_the_reason() {
        assert_eq!(refused(sample(2), NOW), "lease 0:2 is settled: its machines no longer serve it");
        let over = refused(sample(1), 1_010 * 600);
        assert!(over.contains("ended at 1970-01-08T00:20:00Z"), "{over}");
        let mut cancelled = sample(1);
        cancelled.lease.state = LeaseState::Cancelled;
        let (served, notes) = Inventory::new(None, &[cancelled], NOW).unwrap();
        assert!(
            served.hosts.len() == 2
                && notes[0].ends_with("serve it until 1970-01-08T00:20:00Z at the latest")
        );
        let mut cancelled = sample(1);
        cancelled.lease.state = LeaseState::Cancelled;
        assert!(refused(cancelled, 1_010 * 600).contains("ended at"));
    }

    #[test]
    fn machines_in_private_networks_are_left_out() {
        let mut inventory = inventory("A", ["10.0.0.1", "2a00::7"]);
        let note = inventory.leave_out_private().unwrap().unwrap();
        assert!(note.ends_with("loopback addresses: lease-0-1-slot0 (10.0.0.1)"), "{note}");
        assert_eq!(inventory.hosts.iter().map(|host| host.slot).collect::<Vec<_>>(), [1]);
        assert_eq!(inventory.leave_out_private().unwrap(), None);
        let none =
            super::tests::inventory("A", ["127.0.0.1", "2002:7f00:1::"]).leave_out_private().unwrap_err();
        assert!(
            none.code() == 3 && none.to_string().ends_with("pass --allow-private on a test network"),
            "{none}"
        );
    }

    #[test]
    fn the_view_says_when_a_lease_begins() {
        let (inventory, notes) = Inventory::new(None, &[sample(1)], 990 * 600 - 90).unwrap();
        assert_eq!(inventory.hosts.len(), 2);
        let expected = "lease 0:1 begins at 1970-01-07T21:00:00Z, in 1 min 30 s: ";
        assert!(notes[0].starts_with(expected), "{notes:?}");
    }

    #[test]
    fn a_group_is_all_its_leases_that_run() {
        let mut other = sample(1);
        (other.lease.serial, other.board.index) = (3, 1);
        change(&mut other.data.account, |_, slots| slots[0].lease = 3);
        let (group, notes) = Inventory::new(Some(3), &[sample(1), sample(2), other], NOW).unwrap();
        let names: Vec<_> = group.hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["lease-0-1-slot0", "lease-0-1-slot1", "lease-1-3-slot0"]);
        assert_eq!((group.name().as_str(), group.leases().count()), ("group-3", 2));
        assert!(notes.len() == 1 && notes[0].starts_with("left out: lease 0:2 is settled"));
        let over = Inventory::new(Some(3), &[sample(2)], NOW).unwrap_err();
        assert!(over.code() == 3 && over.to_string().contains("is settled"), "{over}");
    }

    #[test]
    fn for_people_it_is_a_table_and_for_programs_an_array() {
        let inventory = inventory("RTX 4090", ["203.0.113.7", "2a00::7"]);
        let text = inventory.to_string();
        let expected = "\
LEASE  SLOT  NOW   ADDRESS      PORT  CLASS     GPUS  COUNTRY  NODE KEY
0:1       0  up    203.0.113.7   257  RTX 4090     1  DE       ";
        assert!(text.starts_with(expected), "{text}");
        let json: serde_json::Value = serde_json::from_str(&Format::Json.render(&inventory)).unwrap();
        assert_eq!((&json[1]["slot"], &json[1]["now"]), (&1.into(), &"down".into()));
        assert_eq!(json[1]["address"], "2a00::7");
        assert_eq!(Format::JsonCompact.render(&inventory).lines().count(), 1);
    }

    #[test]
    fn machines_that_are_down_or_lead_astray_are_warned_of() {
        let warnings = inventory("A", ["127.0.0.1", "2a00::7"]).warnings();
        assert_eq!(warnings[0], "down in the last closed round: lease-0-1-slot1");
        assert!(warnings[1].ends_with("or its network: lease-0-1-slot0 (127.0.0.1)"), "{warnings:?}");
        assert_eq!(warnings.len(), 2);
        let mut many = inventory("A", ["1.1.1.1", "2a00::7"]);
        many.hosts = vec![many.hosts.remove(1); 10];
        assert!(many.warnings()[0].ends_with(", lease-0-1-slot1 and 2 more"), "{:?}", many.warnings());
    }
}
