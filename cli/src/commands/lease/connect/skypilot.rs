//! Machines of a lease as a pool of SkyPilot.

use leasehold_operate::failure::Failure;

use super::ansible::quoted;
use crate::commands::lease::session::{Session, quote, through};

/// SkyPilot's file of SSH node pools. SkyPilot finds the names in ssh's configuration, and goes through sessions that check the
/// machines' keys. Its head is the first machine.
pub fn pool(session: &Session) -> Result<String, Failure> {
    let inventory = &session.inventory;
    let head = inventory.head().ok_or_else(|| Failure::Input("there is no machine".to_owned()))?;
    if let Some(host) = inventory.hosts.iter().find(|host| host.authorized.is_none()) {
        return Err(Failure::Input(format!(
            "the key of {} is not on this computer: pass --identity",
            host.name
        )));
    }
    let config = session.config();
    let mut text = inventory.comments();
    text += &format!(
        "# ~/.ssh/config needs this line above its first Host:\n#     Include {}\n",
        quote::path(&config)?
    );
    text +=
        &format!("# head: {}, whose port 6443 the others must reach at {}\n---\n", head.name, head.address);
    text += &format!("{}:\n  hosts:\n", inventory.name());
    let others = inventory.hosts.iter().filter(|host| host.name != head.name);
    text.extend([head].into_iter().chain(others).map(|host| format!("    - {}\n", quoted(through(host)))));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_yaml::Value;

    use super::*;
    use crate::commands::lease::session::tests::session;

    #[test]
    fn a_pool_names_machines_of_sshs_configuration_with_the_head_first() {
        let mut sample = session("A", ["203.0.113.7", "2a00::7"]);
        sample.inventory.hosts.reverse();
        let text = pool(&sample).unwrap();
        let yaml: Value = serde_yaml::from_str(&text).unwrap();
        let hosts: Vec<_> = yaml["lease-0-1"]["hosts"].as_sequence().unwrap().iter().collect();
        assert_eq!(hosts, ["lease-0-1-slot0-through", "lease-0-1-slot1-through"], "slot 1 is down");
        assert!(text.contains(&format!("#     Include \"{}\"\n", sample.config().display())), "{text}");
        sample.inventory.hosts[0].authorized = None;
        assert!(pool(&sample).unwrap_err().to_string().contains("--identity"));
    }
}
