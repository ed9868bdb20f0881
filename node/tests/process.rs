//! The node as a process: configuration file, flags and signals.

mod common;

use common::*;
use leasehold_client::probe::Challenge;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_leasehold-node");

/// Killed at the end of the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    fn start(config: &Path, flags: &[&str]) -> (Self, SocketAddr) {
        Self::start_with_log(config, flags, Stdio::null())
    }

    fn start_with_log(config: &Path, flags: &[&str], log: Stdio) -> (Self, SocketAddr) {
        let mut child = Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0"])
            .args(flags)
            .env("LEASEHOLD_NODE_CONFIG", config)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
        (Self(child), address)
    }

    fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the node does not stop");
    }
}

fn write_config(path: &Path, slots: std::ops::Range<u32>) {
    let mut text = format!("program = \"{PROGRAM}\"\nmarket = \"{MARKET}\"\nboard = \"{BOARD}\"\n");
    for slot in slots {
        let seed = hex::encode(machine(slot).key.to_bytes());
        text += &format!("[[machine]]\nslot = {slot}\ngeneration = 1\nseed = \"{seed}\"\n");
    }
    std::fs::write(path, text).unwrap();
}

/// A reload takes a moment.
async fn is_answered_soon(asker: &Asker, slot: u32) -> bool {
    for _ in 0..5 {
        if asker.is_answered(&challenge(slot)).await {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn sighup_reloads_and_sigterm_stops() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.toml");
    write_config(&config, 0..1);
    let (mut daemon, address) = Daemon::start(&config, &[]);
    let asker = Asker::new("127.0.0.1:0", address).await;
    assert!(asker.is_answered(&challenge(0)).await);
    asker.send(&datagram(&challenge(1))).await;
    assert!(asker.hears_nothing().await);

    write_config(&config, 0..2);
    daemon.signal("HUP");
    assert!(is_answered_soon(&asker, 1).await);

    // A mistake in the file leaves everything as it was.
    std::fs::write(&config, "machines = oops").unwrap();
    daemon.signal("HUP");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(asker.is_answered(&challenge(0)).await);
    assert!(asker.is_answered(&challenge(1)).await);

    daemon.signal("TERM");
    assert_eq!(daemon.exit_code(), Some(0));
}

#[tokio::test]
async fn sighup_never_ends_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.toml");
    write_config(&config, 0..1);
    let (mut daemon, address) = Daemon::start(&config, &[]);
    // Whoever read the first lines has gone, as a terminal that was closed.
    drop(daemon.0.stdout.take());
    for _ in 0..50 {
        daemon.signal("HUP");
    }
    assert!(Asker::new("127.0.0.1:0", address).await.is_answered(&challenge(0)).await);
    daemon.signal("TERM");
    // Too late for a reload, and no reason to die of it.
    while daemon.0.try_wait().unwrap().is_none() {
        daemon.signal("HUP");
    }
    assert_eq!(daemon.exit_code(), Some(0));
}

#[tokio::test]
async fn what_does_not_fit_is_told_once_and_by_keepers_only() {
    let folder = tempfile::tempdir().unwrap();
    let (config, log) = (folder.path().join("node.toml"), folder.path().join("node.log"));
    write_config(&config, 0..2);
    let (mut daemon, address) =
        Daemon::start_with_log(&config, &[], std::fs::File::create(&log).unwrap().into());
    let asker = Asker::new("127.0.0.1:0", address).await;
    let listed_anew = |slot| Challenge { generation: 2, ..challenge(slot) };
    let mut forged = datagram(&listed_anew(1));
    forged[255] ^= 1;
    for _ in 0..5 {
        asker.send(&forged).await;
        asker.send(&datagram(&listed_anew(0))).await;
        asker.send(&datagram(&Challenge { market: BOARD, ..challenge(0) })).await;
    }
    // Whatever was received before this is worked off before the node stops.
    assert!(asker.is_answered(&challenge(0)).await);
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code(), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    let told: Vec<_> = log.lines().filter(|line| line.contains("no answer to keeper")).collect();
    let keeper = public(&keeper()).to_string();
    let generation = told.iter().filter(|line| {
        line.contains(&format!("generation 2 of slot 0 of board {BOARD}"))
            && line.contains("`generation = 1`")
    });
    assert_eq!((told.len(), generation.count()), (2, 1), "{log}");
    assert!(told.iter().all(|line| line.contains(&keeper)), "{log}");
}

#[tokio::test]
async fn a_second_node_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.toml");
    write_config(&config, 0..1);
    let (daemon, address) = Daemon::start(&config, &[]);
    let refusal = |config: &Path, listen: &str| {
        let output = Command::new(BINARY)
            .args(["--config", config.to_str().unwrap(), "--listen", listen])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap().lines().last().unwrap().to_owned()
    };
    let same = refusal(&config, "127.0.0.1:0");
    assert!(same.contains("another leasehold-node runs with") && same.contains("stop it first"), "{same}");
    let copy = folder.path().join("copy.toml");
    std::fs::copy(&config, &copy).unwrap();
    let address = refusal(&copy, &address.to_string());
    assert!(address.contains("another process, perhaps a second node, listens there"), "{address}");

    // An editor writes a new file, which is the node's from the next reload on.
    let edited = folder.path().join("edited.toml");
    std::fs::copy(&config, &edited).unwrap();
    std::fs::rename(&edited, &config).unwrap();
    daemon.signal("HUP");
    let file = std::fs::File::open(&config).unwrap();
    until(|| {
        let free = file.try_lock().is_ok();
        file.unlock().unwrap();
        !free
    })
    .await;
}

#[tokio::test]
async fn sigint_stops_and_keepers_given_as_flags_override_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.toml");
    write_config(&config, 0..1);
    let other = BOARD.to_string();
    let (mut daemon, address) = Daemon::start(&config, &["--keepers", &other]);
    let asker = Asker::new("127.0.0.1:0", address).await;
    asker.send(&datagram(&challenge(0))).await;
    assert!(asker.hears_nothing().await);
    daemon.signal("INT");
    assert_eq!(daemon.exit_code(), Some(0));

    let both = format!("{other},{}", public(&keeper()));
    let (_daemon, address) = Daemon::start(&config, &["--keepers", &both]);
    assert!(Asker::new("127.0.0.1:0", address).await.is_answered(&challenge(0)).await);
}

#[test]
fn a_mistake_is_one_sentence_and_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.toml");
    write_config(&config, 0..1);
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let config = config.to_str().unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["--config", "/does/not/exist"], "check the path"),
        (&["--config", config, "--listen", &taken], "choose another address or port"),
        (
            &["--config", config, "--listen", "127.0.0.1:0", "--metrics", "0.0.0.0:0"],
            "choose a loopback address",
        ),
        (&["--config", config, "--log", "=="], "is not a filter"),
    ];
    for (flags, sentence) in cases {
        let output = Command::new(BINARY).args(flags).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        let last = text.lines().last().unwrap();
        assert!(last.starts_with("leasehold-node: ") && last.contains(sentence), "{text}");
    }
}

/// A configuration file with a section `[chain]` whose RPC node can't be reached, and an operator's key.
fn write_chain(folder: &Path, chain: &str, more: &str) -> std::path::PathBuf {
    let bytes = machine(0).key.to_keypair_bytes().to_vec();
    std::fs::write(folder.join("operator.json"), serde_json::to_string(&bytes).unwrap()).unwrap();
    let config = folder.join("node.toml");
    let section = format!("[chain]\nrpc = \"http://127.0.0.1:1\"\nsupplier = \"{BOARD}\"\n{chain}{more}");
    std::fs::write(&config, section).unwrap();
    config
}

#[tokio::test]
async fn leases_are_followed_without_receipts() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_chain(folder.path(), "", "");
    let mut child = Command::new(BINARY)
        .args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--config"])
        .arg(&config)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut node = Daemon(child);
    let url = lines.find_map(|line| line.strip_prefix("metrics on ").map(str::to_owned)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let metrics = reqwest::get(&url).await.unwrap().text().await.unwrap();
        // The watch polls, and goes on although the RPC node can't be reached.
        let failed = metrics.lines().find_map(|line| line.strip_prefix("leasehold_node_polls_failed_total "));
        if failed.is_some_and(|failed| failed.parse::<u64>().unwrap() >= 2) {
            assert!(metrics.contains("leasehold_node_machines_leased 0\n"), "{metrics}");
            break;
        }
        assert!(Instant::now() < deadline, "{metrics}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    node.signal("TERM");
    assert_eq!(node.exit_code(), Some(0));
}

#[test]
fn receipts_on_the_chain_need_an_operator() {
    let folder = tempfile::tempdir().unwrap();
    let receipts = "[receipts]\ndatabase = \"receipts.db\"\nlisten = \"127.0.0.1:0\"\nsource = \"http://node.example\"\n";
    let refusal = |chain: &str| {
        let config = write_chain(folder.path(), chain, receipts);
        let args = ["--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()];
        let output = Command::new(BINARY).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap().lines().last().unwrap().to_owned()
    };
    assert!(refusal("").starts_with("leasehold-node: `operator` in [chain] is missing"), "{}", refusal(""));
    assert!(refusal("operator = \"none.json\"\n").contains("none.json"));
}
