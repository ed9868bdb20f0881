//! The archive as a process.

use leasehold_client::sample::{NOW, rpc::RpcServer, snapshot};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_leasehold-archive");
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

/// Killed at the end of the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn terminate(&mut self) -> Option<i32> {
        let kill = format!("kill -TERM {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the archive does not stop");
    }
}

fn refusal(args: &[&str]) -> String {
    let output = Command::new(BINARY).args(args).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("leasehold-archive: "), "{text}");
    last.to_owned()
}

#[tokio::test]
async fn an_archive_answers_while_the_rpc_node_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let db = format!("sqlite:{}", folder.path().join("archive.db").display());
    let args = ["--rpc", NOWHERE, "--db", &db, "--listen", "127.0.0.1:0", "--allow-private"];
    let mut child =
        Command::new(BINARY).args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut archive = Process(child);
    let url = line.trim().strip_prefix("archive on ").unwrap();
    let health = reqwest::get(format!("{url}/v1/healthz")).await.unwrap();
    assert_eq!(health.status().as_u16(), 503);
    let health: serde_json::Value = health.json().await.unwrap();
    assert_eq!((&health["ok"], &health["batches"]), (&false.into(), &0.into()));
    let missing = reqwest::get(format!("{url}/v1/receipts/{}", "00".repeat(32))).await.unwrap();
    assert_eq!(missing.status().as_u16(), 404);
    assert_eq!(archive.terminate(), Some(0));
    assert!(folder.path().join("archive.db").is_file());
}

#[test]
fn a_wrong_flag_is_one_sentence_and_exit_code_1() {
    let refused = |rpc, db| refusal(&["--rpc", rpc, "--db", db, "--listen", "127.0.0.1:0"]);
    assert!(refused("localhost", "sqlite::memory:").contains("--rpc is not an http or https URL"));
    assert!(
        refused(NOWHERE, "mysql://host/name")
            .ends_with("give sqlite:PATH, or the URL of a Postgres database")
    );
    assert!(refused(NOWHERE, "sqlite:/does/not/exist").contains("the database cannot be opened"));
}

#[test]
fn a_closed_output_ends_no_archive_and_its_last_line_is_json_where_all_are() {
    let folder = tempfile::tempdir().unwrap();
    let db = format!("sqlite:{}", folder.path().join("archive.db").display());
    let args = ["--rpc", NOWHERE, "--db", &db, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"];
    let full = std::fs::File::create("/dev/full").unwrap();
    let errors = std::fs::File::create(folder.path().join("errors")).unwrap();
    let mut archive = Process(Command::new(BINARY).args(args).stdout(full).stderr(errors).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    // It polls after it has said where it listens.
    while !std::fs::read_to_string(folder.path().join("errors")).unwrap().contains("did not answer") {
        assert!(archive.0.try_wait().unwrap().is_none() && Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(archive.terminate(), Some(0));

    let args = ["--rpc", "localhost", "--db", &db, "--log-format", "json"];
    let output = Command::new(BINARY).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let said = line["message"].as_str().unwrap();
    assert!(said.starts_with("leasehold-archive: --rpc is not an http"), "{said}");
}

#[test]
fn an_archive_whose_database_is_of_another_cluster_ends_with_a_sentence() {
    let server = RpcServer::start(&snapshot(), NOW);
    let folder = tempfile::tempdir().unwrap();
    let db = format!("sqlite:{}", folder.path().join("archive.db").display());
    let log = "11111111111111111111111111111112";
    let args =
        ["--rpc", &server.url, "--db", &db, "--listen", "127.0.0.1:0", "--poll", "1", "--log-address", log];
    let (code, written) = server.run(Command::new(BINARY).args(args), 2);
    assert_eq!(code, Some(0), "{written}");
    server.set_genesis([9; 32]);
    let (code, written) = server.run(Command::new(BINARY).args(args), 2);
    assert_eq!(code, Some(1), "{written}");
    assert!(
        written.contains("leasehold-archive: the RPC node is of another cluster than before"),
        "{written}"
    );
}
