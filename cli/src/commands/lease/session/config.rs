//! The machines of a lease as a configuration of ssh, and the file of the keys that it trusts.

use std::path::Path;

use leasehold_operate::failure::Failure;

use super::quote;
use crate::commands::lease::inventory::{Host, Inventory};

/// Options of every machine. The key of the machine must be certified by its node_key under the alias of this lease, and nothing
/// else counts: no key that was seen before, in DNS or in the system's files.
const OPTIONS: &str = "    HostKeyAlgorithms ssh-ed25519-cert-v01@openssh.com
    StrictHostKeyChecking yes
    GlobalKnownHostsFile /dev/null
    UpdateHostKeys no
    CheckHostIP no
    VerifyHostKeyDNS no
    PreferredAuthentications publickey
    IdentitiesOnly yes
    ForwardAgent no
    ForwardX11 no
    PermitLocalCommand no
    ProxyJump none
    ConnectTimeout 20
    ServerAliveInterval 15
    ServerAliveCountMax 4
";

/// Options of a session inside a checked one, whose host key needs no further check.
const INNER: &str = "    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    GlobalKnownHostsFile /dev/null
    LogLevel ERROR
    IdentitiesOnly yes
    ForwardAgent no
";

/// Starts a server for one session on standard input and output, on the machine itself. No port of it is involved, which a
/// container may not even reach from inside.
fn server(authorized: &str) -> String {
    let script = format!(
        "umask 077; d=$HOME/.leasehold; mkdir -p $d /run/sshd; \
         test -s $d/host || {{ ssh-keygen -q -t ed25519 -N '' -f $d/host.$$ </dev/null && ln $d/host.$$ $d/host; rm -f $d/host.$$ $d/host.$$.pub; }} 2>/dev/null; \
         echo {authorized} >$d/keys.$$ && mv $d/keys.$$ $d/keys; \
         exec /usr/sbin/sshd -i -e -f /dev/null -o HostKey=$d/host -o AuthorizedKeysFile=$d/keys -o StrictModes=no \
         -o PermitRootLogin=prohibit-password -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o UsePAM=no \
         -o AllowAgentForwarding=no -o LogLevel=ERROR -o PidFile=none -o 'Subsystem=sftp internal-sftp'",
        authorized = quote::word(authorized)
    );
    quote::expanded_word(&script)
}

/// Name by which a tool that checks no host keys reaches the machine, through a session that does.
pub fn through(host: &Host) -> String {
    format!("{}-through", host.name)
}

/// Name whose session is a server for one session.
pub fn served(host: &Host) -> String {
    format!("{}-sshd", host.name)
}

/// Both names of it: tools that know a machine by its address take the second one.
fn all_served(host: &Host) -> String {
    format!("{} {}-sshd", served(host), host.address)
}

/// The keys of the machines, each trusted under its own alias.
pub fn known_hosts(inventory: &Inventory) -> String {
    inventory.hosts.iter().map(|host| format!("{}\n", host.known_hosts)).collect()
}

/// A section for each machine, under its name, to be included in a configuration or used alone. Of the data on the chain, it
/// holds only numbers, addresses, keys, and comments of harmless characters.
pub fn config(inventory: &Inventory, known_hosts: &Path) -> Result<String, Failure> {
    sections(inventory, known_hosts, |_| String::new())
}

/// The same with other names besides a machine's own.
fn sections(
    inventory: &Inventory,
    known_hosts: &Path,
    also: impl Fn(&Host) -> String,
) -> Result<String, Failure> {
    let mut text = inventory.comments();
    let known_hosts = quote::path(known_hosts)?;
    for host in &inventory.hosts {
        text += &format!("\n# {}\nHost {}{}\n", host.comment(), host.name, also(host));
        text += &section(host, &known_hosts)?;
    }
    Ok(text.trim_start_matches('\n').to_owned())
}

/// The same with the names of [`through`] and [`served`], for the file itself, whose path is `own`.
pub fn full(inventory: &Inventory, known_hosts: &Path, own: &Path) -> Result<String, Failure> {
    let own = quote::expanded_word(quote::plain(own)?);
    let mut text = sections(inventory, known_hosts, also)?;
    for host in &inventory.hosts {
        let Some(authorized) = &host.authorized else { continue };
        let (through, served) = (through(host), served(host));
        text += &format!(
            "\nHost {}\n    RemoteCommand sh -c {}\n    RequestTTY no\n",
            all_served(host),
            server(authorized)
        );
        text += &format!("\nHost {through}\n    HostName {}\n    User {}\n", host.address, host.user);
        text += &identity(host)?;
        text += &format!("{INNER}    ProxyCommand ssh -F {own} {served}\n");
    }
    Ok(text)
}

/// The names under which it is served, if it can be.
fn also(host: &Host) -> String {
    host.authorized.as_ref().map(|_| format!(" {}", all_served(host))).unwrap_or_default()
}

fn section(host: &Host, known_hosts: &str) -> Result<String, Failure> {
    let Host { address, port, user, alias, .. } = host;
    Ok(format!(
        "    HostName {address}\n    Port {port}\n    User {user}\n    HostKeyAlias {alias}\n    UserKnownHostsFile \
         {known_hosts}\n{}{OPTIONS}",
        identity(host)?
    ))
}

fn identity(host: &Host) -> Result<String, Failure> {
    let Some(file) = &host.identity_file else { return Ok(String::new()) };
    Ok(format!("    IdentityFile {}\n", quote::path(Path::new(file))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::lease::inventory::tests::inventory;

    fn text(inventory: &Inventory) -> String {
        config(inventory, Path::new("/home/me/my keys/known_hosts")).unwrap()
    }

    #[test]
    fn a_machine_is_a_host_whose_key_is_that_of_the_chain() {
        let mut inventory = inventory("RTX 4090", ["203.0.113.7", "2a00::7"]);
        inventory.hosts[0].identity_file = Some("/home/me/100%".to_owned());
        let text = text(&inventory);
        let alias = &inventory.hosts[0].alias;
        let expected = format!(
            "# down in the last closed round: lease-0-1-slot1\n\n# slot 0: RTX 4090, 1 GPU, DE\nHost lease-0-1-slot0\n    \
             HostName 203.0.113.7\n    Port 257\n    User root\n    HostKeyAlias {alias}\n    UserKnownHostsFile \
             \"/home/me/my keys/known_hosts\"\n    IdentityFile \"/home/me/100%%\"\n    HostKeyAlgorithms \
             ssh-ed25519-cert-v01@openssh.com\n    StrictHostKeyChecking yes\n    GlobalKnownHostsFile /dev/null\n"
        );
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.contains("\nHost lease-0-1-slot1\n    HostName 2a00::7\n    Port 7001\n"), "{text}");
        let known = known_hosts(&inventory);
        assert!(known.starts_with(&format!("@cert-authority {alias} ssh-ed25519 ")), "{known}");
        assert_eq!(known.lines().count(), 2);
    }

    #[test]
    fn a_tool_that_checks_nothing_goes_through_a_session_that_does() {
        let mut inventory = inventory("A", ["203.0.113.7", "2a00::7"]);
        inventory.hosts[0].authorized = Some("ssh-ed25519 AAAA".to_owned());
        let full = full(&inventory, Path::new("/k"), Path::new("/it's 5%")).unwrap();
        assert!(full.contains("\nHost lease-0-1-slot0 lease-0-1-slot0-sshd 203.0.113.7-sshd\n"), "{full}");
        assert!(full.contains("    ProxyCommand ssh -F '/it'\\''s 5%%' lease-0-1-slot0-sshd\n"), "{full}");
        assert!(!full.contains("slot1-through"), "no key of it is known");
        assert!(!text(&inventory).contains("ProxyCommand"));
    }

    #[test]
    fn a_class_cannot_add_a_line() {
        let hostile = inventory("A\nProxyCommand x\r", ["1.1.1.1", "2a00::7"]);
        let text = text(&hostile);
        let known = [
            "#",
            "Host ",
            "    HostName ",
            "    Port ",
            "    User ",
            "    HostKeyAlias ",
            "    UserKnownHosts",
        ];
        let strange = |line: &&str| {
            !line.is_empty() && !OPTIONS.contains(line) && !known.iter().any(|start| line.starts_with(start))
        };
        assert_eq!(text.lines().find(strange), None, "{text}");
        assert!(text.contains("slot 0: A_ProxyCommand x_, ") && !text.contains('\r'), "{text}");
    }
}
