//! The binary with a program that answers as nvidia-smi does, and an RPC node that knows one market.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use anchor_lang::AccountSerialize;
use base64::{Engine, engine::general_purpose::STANDARD};
use leasehold_client::sample::snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Driver 550 on a machine with two cards.
const CARDS: &str = "\
NVIDIA GeForce RTX 4090, GPU-1b724e78-eef5-4163-d43c-e4da15d41176, 24564 MiB, [N/A]
NVIDIA GeForce RTX 4090, GPU-04d3b6e7-9a1c-5d0e-8f27-6b1a90c3d2f4, 24564 MiB, [N/A]
";
/// Two cards, and one that fell off its bus.
const LOST: &str = "\
NVIDIA GeForce RTX 4090, GPU-1b724e78-eef5-4163-d43c-e4da15d41176, 24564, [N/A]
Unable to determine the device handle for GPU 0000:41:00.0: GPU is lost.  Reboot the system to recover this GPU
NVIDIA GeForce RTX 4090, GPU-04d3b6e7-9a1c-5d0e-8f27-6b1a90c3d2f4, 24564, [N/A]
";
/// A card with twice the memory that its model is made with.
const MODIFIED: &str = "NVIDIA GeForce RTX 4090, GPU-1b724e78-eef5-4163-d43c-e4da15d41176, 49140, [N/A]";
const NO_DRIVER: &str = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure \
                         that the latest NVIDIA driver is installed and running.";
const KEY: &str = "11111111111111111111111111111112";

/// Serves the sample's market and its mints until the test ends.
fn rpc() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap())));
    url
}

fn answer(stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(request["method"], "getAccountInfo");
    let account = account(request["params"][0].as_str().unwrap());
    let result = json!({ "context": { "slot": 1 }, "value": account });
    let body = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    reader.get_mut().write_all((head + &body).as_bytes()).unwrap();
}

fn account(address: &str) -> Value {
    let snapshot = snapshot();
    let (data, owner) = if address == snapshot.address.to_string() {
        let mut data = Vec::new();
        snapshot.market.try_serialize(&mut data).unwrap();
        (data, leasehold::ID.to_string())
    } else {
        // A mint of the classic program with 6 decimals.
        let mut data = vec![0; 82];
        (data[44], data[45]) = (6, 1);
        (data, "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA".to_owned())
    };
    json!({
        "data": [STANDARD.encode(&data), "base64"],
        "executable": false,
        "lamports": 1,
        "owner": owner,
        "rentEpoch": 0,
        "space": data.len(),
    })
}

/// A program that answers the right question with this text and exit code.
fn nvidia_smi(dir: &Path, answer: &str, code: i32) -> PathBuf {
    let path = dir.join("nvidia-smi");
    let script = format!(
        "#!/bin/sh\n\
         if [ \"$*\" != '--query-gpu=name,uuid,memory.total,mig.mode.current --format=csv,noheader,nounits' ]; then\n\
         echo 'Invalid combination of input arguments. Please run nvidia-smi -h for help.'; exit 1\n\
         fi\n\
         cat <<'END'\n{}\nEND\n\
         exit {code}\n",
        answer.trim_end()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

struct Machine {
    dir: TempDir,
    url: String,
}

impl Machine {
    fn new(answer: &str, code: i32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        nvidia_smi(dir.path(), answer, code);
        Machine { dir, url: rpc() }
    }

    /// Runs `machine detect` with nvidia-smi on the path.
    fn detect(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
        for variable in ["LEASEHOLD_URL", "LEASEHOLD_KEYPAIR", "LEASEHOLD_MARKET", "LEASEHOLD_NVIDIA_SMI"] {
            command.env_remove(variable);
        }
        let path = format!("{}:{}", self.dir.path().display(), std::env::var("PATH").unwrap());
        let market = snapshot().address.to_string();
        command.env("PATH", path).env("HOME", self.dir.path()).stdin(Stdio::null());
        command.args(["machine", "detect", "-u", &self.url, "--market", &market, "--speed", "3"]);
        command.args([
            "--country",
            "DEU",
            "--region",
            "1",
            "--endpoint",
            "203.0.113.7:7000",
            "--price",
            "0.7",
        ]);
        command.args(more).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_gpus_of_this_machine_make_a_section() {
    let machine = Machine::new(CARDS, 0);
    let found = machine.detect(&["--node-key", KEY]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    let printed: toml::Table = text(&found.stdout).parse().unwrap();
    let expected: toml::Table = format!(
        "[[machine]]\nnode_key = \"{KEY}\"\nclass = \"RTX 4090\"\ngpus = 2\nspeed = 3\ncountry = \"DE\"\n\
         region = 1\nmetered = false\nendpoint = \"203.0.113.7:7000\"\nprice = \"0.7\"\n"
    )
    .parse()
    .unwrap();
    assert_eq!(printed, expected, "{}", text(&found.stdout));
    assert!(text(&found.stdout).starts_with("# NVIDIA GeForce RTX 4090, 24564 MiB, GPU-1b724e78"));

    let json = machine.detect(&["--node-key", KEY, "--output", "json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["machine"][0]["gpus"], &json["gpus"][1]["memory_mib"]), (&json!(2), &json!(24_564)));
}

#[test]
fn the_key_is_that_of_the_nodes_key_file() {
    let machine = Machine::new(CARDS, 0);
    let pair = solana_keypair::Keypair::new_from_array([7; 32]);
    let file = machine.dir.path().join("machine.json");
    std::fs::write(&file, format!("{:?}", pair.to_bytes())).unwrap();
    let found = machine.detect(&["--node-key-file", file.to_str().unwrap()]);
    let printed: toml::Table = text(&found.stdout).parse().unwrap();
    let expected = solana_signer::Signer::pubkey(&pair).to_string();
    assert_eq!(printed["machine"][0]["node_key"].as_str(), Some(expected.as_str()));
}

#[test]
fn a_damaged_inforom_is_no_harm() {
    let machine = Machine::new(&format!("{CARDS}WARNING: infoROM is corrupted at gpu 0000:05:00.0"), 14);
    let found = machine.detect(&["--node-key", KEY]);
    assert!(found.status.success() && text(&found.stdout).contains("gpus = 2"), "{}", text(&found.stderr));
}

#[test]
fn a_gpu_that_fell_off_its_bus_is_left_out_on_demand() {
    let machine = Machine::new(LOST, 15);
    let found = machine.detect(&["--node-key", KEY, "--skip-broken"]);
    assert!(found.status.success() && text(&found.stdout).contains("gpus = 2"), "{}", text(&found.stderr));
    assert!(
        text(&found.stderr).contains("WARNING: left out: Unable to determine"),
        "{}",
        text(&found.stderr)
    );
}

#[test]
fn errors_of_detect_name_the_remedy() {
    let h100 = "NVIDIA H100 80GB HBM3, GPU-8c35f4c9-4dff-c9a2-866f-afb5d82e1dd7, 81559 MiB, Disabled";
    for (answer, code, more, expected) in [
        (NO_DRIVER, 9, &["--node-key", KEY][..], "(exit status: 9) and said \"NVIDIA-SMI has failed"),
        (
            "No devices were found",
            6,
            &["--node-key", KEY],
            "\"No devices were found\": no GPU answers its driver",
        ),
        (LOST, 15, &["--node-key", KEY], "pass --skip-broken to list the other 2 GPUs without"),
        (MODIFIED, 0, &["--node-key", KEY], "reports 49140 MiB, and this model is made with 24 GB"),
        (h100, 0, &["--node-key", KEY], "no class of the market has the name of NVIDIA H100 80GB HBM3"),
        (CARDS, 0, &["--node-key", KEY, "--nvidia-smi", "/no/such/program"], "install NVIDIA's driver, name"),
        (CARDS, 0, &["--node-key", KEY, "--class", "H100"], "unknown class"),
        (CARDS, 0, &["--node-key-file", "/no/such/file"], "check the path"),
        (CARDS, 0, &[], "--node-key"),
    ] {
        let found = Machine::new(answer, code).detect(more);
        assert_eq!((found.status.code(), found.stdout.len()), (Some(2), 0), "{expected}");
        assert!(text(&found.stderr).contains(expected), "{}", text(&found.stderr));
    }
}
