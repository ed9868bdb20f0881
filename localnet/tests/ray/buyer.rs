//! The command line, as the buyer of the lease uses it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use solana_keypair::write_keypair_file;
use tokio::{process::Command, time::timeout};

use crate::support::{node::binary, world::World};

/// Ray needs half a minute to start on two idle cores.
const LIMIT: Duration = Duration::from_secs(300);

pub struct Buyer {
    folder: PathBuf,
    /// Folder of Ray's programs.
    ray: PathBuf,
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Buyer {
    /// A funded buyer, who has the same Ray as the machines.
    pub async fn new(world: &World, ray: PathBuf) -> Self {
        let folder = world.files.path("buyer");
        let config = folder.join(".config/solana/cli");
        fs::create_dir_all(&config).unwrap();
        let keypair = folder.join("buyer.json");
        write_keypair_file(&*world.wallet().await, &keypair).unwrap();
        let file = format!(
            "---\njson_rpc_url: {}\nwebsocket_url: ''\nkeypair_path: {}\ncommitment: confirmed\n",
            world.network.rpc_url(),
            keypair.display()
        );
        fs::write(config.join("config.yml"), file).unwrap();
        Self { folder, ray }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `leasehold` with arguments, the last of which may be a whole command for a machine.
    pub fn leasehold(&self, arguments: &str, last: &[&str]) -> Command {
        let mut command = self.command(&binary("leasehold"));
        command.args(arguments.split_whitespace()).args(last);
        command.env("LEASEHOLD_MARKET", "1").env("LEASEHOLD_HOME", self.path("leasehold"));
        command
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", &self.folder).env("NO_COLOR", "1").current_dir(&self.folder);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command that succeeds; returns its standard output.
    pub async fn ok(&self, arguments: &str, last: &[&str]) -> String {
        let output = ended(self.leasehold(arguments, last)).await;
        assert!(output.status.success(), "{arguments}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command that fails; returns its exit code and standard error.
    pub async fn fails(&self, arguments: &str) -> (Option<i32>, String) {
        let output = ended(self.leasehold(arguments, &[])).await;
        assert!(!output.status.success(), "{arguments} succeeds: {}", text(&output.stdout));
        (output.status.code(), text(&output.stderr))
    }

    /// `lease ray up` with the Ray that the machines have.
    pub fn up(&self) -> String {
        format!(
            "lease ray up 0:1 --ray-path {} --object-store-memory 80000000 --output json",
            self.ray.display()
        )
    }

    /// Submits a job to the dashboard at a local port; returns what it and Ray said.
    pub async fn submit(&self, port: u16, token: &Path, command: &[&str]) -> String {
        let mut submit = self.command(&self.ray.join("ray"));
        submit.env("RAY_ADDRESS", format!("http://127.0.0.1:{port}")).env("RAY_AUTH_MODE", "token");
        submit.env("RAY_AUTH_TOKEN_PATH", token).args(["job", "submit", "--"]).args(command);
        let output = ended(submit).await;
        text(&output.stdout) + &text(&output.stderr)
    }
}

pub async fn ended(mut command: Command) -> Output {
    timeout(LIMIT, command.output()).await.expect("the command ends").unwrap()
}
