//! Plays the guides in docs/guides/, block by block, as a reader would. The output in a guide must equal that of the
//! commands.
//!
//! `TRYCMD=overwrite` writes the commands' output into the guides.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::CommandFactory;
use leasehold_cli::args::Cli;
use leasehold_localnet::Genesis;
use solana_keypair::write_keypair_file;

use crate::stage::{Stage, binary, wallet};

/// The default of `cargo localnet`.
const ROUND_SECS: u32 = 60;
/// Rounds of 600 seconds in a day.
const DAY: u32 = 144;

/// A guide and the folder that its commands run in.
struct Guide {
    name: &'static str,
    /// Holds the block that is being played.
    folder: tempfile::TempDir,
}

impl Guide {
    fn new(name: &'static str) -> Self {
        let guide = Guide { name, folder: tempfile::tempdir().expect("a folder") };
        fs::create_dir(guide.beside()).expect("a folder");
        guide
    }

    /// The same folder, for a reader who goes on with another guide.
    fn then(self, name: &'static str) -> Self {
        Guide { name, ..self }
    }

    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides").join(self.name).with_extension("md")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).expect("the guide")
    }

    /// The working folder of a block's commands: trycmd takes the folder beside `block.md`.
    fn beside(&self) -> PathBuf {
        self.folder.path().join("block.in")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.beside().join(name), text).expect("a file");
    }

    /// The blocks of a language, without their fences.
    fn blocks<const N: usize>(&self, language: &str) -> [String; N] {
        let text = self.text();
        let fence = format!("\n```{language}\n");
        let parts = text.split(&fence).skip(1);
        let blocks: Vec<_> =
            parts.map(|part| part.split_once("```\n").expect("an end").0.to_owned()).collect();
        let count = blocks.len();
        blocks
            .try_into()
            .unwrap_or_else(|_| panic!("{}: {count} blocks of {language}, expected {N}", self.name))
    }

    /// Plays a block as a person. With `TRYCMD=overwrite` its output is replaced by the commands'.
    fn play(&self, stage: &Stage, block: &str, person: &str) {
        let fenced = |block: &str| format!("```console\n{block}```\n");
        let file = self.folder.path().join("block.md");
        fs::write(&file, fenced(block)).expect("a file");
        stage.play_file(&file, person);
        let played = fs::read_to_string(&file).expect("the file");
        if played != fenced(block) {
            let played: String = played.lines().map(|line| mask(line) + "\n").collect();
            fs::write(self.path(), self.text().replace(&fenced(block), &played)).expect("the guide");
        }
    }
}

/// A line of output with `[..]` for parts that differ from run to run or with each build of the program.
fn mask(line: &str) -> String {
    let differs = |word: &str| {
        let digest = word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
        // A story's commands take seconds, so only times at the start of a round are the same in every run.
        let time =
            word.len() == 20 && word.starts_with("20") && word.ends_with('Z') && !word.ends_with(":00Z");
        // Of a key that was made for a lease.
        let fingerprint = word.starts_with("SHA256:");
        digest || time || fingerprint
    };
    // A lease's address has a random part, and each network a genesis hash of its own.
    let is_new = line.starts_with("Lease:") || line.starts_with("Genesis hash:");
    let address = |word: &str| word.len() > 32 && word.chars().all(|c| c.is_ascii_alphanumeric());
    if line.starts_with("Signature: ") {
        return "Signature: [..]".to_owned();
    }
    if let Some((what, _)) = line.strip_suffix(" compute units").and_then(|line| line.rsplit_once(' ')) {
        return format!("{what} [..] compute units");
    }
    let words = line.split(' ').map(|word| {
        let (bare, comma) = word.strip_suffix(',').map_or((word, ""), |word| (word, ","));
        if differs(bare) || is_new && address(bare) { format!("[..]{comma}") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_differs_from_run_to_run_is_masked() {
    for (line, masked) in [
        ("Signature: 5AVF6DrW", "Signature: [..]"),
        ("Simulated: create market, 22043 compute units", "Simulated: create market, [..] compute units"),
        ("Withdraw from:  2030-01-15T00:00:07Z", "Withdraw from:  [..]"),
        ("To:  2030-01-01T00:11:00Z", "To:  2030-01-01T00:11:00Z"),
        ("Lease:  DNgztt5P5vExCure89GtX9R7TjvjCmAXSmmJ1aFgATor (0:1)", "Lease:  [..] (0:1)"),
        ("Access:  SHA256:6s13cHIm, epoch 0", "Access:  [..], epoch 0"),
        ("Lease:  1 to 10000 rounds", "Lease:  1 to 10000 rounds"),
        ("Genesis hash:  FC7m4PzmNGYFsFYxCDxcxtWdoszwdXbN2sDWfEzLsDaa", "Genesis hash:  [..]"),
        (&format!("program  sha256 {}, can", "a1".repeat(32)), "program  sha256 [..], can"),
    ] {
        assert_eq!(mask(line), masked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_for_suppliers_and_buyers() {
    let stage = Stage::with_rounds(ROUND_SECS, &["supplier", "buyer"]).await;
    let guide = Guide::new("supplier");
    for name in ["gpu-0", "gpu-1"] {
        write_keypair_file(&wallet(name), guide.beside().join(format!("{name}.json")))
            .expect("a keypair file");
    }
    let [machines] = guide.blocks("toml");
    guide.write("machines.toml", &machines);
    let blocks: [_; 3] = guide.blocks("console");
    for block in blocks {
        guide.play(&stage, &block, "supplier");
    }
    configure(&stage, &guide);
    answers(&guide.beside());

    // Nothing is leased before keepers have seen it up.
    stage.pass(1).await;
    stage.vote(1, &[]).await;
    let guide = guide.then("buyer");
    let [opens, runs, ends] = guide.blocks("console");
    guide.play(&stage, &opens, "buyer");
    stage.pass(1).await;
    stage.vote(2, &[1]).await;
    guide.play(&stage, &runs, "buyer");
    stage.vote(1, &[1]).await;
    guide.play(&stage, &ends, "buyer");
}

/// Keeps the node's configuration that is printed, with the keypair files named, as the guide tells its reader to.
fn configure(stage: &Stage, guide: &Guide) {
    let mut command = Command::new(binary("leasehold"));
    let output = command.args(["machine", "show", "--node-config"]).envs(stage.env("supplier")).output();
    let mut text = String::from_utf8(output.expect("it runs").stdout).expect("text");
    for name in ["gpu-0", "gpu-1"] {
        text = text.replacen("\"FILE\"", &format!("\"{name}.json\""), 1);
    }
    assert!(!text.contains("FILE") && text.contains("gpu-1.json"), "{text}");
    guide.write("node.toml", &text);
}

/// The node accepts the file as it stands, and listens.
fn answers(folder: &Path) {
    let mut command = Command::new(binary("leasehold-node"));
    command.args(["--config", "node.toml", "--listen", "127.0.0.1:0"]).current_dir(folder);
    let mut node = command.stdout(Stdio::piped()).spawn().expect("a process");
    let line = BufReader::new(node.stdout.take().expect("its output")).lines().next();
    node.kill().and_then(|()| node.wait()).expect("its end");
    let line = line.expect("a line").expect("text");
    assert!(line.contains("127.0.0.1"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_keepers() {
    let stage = Stage::with_genesis(Genesis::new(10 * ROUND_SECS).committee(2, 2), &["keeper"]).await;
    let guide = Guide::new("keeper");
    let [joins, leaves, is_paid] = guide.blocks("console");
    guide.play(&stage, &joins, "keeper");
    guide.play(&stage, &leaves, "keeper");
    stage.pass(15 * DAY).await;
    guide.play(&stage, &is_paid, "keeper");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_operators() {
    let stage = Stage::new(&["operator"]).await;
    let guide = Guide::new("operator");
    guide.write("market.toml", &market(&stage));
    let [params] = guide.blocks("toml");
    guide.write("params.toml", &params);
    let [creates, finds_nothing, proposes, applies, pauses, hands_over] = guide.blocks("console");
    guide.play(&stage, &creates, "operator");
    guide.play(&stage, &finds_nothing, "operator");
    guide.play(&stage, &proposes, "operator");
    stage.pass(3 * DAY).await;
    guide.play(&stage, &applies, "operator");
    guide.play(&stage, &pauses, "operator");
    guide.play(&stage, &hands_over, "operator");
}

/// migrations/example.toml with the three changes that the guide tells its reader to make.
fn market(stage: &Stage) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/example.toml");
    let text = fs::read_to_string(path).expect("the example");
    let mint = |mint| format!("\"{mint}\"");
    let changes = [
        ("id", "9".to_owned()),
        ("payment_mint", mint(stage.market.payment_mint)),
        ("stake_mint", mint(stage.market.stake_mint)),
    ];
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (name, value) in changes {
        let line = lines.iter_mut().find(|line| line.starts_with(&format!("{name} = ")));
        *line.expect("the field") = format!("{name} = {value}");
    }
    lines.join("\n")
}

/// Documents that name commands.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut documents = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for folder in ["docs", "docs/guides"] {
        let entries =
            fs::read_dir(root.join(folder)).expect("a folder").map(|entry| entry.expect("an entry").path());
        documents.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    documents
}

#[test]
fn commands_that_documents_name_exist() {
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        let inline = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let indented = text.lines().filter_map(|line| line.strip_prefix("    "));
        for code in inline.chain(indented).filter_map(|code| code.strip_prefix("leasehold ")) {
            let root = Cli::command();
            let mut command = &root;
            let words = code.split_whitespace().filter(|word| !word.starts_with('-'));
            for word in words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-')) {
                if !command.has_subcommands() {
                    break;
                }
                let found = command.find_subcommand(word);
                command = found.unwrap_or_else(|| panic!("{}: `leasehold {code}`", document.display()));
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} commands found");
}
