//! A Door with machines, and tenants with keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_node::access::{Bounds, Door, DoorMachine, DoorSettings, Entry, MachineKey, Tenant};
use sha2::{Digest, Sha256};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// No step takes nearly so long; a test that hangs ends.
const LIMIT: Duration = Duration::from_secs(120);

pub const LEASE: Pubkey = Pubkey::new_from_array([4; 32]);
pub const OTHER_LEASE: Pubkey = Pubkey::new_from_array([6; 32]);

pub async fn limited<T>(step: impl Future<Output = T>) -> T {
    timeout(LIMIT, step).await.expect("the step ends")
}

/// Waits for something that happens elsewhere.
pub async fn until(mut happened: impl FnMut() -> bool) {
    let wait = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    limited(wait).await;
}

pub fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

pub fn machine(slot: u16) -> MachineKey {
    MachineKey { board: Pubkey::new_from_array([3; 32]), slot }
}

pub fn node_key(slot: u16) -> SigningKey {
    SigningKey::from_bytes(&[slot as u8 + 10; 32])
}

/// As `leasehold_client::access::host_alias` makes it: in lower case, as `ssh` puts what it looks for.
pub fn alias(slot: u16, lease: &Pubkey, epoch: u32) -> String {
    format!("lease-1-9-{epoch}-slot{slot}-{}", lease.to_string()[..8].to_ascii_lowercase())
}

/// Runs `sshd` in a mount namespace with folders of its own, as a container's would be. It has no network namespace, so that
/// a test that needs one shows a difference.
pub fn in_mount_namespace() -> Entry {
    enter(&["--mount"], "")
}

/// Runs `sshd` in a network namespace as well.
pub fn in_network_namespace() -> Entry {
    enter(&["--mount", "--net"], "ip link set lo up && ")
}

fn enter(namespaces: &[&str], first: &str) -> Entry {
    let script = format!(
        "{first}mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd && mount -t tmpfs -o mode=700 tmpfs /root && \
         exec /usr/sbin/sshd \"$@\""
    );
    let mut command = vec!["unshare", "--propagation", "private"];
    command.extend(namespaces);
    command.extend(["sh", "-c", &script, "sshd"]);
    Entry::Exec(command.into_iter().map(str::to_owned).collect())
}

pub struct Stage {
    pub door: Door,
    pub files: Files,
}

/// Folders of a test, removed with it.
pub struct Files {
    /// Below folders that are root's alone: `sshd` refuses a key command elsewhere.
    root: TempDir,
}

impl Files {
    pub fn new() -> Self {
        let is_root = rustix::process::geteuid().is_root();
        assert!(
            is_root,
            "these tests enter namespaces: run them as root, or leave them out with -E 'not binary(door)'"
        );
        // Shown if the test fails: what sshd says.
        let log = tracing_subscriber::fmt().with_test_writer().with_env_filter("leasehold_node=debug");
        let _ = log.try_init();
        let root = tempfile::Builder::new().prefix("leasehold-door-").tempdir_in("/var/lib").unwrap();
        Self { root }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn settings(&self, listen: &[(u16, &str)], bounds: Bounds) -> DoorSettings {
        let machines = listen.iter().map(|&(slot, address)| DoorMachine {
            machine: machine(slot),
            listen: vec![address.parse().unwrap()],
            node_key: node_key(slot),
        });
        DoorSettings {
            machines: machines.collect(),
            folder: self.path("door"),
            key_command: env!("CARGO_BIN_EXE_leasehold-authorized-keys").into(),
            bounds,
        }
    }

    /// A new key pair.
    pub async fn key(&self, kind: &str) -> Key {
        let path = self.path(&format!("id-{kind}-{}", rand::random::<u32>()));
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", kind, "-N", "", "-f"]).arg(&path);
        assert!(keygen.status().await.unwrap().success());
        Key::read(path)
    }
}

/// A key pair on the tenant's side.
pub struct Key {
    path: PathBuf,
    /// SHA-256 of the public key's blob, as the lease names it.
    pub hash: [u8; 32],
}

impl Key {
    pub fn read(path: PathBuf) -> Self {
        let public = fs::read_to_string(path.with_extension("pub")).unwrap();
        let blob = STANDARD.decode(public.split(' ').nth(1).unwrap()).unwrap();
        Self { path, hash: Sha256::digest(blob).into() }
    }
}

impl Stage {
    /// Machines 1 and 2, on IPv4.
    pub async fn new() -> Self {
        Self::with(&[(1, "127.0.0.1:0"), (2, "127.0.0.1:0")], Bounds::default()).await
    }

    pub async fn with(listen: &[(u16, &str)], bounds: Bounds) -> Self {
        let files = Files::new();
        let door = Door::bind(files.settings(listen, bounds)).await.unwrap();
        Self { door, files }
    }

    pub fn address(&self, slot: u16) -> SocketAddr {
        self.door.local_addrs().iter().find(|(of, _)| *of == machine(slot)).unwrap().1
    }

    pub fn ssh(&self, key: &Key, to: Host) -> Ssh {
        Ssh::new(&self.files, key, self.address(to.slot), to)
    }
}

/// A tenant of the lease for an hour.
pub fn tenant(slot: u16, lease: Pubkey, epoch: u32, key: &Key) -> Tenant {
    Tenant {
        machine: machine(slot),
        lease,
        alias: alias(slot, &lease, epoch),
        access: key.hash,
        valid_until: now() + 3600,
        entry: in_mount_namespace(),
    }
}

/// Whom a client takes itself to be connected to.
#[derive(Clone)]
pub struct Host {
    /// At whose address it calls.
    pub slot: u16,
    pub alias: String,
    pub node_key: SigningKey,
}

impl Host {
    pub fn new(slot: u16, lease: Pubkey, epoch: u32) -> Self {
        Self { slot, alias: alias(slot, &lease, epoch), node_key: node_key(slot) }
    }
}

/// A client that trusts what the chain names, and nothing else.
pub struct Ssh {
    command: Command,
    address: SocketAddr,
}

impl Ssh {
    pub fn new(files: &Files, key: &Key, address: SocketAddr, host: Host) -> Self {
        let known_hosts = files.path(&format!("known-{}", rand::random::<u32>()));
        fs::write(&known_hosts, ca_line(&host)).unwrap();
        let mut command = Command::new("ssh");
        let options = [
            "BatchMode=yes".to_owned(),
            "ConnectTimeout=60".to_owned(),
            "GlobalKnownHostsFile=none".to_owned(),
            format!("HostKeyAlias={}", host.alias),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            format!("UserKnownHostsFile={}", known_hosts.display()),
        ];
        command.args(["-F", "none", "-p", &address.port().to_string(), "-i"]).arg(&key.path);
        for option in options {
            command.args(["-o", &option]);
        }
        command.kill_on_drop(true).stdin(Stdio::null());
        Self { command, address }
    }

    /// Logs in by another name.
    pub fn user(mut self, name: &str) -> Self {
        self.command.args(["-l", name]);
        self
    }

    /// Connects standard input and output to an address beyond the machine.
    pub async fn forward(mut self, to: &str) -> Output {
        limited(self.command.args(["-W", to]).arg(self.address.ip().to_string()).output()).await.unwrap()
    }

    /// Sends bytes to the machine's sftp and returns the answer's first ones.
    pub async fn sftp(mut self, bytes: &[u8]) -> Vec<u8> {
        self.command
            .arg("-s")
            .arg(self.address.ip().to_string())
            .arg("sftp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut client = self.command.spawn().unwrap();
        let mut input = client.stdin.take().unwrap();
        input.write_all(bytes).await.unwrap();
        let mut answer = vec![0; bytes.len()];
        limited(client.stdout.take().unwrap().read_exact(&mut answer)).await.unwrap();
        answer
    }

    pub async fn run(mut self, command: &str) -> Output {
        limited(self.command.arg(self.address.ip().to_string()).arg(command).output()).await.unwrap()
    }

    /// True if the tenant gets in.
    pub async fn gets_in(self) -> bool {
        self.run("echo in").await.stdout == b"in\n"
    }

    /// Opens a session that echoes lines.
    pub async fn session(mut self) -> Session {
        self.command
            .arg(self.address.ip().to_string())
            .arg("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut client = self.command.spawn().unwrap();
        let (input, output) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
        let mut session = Session { client, input, output: BufReader::new(output) };
        assert!(session.echoes().await, "the session opens");
        session
    }
}

/// The line of known_hosts.
fn ca_line(host: &Host) -> String {
    let mut blob = Vec::new();
    for part in [b"ssh-ed25519".as_slice(), host.node_key.verifying_key().as_bytes()] {
        blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend(part);
    }
    format!("@cert-authority {} ssh-ed25519 {}\n", host.alias, STANDARD.encode(blob))
}

/// An open session.
pub struct Session {
    client: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// True if a line goes to the machine and comes back.
    pub async fn echoes(&mut self) -> bool {
        if self.input.write_all(b"hello\n").await.is_err() {
            return false;
        }
        let mut line = String::new();
        limited(self.output.read_line(&mut line)).await.is_ok() && line == "hello\n"
    }

    /// Waits until it is cut.
    pub async fn gets_cut(mut self) {
        let status = limited(self.client.wait()).await.unwrap();
        assert_eq!(status.code(), Some(255), "ssh reports a lost connection");
    }
}

/// Reads to the end of a connection that the Door is to end.
pub async fn ends(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset ends it too.
    let _ = limited(stream.read_to_end(&mut all)).await;
    all
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
