//! How the binary ends where its output can't be written, where it is stopped, and where nobody answers it.
#![cfg(target_os = "linux")]

use std::{
    fs::OpenOptions,
    io::Read,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

fn leasehold(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
    for variable in ["LEASEHOLD_URL", "LEASEHOLD_KEYPAIR", "LEASEHOLD_MARKET"] {
        command.env_remove(variable);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Exit code and standard error.
fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_failed_write_is_an_error_and_a_closed_pipe_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (man, keypair) = (dir.path().join("man1"), dir.path().join("id.json"));
    let key = solana_keypair::Keypair::new();
    std::fs::write(&keypair, serde_json::to_string(&key.to_bytes().to_vec()).unwrap()).unwrap();
    let (man, keypair) = (man.to_str().unwrap(), keypair.to_str().unwrap());
    for args in [
        &["completion"][..],
        &["--help"],
        &["lease", "open", "-h"],
        &["man", man, "--output", "json"],
        &["address", "-k", keypair],
        &["address", "-k", keypair, "--output", "json"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, told) = ended(leasehold(args).stdout(full).spawn().unwrap());
        assert_eq!(code, Some(2), "{args:?}: {told}");
        assert!(told.contains("check where standard output goes"), "{args:?}: {told}");
        let mut child = leasehold(args).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(ended(child), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn ctrl_c_while_nobody_answers_ends_with_130() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let child = leasehold(&["offers", "--market", "1", "--for", "1d", "-u", &url]).spawn().unwrap();
    // It has asked by now, and waits.
    let mut asked = [0; 4];
    let mut connection = silent.accept().unwrap().0;
    connection.read_exact(&mut asked).unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(ended(child), (Some(130), "leasehold: stopped by Ctrl-C\n".to_owned()));
}

#[test]
fn errors_of_a_node_leave_out_the_key_in_its_url() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/key");
    let (code, told) = ended(leasehold(&["market", "show", "--market", "1", "-u", &url]).spawn().unwrap());
    assert_eq!(code, Some(2));
    assert!(told.contains("Connection refused") && told.contains(&address.to_string()), "{told}");
    assert!(!told.contains("key"), "{told}");
}

#[test]
fn an_empty_variable_is_an_error_and_no_other_cluster_is_used() {
    let command = leasehold(&["market", "show", "--market", "1"]).env("LEASEHOLD_URL", "").spawn();
    let (code, told) = ended(command.unwrap());
    assert!(code == Some(2) && told.contains("unset LEASEHOLD_URL"), "{told}");
}
