//! The binary where no chain is needed: forged receipts, wrong use, archives that can't be reached or that
//! answer with something else.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    thread::{self, JoinHandle},
};

use serde_json::{Value, json};

/// A receipt of the vectors: 320 bytes and signature.
fn receipt() -> Vec<u8> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/record.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let bytes = |field: &str| hex::decode(vectors["receipts"][0][field].as_str().unwrap()).unwrap();
    [bytes("bytes"), bytes("signature")].concat()
}

fn leasehold(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
    for variable in ["LEASEHOLD_ARCHIVE", "LEASEHOLD_URL", "LEASEHOLD_KEYPAIR", "LEASEHOLD_MARKET"] {
        command.env_remove(variable);
    }
    run(command.args(args), input)
}

fn run(command: &mut Command, input: &[u8]) -> Output {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A port on which nobody listens.
fn closed() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}")
}

/// A server that reads one request and sends these bytes. Returns the request's first line.
fn serve(response: Vec<u8>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let mut stream: TcpStream = listener.accept().unwrap().0;
        let mut request = vec![0; 4_096];
        let len = stream.read(&mut request).unwrap();
        // The reader may leave when it has had enough.
        let _ = stream.write_all(&response);
        text(&request[..len]).lines().next().unwrap().to_owned()
    });
    (url, served)
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

#[test]
fn a_forged_receipt_ends_with_1_before_anything_is_asked() {
    let mut forged = receipt();
    forged[256] ^= 1; // the price
    let nobody = closed();
    let args = ["receipt", "verify", "-", "--archive", &nobody, "-u", &nobody, "--output", "json"];
    let found = leasehold(&args, &forged);
    assert_eq!(found.status.code(), Some(1), "{}", text(&found.stderr));
    let json: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((&json["verified"], &json["steps"][0]["step"]), (&json!(false), &json!("signature")));
    assert!(json.get("price").is_none(), "unproved values are not printed");
    let error = text(&found.stderr);
    assert!(error.starts_with("leasehold: not proved: the signature is not by "), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn bodies_are_checked_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (receipt, request) = (file("receipt", &receipt()), file("request", b"request 1"));
    let nobody = closed();
    let args = ["receipt", "verify", &receipt, "--archive", &nobody, "-u", &nobody, "--request", &request];
    let without = leasehold(&args, b"");
    assert_eq!(without.status.code(), Some(2));
    assert!(text(&without.stderr).ends_with("pass --salt\n"), "{}", text(&without.stderr));
    let salt = hex::encode(std::array::from_fn::<u8, 32, _>(|place| place as u8));
    let with = [&args[..], &["--salt", &salt]].concat();
    let other = leasehold(&with, b"");
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("the request is not the one"), "{}", text(&other.stderr));
    file("request", b"request 0");
    let same = leasehold(&with, b"");
    assert_eq!(same.status.code(), Some(2), "then the RPC node is asked: {}", text(&same.stderr));
    assert!(text(&same.stdout).is_empty() && text(&same.stderr).contains("--url"), "{}", text(&same.stderr));
}

#[test]
fn wrong_use_and_what_cannot_be_read_end_with_2() {
    let (nobody, id) = (closed(), "00".repeat(32));
    for (args, input, expected) in [
        (vec!["receipt", "verify", "-"], &b""[..], "--archive"),
        (vec!["receipt", "verify", "-", "--archive", &nobody], b"hello", "- is not a receipt"),
        (vec!["receipt", "verify", "/no/such/file", "--archive", &nobody], b"", "check the path"),
        (vec!["receipt", "find", &id, "--archive", &nobody], b"", "can't be reached"),
        (vec!["receipt", "find", "1", "--archive", &nobody], b"", "give 64 hex digits"),
    ] {
        let found = leasehold(&args, input);
        assert_eq!(found.status.code(), Some(2), "{args:?}");
        assert!(found.stdout.is_empty(), "{args:?}");
        assert!(text(&found.stderr).contains(expected), "{}", text(&found.stderr));
    }
}

#[test]
fn an_archive_may_say_anything() {
    let id = "ab".repeat(32);
    let unknown = http("404 Not Found", r#"{"error": "no such receipt"}"#);
    let broken = http("500 Internal Server Error", "{\"error\": \"disk\\u001b[31m full\"}");
    for (response, code, expected) in [
        (unknown, 1, "not proved: the archive does not know receipt abab"),
        (broken, 2, "the archive refused with status 500 Internal Server Error (disk[31m full)"),
        (http("200 OK", "{}"), 2, "the archive's answer is not a proof"),
        (http("200 OK", &" ".repeat(2 << 20)), 2, "more than 1 MiB"),
        (b"SSH-2.0-OpenSSH\r\n".to_vec(), 2, "can't be reached"),
    ] {
        let (url, served) = serve(response);
        let found = leasehold(&["receipt", "find", &id, "--archive", &format!("{url}/base/")], b"");
        assert_eq!(found.status.code(), Some(code), "{}", text(&found.stderr));
        assert!(text(&found.stderr).contains(expected), "{}", text(&found.stderr));
        assert_eq!(served.join().unwrap(), format!("GET /base/v1/proofs/{id} HTTP/1.1"));
    }
}

#[test]
fn an_archive_cannot_pass_off_another_receipt() {
    let vectors: Value = serde_json::from_slice(
        &std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/record.json")).unwrap(),
    )
    .unwrap();
    let signed = leasehold_client::record::SignedReceipt::from_bytes(&receipt()).unwrap();
    let proof = json!({
        "receipt": signed.to_base64(),
        "log": "11111111111111111111111111111111",
        "header": vectors["log"]["batches"][3]["bytes"],
        "index": 3,
        "batch_path": vectors["log"]["paths"][3],
        "place": 0,
        "path": vectors["tree"]["paths"][0],
    });
    let find = |id: &str| {
        let (url, _served) = serve(http("200 OK", &proof.to_string()));
        leasehold(&["receipt", "find", id, "--archive", &url, "-u", &closed()], b"")
    };
    let other = find(&"ab".repeat(32));
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("the receipt of another inference"), "{}", text(&other.stderr));
    let asked_for = find(&hex::encode(signed.id()));
    assert_eq!(asked_for.status.code(), Some(2), "the form is right, so the RPC node is asked");
    assert!(text(&asked_for.stderr).contains("--url"), "{}", text(&asked_for.stderr));
}

/// The error names the URL that was asked.
#[test]
fn the_environment_comes_between_flags_and_file() {
    let dir = tempfile::tempdir().unwrap();
    let [flag, variable, file] = [closed(), closed(), closed()];
    let config = dir.path().join("config.yml");
    std::fs::write(&config, format!("json_rpc_url: {file}\n")).unwrap();
    let asked = |flags: &[&str], environment: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
        command.env_remove("LEASEHOLD_URL").env("HOME", dir.path());
        environment.map(|url| command.env("LEASEHOLD_URL", url));
        let args = ["market", "show", "--market", "1", "-C", config.to_str().unwrap()];
        let failed = run(command.args(args).args(flags), b"");
        assert_eq!((failed.status.code(), failed.stdout.len()), (Some(2), 0));
        text(&failed.stderr).to_owned()
    };
    for (found, expected) in [
        (asked(&[], None), &file),
        (asked(&[], Some(&variable)), &variable),
        (asked(&["-u", &flag], Some(&variable)), &flag),
    ] {
        assert!(found.contains(expected.as_str()), "{expected}: {found}");
    }
}

#[test]
fn what_cannot_be_read_is_named_before_anything_is_asked() {
    let nobody = closed();
    let missing = leasehold(&["market", "show", "--market", "1", "-u", &nobody, "-C", "/no/such/file"], b"");
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).ends_with("check --config\n"), "{}", text(&missing.stderr));
    let args = ["lease", "list", "--market", "1", "-u", &nobody, "-k", "/no/such/file"];
    let keyless = leasehold(&args, b"");
    assert_eq!(keyless.status.code(), Some(2));
    assert!(text(&keyless.stderr).contains("solana-keygen new"), "{}", text(&keyless.stderr));
    let args = ["machine", "list", "--market", "1", "--board", "0", "--for", "1d", "-u", &nobody, "/no/such"];
    assert!(text(&leasehold(&args, b"").stderr).contains("check the path"));
}

#[test]
fn a_list_of_machines_is_read_before_anything_is_asked() {
    let nobody = closed();
    let list = |more: &[&str], input: &str| {
        let args = ["machine", "list", "--market", "1", "--board", "0", "--for", "1d", "-u", &nobody, "-"];
        let found = leasehold(&[&args, more].concat(), input.as_bytes());
        assert_eq!((found.status.code(), found.stdout.len()), (Some(2), 0));
        text(&found.stderr).to_owned()
    };
    let head = "node_key,class,gpus,speed,country,region,endpoint,price\r\n";
    let line = "11111111111111111111111111111112,RTX 4090,1,3,DE,1,203.0.113.7:7000,0.35\r\n";
    for (more, input, expected) in [
        (&[][..], format!("{head}{line}"), "needs --format"),
        (&["--format", "csv"], format!("{head}{line}{}", line.replace(",1,3", ",one,3")), "line 3: gpus: "),
        (&["--format", "csv"], format!("\u{feff}{head}{line}"), "--url"),
        (&["--format", "toml"], "[[machine]]".to_owned(), "missing field"),
    ] {
        let error = list(more, &input);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let help = leasehold(&["--help"], b"");
    assert!(help.status.success());
    for code in ["1 the receipt is not proved", "3 refused", "4 not confirmed", "5 sent"] {
        assert!(text(&help.stdout).contains(code), "{code}: {}", text(&help.stdout));
    }
    assert_eq!(leasehold(&[], b"").status.code(), Some(2));
}
