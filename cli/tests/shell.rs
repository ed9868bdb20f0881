//! Files that the binary writes for shells and for man, without configuration and without a network.

use std::{
    path::Path,
    process::{Command, Output},
};

fn leasehold(args: &[&str]) -> Output {
    // A configuration that can't be read must not matter.
    Command::new(env!("CARGO_BIN_EXE_leasehold")).args(["-C", "/no/such/file"]).args(args).output().unwrap()
}

fn bash(dir: &Path, script: &str) -> String {
    let output = Command::new("bash").args(["--norc", "-c", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_commands_values_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let script = leasehold(&["completion", "--shell", "bash"]);
    assert!(script.status.success());
    std::fs::write(dir.path().join("leasehold.bash"), &script.stdout).unwrap();
    std::fs::write(dir.path().join("machines.csv"), "").unwrap();
    bash(dir.path(), "bash -n leasehold.bash");
    for (line, expected) in [
        ("leasehold mach", "machine"),
        ("leasehold machine det", "detect"),
        ("leasehold machine list --form", "--format"),
        ("leasehold machine list --format c", "csv"),
        ("leasehold --output json-", "json-compact"),
        ("leasehold completion --shell z", "zsh"),
        ("leasehold --keypair mach", "machines.csv"),
        ("leasehold machine reprice --file mach", "machines.csv"),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let [.., previous, current] = words[..] else { panic!("{line}") };
        // Only bash itself may call compopt, which the script asks not to write a blank after a folder.
        let completed = bash(
            dir.path(),
            &format!(
                "compopt() {{ :; }}; source ./leasehold.bash; COMP_WORDS=({line}); COMP_CWORD={}; \
                 _leasehold leasehold '{current}' '{previous}'; echo \"${{COMPREPLY[*]}}\"",
                words.len() - 1
            ),
        );
        assert_eq!(completed.trim_end(), expected, "{line}");
    }
}

#[test]
fn pages_are_written_for_man() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("man1");
    let written = leasehold(&["man", dir.to_str().unwrap()]);
    assert_eq!((written.status.code(), written.stdout.len()), (Some(0), 0));
    for page in ["leasehold.1", "leasehold-machine.1", "leasehold-lease-open.1"] {
        let text = std::fs::read_to_string(dir.join(page)).unwrap();
        assert!(text.contains(".SH \"EXIT STATUS\"") && text.contains("LEASEHOLD_URL"), "{text}");
    }
}

#[test]
fn json_lists_the_pages_that_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let written = leasehold(&["man", dir.path().to_str().unwrap(), "--output", "json-compact"]);
    let told: serde_json::Value = serde_json::from_slice(&written.stdout).unwrap();
    let pages = told["pages"].as_array().unwrap();
    assert_eq!(pages.len(), std::fs::read_dir(dir.path()).unwrap().count());
    assert!(pages.contains(&"leasehold-lease-open.1".into()), "{told}");
}
