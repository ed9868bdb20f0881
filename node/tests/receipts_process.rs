//! The node as a process with receipts: killed while it works, stopped in order, given other leases.

mod support;

use leasehold_client::record::SignedReceipt;
use leasehold_node::leases::RunningLease;
use leasehold_node::receipts::Store;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use support::upstream::{Script, Upstream, WORDS};
use support::*;
use tokio::sync::mpsc;

/// A daemon with its configuration in a folder.
struct Daemon {
    child: Child,
    local: String,
    public: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_leases(folder: &Path, leases: &[(u16, RunningLease)]) {
    let entries = leases.iter();
    let entries =
        entries.map(|(slot, lease)| json!({"board": BOARD.to_string(), "slot": slot, "lease": lease}));
    std::fs::write(folder.join("leases.json"), json!(entries.collect::<Vec<_>>()).to_string()).unwrap();
}

fn write_config(folder: &Path) -> PathBuf {
    std::fs::write(folder.join("tiny.json"), "{\"weights\": \"none\"}").unwrap();
    let mut text = format!("program = \"{BOARD}\"\nmarket = \"{BOARD}\"\nboard = \"{BOARD}\"\n");
    for slot in 0..2 {
        let seed = hex::encode(machine(slot).key.to_bytes());
        text += &format!("[[machine]]\nslot = {slot}\ngeneration = 1\nseed = \"{seed}\"\n");
    }
    text += "[receipts]\ndatabase = \"receipts.db\"\nlisten = \"127.0.0.1:0\"\npublic = \"127.0.0.1:0\"\n\
        source = \"https://node.example/\"\nexposure_limit = 1000\nleases = \"leases.json\"\nslot = 0\n\
        price_in = 1000000\nprice_out = 2000000\n\
        [[receipts.model]]\nname = \"tiny\"\nmanifest = \"tiny.json\"\n";
    let path = folder.join("node.toml");
    std::fs::write(&path, text).unwrap();
    path
}

impl Daemon {
    fn start(folder: &Path, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_leasehold-node"))
            .args(["--listen", "127.0.0.1:0", "--config"])
            .arg(write_config(folder))
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut after =
            |start: &str| lines.find_map(|line| line.strip_prefix(start).map(str::to_owned)).unwrap();
        let local = after("receipts on ");
        let public = after("receipts for everybody on ");
        Self { child, local, public }
    }

    fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    async fn ended(&mut self) -> ExitStatus {
        let patience = Instant::now() + Duration::from_secs(20);
        while Instant::now() < patience {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the daemon does not stop");
    }
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Reports answers until the daemon is gone; sends on every receipt that came back.
async fn load(url: String, slot: u32, returned: mpsc::UnboundedSender<SignedReceipt>) {
    let http = http();
    while let Ok(response) = http.post(&url).json(&report(slot, 1)).send().await {
        let status = response.status();
        let Ok(answer) = response.json::<Value>().await else { return };
        assert_eq!(status, 200, "{answer}");
        returned.send(receipt_of(&answer)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_has_every_receipt_it_returned_and_gives_no_number_twice() {
    let folder = tempfile::tempdir().unwrap();
    write_leases(folder.path(), &[(0, lease(1)), (1, lease(2))]);
    let (sender, mut receiver) = mpsc::unbounded_channel();
    // Everything that any of the processes handed out.
    let mut returned: BTreeMap<(u32, u64), SignedReceipt> = BTreeMap::new();
    for kill_after in [150, 40, 300, 90] {
        let mut daemon = Daemon::start(folder.path(), &[]);
        let url = format!("{}/v1/receipts", daemon.local);
        let clients = (0..16).map(|client| tokio::spawn(load(url.clone(), client % 2, sender.clone())));
        let clients = clients.collect::<Vec<_>>();
        // Counted from the first receipt on, so that there is always something under way.
        let mut took = vec![receiver.recv().await.unwrap()];
        tokio::time::sleep(Duration::from_millis(kill_after)).await;
        daemon.child.kill().unwrap();
        assert!(!daemon.ended().await.success());
        for client in clients {
            client.await.unwrap();
        }
        took.extend(std::iter::from_fn(|| receiver.try_recv().ok()));
        for signed in took {
            let number = (signed.receipt.lease, signed.receipt.seq);
            assert_eq!(returned.insert(number, signed), None, "{number:?} was given twice");
        }
    }
    assert!(returned.len() > 50, "{} receipts are no load", returned.len());

    let store = Store::open(&folder.path().join("receipts.db")).await.unwrap();
    for signed in returned.values() {
        assert_eq!(store.receipt(&signed.id()).await.unwrap().unwrap().signed, *signed);
    }
    for slot in 0..2 {
        let serial = slot + 1;
        let batch = store.seal(&key(slot), "https://a", u32::MAX).await.unwrap().unwrap();
        let kept = store.batch_receipts(&batch.key).await.unwrap().unwrap();
        let tab = store.tab(&key(slot), serial).await.unwrap().unwrap();
        assert_eq!((kept.len() as u64, kept.len() as u64), (tab.seq, tab.price));
        // Signed but not returned is no harm, as long as no number has two receipts.
        let numbers: BTreeSet<_> = kept.iter().map(|signed| signed.receipt.seq).collect();
        assert_eq!(numbers, (0..tab.seq).collect());
        kept.iter().for_each(|signed| signed.verify().unwrap());
    }
}

#[tokio::test]
async fn sigterm_lets_answers_under_way_come_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    write_leases(folder.path(), &[(0, metered(1, 1_000))]);
    let upstream = Upstream::start().await;
    upstream.play(Script { pace: Duration::from_millis(150), ..Script::default() });
    let mut daemon = Daemon::start(folder.path(), &["--upstream", &format!("http://{}", upstream.address)]);
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let body = json!({"model": "tiny", "stream": true, "max_tokens": 6, "messages": messages});
    let url = format!("{}/v1/chat/completions", daemon.public);
    let request = http().post(&url).bearer_auth(api_key(&metered(1, 1_000)));
    let response = request.json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    daemon.signal("TERM");
    let stream = response.text().await.unwrap();
    assert!(WORDS.iter().all(|word| stream.contains(word)), "{stream}");
    let receipt = stream.lines().find_map(|line| line.strip_prefix(": leasehold-receipt ")).unwrap();
    let signed = SignedReceipt::from_base64(receipt.split(' ').next().unwrap()).unwrap();
    assert!(stream.ends_with("data: [DONE]\n\n"));
    assert!(daemon.ended().await.success());
    assert!(http().post(&url).json(&body).send().await.is_err());

    let store = Store::open(&folder.path().join("receipts.db")).await.unwrap();
    assert_eq!(store.receipt(&signed.id()).await.unwrap().unwrap().signed, signed);
}

#[tokio::test]
async fn sighup_reads_the_leases_again() {
    let folder = tempfile::tempdir().unwrap();
    write_leases(folder.path(), &[]);
    let mut daemon = Daemon::start(folder.path(), &[]);
    let (http, url) = (http(), format!("{}/v1/receipts", daemon.local));
    let status = async || http.post(&url).json(&report(0, 1)).send().await.unwrap().status().as_u16();
    assert_eq!(status().await, 409);
    write_leases(folder.path(), &[(0, lease(1))]);
    daemon.signal("HUP");
    let mut answered = 0;
    for _ in 0..100 {
        answered = status().await;
        if answered == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(answered, 200);
    // A mistake in the file leaves everything as it was.
    std::fs::write(folder.path().join("leases.json"), "[{}]").unwrap();
    daemon.signal("HUP");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(status().await, 200);
    daemon.signal("INT");
    assert!(daemon.ended().await.success());
}

#[test]
fn a_mistake_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path());
    let good = std::fs::read_to_string(&config).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let holder = std::net::TcpListener::bind(taken).unwrap();
    let listen = format!("listen = \"{taken}\"");
    let cases = [
        (("leases.json", "none.json"), "check the path"),
        (("https://node.example/", "node.example"), "correct source"),
        (("https://node.example/", &"https://a.example/x".repeat(9)), "use a shorter URL"),
        (("tiny.json", "none.json"), "check the path"),
        (("database = \"receipts.db\"", "database = \"no/receipts.db\""), "who may write there"),
        (("listen = \"127.0.0.1:0\"", listen.as_str()), "choose another address or port"),
        (("exposure_limit", "exposure"), "unknown field `exposure`"),
        (("slot = 0\nprice", "upstream = \"ftp://x\"\nprice"), "correct upstream"),
        (
            (
                "[[receipts.model]]\n",
                "[[receipts.model]]\nname = \"tiny\"\nmanifest = \"tiny.json\"\n[[receipts.model]]\n",
            ),
            "given twice",
        ),
    ];
    for ((from, to), sentence) in cases {
        write_leases(folder.path(), &[]);
        assert!(good.contains(from), "{from}");
        std::fs::write(&config, good.replacen(from, to, 1)).unwrap();
        refused(&config, &[], sentence);
    }
    drop(holder);
    std::fs::write(&config, good.split("[receipts]").next().unwrap()).unwrap();
    refused(&config, &["--upstream", "http://127.0.0.1:1"], "which --upstream needs");
}

fn refused(config: &Path, flags: &[&str], sentence: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold-node"));
    command.args(["--listen", "127.0.0.1:0", "--config"]).arg(config).args(flags);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{sentence}: {text}");
    assert!(text.lines().any(|line| line.starts_with("leasehold-node: ")), "{text}");
    assert!(text.contains(sentence), "{sentence}: {text}");
}
