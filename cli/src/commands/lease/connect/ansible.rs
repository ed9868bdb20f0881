//! Machines of a lease as Ansible's inventory.

use super::{host::Host, inventory::Inventory, login::Login};

/// YAML with an Ansible group for each lease, and one above them for a group of leases. Every text is in double quotes,
/// and text from the chain has no template characters, since Ansible would evaluate them locally.
pub fn inventory(inventory: &Inventory, login: &Login) -> String {
    let mut text = inventory.comments() + "---\n";
    match inventory.group {
        Some(group) => {
            text += &format!("group_{group}:\n  children:\n");
            inventory.leases().for_each(|hosts| text += &lease(hosts, "    "));
        }
        None => inventory.leases().for_each(|hosts| text += &lease(hosts, "")),
    }
    text + "  vars:\n" + &vars(login)
}

/// A lease's machines.
fn lease(hosts: &[Host], indent: &str) -> String {
    let Some(first) = hosts.first() else { return String::new() };
    let mut text = format!("{indent}lease_{}_{}:\n{indent}  hosts:\n", first.board, first.serial);
    for host in hosts {
        let Host { name, slot, gpus, now, address, country, node_key, .. } = host;
        let class = host.plain_class();
        let marks: String = host.marks().map(|mark| format!(" # {mark}")).collect();
        text += &format!("{indent}    {name}:{marks}\n");
        for (key, value) in [
            ("ansible_host", quoted(address)),
            ("slot", slot.to_string()),
            ("gpus", gpus.to_string()),
            ("class", quoted(class)),
            ("country", quoted(country)),
            ("node_key", quoted(node_key)),
            ("probe_port", host.probe_port.to_string()),
            ("verdict", quoted(now)),
        ] {
            text += &format!("{indent}      {key}: {value}\n");
        }
    }
    text
}

fn vars(login: &Login) -> String {
    let mut text = format!("    ansible_port: {}\n", login.port);
    if let Some(user) = &login.user {
        text += &format!("    ansible_user: {}\n", quoted(&user.0));
    }
    if let Some(identity) = &login.identity {
        text += &format!("    ansible_ssh_private_key_file: {}\n", quoted(&identity.0));
    }
    text
}

/// A text as YAML reads it: JSON's strings are YAML's, and nothing else of YAML is in them.
pub fn quoted(text: impl ToString) -> String {
    serde_json::Value::String(text.to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use serde_yaml::Value;

    use super::{
        super::inventory::{Inventory, tests::inventory as sample},
        *,
    };

    fn login() -> Login {
        Login { user: "ubuntu".parse().ok(), port: 2222, identity: "~/.ssh/my id".parse().ok() }
    }

    fn read(inventory: &Inventory) -> Value {
        serde_yaml::from_str(&super::inventory(inventory, &login())).unwrap()
    }

    #[test]
    fn a_lease_is_a_group_of_machines_with_what_they_are() {
        let yaml = read(&sample("RTX 4090", ["203.0.113.7", "2a00::7"]));
        let group = &yaml["lease_0_1"];
        let host = &group["hosts"]["lease-0-1-slot1"];
        assert_eq!((host["ansible_host"].as_str(), host["slot"].as_u64()), (Some("2a00::7"), Some(1)));
        assert_eq!((host["class"].as_str(), host["gpus"].as_u64()), (Some("RTX 4090"), Some(1)));
        assert_eq!((host["verdict"].as_str(), host["probe_port"].as_u64()), (Some("down"), Some(7_001)));
        assert_eq!(group["vars"]["ansible_port"].as_u64(), Some(2_222));
        assert_eq!(group["vars"]["ansible_user"].as_str(), Some("ubuntu"));
        assert_eq!(group["vars"]["ansible_ssh_private_key_file"].as_str(), Some("~/.ssh/my id"));
        let text = inventory(&sample("A", ["1.1.1.1", "2a00::7"]), &login());
        assert!(text.contains("    lease-0-1-slot1: # DOWN NOW\n") && text.starts_with("# down"), "{text}");
        assert_eq!(text.matches("DOWN NOW").count(), 1);
    }

    #[test]
    fn a_group_of_leases_is_an_ansible_group() {
        let mut both = sample("A", ["1.1.1.1", "2a00::7"]);
        (both.group, both.hosts[1].serial) = (Some(3), 2);
        let yaml = read(&both);
        let group = &yaml["group_3"];
        assert!(group["children"]["lease_0_1"]["hosts"]["lease-0-1-slot0"].is_mapping(), "{yaml:?}");
        assert!(group["children"]["lease_0_2"]["hosts"]["lease-0-1-slot1"].is_mapping());
        assert_eq!(group["vars"]["ansible_port"].as_u64(), Some(2_222));
    }

    #[test]
    fn nothing_of_the_chain_is_a_template_or_a_key() {
        for class in ["{{ 7 * 7 }}", "{% raw %}", "\"\nx: 1", "a: b # c", "!unsafe x", "NO", "*a", "1:30"] {
            let hostile = sample(class, ["1.1.1.1", "1:2:3:4:5:6:7:8"]);
            let yaml = read(&hostile);
            let host = &yaml["lease_0_1"]["hosts"]["lease-0-1-slot1"];
            let told = host["class"].as_str().unwrap();
            assert!(!told.contains(['{', '}', '%', '\n', '"', '#', ':', '!']), "{told}");
            assert_eq!(host["ansible_host"].as_str(), Some("1:2:3:4:5:6:7:8"), "no number of base 60");
            assert_eq!(host.as_mapping().unwrap().len(), 8);
            assert_eq!(yaml["lease_0_1"]["hosts"].as_mapping().unwrap().len(), 2);
        }
    }
}
