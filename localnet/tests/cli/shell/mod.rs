//! From a lease to a shell: the command line with real `ssh`, `scp` and `sshd`, on a folder whose name is as odd as can be.

mod machine;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use leasehold_client::access;
use serde_json::Value;

use self::machine::Machine;
use crate::stage::{Stage, binary};

/// Spaces, quotes and what ssh and shells expand.
const HOME: &str = "my \"odd\" 100%h 'ho\\me'";

/// A lease of two machines that let its tenant in, as lease 0:1.
struct Leased {
    stage: Stage,
    machines: [Machine; 2],
    folder: tempfile::TempDir,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Leased {
    async fn new() -> Self {
        let leased = Self::listed().await;
        let opened = leased.ok("lease open --gpus 2 --for 2h --yes");
        assert!(opened.contains("Log in once it has begun: leasehold lease ssh 0:1 0\n"), "{opened}");
        leased.stage.pass(1).await;
        leased.stage.vote(1, &[]).await;
        leased.admit().await;
        leased
    }

    /// The machines are listed, and keepers have seen them.
    async fn listed() -> Self {
        let stage = Stage::new(&["supplier", "buyer", "friend"]).await;
        let folder = tempfile::tempdir().expect("a folder");
        let machines = [41, 42].map(|seed| Machine::new(folder.path(), seed));
        let rows = machines
            .iter()
            .map(|machine| format!("{},RTX 4090,1,3,DE,1,{},0.35\n", machine.node_key(), machine.endpoint));
        let head = "node_key,class,gpus,speed,country,region,endpoint,price\n".to_owned();
        fs::write(folder.path().join("machines.csv"), head + &rows.collect::<String>()).expect("a file");
        let leased = Leased { stage, machines, folder };
        for args in [
            "supplier register --yes",
            "supplier stake 5000 --yes",
            "machine list machines.csv --board 0 --for 30d --yes",
        ] {
            let done = leased.run_as("supplier", &words(args));
            assert!(done.status.success(), "{}", text(&done.stderr));
        }
        leased.stage.pass(1).await;
        leased.stage.vote(1, &[]).await;
        leased
    }

    fn command(&self, person: &str, args: &[&str]) -> Command {
        let mut command = Command::new(binary("leasehold"));
        command.args(args).envs(self.stage.env(person)).current_dir(self.folder.path());
        command.env("LEASEHOLD_HOME", self.home()).stdin(Stdio::null());
        command
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join(HOME)
    }

    fn run_as(&self, person: &str, args: &[&str]) -> Output {
        self.command(person, args).output().expect("it runs")
    }

    /// Runs a command that succeeds; returns both of its outputs, standard output first.
    fn ok(&self, args: &str) -> String {
        self.ok_with(&words(args))
    }

    fn ok_with(&self, args: &[&str]) -> String {
        let done = self.run_as("buyer", args);
        assert!(done.status.success(), "{args:?}: {}{}", text(&done.stderr), self.logs());
        text(&done.stdout) + &text(&done.stderr)
    }

    /// Runs a command that fails with that code; returns standard error.
    fn fails(&self, args: &str, code: i32) -> String {
        let done = self.run_as("buyer", &words(args));
        let error = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{args}: {}{error}{}", text(&done.stdout), self.logs());
        error
    }

    fn logs(&self) -> String {
        self.machines.iter().map(Machine::log).collect()
    }

    /// Lets in whom the lease names, as the node does.
    async fn admit(&self) {
        let (address, lease) = self.lease().await;
        for (machine, slot) in self.machines.iter().zip(0..) {
            let alias = access::host_alias(0, lease.serial, lease.access_epoch, slot, &address);
            machine.admit(&alias, &self.public(&lease.access.expect("a key")), slot);
        }
    }

    async fn lease(&self) -> (solana_pubkey::Pubkey, leasehold::state::Lease) {
        let leases = self.stage.fetch().leases(&self.stage.board().address).await.expect("the leases");
        let lease = leases.into_iter().find(|lease| lease.account.serial == 1).expect("the lease");
        (lease.address, lease.account)
    }

    /// The public key with this fingerprint, of those that the command line made.
    fn public(&self, fingerprint: &[u8; 32]) -> String {
        let keys = fs::read_dir(self.home().join("keys"))
            .expect("the keys")
            .map(|entry| entry.expect("a file").path());
        let publics = keys.map(|path| {
            let shown =
                Command::new("ssh-keygen").arg("-y").arg("-f").arg(path).output().expect("ssh-keygen");
            text(&shown.stdout)
        });
        let fits = |public: &String| {
            let key = ssh_key::PublicKey::from_openssh(public).expect("a key");
            access::fingerprint(&key.to_bytes().expect("its blob")) == *fingerprint
        };
        publics.into_iter().find(fits).expect("the key that the lease names").trim().to_owned()
    }

    fn config(&self) -> PathBuf {
        let lease = fs::read_dir(self.home().join("ssh")).expect("a folder").next().expect("a lease");
        lease.expect("an entry").path().join("config")
    }
}

fn words(args: &str) -> Vec<&str> {
    args.split_whitespace().collect()
}

/// The name under which this test logs in: without root, sshd lets nobody else in.
fn user() -> String {
    let user = Command::new("id").arg("-un").output().expect("id");
    text(&user.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_on_its_machine_by_one_command() {
    let leased = Leased::new().await;
    let user = user();
    let done = leased.run_as(
        "buyer",
        &["lease", "ssh", "0:1", "1", "-l", &user, "--", "echo", "slot $SLOT;", "exit", "7"],
    );
    assert_eq!((done.status.code(), &*text(&done.stdout)), (Some(7), "slot 1\n"), "{}", leased.logs());
    let several = leased.fails("lease ssh 0:1", 2);
    assert!(several.contains("the lease has 2 machines: name a slot of these: 0, 1"), "{several}");
    assert!(leased.fails("lease ssh 0:1 5", 2).contains("no machine of the lease is in slot 5"));

    // What would be run can be pasted into a shell, and has no key in it.
    let pasted =
        leased.ok_with(&["lease", "ssh", "0:1", "0", "-l", &user, "--dry-run", "--", "echo", "it's me"]);
    let shell = Command::new("sh").arg("-c").arg(&pasted).output().expect("sh");
    assert!(!pasted.contains("PRIVATE") && pasted.starts_with("ssh -F "), "{pasted}");
    // ssh joins the words, so that the shell there reads the quote.
    assert!(!shell.status.success());
    let pasted =
        leased.ok_with(&["lease", "ssh", "0:1", "0", "-l", &user, "--dry-run", "--", "echo", "\"it's me\""]);
    let shell = Command::new("sh").arg("-c").arg(&pasted).output().expect("sh");
    assert_eq!(text(&shell.stdout), "it's me\n", "{pasted}{}", text(&shell.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_another_lease_and_another_key_are_refused() {
    let leased = Leased::new().await;
    let (address, lease) = leased.lease().await;
    let alias = |epoch, slot| access::host_alias(0, 1, epoch, slot, &address);
    let public = leased.public(&lease.access.expect("a key"));
    let [first, _] = &leased.machines;
    let ssh = format!("lease ssh 0:1 0 -l {} -- true", user());
    leased.ok(&ssh);

    // Its own node_key, for the other machine, or for the lease before the key was changed.
    for wrong in [alias(0, 1), alias(1, 0)] {
        first.admit(&wrong, &public, 0);
        let error = leased.fails(&ssh, 255);
        assert!(error.contains("Host key verification failed"), "{error}");
    }
    // Another machine's node_key, at this machine's address.
    first.admit(&alias(0, 0), &public, 0);
    let impostor = Machine::new(&leased.folder.path().join("other"), 99);
    impostor.admit(&alias(0, 0), &public, 0);
    leased.ok(&ssh);
    let config = fs::read_to_string(leased.config()).expect("the configuration");
    let led = config.replace(
        &format!("Port {}\n", first.endpoint.port()),
        &format!("Port {}\n", impostor.endpoint.port()),
    );
    let led_astray = leased.folder.path().join("led");
    fs::write(&led_astray, led).expect("a file");
    let refused = Command::new("ssh")
        .arg("-F")
        .arg(&led_astray)
        .args(["-o", "BatchMode=yes", "lease-0-1-slot0", "true"])
        .output();
    let refused = refused.expect("ssh");
    assert!(text(&refused.stderr).contains("Host key verification failed"), "{}", text(&refused.stderr));

    // The machine lets somebody else in.
    let mine = leased.folder.path().join("mine");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&mine).status();
    assert!(made.expect("ssh-keygen").success());
    first.admit(&alias(0, 0), fs::read_to_string(mine.with_extension("pub")).expect("a key").trim(), 0);
    assert!(leased.fails(&ssh, 255).contains("Permission denied (publickey)"));
    leased.ok(&ssh.replace("0:1 0", "0:1 0 --identity mine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_on_all_machines_and_files_go_both_ways() {
    let leased = Leased::new().await;
    let user = user();
    let done = leased
        .run_as("buyer", &["lease", "run", "0:1", "-l", &user, "--", "echo on $SLOT; cat; test $SLOT = 0"]);
    assert_eq!(done.status.code(), Some(6), "{}{}", text(&done.stderr), leased.logs());
    let out = text(&done.stdout);
    let mut lines: Vec<_> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["lease-0-1-slot0 | on 0", "lease-0-1-slot1 | on 1"]);
    let error = text(&done.stderr);
    assert!(error.ends_with("leasehold: failed on 1 of 2: lease-0-1-slot1 (exit code 1)\n"), "{error}");

    let json = [
        "lease",
        "run",
        "0:1",
        "--slots",
        "1",
        "-l",
        &user,
        "--output",
        "json",
        "--",
        "printf '\\033[2Jx'; exit 3",
    ];
    let done = leased.run_as("buyer", &json);
    let ends: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(
        (&ends[0]["exit_code"], &ends[0]["slot"], &ends[0]["stdout"]),
        (&3.into(), &1.into(), &"\u{1b}[2Jx".into())
    );
    assert_eq!((done.status.code(), ends.as_array().map(Vec::len)), (Some(6), Some(1)));

    let name = "a:b 'c' %d";
    fs::write(leased.folder.path().join(name), "hello").expect("a file");
    let all = leased.folder.path().join("all of them");
    let copied = leased.ok_with(&["lease", "copy", "0:1", name, &format!(":{}", all.display()), "-l", &user]);
    assert!(copied == "Copied to 2 machines\n" && fs::read_to_string(all).expect("the copy") == "hello");
    let there = leased.machines.each_ref().map(|machine| machine.home().join("d"));
    let file = there[0].display().to_string();
    leased.ok_with(&["lease", "copy", "0:1:0", name, &format!(":{file}"), "-l", &user]);
    assert!(fs::read_to_string(&there[0]).expect("the copy") == "hello" && !there[1].exists());
    leased.ok_with(&["lease", "copy", "0:1", &format!(":{file}"), "back", "-l", &user]);
    for slot in ["lease-0-1-slot0", "lease-0-1-slot1"] {
        let copy = leased.folder.path().join("back").join(slot).join("d");
        assert_eq!(fs::read_to_string(copy).expect("the copy"), "hello", "both are on this computer");
    }
    let missing = leased.run_as("buyer", &["lease", "copy", "0:1", ":/no/such", "x", "-l", &user]);
    assert!(
        missing.status.code() == Some(6) && text(&missing.stderr).contains("No such file"),
        "{}",
        text(&missing.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_that_check_no_host_keys_go_through_a_session_that_does() {
    let leased = Leased::new().await;
    let user = user();
    // Ssh's own format, as people include it.
    let printed =
        leased.ok_with(&["lease", "connect", "0:1", "--format", "ssh", "-l", &user, "--allow-private"]);
    let included = leased.folder.path().join("included");
    fs::write(&included, printed.split("leasehold: ").next().expect("a file")).expect("a file");
    let mine = leased.folder.path().join("config");
    fs::write(&mine, format!("Include {}\nHost *\n    StrictHostKeyChecking no\n", included.display()))
        .expect("a file");
    let ssh = |config: &Path, more: &[&str], host: &str| {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F")
            .arg(config)
            .args(["-o", "BatchMode=yes"])
            .args(more)
            .args([host, "echo", "on", "$SLOT"]);
        let done = ssh.output().expect("ssh");
        (text(&done.stdout), text(&done.stderr))
    };
    assert_eq!(ssh(&mine, &[], "lease-0-1-slot1").0, "on 1\n");

    let none = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
    let (out, error) = ssh(&leased.config(), &none, "lease-0-1-slot1-through");
    // The inner server has an environment of its own, so the machine is known by what it keeps there.
    assert_eq!(out, "on\n", "{error}{}", leased.logs());
    let served = leased.machines.each_ref().map(|machine| machine.home().join(".leasehold/host"));
    assert!(served[1].is_file() && !served[0].exists());
    // An impostor is noticed by the session outside.
    let (address, lease) = leased.lease().await;
    let public = leased.public(&lease.access.expect("a key"));
    leased.machines[1].admit(&access::host_alias(0, 1, 0, 0, &address), &public, 1);
    let (out, error) = ssh(&leased.config(), &none, "lease-0-1-slot1-through");
    assert!(out.is_empty() && error.contains("Host key verification failed"), "{error}");
    leased.admit().await;

    // A free port of 127.0.0.2, which nothing else of these tests takes.
    let port = std::net::TcpListener::bind("127.0.0.2:0")
        .expect("a port")
        .local_addr()
        .expect("it")
        .port()
        .to_string();
    let mut forward = leased.command("buyer", &["lease", "forward", "0:1", "--port", &port, "-l", &user]);
    let mut forward = forward.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(forward.stdout.take().expect("its output")).lines();
    let said: Vec<_> = lines.by_ref().take(4).map(|line| line.expect("a line")).collect();
    assert!(said[1].starts_with("lease-0-1-slot0") && said[1].contains("127.0.0.2"), "{said:?}");
    let key =
        fs::read_dir(leased.home().join("keys")).expect("the keys").next().expect("one").expect("it").path();
    // ssh expands such a path on its command line.
    let plain = leased.folder.path().join("plain");
    fs::copy(&key, &plain).expect("a copy");
    let mut through = Command::new("ssh");
    through
        .args(["-F", "/dev/null", "-o", "BatchMode=yes", "-p", &port, "-l", &user, "-i"])
        .arg(&plain)
        .args(none);
    fs::remove_file(&served[1]).expect("its key");
    let through = through.args(["127.0.0.3", "echo", "on"]).output().expect("ssh");
    assert!(served[1].is_file() && !served[0].exists());
    assert_eq!(text(&through.stdout), "on\n", "{}{}", text(&through.stderr), leased.logs());
    let interrupt = Command::new("kill").args(["-INT", &forward.id().to_string()]).status();
    assert!(interrupt.expect("kill").success() && forward.wait().expect("its end").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_command_on_all_machines() {
    let leased = Leased::new().await;
    let user = user();
    let args = ["lease", "run", "0:1", "-l", &user, "--", "sleep 100000 & echo $!; wait"];
    let mut running = leased.command("buyer", &args).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(running.stdout.take().expect("its output")).lines();
    let pids: Vec<String> = lines
        .by_ref()
        .take(2)
        .map(|line| line.expect("a line").rsplit(' ').next().expect("a number").to_owned())
        .collect();
    let interrupt = Command::new("kill").args(["-INT", &running.id().to_string()]).status();
    assert!(interrupt.expect("kill").success());
    assert_eq!(running.wait().expect("its end").code(), Some(6));
    let runs = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.contains("(sleep)") && !stat.contains(") Z")
    };
    tokio::time::timeout(std::time::Duration::from_secs(120), async {
        while pids.iter().any(|pid| runs(pid)) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("they end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_the_only_one_that_is_let_in() {
    let leased = Leased::new().await;
    let ssh = format!("lease ssh 0:1 0 -l {} -- true", user());
    let (address, before) = leased.lease().await;
    let kept = fs::read(leased.home().join("keys").join(address.to_string())).expect("the key");
    leased.ok("lease access 0:1 --yes");
    let (_, after) = leased.lease().await;
    assert!(after.access_epoch == 1 && after.access != before.access && after.data_epoch == 0);
    // The machine has not seen it yet: its certificate is for the epoch before.
    assert!(leased.fails(&ssh, 255).contains("Host key verification failed"));
    leased.admit().await;
    leased.ok(&ssh);
    let keys = fs::read_dir(leased.home().join("keys")).expect("the keys").count();
    assert_eq!(keys, 1, "the old key is removed");

    let old = leased.folder.path().join("old");
    fs::write(&old, kept).expect("a file");
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode");
    assert!(leased.fails(&ssh.replace("0:1 0", "0:1 0 --identity old"), 255).contains("Permission denied"));

    leased.ok("lease access 0:1 --none --wipe --yes");
    let (_, none) = leased.lease().await;
    assert!(none.access.is_none() && none.data_epoch == 2);
    let nobody = leased.fails(&ssh, 3);
    assert!(nobody.contains(
        "names no key, so its machines let nobody in: let a new key in by `leasehold lease access 0:1`"
    ));

    // Whoever it is given to decides about the data.
    let friend = leased.stage.address("friend").to_string();
    leased.ok_with(&["lease", "access", "0:1", "--yes"]);
    leased.ok_with(&["lease", "transfer", "0:1", &friend, "--yes"]);
    let shown = leased.run_as("friend", &["lease", "access", "0:1", "--dry-run"]);
    assert!(
        text(&shown.stderr).contains("Data:      WIPED: all that is on the machines"),
        "{}",
        text(&shown.stderr)
    );
    let kept = leased.run_as("friend", &["lease", "access", "0:1", "--keep", "--yes"]);
    assert!(kept.status.success(), "{}", text(&kept.stderr));
    let (_, given) = leased.lease().await;
    assert!(given.access.is_some() && given.data_epoch == 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_tenant_out_is_said_in_a_sentence() {
    let leased = Leased::listed().await;
    let keys = || fs::read_dir(leased.home().join("keys")).map_or(0, Iterator::count);
    leased.fails("lease open --gpus 2 --for 2h", 4);
    leased.ok("lease open --gpus 2 --for 2h --dry-run");
    assert_eq!(keys(), 0, "no key is left behind by what opened nothing");
    leased.ok("lease open --gpus 2 --for 2h --yes");
    assert_eq!(keys(), 1);
    let early = leased.fails("lease ssh 0:1 0", 3);
    assert!(early.contains("lease 0:1 begins at 2030-01-01T00:30:00Z, in "), "{early}");
    leased.stage.pass(1).await;
    leased.stage.vote(1, &[0]).await;

    let key =
        fs::read_dir(leased.home().join("keys")).expect("the keys").next().expect("one").expect("it").path();
    let away = leased.folder.path().join("away");
    fs::rename(&key, &away).expect("a file");
    let lost = leased.fails("lease ssh 0:1 0", 2);
    assert!(lost.contains("is neither in") && lost.contains("pass --identity FILE"), "{lost}");
    fs::rename(&away, &key).expect("a file");
    let wrong = leased.fails("lease ssh 0:1 0 --identity nowhere", 2);
    assert!(wrong.contains("nowhere does not exist: name the private key"), "{wrong}");

    let without = leased
        .command("buyer", &["lease", "ssh", "0:1", "0"])
        .env("PATH", "/nowhere")
        .output()
        .expect("it runs");
    assert_eq!(without.status.code(), Some(2));
    assert!(
        text(&without.stderr).contains("ssh is not installed: install OpenSSH's client"),
        "{}",
        text(&without.stderr)
    );

    let Leased { machines, .. } = &leased;
    let checked = leased.ok("lease connect 0:1 --allow-private --check-port --output json");
    let json: Value = serde_json::from_str(checked.split("leasehold: ").next().expect("JSON")).expect("JSON");
    assert_eq!((&json[0]["answers"], &json[0]["port"]), (&true.into(), &machines[0].endpoint.port().into()));
    assert_eq!(json[0]["identity_file"], key.display().to_string());
    let shown = leased.ok("lease show 0:1 --check-port");
    assert!(shown.contains("SLOT  ANSWERS  CLASS") && shown.contains("   0  yes      RTX 4090"), "{shown}");

    let port = machines[0].endpoint;
    let Leased { machines, stage, folder } = leased;
    drop(machines);
    // Nothing listens there any more.
    let mut command = Command::new(binary("leasehold"));
    command
        .args(["lease", "ssh", "0:1", "0"])
        .envs(stage.env("buyer"))
        .env("LEASEHOLD_HOME", folder.path().join(HOME));
    let deaf = command.output().expect("it runs");
    let error = text(&deaf.stderr);
    let expected = format!(
        "the machine in slot 0 accepts no connection at {port}, and keepers saw it down in the last closed round: try again"
    );
    assert!(deaf.status.code() == Some(3) && error.contains(&expected), "{error}");
}
