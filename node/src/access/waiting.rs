//! Connections that have not logged in: who gives way when there are too many.
//!
//! Refusing newcomers would let a hundred idle connections keep a tenant out. So the newcomer always gets in and the oldest
//! connection of the largest network goes: whoever opens many connections loses its own. A flood at one machine takes
//! nothing from the others until all are full, and then from the machine with the most.

use super::MachineKey;
use super::settings::Bounds;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network of an address: /24, or /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network(IpAddr);

impl Network {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0xff).into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        })
    }
}

/// Number of a connection, counted up for the life of the process.
pub(super) type Id = u64;

#[derive(Debug)]
struct Waiter {
    id: Id,
    network: Network,
}

/// All connections that have not logged in.
#[derive(Debug)]
pub(super) struct Waiting {
    bounds: Bounds,
    /// The oldest first. No machine is here without a connection.
    machines: HashMap<MachineKey, VecDeque<Waiter>>,
    count: usize,
}

impl Waiting {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, machines: HashMap::new(), count: 0 }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// Adds a connection. Returns the one that gives way to it, if any: it is gone from here.
    pub fn enter(&mut self, machine: MachineKey, address: IpAddr, id: Id) -> Option<Id> {
        let network = Network::of(address);
        let waiters = self.machines.entry(machine).or_default();
        let of_network = waiters.iter().filter(|waiter| waiter.network == network).count();
        let leaves = if of_network >= self.bounds.each_network {
            oldest(waiters, network)
        } else if waiters.len() >= self.bounds.each_machine {
            largest(waiters).and_then(|network| oldest(waiters, network))
        } else {
            None
        };
        waiters.push_back(Waiter { id, network });
        self.count = self.count.saturating_add(1);
        let leaves = leaves.map(|leaves| (machine, leaves)).or_else(|| self.surplus(id));
        let (machine, leaves) = leaves?;
        self.leave(machine, leaves);
        Some(leaves)
    }

    /// Removes a connection. Returns false if it is not here.
    pub fn leave(&mut self, machine: MachineKey, id: Id) -> bool {
        let Some(waiters) = self.machines.get_mut(&machine) else { return false };
        let Some(place) = waiters.iter().position(|waiter| waiter.id == id) else { return false };
        waiters.remove(place);
        if waiters.is_empty() {
            self.machines.remove(&machine);
        }
        self.count = self.count.saturating_sub(1);
        true
    }

    /// Who goes if there are too many in all, other than the newcomer.
    fn surplus(&self, newcomer: Id) -> Option<(MachineKey, Id)> {
        if self.count <= self.bounds.in_all {
            return None;
        }
        let (machine, waiters) = self.machines.iter().max_by_key(|(_, waiters)| waiters.len())?;
        let leaves = oldest(waiters, largest(waiters)?)?;
        (leaves != newcomer).then_some((*machine, leaves))
    }
}

fn oldest(waiters: &VecDeque<Waiter>, network: Network) -> Option<Id> {
    waiters.iter().find(|waiter| waiter.network == network).map(|waiter| waiter.id)
}

/// The network with the most connections; of several, the one that was here first.
fn largest(waiters: &VecDeque<Waiter>) -> Option<Network> {
    let mut counts: HashMap<Network, usize> = HashMap::new();
    for waiter in waiters {
        let count = counts.entry(waiter.network).or_default();
        *count = count.saturating_add(1);
    }
    let most = counts.values().copied().max()?;
    waiters.iter().map(|waiter| waiter.network).find(|network| counts.get(network) == Some(&most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_client::probe::Pubkey;

    fn machine(slot: u16) -> MachineKey {
        MachineKey { board: Pubkey::new_from_array([3; 32]), slot }
    }

    fn waiting(each_network: usize, each_machine: usize, in_all: usize) -> Waiting {
        Waiting::new(Bounds { each_network, each_machine, in_all, ..Bounds::default() })
    }

    /// Enters connections from the addresses, numbered from `first`, and returns who gave way to each.
    fn enter(waiting: &mut Waiting, slot: u16, first: Id, addresses: &[&str]) -> Vec<Option<Id>> {
        let ids = first..;
        ids.zip(addresses)
            .map(|(id, address)| waiting.enter(machine(slot), address.parse().unwrap(), id))
            .collect()
    }

    #[test]
    fn networks_are_of_24_and_64_bits() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }

    #[test]
    fn the_oldest_of_a_full_network_gives_way() {
        let mut waiting = waiting(2, 10, 10);
        let left = enter(&mut waiting, 1, 0, &["192.0.2.1", "192.0.2.2", "198.51.100.1", "192.0.2.3"]);
        assert_eq!(left, [None, None, None, Some(0)]);
        assert_eq!(waiting.len(), 3);
    }

    #[test]
    fn the_oldest_of_the_largest_network_gives_way_at_a_full_machine() {
        let mut waiting = waiting(10, 4, 100);
        let addresses = ["198.51.100.1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "203.0.113.1", "203.0.114.1"];
        let left = enter(&mut waiting, 1, 0, &addresses);
        assert_eq!(left, [None, None, None, None, Some(1), Some(2)], "the only one of its network stays");
    }

    #[test]
    fn a_flood_at_one_machine_takes_nothing_from_another() {
        let mut waiting = waiting(2, 4, 6);
        assert_eq!(enter(&mut waiting, 2, 0, &["198.51.100.1"]), [None]);
        // A network of its own for each connection.
        let flood: Vec<_> = (0..50).map(|n| format!("192.0.{n}.1")).collect();
        let flood: Vec<_> = flood.iter().map(String::as_str).collect();
        let left = enter(&mut waiting, 1, 100, &flood);
        assert_eq!(left.iter().flatten().count(), 46);
        assert!(waiting.leave(machine(2), 0), "the connection to the other machine waits on");
    }

    #[test]
    fn in_all_the_machine_with_the_most_gives_one() {
        let mut waiting = waiting(10, 10, 3);
        enter(&mut waiting, 1, 0, &["192.0.2.1", "192.0.2.2"]);
        assert_eq!(enter(&mut waiting, 2, 10, &["192.0.2.1", "192.0.2.1"]), [None, Some(0)]);
        assert_eq!(waiting.len(), 3);
    }

    #[test]
    fn whoever_leaves_makes_room() {
        let mut waiting = waiting(2, 2, 2);
        enter(&mut waiting, 1, 0, &["192.0.2.1", "192.0.2.1"]);
        assert!(waiting.leave(machine(1), 0) && !waiting.leave(machine(1), 0));
        assert_eq!(enter(&mut waiting, 1, 2, &["192.0.2.1"]), [None]);
        assert!(waiting.leave(machine(1), 1) && waiting.leave(machine(1), 2));
        assert!(waiting.machines.is_empty() && waiting.len() == 0);
    }
}
