//! Keys in the URL of the RPC node are in no line that the node writes.

use leasehold_client::sample::rpc::{Reply, RpcServer, SECRET};
use leasehold_client::sample::{NOW, market, snapshot, wallet};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

const BINARY: &str = env!("CARGO_BIN_EXE_leasehold-node");
const VARIABLE: &str = "LEASEHOLD_NODE_UPSTREAM";

fn command(server: &RpcServer, folder: &Path) -> Command {
    let (url, market) = (server.secret_url(), market());
    let config = folder.join("node.toml");
    let text = format!(
        "program = \"{}\"\nmarket = \"{}\"\nboard = \"{}\"\n[[machine]]\nslot = 0\ngeneration = 0\nseed = \"{}\"\n\
         [chain]\nrpc = \"{url}\"\nsupplier = \"{}\"\npoll_secs = 1\n",
        leasehold::ID,
        market.address,
        market.board(0).address,
        "01".repeat(32),
        market.supplier(&wallet(0)),
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--listen", "127.0.0.1:0", "--config"]).arg(config);
    command
}

/// What the daemon writes while its RPC node fails in every way, in one of its forms.
fn written(format: &str) -> String {
    let server = RpcServer::start(&snapshot(), NOW);
    // Whoever follows the redirect is heard here.
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    server.misbehave(&format!("http://{}", elsewhere.local_addr().unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&server, folder.path());
    let (code, written) = server.run(command.args(["--log", "trace", "--log-format", format]), 9);
    assert_eq!(code, Some(0), "{}", end(&written));
    assert_eq!(elsewhere.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "redirects are not followed");
    written
}

/// The lines of the program itself.
fn end(written: &str) -> String {
    let own =
        written.lines().filter(|line| ["WARN", "INFO", "ERROR"].iter().any(|level| line.contains(level)));
    own.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_line_has_a_key_and_every_failure_is_told() {
    let formats = ["text", "json"].map(|format| (format, thread::spawn(move || written(format))));
    for (format, written) in formats {
        let written = written.join().unwrap();
        assert!(!written.contains(SECRET), "{}", written.lines().find(|line| line.contains(SECRET)).unwrap());
        assert!(!written.contains('\u{1b}'), "no colours in a pipe");
        for told in [
            "upgrade",
            "it redirects to",
            "is not JSON",
            "status 500",
            "the RPC node answers again",
            "does not serve getProgramAccounts (Method not found)",
        ] {
            assert!(written.contains(told), "{told}: {}", end(&written));
        }
        let lines: Vec<_> = written.lines().filter(|line| line.starts_with('{')).collect();
        assert!(lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
        assert_eq!(!lines.is_empty(), format == "json");
    }
}

#[test]
fn help_and_errors_of_the_command_line_repeat_no_key() {
    let output = |command: &mut Command| {
        let output = command.output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
    };
    let url = format!("htps://{SECRET}@host/{SECRET}");
    let wrong = output(Command::new(BINARY).arg(&url));
    assert!(!wrong.contains(SECRET) && wrong.contains("htps://host/<...>"), "{wrong}");
    let help = output(Command::new(BINARY).arg("--help").env(VARIABLE, &url));
    assert!(!help.contains(SECRET) && help.contains(VARIABLE), "{help}");
}

#[test]
fn a_mistake_in_the_file_is_told_without_the_key() {
    let server = RpcServer::start(&snapshot(), NOW);
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&server, folder.path());
    let config = folder.path().join("node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let url = format!("rpc = \"{}\"", server.secret_url());
    for (right, wrong) in [
        (url.as_str(), format!("{url} oops")),
        ("rpc = \"http", "rpc = \"htps".to_owned()),
        ("poll_secs = 1", "poll = 1".to_owned()),
    ] {
        std::fs::write(&config, text.replace(right, &wrong)).unwrap();
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(!error.contains(SECRET) && error.contains("leasehold-node: "), "{error}");
    }
}

#[test]
fn an_rpc_node_of_another_cluster_stops_the_node() {
    let server = RpcServer::start(&snapshot(), NOW);
    // The first poll succeeds. Then the RPC node fails once, and another one answers behind its address.
    let (mut asked, mut views) = (0, 0);
    server.hook(move |method, _| {
        asked += u32::from(method == "getGenesisHash");
        views += u32::from(method == "getMultipleAccounts");
        match method {
            "getGenesisHash" if asked > 1 => {
                Some(Reply::result(&"So11111111111111111111111111111111111111112".into()))
            }
            "getAccountInfo" if asked == 1 && views > 1 => Some(Reply::status("502 Bad Gateway")),
            _ => None,
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let output = command(&server, folder.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.lines().last().unwrap().starts_with("leasehold-node: the RPC node is of another cluster"),
        "{error}"
    );
}
