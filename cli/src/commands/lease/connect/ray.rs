//! Machines of a lease as a cluster of Ray's launcher.

use std::{collections::BTreeSet, net::IpAddr};

use super::ansible::quoted;
use crate::commands::lease::{
    inventory::Inventory,
    session::{Session, quote},
};
use leasehold_operate::failure::Failure;

/// Ray's cluster file with the provider `local`, which knows a machine by its address alone. Ray's launcher checks no host keys, so
/// it goes through a session that does.
pub fn cluster(session: &Session) -> Result<String, Failure> {
    let inventory = &session.inventory;
    let Some(head) = inventory.head() else {
        return Err(Failure::Input("no machine can be Ray's head".to_owned()));
    };
    let key = private(inventory, "Ray")?;
    let config = session.config();
    let proxy = format!("ssh -F {} %h-sshd", quote::expanded_word(quote::plain(&config)?));
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
    Ok(format!(
        "{comments}# head: {}, whose address all machines must reach\n---\ncluster_name: {}\nprovider:\n  type: local\n  head_ip: \
         {}\n  worker_ips: [{}]\nauth:\n  ssh_user: {}\n  ssh_private_key: {}\n  ssh_proxy_command: {}\nmin_workers: \
         {count}\nmax_workers: {count}\n",
        head.name,
        quoted(inventory.name()),
        quoted(head.address),
        ips.join(", "),
        quoted(&head.user),
        quoted(key),
        quoted(proxy),
        count = workers.len(),
    ))
}

/// The private key of all machines, for a tool that takes one.
fn private<'a>(inventory: &'a Inventory, tool: &str) -> Result<&'a str, Failure> {
    let mut files = inventory.hosts.iter().map(|host| super::dstack::private(host, tool));
    let first = files.next().unwrap_or_else(|| Err(Failure::Input("there is no machine".to_owned())))?;
    for file in files {
        if file? != first {
            let why = format!(
                "{tool} takes one key for all machines, and these leases have their own: pass --identity"
            );
            return Err(Failure::Input(why));
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use serde_yaml::Value;

    use super::*;
    use crate::commands::lease::session::tests::session;

    fn read(session: &Session) -> Value {
        serde_yaml::from_str(&cluster(session).unwrap()).unwrap()
    }

    #[test]
    fn the_head_is_the_machine_that_was_up_longest_of_those_not_down() {
        let mut sample = session("A", ["203.0.113.7", "2a00::7"]);
        let yaml = read(&sample);
        assert_eq!(yaml["provider"]["head_ip"].as_str(), Some("203.0.113.7"), "the other one is down");
        assert_eq!(yaml["provider"]["worker_ips"][0].as_str(), Some("2a00::7"));
        assert_eq!(
            (yaml["provider"]["type"].as_str(), yaml["cluster_name"].as_str()),
            (Some("local"), Some("lease-0-1"))
        );
        let auth = &yaml["auth"];
        assert_eq!(
            (auth["ssh_user"].as_str(), auth["ssh_private_key"].as_str()),
            (Some("root"), Some("/k/1"))
        );
        let proxy = auth["ssh_proxy_command"].as_str().unwrap();
        assert_eq!(proxy, format!("ssh -F '{}' %h-sshd", sample.config().display()));
        assert_eq!((yaml["min_workers"].as_u64(), yaml["max_workers"].as_u64()), (Some(1), Some(1)));
        sample.inventory.hosts[1].now = "unknown";
        assert_eq!(read(&sample)["provider"]["head_ip"].as_str(), Some("2a00::7"), "10 rounds against 8");
        sample.inventory.hosts[1].rounds_up = 8;
        assert_eq!(read(&sample)["provider"]["head_ip"].as_str(), Some("203.0.113.7"), "the lower slot");
    }

    #[test]
    fn an_address_is_one_machine_and_a_class_is_not() {
        let hostile = session("A\nhead_ip: x", ["1.1.1.1", "1.1.1.1"]);
        let text = cluster(&hostile).unwrap();
        assert!(text.contains("# left out, same address as another machine: lease-0-1-slot1\n"), "{text}");
        let yaml: Value = serde_yaml::from_str(&text).unwrap();
        assert!(yaml["provider"]["worker_ips"].as_sequence().unwrap().is_empty(), "{text}");
        assert_eq!((yaml.as_mapping().unwrap().len(), yaml["max_workers"].as_u64()), (5, Some(0)));
        let colons = session("A", ["1:2:3:4:5:6:7:8", "2a00::7"]);
        assert_eq!(read(&colons)["provider"]["head_ip"].as_str(), Some("1:2:3:4:5:6:7:8"));
    }

    #[test]
    fn a_key_that_ray_cannot_use_is_refused() {
        let mut sample = session("A", ["1.1.1.1", "2a00::7"]);
        sample.inventory.hosts[1].identity_file = Some("/k/2".to_owned());
        let two = cluster(&sample).unwrap_err();
        assert!(two.code() == 2 && two.to_string().contains("one key for all machines"), "{two}");
        for wrong in [None, Some("/k/1.pub".to_owned())] {
            sample.inventory.hosts[0].identity_file = wrong;
            assert!(cluster(&sample).unwrap_err().to_string().contains("--identity"));
        }
    }
}
