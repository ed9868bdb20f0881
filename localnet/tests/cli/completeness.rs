//! Every command has a transcript of its success, of a refusal and of its JSON.

use std::{collections::BTreeMap, fs, path::Path};

use clap::{Command, CommandFactory};
use leasehold_cli::args::Cli;

/// Commands that other tests cover: processes in the `cli` crate, `localnet/tests/record`, `terminal.rs`.
const ELSEWHERE: [&str; 18] = [
    "completion",
    "man",
    "machine detect",
    "machine watch",
    "receipt verify",
    "receipt find",
    "receipt demand",
    "receipt enforce",
    "receipt convict",
    // The transcripts' clock is years ahead of the wall clock; then no token is signed.
    "lease token",
    "address",
    // These need a machine that lets somebody in: `shell`.
    "lease ssh",
    "lease run",
    "lease copy",
    "lease forward",
    "lease ray up",
    "lease ray status",
    "lease ray down",
];

/// Cases of a command that the transcripts show.
#[derive(Debug, Default)]
struct Shown {
    success: bool,
    refusal: bool,
    json: bool,
}

#[test]
fn every_command_has_a_transcript_of_its_success_a_refusal_and_its_json() {
    let mut commands = BTreeMap::new();
    leaves(&Cli::command(), "", &mut commands);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/transcripts");
    for file in files(&folder) {
        note(&fs::read_to_string(&file).expect("a transcript"), &mut commands);
    }
    for name in ELSEWHERE {
        assert!(commands.remove(name).is_some(), "{name} is not a command");
    }
    let lacking: Vec<_> =
        commands.iter().filter(|(_, shown)| !(shown.success && shown.refusal && shown.json)).collect();
    assert!(lacking.is_empty(), "{lacking:#?}");
}

/// All commands without subcommands, by their full names.
fn leaves(command: &Command, path: &str, all: &mut BTreeMap<String, Shown>) {
    for sub in command.get_subcommands() {
        let name = format!("{path} {}", sub.get_name()).trim().to_owned();
        if sub.has_subcommands() {
            leaves(sub, &name, all);
        } else {
            all.insert(name, Shown::default());
        }
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

fn note(transcript: &str, commands: &mut BTreeMap<String, Shown>) {
    let mut lines = transcript.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(line) = line.strip_prefix("$ leasehold ") else { continue };
        let words: Vec<_> = line.split_whitespace().collect();
        let name = [3, 2, 1].iter().filter_map(|count| Some(words.get(..*count)?.join(" ")));
        let name = name.into_iter().find(|name| commands.contains_key(name));
        let shown = name.and_then(|name| commands.get_mut(&name)).expect("a command");
        let refused = lines.peek().is_some_and(|line| line.starts_with("? "));
        shown.refusal |= refused;
        shown.success |= !refused;
        shown.json |= !refused && line.contains("--output json");
    }
}
