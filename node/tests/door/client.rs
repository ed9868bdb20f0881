//! A tenant: keys, and OpenSSH's client that trusts what the chain names. Tests of other packages use it too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leasehold_client::access::{ca_line, fingerprint};
use leasehold_client::probe::{Pubkey, SigningKey};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// No step takes nearly so long; a test that hangs ends.
const LIMIT: Duration = Duration::from_secs(120);

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

/// Folders of a test, removed with it.
pub struct Files {
    /// Below folders that are root's alone: `sshd` refuses a key command elsewhere.
    root: TempDir,
}

impl Files {
    pub fn new() -> Self {
        let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
        assert!(
            is_root,
            "these tests enter namespaces: run them as root, or leave them out, as with -E 'not binary(door)'"
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
        Self { path, hash: fingerprint(&blob) }
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
    /// Line of known_hosts.
    fn ca_line(&self) -> String {
        let node_key = Pubkey::new_from_array(self.node_key.verifying_key().to_bytes());
        format!("{}\n", ca_line(&self.alias, &node_key))
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
        fs::write(&known_hosts, host.ca_line()).unwrap();
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
        self.command.arg(self.address.ip().to_string()).arg("cat");
        Session::open(self.command).await
    }
}

/// An open session.
pub struct Session {
    client: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Starts a client whose other end echoes lines.
    pub async fn open(mut client: Command) -> Self {
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut client = client.spawn().unwrap();
        let (input, output) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
        let mut session = Self { client, input, output: BufReader::new(output) };
        assert!(session.echoes().await, "the session opens");
        session
    }

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
