//! Settings of a Door, and which address belongs to which machine.

use super::MachineKey;
use leasehold_client::probe::SigningKey;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tracing::warn;

/// Settings of a [`Door`](super::Door).
#[derive(Clone, Debug)]
pub struct DoorSettings {
    pub machines: Vec<DoorMachine>,
    /// Folder of the leases' folders and of the list of sessions. Only root may write to it or any folder above, else
    /// `sshd` refuses the command that answers keys.
    pub folder: PathBuf,
    /// The program `leasehold-authorized-keys`, which is copied to each lease's folder. It runs in the tenant's namespaces:
    /// link it statically.
    pub key_command: PathBuf,
    pub bounds: Bounds,
}

/// One machine of a Door.
#[derive(Clone, Debug)]
pub struct DoorMachine {
    pub machine: MachineKey,
    /// TCP addresses of this machine alone; port 0 takes a free one. See [`assign`].
    pub listen: Vec<SocketAddr>,
    /// Certifies the machine's host keys.
    pub node_key: SigningKey,
}

/// Bounds on connections. Those that have not logged in give way to newcomers; nobody is refused because of them.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections to one machine from one network (/24, /64) that have not logged in.
    pub each_network: usize,
    /// Connections to one machine that have not logged in.
    pub each_machine: usize,
    /// Connections to all machines that have not logged in.
    pub in_all: usize,
    /// Time to log in.
    pub login: Duration,
    /// Sessions of one machine. More are refused: they can only be the tenant's own, who else would use up the node's file
    /// descriptors.
    pub sessions: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // A tenant's tools may open some dozens of connections at a time.
            each_network: 64,
            each_machine: 128,
            in_all: 2_048,
            login: Duration::from_secs(20),
            sessions: 512,
        }
    }
}

impl Bounds {
    /// Lowers the bounds to what a process can hold that may have so many files open: up to three for each connection, and
    /// some for everything else.
    pub(super) fn fit(&mut self, descriptors: usize) {
        let share = (descriptors / 8).max(1);
        if share < self.in_all || share < self.sessions {
            warn!(
                "SSH connections are bounded to {share}, since this process may have only {descriptors} files open: raise \
                 LimitNOFILE"
            );
        }
        self.in_all = self.in_all.min(share);
        self.sessions = self.sessions.min(share);
    }
}

/// Why addresses can't be assigned to machines: SSH doesn't say which machine is meant, so that the address must.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    #[error(
        "{0} and {1} would both take SSH connections at {2}: list machines of one host with ports of their own, one after \
         the other, and give --listen for each"
    )]
    Shared(MachineKey, MachineKey, SocketAddr),
    #[error("{0} is listed with port {port}, at which this node does not listen: add --listen [::]:{port}", port = .1.port())]
    NoListener(MachineKey, SocketAddr),
    #[error(
        "{0} is not listed with an address yet: list it first, or leave one machine in the configuration"
    )]
    NoEndpoint(MachineKey),
}

/// Assigns the addresses that the node listens on to machines by their listed endpoints. The only machine gets all of them,
/// so that its port may be translated on the way.
///
/// # Errors
/// Any [`AssignError`].
pub fn assign(
    listen: &[SocketAddr],
    machines: &[(MachineKey, Option<SocketAddr>)],
) -> Result<Vec<(MachineKey, Vec<SocketAddr>)>, AssignError> {
    if let [(machine, _)] = machines {
        return Ok(vec![(*machine, listen.to_vec())]);
    }
    let mut assigned: Vec<(MachineKey, Vec<SocketAddr>)> = Vec::with_capacity(machines.len());
    for &(machine, endpoint) in machines {
        let endpoint = endpoint.ok_or(AssignError::NoEndpoint(machine))?;
        let own = of_endpoint(listen, endpoint);
        if own.is_empty() {
            return Err(AssignError::NoListener(machine, endpoint));
        }
        for (other, addresses) in &assigned {
            if let Some(shared) = own.iter().find(|address| addresses.contains(address)) {
                return Err(AssignError::Shared(*other, machine, *shared));
            }
        }
        assigned.push((machine, own));
    }
    Ok(assigned)
}

/// The addresses with the endpoint's port: those of its IP address and of all, or any if its IP address is translated.
fn of_endpoint(listen: &[SocketAddr], endpoint: SocketAddr) -> Vec<SocketAddr> {
    let same_port: Vec<_> =
        listen.iter().copied().filter(|address| address.port() == endpoint.port()).collect();
    let reaches = |address: &&SocketAddr| {
        address.ip().is_unspecified() || address.ip().to_canonical() == endpoint.ip().to_canonical()
    };
    let own: Vec<_> = same_port.iter().filter(reaches).copied().collect();
    if own.is_empty() { same_port } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_client::probe::Pubkey;

    fn machine(slot: u16) -> MachineKey {
        MachineKey { board: Pubkey::new_from_array([3; 32]), slot }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_only_machine_gets_every_address() {
        let listen = [address("[::]:8470"), address("0.0.0.0:9000")];
        let assigned = assign(&listen, &[(machine(1), None)]).unwrap();
        assert_eq!(assigned, [(machine(1), listen.to_vec())]);
    }

    #[test]
    fn machines_get_the_addresses_with_their_listed_ports() {
        let listen = [address("[::]:8470"), address("[::]:8471"), address("0.0.0.0:8471")];
        let machines = [
            (machine(1), Some(address("192.0.2.1:8470"))),
            (machine(2), Some(address("[2001:db8::1]:8471"))),
        ];
        let assigned = assign(&listen, &machines).unwrap();
        assert_eq!(assigned[0], (machine(1), vec![listen[0]]));
        assert_eq!(assigned[1], (machine(2), listen[1..].to_vec()));
    }

    #[test]
    fn one_port_serves_two_machines_only_at_addresses_of_their_own() {
        let machines =
            [(machine(1), Some(address("192.0.2.1:8470"))), (machine(2), Some(address("192.0.2.2:8470")))];
        let own = [address("192.0.2.1:8470"), address("192.0.2.2:8470")];
        assert_eq!(assign(&own, &machines).unwrap()[1], (machine(2), vec![own[1]]));
        let both = address("[::]:8470");
        let error = assign(&[both], &machines).unwrap_err();
        assert_eq!(error, AssignError::Shared(machine(1), machine(2), both));
        assert!(error.to_string().contains("ports of their own"), "{error}");
    }

    #[test]
    fn a_machine_without_listener_or_endpoint_is_refused() {
        let machines = [(machine(1), Some(address("192.0.2.1:8470"))), (machine(2), None)];
        let error = assign(&[address("[::]:8470")], &machines).unwrap_err();
        assert_eq!(error, AssignError::NoEndpoint(machine(2)));
        let machines = [machines[0], (machine(2), Some(address("192.0.2.1:8471")))];
        let error = assign(&[address("[::]:8470")], &machines).unwrap_err();
        assert!(error.to_string().contains("add --listen [::]:8471"), "{error}");
    }
}
