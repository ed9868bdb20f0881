//! Machines of a lease as Ansible's inventory.

use leasehold_operate::failure::Failure;

use crate::commands::lease::{
    inventory::Host,
    session::{Session, quote},
};

/// YAML with an Ansible group for each lease, and one above them for a group of leases. Every text is in double quotes,
/// and text from the chain has no template characters, since Ansible would evaluate them locally. How to connect is in ssh's
/// configuration, which has a section of each machine's name.
pub fn inventory(session: &Session) -> Result<String, Failure> {
    let inventory = &session.inventory;
    let config = session.config();
    let config = quote::plain(&config)?;
    if config.contains(['{', '}']) {
        return Err(Failure::Input(format!(
            "Ansible would expand the braces of {config}: choose another --home"
        )));
    }
    let mut text = inventory.comments() + "---\n";
    match inventory.group {
        Some(group) => {
            text += &format!("group_{group}:\n  children:\n");
            inventory.leases().for_each(|hosts| text += &lease(hosts, "    "));
        }
        None => inventory.leases().for_each(|hosts| text += &lease(hosts, "")),
    }
    // Ansible splits the arguments as a shell does.
    let arguments = quoted(format!("-F {}", quote::word(config)));
    Ok(text + &format!("  vars:\n    ansible_ssh_common_args: {arguments}\n"))
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
            ("address", quoted(address)),
            ("port", host.port.to_string()),
            ("slot", slot.to_string()),
            ("gpus", gpus.to_string()),
            ("class", quoted(class)),
            ("country", quoted(country)),
            ("node_key", quoted(node_key)),
            ("verdict", quoted(now)),
        ] {
            text += &format!("{indent}      {key}: {value}\n");
        }
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

    use super::*;
    use crate::commands::lease::session::tests::session;

    fn read(session: &Session) -> Value {
        serde_yaml::from_str(&inventory(session).unwrap()).unwrap()
    }

    #[test]
    fn a_lease_is_a_group_of_machines_with_what_they_are() {
        let sample = session("RTX 4090", ["203.0.113.7", "2a00::7"]);
        let yaml = read(&sample);
        let group = &yaml["lease_0_1"];
        let host = &group["hosts"]["lease-0-1-slot1"];
        assert_eq!((host["address"].as_str(), host["slot"].as_u64()), (Some("2a00::7"), Some(1)));
        assert_eq!((host["class"].as_str(), host["gpus"].as_u64()), (Some("RTX 4090"), Some(1)));
        assert_eq!((host["verdict"].as_str(), host["port"].as_u64()), (Some("down"), Some(7_001)));
        let arguments = group["vars"]["ansible_ssh_common_args"].as_str().unwrap();
        assert_eq!(arguments, format!("-F '{}'", sample.config().display()));
        let text = inventory(&sample).unwrap();
        assert!(text.contains("    lease-0-1-slot1: # DOWN NOW\n") && text.starts_with("# down"), "{text}");
        assert_eq!(text.matches("DOWN NOW").count(), 1);
    }

    #[test]
    fn a_group_of_leases_is_an_ansible_group() {
        let mut both = session("A", ["1.1.1.1", "2a00::7"]);
        (both.inventory.group, both.inventory.hosts[1].serial) = (Some(3), 2);
        let yaml = read(&both);
        let group = &yaml["group_3"];
        assert!(group["children"]["lease_0_1"]["hosts"]["lease-0-1-slot0"].is_mapping(), "{yaml:?}");
        assert!(group["children"]["lease_0_2"]["hosts"]["lease-0-1-slot1"].is_mapping());
        assert!(group["vars"]["ansible_ssh_common_args"].is_string());
    }

    #[test]
    fn nothing_of_the_chain_is_a_template_or_a_key() {
        for class in ["{{ 7 * 7 }}", "{% raw %}", "\"\nx: 1", "a: b # c", "!unsafe x", "NO", "*a", "1:30"] {
            let hostile = session(class, ["1.1.1.1", "1:2:3:4:5:6:7:8"]);
            let yaml = read(&hostile);
            let host = &yaml["lease_0_1"]["hosts"]["lease-0-1-slot1"];
            let told = host["class"].as_str().unwrap();
            assert!(!told.contains(['{', '}', '%', '\n', '"', '#', ':', '!']), "{told}");
            assert_eq!(host["address"].as_str(), Some("1:2:3:4:5:6:7:8"), "no number of base 60");
            assert_eq!(host.as_mapping().unwrap().len(), 8);
            assert_eq!(yaml["lease_0_1"]["hosts"].as_mapping().unwrap().len(), 2);
        }
    }
}
