//! A leased machine: real `sshd` with a host key that the machine's node_key certified, as the node starts it.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, spawn},
};

use ssh_key::{
    LineEnding, PrivateKey,
    certificate::{Builder, CertType},
    private::{Ed25519Keypair, KeypairData},
};

/// Accepts connections at a port of its own and hands each to an `sshd -i`.
pub struct Machine {
    pub endpoint: SocketAddr,
    node_key: PrivateKey,
    folder: PathBuf,
    ends: Arc<AtomicBool>,
    accepts: Option<JoinHandle<()>>,
    /// What all the servers said, for a test that fails.
    log: PathBuf,
    lock: Arc<Mutex<()>>,
}

fn key(seed: [u8; 32]) -> PrivateKey {
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)), "").expect("a key")
}

impl Machine {
    /// A machine whose node_key is made of that seed. Nobody is let in yet.
    pub fn new(root: &Path, seed: u8) -> Self {
        let folder = root.join(format!("machine-{seed}"));
        fs::create_dir_all(folder.join("home")).expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = listener.local_addr().expect("its address");
        let (ends, lock, log) =
            (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(())), folder.join("log"));
        let accepts = spawn({
            let (ends, folder, log, lock) = (ends.clone(), folder.clone(), log.clone(), lock.clone());
            move || {
                for stream in listener.incoming() {
                    if ends.load(Ordering::SeqCst) {
                        return;
                    }
                    let _changes = lock.lock().expect("the lock");
                    serve(stream.expect("a caller"), &folder, &log);
                }
            }
        });
        Machine { endpoint, node_key: key([seed; 32]), folder, ends, accepts: Some(accepts), log, lock }
    }

    /// Public half of the node_key in hexadecimal.
    pub fn node_key(&self) -> String {
        let public = self.node_key.public_key().key_data().ed25519().expect("its kind");
        hex::encode(public.0)
    }

    /// Lets the holder of the public key (a line) in under this alias, as `slot`.
    pub fn admit(&self, alias: &str, authorized: &str, slot: u16) {
        let _served = self.lock.lock().expect("the lock");
        let host_key = key(rand::random());
        let mut builder = Builder::new([7; 16], host_key.public_key().key_data().clone(), 0, 4_102_444_800)
            .expect("a builder");
        builder.cert_type(CertType::Host).expect("its kind");
        builder.valid_principal(alias).expect("an alias");
        let certificate = builder.sign(&self.node_key).expect("a certificate");
        let file = |name: &str| self.folder.join(name);
        let _ = fs::remove_file(file("key"));
        host_key.write_openssh_file(&file("key"), LineEnding::LF).expect("a key file");
        fs::write(file("key-cert.pub"), certificate.to_openssh().expect("text")).expect("a file");
        fs::write(file("authorized"), format!("{authorized}\n")).expect("a file");
        let folder = self.folder.display();
        let path = std::env::var("PATH").expect("a path");
        let config = format!(
            "HostKey {folder}/key\nHostCertificate {folder}/key-cert.pub\nAuthorizedKeysFile {folder}/authorized\n\
             StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n\
             SetEnv HOME={folder}/home SLOT={slot} \"PATH={path}\"\nLogLevel DEBUG1\n"
        );
        fs::write(file("config"), config).expect("a file");
    }

    /// The home folder of whoever logs in.
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn serve(stream: TcpStream, folder: &Path, log: &Path) {
    let log = fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
    let output = stream.try_clone().expect("a socket");
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.args(["-i", "-e", "-f"]).arg(folder.join("config"));
    sshd.stdin(Stdio::from(OwnedFd::from(stream))).stdout(Stdio::from(OwnedFd::from(output))).stderr(log);
    let mut child = sshd.spawn().expect("sshd: install openssh-server");
    // It has ended before the test, or ends with the connection.
    spawn(move || child.wait());
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.endpoint);
        if let Some(accepts) = self.accepts.take() {
            let _ = accepts.join();
        }
    }
}
