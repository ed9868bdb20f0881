//! Addresses at which all machines of a cluster reach each other.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_operate::failure::Failure;
use serde::{Deserialize, Serialize};

/// Where a machine can perhaps be reached, as it says.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Candidate {
    /// Set here: what a machine says of itself does not name it.
    #[serde(default)]
    pub name: String,
    pub port: u16,
    pub addresses: Vec<String>,
}

impl Candidate {
    /// Reads what the machine of that name said. Addresses go into commands, so nothing else passes.
    pub fn read(name: &str, line: &str) -> Result<Self, Failure> {
        let said = serde_json::from_str::<Candidate>(line);
        let said = said.map_err(|_| Failure::OnMachine(format!("{name} did not say its addresses")))?;
        let addresses =
            said.addresses.into_iter().filter(|address| address.parse::<std::net::IpAddr>().is_ok());
        Ok(Candidate { name: name.to_owned(), port: said.port, addresses: addresses.collect() })
    }
}

/// By whom a machine was reached at which address: (who dialled, who answered, where).
pub type Reached = BTreeSet<(String, String, String)>;

/// An address of each machine at which every other reaches it, by name. IPv4 comes first.
pub fn choose(candidates: &[Candidate], reached: &Reached) -> Result<BTreeMap<String, String>, Failure> {
    let mut chosen = BTreeMap::new();
    let mut missing = Vec::new();
    for to in candidates {
        let others = || candidates.iter().filter(|from| from.name != to.name);
        let reaches = |from: &Candidate, address: &str| {
            reached.contains(&(from.name.clone(), to.name.clone(), address.to_owned()))
        };
        let mut addresses: Vec<_> = to.addresses.iter().collect();
        addresses.sort_by_key(|address| address.contains(':'));
        match addresses.into_iter().find(|address| others().all(|from| reaches(from, address))) {
            Some(address) => drop(chosen.insert(to.name.clone(), address.clone())),
            None => {
                let not = others().find(|from| !to.addresses.iter().any(|address| reaches(from, address)));
                let not = not.map_or("others at one address", |from| &from.name);
                missing.push(format!("{not} does not reach {}", to.name));
            }
        }
    }
    if missing.is_empty() {
        return Ok(chosen);
    }
    Err(Failure::Refused(format!(
        "Ray needs every machine to reach every other by TCP at all ports, and {}. Machines of different suppliers have a \
         network of their own each, with one public port: lease machines of one supplier that are on one network, or a \
         machine with as many GPUs",
        leasehold_operate::table::some(&missing)
    )))
}

/// Address and port as Ray reads them.
pub fn endpoint(address: &str, port: u16) -> String {
    match address.contains(':') {
        true => format!("[{address}]:{port}"),
        false => format!("{address}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, addresses: &[&str]) -> Candidate {
        Candidate {
            name: name.to_owned(),
            port: 1,
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        }
    }

    fn reached(all: &[(&str, &str, &str)]) -> Reached {
        all.iter().map(|(from, to, at)| ((*from).to_owned(), (*to).to_owned(), (*at).to_owned())).collect()
    }

    #[test]
    fn an_address_is_chosen_at_which_all_others_reach_a_machine() {
        let all = [candidate("a", &["fd00::1", "10.0.0.1"]), candidate("b", &["10.213.0.2", "10.0.0.2"])];
        let seen = [("b", "a", "fd00::1"), ("b", "a", "10.0.0.1"), ("a", "b", "10.0.0.2")];
        let chosen = choose(&all, &reached(&seen)).unwrap();
        assert_eq!((&*chosen["a"], &*chosen["b"]), ("10.0.0.1", "10.0.0.2"));
        let alone = choose(&[candidate("a", &["10.0.0.1"])], &Reached::new()).unwrap();
        assert_eq!(alone["a"], "10.0.0.1");
    }

    #[test]
    fn machines_without_a_network_are_named() {
        let all =
            [candidate("a", &["10.0.0.1"]), candidate("b", &["10.0.0.2"]), candidate("c", &["10.0.0.3"])];
        let seen =
            [("a", "b", "10.0.0.2"), ("c", "b", "10.0.0.2"), ("b", "a", "10.0.0.1"), ("c", "a", "10.0.0.1")];
        let error = choose(&all, &reached(&seen)).unwrap_err();
        assert_eq!(error.code(), 3);
        let text = error.to_string();
        assert!(text.contains("and a does not reach c. Machines of different suppliers"), "{text}");
    }

    #[test]
    fn what_a_machine_says_cannot_become_a_command() {
        let said = r#"{"port": 5, "addresses": ["10.0.0.1", "$(reboot)", "a;b"], "name": "b"}"#;
        let candidate = Candidate::read("a", said).unwrap();
        assert_eq!((candidate.name.as_str(), &candidate.addresses[..]), ("a", &["10.0.0.1".to_owned()][..]));
        assert_eq!(Candidate::read("a", "Traceback").unwrap_err().code(), 6);
        assert_eq!(
            (endpoint("10.0.0.1", 6379), endpoint("::1", 1)),
            ("10.0.0.1:6379".into(), "[::1]:1".into())
        );
    }
}
