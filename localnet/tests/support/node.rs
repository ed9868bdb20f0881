//! `leasehold-node` as a process, and what is between it and its RPC node.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::world::{World, key};

/// A binary that Cargo has built beside this test.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(binary.is_file(), "{} does not exist; run `cargo build --bins`", binary.display());
    binary
}

/// The process. Killed at the end of the test.
pub struct Node {
    child: Child,
    config: PathBuf,
    listen: Vec<SocketAddr>,
}

impl Node {
    /// Starts a node for some of the machines.
    pub fn start(world: &World, name: &str, slots: &[u16], rpc: &str) -> Self {
        let config = world.files.path(&format!("{name}.toml"));
        let mut text = format!(
            "program = \"{}\"\nmarket = \"{}\"\nboard = \"{}\"\n\
             [chain]\nrpc = \"{rpc}\"\nsupplier = \"{}\"\npoll_secs = 1\n\
             [access]\nbegin = \"{}\"\nend = \"{}\"\nstate = \"{}\"\nkey_command = \"{}\"\n",
            leasehold::ID,
            world.market.address,
            world.board().address,
            world.supplier(),
            world.rooms.path("begin").display(),
            world.rooms.path("end").display(),
            world.rooms.path(name).display(),
            binary("leasehold-authorized-keys").display(),
        );
        for slot in slots {
            let seed = hex::encode(key(*slot).to_bytes());
            text += &format!("[[machine]]\nslot = {slot}\ngeneration = 0\nseed = \"{seed}\"\n");
            text += &format!("[[access.machine]]\nslot = {slot}\ngpus = [\"{slot}\"]\n");
        }
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
        let listen: Vec<_> = slots.iter().map(|slot| world.endpoint(*slot)).collect();
        Self { child: spawn(&config, &listen), config, listen }
    }

    /// Kills it, and starts another.
    pub fn restart(&mut self) {
        self.stop();
        self.child = spawn(&self.config, &self.listen);
    }

    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(config: &Path, listen: &[SocketAddr]) -> Child {
    let listen: Vec<_> = listen.iter().map(SocketAddr::to_string).collect();
    Command::new(binary("leasehold-node"))
        .args(["--listen", &listen.join(",")])
        .arg("--config")
        .arg(config)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A line to an RPC node that can be cut.
pub struct Line {
    pub url: String,
    up: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Line {
    pub async fn to(url: &str) -> Self {
        let to: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (up, is_up) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(carry(caller, to, is_up.clone()));
            }
        });
        Self { url, up, task }
    }

    /// Cuts the line, connections that are open included, or mends it.
    pub fn set_up(&self, up: bool) {
        self.up.send_replace(up);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut caller: TcpStream, to: SocketAddr, mut is_up: watch::Receiver<bool>) {
    if !*is_up.borrow() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut caller, &mut server) => {}
        _ = is_up.wait_for(|up| !up) => {}
    }
}
