//! The profile `container`, with podman and real sshd, ssh and file systems.

use super::host::{Host, INTERNET, METADATA, OWN, PRIVATE, has_podman, printed, rootfs, run};
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/container");
const BOARD: &str = "GsbwXfJraMomNxBcjYLcG3mxkBUiyWXAB32fGbSMQRdW";
const FIRST: &str = "HZXanqqq1jH8VTNXM8jQkF5dLwtit8C71nWbon5X6ynP";
const SECOND: &str = "6RMFE6YZrWrv2oWdm1npQKzkPPNac8C9H43MK1rQyp2z";

/// A server that ends with the test, however that ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A supplier's host with an image, and a server on the other host.
struct Supplier {
    host: Host,
    _neighbour: Server,
}

impl Drop for Supplier {
    fn drop(&mut self) {
        for lease in [FIRST, SECOND] {
            let _ = self.hook("end", lease, 0).output();
        }
    }
}

impl Supplier {
    fn new() -> Self {
        let host = Host::new();
        let (image, store) = (host.path("image.tar"), host.path("store"));
        rootfs(&image);
        run(host
            .command("podman")
            .args(["--cgroup-manager", "cgroupfs", "--root"])
            .arg(&store)
            .args(["--runroot"])
            .arg(host.path("runroot"))
            .arg("import")
            .arg(&image)
            .arg("localhost/tenant:1"));
        let settings = format!(
            "STATE={0}/state RUN={0}/run IMAGE_STORE={0}/store IMAGE=localhost/tenant:1 DISK=256M PIDS=-1 SHM=16M DEVICES=\nULIMITS=\"nofile=256:512 nproc=512:512\"\n",
            host.folder.path().display()
        );
        fs::write(host.path("profile.conf"), settings).unwrap();
        // The other host's server: what it says first shows who reaches it.
        let key = host.path("neighbour");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
        fs::create_dir_all("/run/sshd").unwrap();
        let mut server = host.beside("/usr/sbin/sshd");
        let neighbour = server.args(["-D", "-p", "80", "-f", "/dev/null", "-h"]).arg(&key).spawn().unwrap();
        Self { host, _neighbour: Server(neighbour) }
    }

    /// The folder of a lease, as the node writes it, with the key of its tenant beside.
    fn lease(&self, lease: &str) -> PathBuf {
        let folder = self.folder(lease);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o711)).unwrap();
        for path in [folder.join("ssh_host_ed25519_key"), self.host.path(&format!("{lease}.key"))] {
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path));
        }
        let public = fs::read_to_string(self.host.path(&format!("{lease}.key.pub"))).unwrap();
        let command = folder.join("authorized-keys");
        fs::write(&command, format!("#!/bin/sh\necho '{}'\n", public.trim())).unwrap();
        fs::set_permissions(&command, PermissionsExt::from_mode(0o755)).unwrap();
        let path = folder.display();
        let config = format!(
            "HostKey {path}/ssh_host_ed25519_key\nPidFile none\nAuthorizedKeysFile none\nUsePAM no\n\
             AuthorizedKeysCommand {path}/authorized-keys %f %t %k\nAuthorizedKeysCommandUser root\n"
        );
        fs::write(folder.join("sshd_config"), config).unwrap();
        folder
    }

    fn folder(&self, lease: &str) -> PathBuf {
        self.host.path("leases").join(lease)
    }

    fn hook(&self, hook: &str, lease: &str, slot: u32) -> Command {
        let mut command = self.host.command("env");
        let variables = [
            ("LEASEHOLD_PROFILE_CONF", self.host.path("profile.conf").display().to_string()),
            ("LEASEHOLD_LEASE", lease.to_owned()),
            ("LEASEHOLD_BOARD", BOARD.to_owned()),
            ("LEASEHOLD_SLOT", slot.to_string()),
            ("LEASEHOLD_ALIAS", format!("lease-1-2-0-slot{slot}-{}", &lease[..8])),
            ("LEASEHOLD_DIR", self.folder(lease).display().to_string()),
            ("LEASEHOLD_GPUS", String::new()),
        ];
        command.args(variables.map(|(name, value)| format!("{name}={value}")));
        command.arg(Path::new(PROFILE).join(hook));
        command
    }

    fn begin(&self, lease: &str, slot: u32) -> Value {
        serde_json::from_str(&run(&mut self.hook("begin", lease, slot))).unwrap()
    }

    /// Runs a command as the tenant, by ssh through an accepted socket, as the node hands it on.
    fn ssh(&self, room: &Value, lease: &str, command: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let host_key = fs::read_to_string(self.folder(lease).join("ssh_host_ed25519_key.pub")).unwrap();
        let known = self.host.path("known_hosts");
        fs::write(&known, format!("tenant {host_key}")).unwrap();
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "HostKeyAlias=tenant",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "BatchMode=yes",
            "-o",
        ])
        .arg(format!("UserKnownHostsFile={}", known.display()))
        .arg("-i")
        .arg(self.host.path(&format!("{lease}.key")))
        .args(["-p", &port, "root@127.0.0.1", command])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
        let client = ssh.spawn().unwrap();
        let (stream, _) = listener.accept().unwrap();
        let mut words = room["enter"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        let mut server = self.host.command(words.next().unwrap());
        server.args(words).args(["-i", "-e", "-f"]).arg(self.folder(lease).join("sshd_config"));
        server
            .stdout(OwnedFd::from(stream.try_clone().unwrap()))
            .stdin(OwnedFd::from(stream))
            .stderr(Stdio::null());
        let mut server = server.spawn().unwrap();
        let said = printed(client.wait_with_output().unwrap(), &command);
        drop(server.wait());
        said
    }
}

/// Prints the first bytes that a server says to a tenant, or nothing if it can't be reached within some seconds.
fn reaches(address: &str, secs: u32) -> String {
    format!(
        "bash -c 'exec 3<>/dev/tcp/{address}/80 && read -t {secs} -n 4 said <&3; echo \"$said\"' 2>/dev/null & pid=$!; \
         (sleep {secs}; kill $pid) 2>/dev/null >/dev/null & wait $pid; true"
    )
}

/// Time for a server that can be reached, however busy this host is.
const OPEN: u32 = 60;
/// Time after which one that says nothing counts as closed.
const CLOSED: u32 = 2;

#[test]
fn a_tenant_has_its_container_and_the_internet_and_the_next_finds_nothing() {
    if !has_podman() {
        return;
    }
    let supplier = Supplier::new();
    let folder = supplier.lease(FIRST);
    let room = supplier.begin(FIRST, 0);
    assert_eq!(room, supplier.begin(FIRST, 0), "begin is idempotent");
    let ssh = |command: &str| supplier.ssh(&room, FIRST, command);

    assert_eq!(
        ssh("id -u; cat /root/mark 2>/dev/null; echo mine >/root/mark; echo $0").lines().next(),
        Some("0")
    );
    assert_eq!(ssh("cat /root/mark"), "mine\n");
    let status = ssh("grep -E '^(Seccomp|CapEff)' /proc/self/status; cat /proc/self/uid_map");
    assert!(status.contains("Seccomp:\t2") && !status.contains("ffffffff\n"), "{status}");
    // Keys can be read, and nothing can be written there. No other lease's folder is seen.
    let key = folder.join("ssh_host_ed25519_key");
    let tried = ssh(&format!(
        "test -r {0} && echo readable; echo x 2>/dev/null >{0} || echo refused; ls {1}",
        key.display(),
        folder.parent().unwrap().display()
    ));
    assert_eq!(tried, format!("readable\nrefused\n{FIRST}\n"));

    // A server of the host on all of its addresses, and one on the other host.
    assert_eq!(ssh(&reaches(INTERNET, OPEN)), "SSH-\n");
    for address in [PRIVATE, METADATA] {
        assert_eq!(ssh(&reaches(address, CLOSED)).trim(), "", "{address} is closed");
    }
    let mut own = supplier.host.command("/usr/sbin/sshd");
    let own = own.args(["-D", "-p", "80", "-f", "/dev/null", "-h"]).arg(supplier.host.path("neighbour"));
    let own = Server(own.spawn().unwrap());
    for address in [OWN[0], OWN[1], "10.213.0.1", "127.0.0.1"] {
        assert_eq!(ssh(&reaches(address, CLOSED)).trim(), "", "the host's {address} is closed");
    }
    drop(own);

    // A full disk is the tenant's own.
    let full = ssh(
        "while cat /usr/sbin/sshd /usr/bin/bash >>/root/full 2>/dev/null; do :; done; test -s /root/full && echo full",
    );
    assert_eq!(full, "full\n");

    // A process that hides from its session ends with the cgroup.
    ssh("setpriv --pdeathsig clear sleep 86399 >/dev/null 2>&1 </dev/null &");
    let cgroup = room["cgroup"].as_str().unwrap();
    assert!(run(supplier.host.command("cat").arg(format!("{cgroup}/cgroup.procs"))).lines().count() > 2);
    run(supplier.host.command("sh").args(["-c", &format!("echo 1 >{cgroup}/cgroup.freeze")]));

    supplier.lease(SECOND);
    let next = supplier.begin(SECOND, 0);
    assert_eq!(
        supplier.ssh(&next, SECOND, "ls -A /root; cat /proc/[0-9]*/cmdline | grep -c 8639[9]; true"),
        "0\n"
    );
    // What is late for the first lease leaves the second alone.
    run(&mut supplier.hook("end", FIRST, 0));
    assert_eq!(supplier.ssh(&next, SECOND, "id -u"), "0\n");
    for _ in 0..2 {
        run(&mut supplier.hook("end", SECOND, 0));
    }
    let left = run(supplier
        .host
        .command("sh")
        .args(["-c", "ip -br link; grep /state/ /proc/mounts; ls -A \"$1\"; true", "sh"])
        .arg(supplier.host.path("state/0")));
    assert!(
        !left.contains("lh0")
            && !left.contains("/state/")
            && !left.contains("disk")
            && !left.contains("lease"),
        "{left}"
    );
}

#[test]
fn two_machines_of_a_host_are_kept_apart() {
    if !has_podman() {
        return;
    }
    let supplier = Supplier::new();
    supplier.lease(FIRST);
    supplier.lease(SECOND);
    let rooms = [supplier.begin(FIRST, 0), supplier.begin(SECOND, 1)];
    assert_ne!(rooms[0]["cgroup"], rooms[1]["cgroup"]);
    let maps: Vec<_> = [FIRST, SECOND]
        .iter()
        .zip(&rooms)
        .map(|(lease, room)| supplier.ssh(room, lease, "cat /proc/self/uid_map"))
        .collect();
    assert_ne!(maps[0], maps[1]);
    let own = supplier.ssh(&rooms[1], SECOND, "cat /proc/net/fib_trie");
    assert!(own.contains("10.213.1.2"), "{own}");
    // A server in one is not reached from the other, and neither takes the other's address.
    supplier.ssh(
        &rooms[0],
        FIRST,
        &format!(
            "/usr/sbin/sshd -p 80 -f /dev/null -h {}/ssh_host_ed25519_key",
            supplier.folder(FIRST).display()
        ),
    );
    assert_eq!(supplier.ssh(&rooms[0], FIRST, &reaches("10.213.0.2", OPEN)), "SSH-\n");
    assert_eq!(supplier.ssh(&rooms[1], SECOND, &reaches("10.213.0.2", CLOSED)).trim(), "");
    run(&mut supplier.hook("end", SECOND, 1));
}
