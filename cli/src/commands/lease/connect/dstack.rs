//! Machines of a lease as a fleet of dstack.

use leasehold_operate::failure::Failure;

use super::ansible::quoted;
use crate::commands::lease::{
    forward::{PORT, listens_at},
    inventory::{Host, Inventory},
};

/// dstack's file of an SSH fleet. dstack checks no host keys and reads no configuration of ssh, so it connects to where `lease
/// forward` listens.
pub fn fleet(inventory: &Inventory) -> Result<String, Failure> {
    let mut text = inventory.comments();
    text += "# Keep `leasehold lease forward` running on the computer of the dstack server.\n";
    text += &format!("type: fleet\nname: {}\nssh_config:\n  hosts:\n", inventory.name());
    for (place, host) in inventory.hosts.iter().enumerate() {
        let at = listens_at(PORT, place)?;
        text += &format!(
            "    # {}\n    - hostname: {}\n      port: {}\n      user: {}\n      identity_file: {}\n",
            host.name,
            quoted(at.ip()),
            at.port(),
            quoted(&host.user),
            quoted(private(host, "dstack")?)
        );
    }
    Ok(text)
}

/// The private key of a machine, for a tool that asks no agent.
pub fn private<'a>(host: &'a Host, tool: &str) -> Result<&'a str, Failure> {
    match host.identity_file.as_deref() {
        Some(file) if !file.ends_with(".pub") => Ok(file),
        _ => Err(Failure::Input(format!(
            "{tool} needs the private key of {}, which is not on this computer: pass --identity",
            host.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_yaml::Value;

    use super::*;
    use crate::commands::lease::session::tests::session;

    #[test]
    fn a_fleet_is_where_forward_listens() {
        let sample = session("A", ["203.0.113.7", "2a00::7"]);
        let yaml: Value = serde_yaml::from_str(&fleet(&sample.inventory).unwrap()).unwrap();
        assert_eq!((yaml["type"].as_str(), yaml["name"].as_str()), (Some("fleet"), Some("lease-0-1")));
        let hosts = yaml["ssh_config"]["hosts"].as_sequence().unwrap();
        assert_eq!(hosts.len(), 2);
        let at = listens_at(PORT, 1).unwrap();
        assert_eq!(hosts[1]["hostname"].as_str(), Some(&*at.ip().to_string()));
        assert_eq!(hosts[1]["port"].as_u64(), Some(at.port().into()));
        assert_eq!(
            (hosts[1]["user"].as_str(), hosts[1]["identity_file"].as_str()),
            (Some("root"), Some("/k/1"))
        );
    }
}
