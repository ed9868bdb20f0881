//! The README's first ten minutes, block by block: what it shows is what is printed.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use solana_keypair::write_keypair_file;

use crate::stage::{Stage, binary, wallet};

/// As `cargo localnet` has them by default.
const ROUND_SECS: u32 = 60;

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")
}

/// The blocks of a language below a heading, up to the next heading, without their fences.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(readme()).expect("the README");
    let section = text.split_once(&format!("\n{heading}\n")).expect("the heading").1;
    // Comments in what commands print begin with one #.
    let section = section.split("\n## ").next().and_then(|section| section.split("\n### ").next());
    let section = section.expect("a section");
    let fence = format!("\n```{language}\n");
    let parts = section.split(&fence).skip(1);
    parts.map(|part| part.split_once("```\n").expect("an end").0.to_owned()).collect()
}

/// Plays a block as somebody whose files lie beside it. With `TRYCMD=overwrite` what was printed replaces it.
fn play(stage: &Stage, folder: &Path, block: &str, name: &str) {
    let fenced = |block: &str| format!("```console\n{block}```\n");
    let file = folder.join("block.md");
    fs::write(&file, fenced(block)).expect("a file");
    stage.play_file(&file, name);
    let played = fs::read_to_string(&file).expect("the file");
    if played != fenced(block) {
        let text = fs::read_to_string(readme()).expect("the README");
        fs::write(readme(), text.replace(&fenced(block), &played)).expect("the README");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_ten_minutes_of_the_readme() {
    let stage = Stage::with_rounds(ROUND_SECS, &["supplier", "buyer"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    // What trycmd takes as the folder that a block's commands run in.
    let beside = folder.path().join("block.in");
    fs::create_dir(&beside).expect("a folder");
    for name in ["gpu-0", "gpu-1"] {
        write_keypair_file(&wallet(name), beside.join(format!("{name}.json"))).expect("a keypair file");
    }
    let supplier = "### A supplier's first ten minutes";
    let [machines] = &blocks(supplier, "toml")[..] else { panic!("one file") };
    fs::write(beside.join("machines.toml"), machines).expect("a file");

    for block in blocks(supplier, "console") {
        play(&stage, folder.path(), &block, "supplier");
    }
    configure(&stage, &beside);
    answers(&beside);

    let [opens, runs, ends] = &blocks("### A buyer's first ten minutes", "console")[..] else {
        panic!("three blocks")
    };
    play(&stage, folder.path(), opens, "buyer");
    stage.pass(1).await;
    stage.vote(2, &[1]).await;
    play(&stage, folder.path(), runs, "buyer");
    stage.vote(1, &[1]).await;
    play(&stage, folder.path(), ends, "buyer");
}

/// Keeps the node's configuration that is printed, and says where the keypairs are, as the README has its reader do.
fn configure(stage: &Stage, folder: &Path) {
    let mut command = Command::new(binary("leasehold"));
    let output = command.args(["machine", "show", "--node-config"]).envs(stage.env("supplier")).output();
    let mut text = String::from_utf8(output.expect("it runs").stdout).expect("text");
    for name in ["gpu-0", "gpu-1"] {
        text = text.replacen("\"FILE\"", &format!("\"{name}.json\""), 1);
    }
    assert!(!text.contains("FILE") && text.contains("gpu-1.json"), "{text}");
    fs::write(folder.join("node.toml"), text).expect("a file");
}

/// The node takes the file as it stands, and listens.
fn answers(folder: &Path) {
    let mut command = Command::new(binary("leasehold-node"));
    command.args(["--config", "node.toml", "--listen", "127.0.0.1:0"]).current_dir(folder);
    let mut node = command.stdout(Stdio::piped()).spawn().expect("a process");
    let line = BufReader::new(node.stdout.take().expect("its output")).lines().next();
    node.kill().and_then(|()| node.wait()).expect("its end");
    let line = line.expect("a line").expect("text");
    assert!(line.contains("127.0.0.1"), "{line}");
}
