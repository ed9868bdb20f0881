//! The keeper as a process whose RPC node does not answer.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Command, Stdio},
};

use solana_keypair::{Keypair, write_keypair_file};

#[test]
fn a_keeper_whose_rpc_node_is_silent_stops_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let keypair = folder.path().join("keeper.json");
    write_keypair_file(&Keypair::new(), &keypair).unwrap();
    // It accepts the request and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let rpc = format!("http://{}", silent.local_addr().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_leasehold-keeper"))
        .args(["--rpc", &rpc, "--market=1", "--log=warn", "--keypair"])
        .arg(&keypair)
        .arg("--state")
        .arg(folder.path().join("state"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("keeper "), "{line}");
    let (_request, _) = silent.accept().unwrap();
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}
