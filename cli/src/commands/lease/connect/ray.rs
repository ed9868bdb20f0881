//! Machines of a lease as a cluster of Ray.

use std::{cmp::Reverse, collections::BTreeSet, net::IpAddr};

use super::{ansible::quoted, host::Host, inventory::Inventory, login::Login};
use leasehold_operate::failure::Failure;

/// Ray's cluster file with the provider `local`, which knows a machine by its address alone.
pub fn cluster(inventory: &Inventory, login: &Login) -> Result<String, Failure> {
    let Some(user) = &login.user else {
        return Err(Failure::Input("Ray needs a user name: pass --user".to_owned()));
    };
    if login.port != 22 {
        let why = "Ray's file has no place for another port than 22: leave --port out, and set it for these \
                   addresses in ssh's configuration";
        return Err(Failure::Input(why.to_owned()));
    }
    let Some(head) = inventory.hosts.iter().min_by_key(|host| rank(host)) else {
        return Err(Failure::Input("no machine can be Ray's head".to_owned()));
    };
    let mut known = BTreeSet::from([head.address]);
    let mut comments = inventory.comments();
    let mut workers: Vec<IpAddr> = Vec::new();
    for host in inventory.hosts.iter().filter(|host| host.name != head.name) {
        if known.insert(host.address) {
            workers.push(host.address);
        } else {
            comments += &format!("# left out, same address as another machine: {}\n", host.name);
        }
    }
    let ips: Vec<_> = workers.iter().map(quoted).collect();
    let key = login.identity.as_ref().map(|key| format!("  ssh_private_key: {}\n", quoted(&key.0)));
    Ok(format!(
        "{comments}# head: {}\n---\ncluster_name: {}\nprovider:\n  type: local\n  head_ip: {}\n  worker_ips: \
         [{}]\nauth:\n  ssh_user: {}\n{}min_workers: {count}\nmax_workers: {count}\n",
        head.name,
        quoted(inventory.name()),
        quoted(head.address),
        ips.join(", "),
        quoted(&user.0),
        key.unwrap_or_default(),
        count = workers.len(),
    ))
}

/// The least is the head: of machines that are not down, the one that was up in most rounds of its lease.
fn rank(host: &Host) -> (bool, Reverse<u32>, u32, u16) {
    (host.is_down(), Reverse(host.rounds_up), host.board, host.slot)
}

#[cfg(test)]
mod tests {
    use serde_yaml::Value;

    use super::{super::inventory::tests::inventory, *};

    fn login(user: &str) -> Login {
        Login { user: user.parse().ok(), port: 22, identity: "~/.ssh/id".parse().ok() }
    }

    fn read(inventory: &Inventory) -> Value {
        serde_yaml::from_str(&cluster(inventory, &login("ray")).unwrap()).unwrap()
    }

    #[test]
    fn the_head_is_the_machine_that_was_up_longest_of_those_not_down() {
        let mut inventory = inventory("A", ["203.0.113.7", "2a00::7"]);
        let yaml = read(&inventory);
        assert_eq!(yaml["provider"]["head_ip"].as_str(), Some("203.0.113.7"), "the other one is down");
        assert_eq!(yaml["provider"]["worker_ips"][0].as_str(), Some("2a00::7"));
        assert_eq!(
            (yaml["provider"]["type"].as_str(), yaml["cluster_name"].as_str()),
            (Some("local"), Some("lease-0-1"))
        );
        assert_eq!(
            (yaml["auth"]["ssh_user"].as_str(), yaml["auth"]["ssh_private_key"].as_str()),
            (Some("ray"), Some("~/.ssh/id"))
        );
        assert_eq!((yaml["min_workers"].as_u64(), yaml["max_workers"].as_u64()), (Some(1), Some(1)));
        inventory.hosts[1].now = "unknown";
        assert_eq!(read(&inventory)["provider"]["head_ip"].as_str(), Some("2a00::7"), "10 rounds against 8");
        inventory.hosts[1].rounds_up = 8;
        assert_eq!(read(&inventory)["provider"]["head_ip"].as_str(), Some("203.0.113.7"), "the lower slot");
    }

    #[test]
    fn an_address_is_one_machine_and_a_class_is_not() {
        let hostile = inventory("A\nhead_ip: x", ["1.1.1.1", "1.1.1.1"]);
        let text = cluster(&hostile, &login("ray")).unwrap();
        assert!(text.contains("# left out, same address as another machine: lease-0-1-slot1\n"), "{text}");
        let yaml: Value = serde_yaml::from_str(&text).unwrap();
        assert!(yaml["provider"]["worker_ips"].as_sequence().unwrap().is_empty(), "{text}");
        assert_eq!((yaml.as_mapping().unwrap().len(), yaml["max_workers"].as_u64()), (5, Some(0)));
        let colons = inventory("A", ["1:2:3:4:5:6:7:8", "2a00::7"]);
        assert_eq!(read(&colons)["provider"]["head_ip"].as_str(), Some("1:2:3:4:5:6:7:8"));
    }

    #[test]
    fn what_ray_has_no_place_for_is_refused() {
        let inventory = inventory("A", ["1.1.1.1", "2a00::7"]);
        let nobody = cluster(&inventory, &login("")).unwrap_err();
        assert!(nobody.code() == 2 && nobody.to_string().contains("--user"), "{nobody}");
        let other = cluster(&inventory, &Login { port: 2222, ..login("ray") }).unwrap_err();
        assert!(other.code() == 2 && other.to_string().contains("--port"), "{other}");
    }
}
