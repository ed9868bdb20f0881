//! A host of its own: mount and network namespaces with cgroup v2, and another host beside it that stands for the internet,
//! a private network and a cloud's metadata service.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// Addresses of the other host: of the internet, of a private network, of a cloud's metadata service.
pub const INTERNET: &str = "203.0.113.2";
pub const PRIVATE: &str = "192.168.77.2";
pub const METADATA: &str = "169.254.169.254";
/// Addresses of this host there.
pub const OWN: [&str; 2] = ["203.0.113.1", "192.168.77.1"];

pub struct Host {
    holder: Child,
    neighbour: Child,
    pub folder: TempDir,
}

/// True if containers can be tried here; CI must.
pub fn has_podman() -> bool {
    let works = |program: &str| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let has = is_root && ["podman", "crun", "nft", "catatonit"].iter().all(|program| works(program));
    assert!(
        has || std::env::var_os("CI").is_none(),
        "CI installs podman, crun, catatonit and nftables, and runs as root"
    );
    if !has {
        eprintln!("not tried: needs root, podman, crun, catatonit and nftables");
    }
    has
}

fn namespaces(unshare: &[&str], script: &str) -> Child {
    let mut child = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-ec", &format!("{script}\necho ready; exec sleep infinity")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "this host allows no namespaces: {script}");
    child
}

impl Host {
    pub fn new() -> Self {
        let neighbour = namespaces(&["-n"], "ip link set lo up");
        let holder = namespaces(
            &["-m", "-n", "--propagation", "private"],
            &format!(
                "mount -t cgroup2 none /sys/fs/cgroup; ip link set lo up; echo 1 >/proc/sys/net/ipv4/ip_forward
                ip link add up0 type veth peer name up0 netns {pid}
                ip address add 203.0.113.1/24 dev up0; ip address add 192.168.77.1/24 dev up0
                ip address add 169.254.169.1/24 dev up0; ip link set up0 up
                nsenter -t {pid} -n ip address add {INTERNET}/24 dev up0
                nsenter -t {pid} -n ip address add {PRIVATE}/24 dev up0
                nsenter -t {pid} -n ip address add {METADATA}/24 dev up0
                nsenter -t {pid} -n ip link set up0 up",
                pid = neighbour.id()
            ),
        );
        Self { holder, neighbour, folder: tempfile::tempdir().unwrap() }
    }

    /// A command on this host.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.id().to_string(), "-m", "-n", "--"]).arg(program);
        command
    }

    /// A command on the other host.
    pub fn beside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.neighbour.id().to_string(), "-n", "--", program]);
        command
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for child in [&mut self.holder, &mut self.neighbour] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a command printed, if it succeeded.
pub fn printed(output: Output, what: &dyn std::fmt::Debug) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

pub fn run(command: &mut Command) -> String {
    printed(command.output().unwrap(), command)
}

/// A file system of this host's own programs, as an image.
pub fn rootfs(archive: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        for program in sh bash cat id ls touch test sleep mkdir setpriv grep sshd; do
            path=$(PATH=/usr/bin:/bin:/usr/sbin:/sbin type -P "$program")
            install -D "$path" "$1$path"
            ldd "$path" | grep -o '/[^ ]*' | while read -r library; do
                [ -e "$1$library" ] || install -D "$library" "$1$library"
            done
        done
        for library in /lib/*/libnss_files.so.2; do install -D "$library" "$1$library"; done
        [ -e "$1/bin" ] || ln -s usr/bin "$1/bin"
        mkdir -p "$1/root" "$1/tmp" "$1/run" "$1/etc" "$1/proc" "$1/sys" "$1/dev" "$1/var/log"
        chmod 700 "$1/root"
        printf 'root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n' >"$1/etc/passwd"
        printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
        tar -C "$1" -cf "$2" .
    "#;
    run(Command::new("bash").args(["-ec", script, "rootfs"]).arg(folder.path()).arg(archive));
}
