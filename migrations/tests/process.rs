//! The binary, up to where it would ask a cluster. Tests on a network are in `localnet/tests`, and need it built:
//! cargo builds a package's binaries for tests of its own alone.

use std::{
    path::Path,
    process::{Command, Output},
};

fn deploy(args: &[&str]) -> Output {
    // Whatever stands in the environment of whoever runs the tests.
    let binary = Command::new(env!("CARGO_BIN_EXE_deploy")).env_clear().args(args).output();
    binary.expect("it runs")
}

fn error(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "errors are not printed on standard output");
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = deploy(&["nowhere.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(error(&output).contains("nowhere.toml"));
}

#[test]
fn what_a_file_may_not_say_is_refused_with_its_place() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("example.toml");
    let example = std::fs::read_to_string(example).expect("the example");
    std::fs::write(&file, format!("bord = 7\n{example}")).expect("it is written");
    let output = deploy(&[file.path().to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(2));
    let error = error(&output);
    assert!(error.contains("bord") && error.contains("line 1"), "{error}");
}

#[test]
fn help_says_what_it_does() {
    let output = deploy(&["--help"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    for word in ["FILE", "--any-program", "--dry-run"] {
        assert!(text.contains(word), "{word}");
    }
}
