//! The `sshd_config` of a lease.

use std::path::Path;

/// Names of the files in a lease's folder.
pub(super) const HOST_KEY: &str = "ssh_host_ed25519_key";
pub(super) const CERTIFICATE: &str = "ssh_host_ed25519_key-cert.pub";
pub(super) const CONFIG: &str = "sshd_config";
pub(super) const ACCESS: &str = "access";
pub(super) const KEY_COMMAND: &str = "authorized-keys";
pub(super) const KEY_SOCKET: &str = "keys.sock";

/// True if `sshd` reads the path as it is: it takes no quotes around the path of a command.
pub(super) fn is_plain(path: &Path) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    path.is_absolute() && path.to_str().is_some_and(|text| text.bytes().all(plain))
}

/// Configuration for one connection of `sshd -i`, inside the tenant's namespaces. `login_secs`: time to log in.
///
/// MaxStartups and PerSourcePenalties are left out: they are the listener's, which there is none of. The latter is an error
/// to an OpenSSH before 9.8, besides. Options whose defaults do (TrustedUserCAKeys, HostbasedAuthentication) are left out
/// too, unless a distribution patches them.
pub(super) fn sshd_config(folder: &Path, login_secs: u64) -> String {
    let folder = folder.display();
    format!(
        r#"# Written by leasehold-node: changes are lost.

# Of this lease and access epoch alone. The certificate is signed by the machine's node_key, which the chain names.
HostKey {folder}/{HOST_KEY}
HostCertificate {folder}/{CERTIFICATE}
PidFile none

# One key, whose hash the lease names. The command asks the node, which answers from memory.
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile none
AuthorizedKeysCommand {folder}/{KEY_COMMAND} {folder}/{KEY_SOCKET} %f %t %k
# The folder is root's alone, and not every image has another user. The command reads nothing but its arguments.
AuthorizedKeysCommandUser root
# The tenant is root in its namespaces, by its key only.
PermitRootLogin prohibit-password
StrictModes yes
# PAM's modules would be the image's, and may let a session fail. Accounts of an image are often locked, which without PAM
# keeps such users out; root's is not.
UsePAM no
# Each key that an agent offers counts.
MaxAuthTries 6
LoginGraceTime {login_secs}

# A client that is gone is noticed within two minutes.
ClientAliveInterval 30
ClientAliveCountMax 4
TCPKeepAlive yes
# Tools that share a connection open a session for each command.
MaxSessions 64

# Forwards start in the tenant's network namespace, whose loopback is not the host's: they are for dashboards and Ray.
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
GatewayPorts no
# A network device would be the supplier's affair.
PermitTunnel no
X11Forwarding no
# Whoever has root on the host could use the tenant's agent.
AllowAgentForwarding no

# Nothing of the image runs or is read before the tenant's shell.
PermitUserEnvironment no
PermitUserRC no
PrintMotd no
Banner none
AcceptEnv LANG LC_*
# Works in images that have no sftp-server.
Subsystem sftp internal-sftp
UseDNS no
# The node reads "Accepted publickey" in what sshd writes to standard error; INFO has it.
LogLevel INFO
"#
    )
}
