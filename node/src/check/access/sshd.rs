//! The host's own sshd, which is not the tenants': what `sshd -T` says.

use super::{Printed, run};
use crate::check::Report;
use std::net::SocketAddr;
use std::path::Path;
use tokio::process::Command;

const CHECK: &str = "sshd";

/// Asks sshd for its configuration.
pub(super) async fn check(sshd: &Path, listen: &[SocketAddr], report: &mut Report) {
    let program = sshd.display();
    match run(Command::new(sshd).arg("-T")).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            report.ok(CHECK, format!("this host has no sshd of its own ({program})"));
        }
        Err(error) => {
            report.warning(CHECK, format!("cannot run {program} -T ({error})"), "run this command as root")
        }
        Ok(Printed { is_success: false, err, .. }) => {
            let why = err.lines().next_back().unwrap_or("it said nothing");
            report.warning(
                CHECK,
                format!("{program} -T failed: {why}"),
                "run this command as root; if it fails as root, this host's sshd doesn't start again",
            );
        }
        Ok(Printed { out, .. }) => judge(&out, listen, report),
    }
}

fn judge(configuration: &str, listen: &[SocketAddr], report: &mut Report) {
    let settings = |wanted: &str| -> Vec<_> {
        let pairs = configuration.lines().filter_map(|line| line.split_once(' '));
        pairs.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim()).collect()
    };
    let ports = settings("port").into_iter().filter_map(|port| port.parse().ok());
    let addresses = settings("listenaddress").into_iter();
    let own: Vec<u16> = ports.chain(addresses.filter_map(port_of)).collect();
    if let Some(address) = listen.iter().find(|address| own.contains(&address.port())) {
        report.error(
            CHECK,
            format!("this host's own sshd has TCP port {}, at which tenants are let in", address.port()),
            "list the machine with another port, and give it to --listen; or move sshd with `Port`",
        );
    }
    let is_on = |setting: &str| settings(setting).contains(&"yes");
    if is_on("passwordauthentication") || is_on("kbdinteractiveauthentication") {
        report.warning(
            CHECK,
            "this host's own sshd takes passwords, and its address is public on the board".to_owned(),
            "set `PasswordAuthentication no` and `KbdInteractiveAuthentication no` in /etc/ssh/sshd_config, once a key of \
             yours works",
        );
    }
    if report.row(CHECK).is_none() {
        report.ok(CHECK, "this host's own sshd takes keys only, at a port of its own".to_owned());
    }
}

/// Port of an address such as `[::]:22`.
fn port_of(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;

    fn judged(configuration: &str) -> Vec<(Status, String)> {
        let mut report = Report::default();
        judge(configuration, &["0.0.0.0:8470".parse().unwrap()], &mut report);
        report.rows.into_iter().map(|row| (row.status, row.found)).collect()
    }

    #[test]
    fn a_port_of_tenants_is_not_the_hosts_and_passwords_are_told() {
        let keys =
            "port 22\nlistenaddress [::]:22\npasswordauthentication no\nkbdinteractiveauthentication no\n";
        assert_eq!(judged(keys)[0].0, Status::Ok);
        let same = judged(&keys.replace("[::]:22", "0.0.0.0:8470"));
        assert!(same[0].0 == Status::Error && same[0].1.contains("TCP port 8470"), "{same:?}");
        let password = judged(&keys.replace("passwordauthentication no", "passwordauthentication yes"));
        assert!(
            password[0].0 == Status::Warning && password[0].1.contains("takes passwords"),
            "{password:?}"
        );
    }
}
