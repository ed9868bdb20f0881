//! Machines of a lease as a part of ssh's configuration.

use super::{inventory::Inventory, login::Login};

/// A section for each machine, under its name. Of the data on the chain, it holds only numbers, addresses and comments
/// of harmless characters.
pub fn config(inventory: &Inventory, login: &Login) -> String {
    let mut text = inventory.comments();
    for host in &inventory.hosts {
        text += &format!("\n# {}\nHost {}\n", host.comment(), host.name);
        text += &format!("    HostName {}\n    Port {}\n", host.address, login.port);
        if let Some(user) = &login.user {
            text += &format!("    User {}\n", user.0);
        }
        if let Some(identity) = &login.identity {
            text += &format!("    IdentityFile \"{}\"\n    IdentitiesOnly yes\n", identity.0);
        }
    }
    text.trim_start_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{super::inventory::tests::inventory, *};

    #[test]
    fn a_machine_is_a_host_with_its_address() {
        let login =
            Login { user: "ubuntu".parse().ok(), port: 2222, identity: "/home/me/my keys/id".parse().ok() };
        let expected = "\
# down in the last closed round: lease-0-1-slot1

# slot 0: RTX 4090, 1 GPU, DE, probed at port 257
Host lease-0-1-slot0
    HostName 203.0.113.7
    Port 2222
    User ubuntu
    IdentityFile \"/home/me/my keys/id\"
    IdentitiesOnly yes

# slot 1: RTX 4090, 1 GPU, DE, probed at port 7001, DOWN NOW
Host lease-0-1-slot1
    HostName 2a00::7
    Port 2222
    User ubuntu
    IdentityFile \"/home/me/my keys/id\"
    IdentitiesOnly yes
";
        let text = config(&inventory("RTX 4090", ["203.0.113.7", "2a00::7"]), &login);
        assert_eq!(text, expected);
    }

    #[test]
    fn a_class_cannot_add_a_line() {
        let login = Login { user: None, port: 22, identity: None };
        let hostile = inventory("A\nProxyCommand x\r", ["1.1.1.1", "2a00::7"]);
        let text = config(&hostile, &login);
        let known = ["#", "Host ", "    HostName ", "    Port "];
        let strange = |line: &&str| !line.is_empty() && !known.iter().any(|start| line.starts_with(start));
        assert_eq!(text.lines().find(strange), None, "{text}");
        assert!(text.contains("slot 0: A_ProxyCommand x_, ") && !text.contains('\r'), "{text}");
    }
}
