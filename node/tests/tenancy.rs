//! From a lease to a shell: a node as a process, an RPC node that says what the chain says, and OpenSSH on both sides. Needs
//! root, `sshd` and `ssh`.

mod common;
#[path = "door/stage.rs"]
#[allow(dead_code, reason = "another test file uses the rest")]
mod stage;

use common::{Asker, keeper};
use leasehold::state::{Lease, SlotState};
use leasehold_client::access::host_alias;
use leasehold_client::invariants::Snapshot;
use leasehold_client::probe::{Challenge, Pubkey, SigningKey};
use leasehold_client::sample::rpc::{Reply, RpcServer, data};
use leasehold_client::sample::{change, lease, market, snapshot, wallet};
use leasehold_node::access::Entry;
use serde_json::json;
use stage::{Files, Host, Key, Session, Ssh, limited, now, until};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ROUND: u32 = 600;
const SERIAL: u32 = 1;

fn node_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

/// The chain: the machine in slot 0 is in a lease from the running round on.
struct Chain {
    server: RpcServer,
    market: Snapshot,
    from: u32,
}

impl Chain {
    fn new(key: &Key) -> Self {
        let (mut market, from) = (snapshot(), u32::try_from(now()).unwrap() / ROUND);
        change(&mut market.boards[0].data, |_, slots| {
            slots[0].node_key = node_key().verifying_key().to_bytes();
            slots[0].begin_lease(SERIAL, from, from + 100);
            slots[0].state = SlotState::Leased as u8;
        });
        market.boards[0].leases.truncate(1);
        market.boards[0].leases[0].1 = Lease { access: Some(key.hash), ..lease(SERIAL) };
        let server = RpcServer::start(&market, i64::try_from(now()).unwrap());
        Chain { server, market, from }
    }

    fn board(&self) -> Pubkey {
        self.market.boards[0].address
    }

    fn lease(&self) -> Pubkey {
        self.market.boards[0].leases[0].0
    }

    /// The machine's lease ends before that round.
    fn set_end(&mut self, rounds: u32) {
        let until = self.from + rounds;
        change(&mut self.market.boards[0].data, |_, slots| slots[0].lease_until = until);
        let board = &self.market.boards[0];
        self.server.set(board.address, leasehold::ID, board.data.bytes().to_vec());
    }

    fn set_lease(&mut self, change: impl FnOnce(&mut Lease)) {
        let (address, lease) = &mut self.market.boards[0].leases[0];
        change(lease);
        self.server.set(*address, leasehold::ID, data(lease));
    }

    /// The cluster's clock shows the end of so many rounds of the lease. Some hundred Solana slots pass.
    fn set_clock(&self, rounds: u32) {
        for _ in 0..300 {
            self.server.set_now(i64::from(self.from + rounds) * i64::from(ROUND));
        }
    }

    /// Whether the RPC node says what is finalized.
    fn set_finalizes(&self, finalizes: bool) {
        self.server.hook(move |_, params| {
            let is_finalized = params.to_string().contains("finalized");
            (is_finalized && !finalizes).then(|| Reply::error(-32_004, "Block not available for slot"))
        });
    }
}

/// A control group for the tenant, removed at the end; `None` if this host allows none.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let name = format!("leasehold-tenancy-{}", std::process::id());
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let paths = roots.iter().filter(|root| Path::new(root).join("cgroup.procs").exists());
        let made = paths
            .map(|root| Path::new(root).join(&name))
            .find(|path| fs::create_dir(path).is_ok() && path.join("cgroup.kill").exists());
        if made.is_none() {
            eprintln!(
                "not tested: /sys/fs/cgroup is no cgroup of version 2 in which this process can make groups"
            );
        }
        made.map(Group)
    }

    fn is_frozen(&self) -> bool {
        fs::read_to_string(self.0.join("cgroup.events")).is_ok_and(|events| events.contains("frozen 1"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        for _ in 0..500 {
            if fs::remove_dir(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// A folder with the node's configuration and its hooks.
struct Scene {
    /// First, so that nothing writes any more when the folder is removed.
    group: Group,
    files: Files,
    key: Key,
    chain: Chain,
}

impl Scene {
    async fn new() -> Option<Self> {
        let group = Group::new()?;
        let files = Files::new();
        let key = files.key("ed25519").await;
        let chain = Chain::new(&key);
        let scene = Scene { group, files, key, chain };
        scene.write_hooks();
        scene.write_config();
        Some(scene)
    }

    /// The begin hook waits for the file `go`, then starts a job in the tenant's group that counts.
    fn write_hooks(&self) {
        let [hooks, go, count, answer] = ["hooks", "go", "count", "answer"].map(|name| self.files.path(name));
        let Entry::Exec(enter) = stage::in_mount_namespace() else { unreachable!() };
        let group = self.group.0.display();
        fs::write(&answer, json!({ "enter": enter, "cgroup": self.group.0 }).to_string()).unwrap();
        let (hooks, go, count, answer) = (hooks.display(), go.display(), count.display(), answer.display());
        self.write_script(
            "begin",
            &format!(
                "echo \"begin $LEASEHOLD_LEASE slot $LEASEHOLD_SLOT wipe $LEASEHOLD_WIPE gpus $LEASEHOLD_GPUS\" >>{hooks}\n\
                 test -e \"$LEASEHOLD_DIR/sshd_config\"\n\
                 while [ ! -e {go} ]; do sleep 0.02; done\n\
                 mkdir -p {group}\n\
                 sh -c 'echo $$ >{group}/cgroup.procs; while :; do echo x >>{count}; sleep 0.02; done' >/dev/null 2>&1 &\n\
                 cat {answer}"
            ),
        );
        self.write_script(
            "end",
            &format!(
                "echo \"end $LEASEHOLD_LEASE $(grep populated {group}/cgroup.events)\" >>{hooks}\n\
                 rm -f {count}"
            ),
        );
    }

    fn write_script(&self, name: &str, text: &str) {
        let path = self.files.path(name);
        fs::write(&path, format!("#!/bin/sh\nset -eu\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    }

    fn write_config(&self) {
        let text = format!(
            "program = \"{}\"\nmarket = \"{}\"\nboard = \"{}\"\n\
             [[machine]]\nslot = 0\ngeneration = 0\nseed = \"{}\"\n\
             [chain]\nrpc = \"{}\"\nsupplier = \"{}\"\npoll_secs = 1\n\
             [access]\nbegin = \"begin\"\nend = \"end\"\nstate = \"state\"\nkey_command = \"{}\"\n\
             [[access.machine]]\nslot = 0\ngpus = [\"0\", \"1\"]\n",
            leasehold::ID,
            market().address,
            self.chain.board(),
            hex::encode(node_key().to_bytes()),
            self.chain.server.url,
            market().supplier(&wallet(0)),
            env!("CARGO_BIN_EXE_leasehold-authorized-keys"),
        );
        let path = self.files.path("node.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn hooks(&self) -> Vec<String> {
        let text = fs::read_to_string(self.files.path("hooks")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn count(&self) -> u64 {
        fs::metadata(self.files.path("count")).map_or(0, |file| file.len())
    }

    async fn works_on(&self) {
        let before = self.count();
        until(|| self.count() > before).await;
    }

    fn ssh(&self, node: &Daemon, epoch: u32) -> Ssh {
        let alias = host_alias(0, SERIAL, epoch, 0, &self.chain.lease());
        Ssh::new(&self.files, &self.key, node.ssh, Host { slot: 0, alias, node_key: node_key() })
    }

    /// Logs in as soon as the machine lets anybody in.
    async fn session(&self, node: &Daemon, epoch: u32) -> Session {
        limited(async {
            while !self.ssh(node, epoch).gets_in().await {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        })
        .await;
        self.ssh(node, epoch).session().await
    }

    fn challenge(&self) -> Challenge {
        Challenge {
            program: leasehold::ID,
            market: market().address,
            board: self.chain.board(),
            slot: 0,
            generation: 0,
            ..common::challenge(0)
        }
    }

    /// True if the machine gets a challenge and answers it.
    async fn is_probed(&self, node: &Daemon) -> bool {
        let asker = Asker::new("127.0.0.1:0", node.probes).await;
        let of = |outcome: &str| format!("leasehold_node_datagrams_total{{outcome=\"{outcome}\"}}");
        let counts = || async { [node.metric(&of("answered")).await, node.metric(&of("unprepared")).await] };
        let before = counts().await;
        asker.send(&self.challenge().sign(&keeper()).unwrap()).await;
        limited(async {
            loop {
                let [answered, unprepared] = counts().await;
                if answered > before[0] || unprepared > before[1] {
                    return answered > before[0];
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await
    }
}

/// The node. Killed at the end of the test.
struct Daemon {
    child: Child,
    probes: SocketAddr,
    metrics: String,
    ssh: SocketAddr,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    fn start(scene: &Scene) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_leasehold-node"))
            .args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--config"])
            .arg(scene.files.path("node.toml"))
            .stdout(Stdio::piped())
            .stderr(fs::OpenOptions::new().create(true).append(true).open(scene.files.path("log")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut after = |mark: &str| {
            let line = lines.next().and_then(Result::ok).unwrap_or_else(|| {
                panic!("no line with {mark}: {}", fs::read_to_string(scene.files.path("log")).unwrap())
            });
            line.split_once(mark).unwrap_or_else(|| panic!("{line}")).1.to_owned()
        };
        let (probes, metrics) = (after("listening on "), after("metrics on "));
        let ssh = after("SSH for slot 0 of board ");
        let ssh = ssh.rsplit_once(" on ").unwrap().1.parse().unwrap();
        Daemon { child, probes: probes.parse().unwrap(), metrics, ssh }
    }

    /// Value of a metric.
    async fn metric(&self, name: &str) -> u64 {
        let text = reqwest::get(&self.metrics).await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
    }

    /// Waits until the machine's tenancy is in a state.
    async fn reaches(&self, state: &str) {
        let wanted = format!("state=\"{state}\"}} 1");
        limited(async {
            while !reqwest::get(&self.metrics).await.unwrap().text().await.unwrap().contains(&wanted) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_tenant_gets_in_when_its_machine_is_prepared_and_nothing_is_left_after_its_lease() {
    let Some(mut scene) = Scene::new().await else { return };
    let lease = scene.chain.lease();

    // Before the begin hook has succeeded no probe is answered and nobody is let in.
    let node = Daemon::start(&scene);
    until(|| !scene.hooks().is_empty()).await;
    assert!(!scene.is_probed(&node).await);
    assert!(!scene.ssh(&node, 0).gets_in().await);
    fs::write(scene.files.path("go"), "").unwrap();
    let session = scene.session(&node, 0).await;
    assert!(scene.is_probed(&node).await);
    assert_eq!(scene.hooks(), [format!("begin {lease} slot 0 wipe 1 gpus 0,1")]);

    // A node that is killed finds its tenant again, whose job went on, and runs no hook.
    drop(node);
    scene.works_on().await;
    let node = Daemon::start(&scene);
    session.gets_cut().await;
    let session = scene.session(&node, 0).await;
    assert_eq!(scene.hooks().len(), 1);

    // Another key, or the same one in another epoch, cuts the session; the job goes on.
    scene.chain.set_lease(|lease| lease.access_epoch = 1);
    session.gets_cut().await;
    let mut session = scene.session(&node, 1).await;
    assert!(!scene.ssh(&node, 0).gets_in().await, "the former epoch's host key is gone");
    assert!(session.echoes().await);
    scene.works_on().await;

    // The end by the cluster's clock: cut and frozen, not wiped.
    scene.chain.set_finalizes(false);
    scene.chain.set_end(2);
    scene.chain.set_clock(2);
    session.gets_cut().await;
    until(|| scene.group.is_frozen()).await;
    let count = scene.count();
    assert!(!scene.ssh(&node, 1).gets_in().await);
    assert_eq!(scene.hooks().len(), 1, "the end is not final");

    // An extension in the last second, seen afterwards: the job goes on.
    scene.chain.set_end(50);
    let session = scene.session(&node, 1).await;
    until(|| scene.count() > count).await;

    // The end, finalized: all is killed before the end hook, which runs once.
    scene.chain.set_clock(50);
    session.gets_cut().await;
    until(|| scene.group.is_frozen()).await;
    assert_eq!(scene.hooks().len(), 1);
    scene.chain.set_finalizes(true);
    node.reaches("free").await;
    assert_eq!(scene.hooks()[1..], [format!("end {lease} populated 0")]);
    let record = fs::read_dir(scene.files.path("state")).unwrap().flatten().map(|entry| entry.path());
    let record = record.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "json")).unwrap();
    assert!(fs::read_to_string(record).unwrap().contains("\"clean\""));
    let doors = fs::read_dir(scene.files.path("state/doors")).unwrap().flatten();
    assert!(doors.into_iter().all(|entry| !entry.path().join("sshd_config").exists()), "host keys are gone");
    assert!(scene.is_probed(&node).await, "a machine without a lease answers");
}
