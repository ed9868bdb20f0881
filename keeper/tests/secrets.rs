//! Keys in the URL of the RPC node are in no line that the keeper writes.

use std::{io::ErrorKind, net::TcpListener, path::Path, process::Command, thread};

use leasehold_client::sample::{
    NOW,
    rpc::{RpcServer, SECRET},
    snapshot,
};
use solana_keypair::{Keypair, write_keypair_file};

const BINARY: &str = env!("CARGO_BIN_EXE_leasehold-keeper");
const VARIABLE: &str = "LEASEHOLD_KEEPER_RPC";

fn command(server: &RpcServer, folder: &Path) -> Command {
    let keypair = folder.join("keeper.json");
    write_keypair_file(&Keypair::new(), &keypair).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--rpc", &server.secret_url(), "--market", "7", "--poll", "1", "--keypair"]).arg(keypair);
    command.arg("--state").arg(folder.join("state"));
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
        // The keeper says that the chain can't be read at first, every half minute and when it can be again.
        for told in ["upgrade", "it redirects to", "the RPC node answers again", "can be read again"] {
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
