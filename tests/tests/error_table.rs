//! Every error of the program is reached by a test, as the tests' sources show: by a call of `fails...(..)` or
//! `refuses...(..)` that names the error, or whose last argument is an `error` of a table in the same test. `cargo nextest run -p leasehold-tests --test error_table --no-capture` prints
//! the table of errors and tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use leasehold_client::error;

/// Errors that no transaction can cause, and the tests that reach them without one.
const SAFETY_NETS: [(&str, &str); 2] = [
    ("BoardMalformed", "split_board_fails_when_the_account_is_too_short"),
    ("LogMalformed", "split_log_fails_when_the_account_is_too_short"),
];

const ERROR: &str = "LeaseholdError::";

/// The sources of all tests but this one.
fn sources() -> Vec<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")];
    let mut files: Vec<PathBuf> = vec![];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.retain(|file| !file.ends_with("error_table.rs"));
    files.into_iter().map(|file| fs::read_to_string(file).expect("a source")).collect()
}

fn name_at(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The text between its opening parenthesis and the matching closing one.
fn arguments(text: &str) -> &str {
    let mut depth = 0;
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..index];
        }
    }
    text
}

/// The test in which the text ends. `None` if it ends in another function.
fn enclosing_test(text: &str) -> Option<&str> {
    let at = text.rfind("\nfn ")?;
    text[..at].ends_with("#[test]").then(|| name_at(&text[at + 4..]))
}

/// The function that contains byte `at` of a source.
fn function_at(source: &str, at: usize) -> &str {
    let begin = source[..at].rfind("\nfn ").unwrap_or_default();
    let end = source[at..].find("\n}\n").map_or(source.len(), |end| at + end);
    &source[begin..end]
}

/// Calls of `fails...(..)` or `refuses...(..)` within tests: the test, and the text that names the errors, which is the whole
/// test if they are in a table.
fn refusals(source: &str) -> Vec<(&str, &str)> {
    let mut found = vec![];
    for name in ["fails", "refuses"] {
        for (at, _) in source.match_indices(name) {
            let (before, call) = source.split_at(at);
            let called = name_at(call);
            let is_call = before.ends_with(['.', ' ']) && !before.ends_with("fn ");
            let rest = &call[called.len()..];
            if !is_call || !rest.starts_with('(') {
                continue;
            }
            if let Some(test) = enclosing_test(before) {
                let arguments = arguments(rest);
                let in_table = arguments.trim_end().ends_with(" error");
                found.push((test, if in_table { function_at(source, at) } else { arguments }));
            }
        }
    }
    found
}

#[test]
fn every_error_is_reached_by_a_test() {
    let mut table: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let sources = sources();
    for (test, arguments) in sources.iter().flat_map(|source| refusals(source)) {
        for (at, _) in arguments.match_indices(ERROR) {
            table.entry(name_at(&arguments[at + ERROR.len()..])).or_default().insert(test);
        }
    }
    for (error, test) in SAFETY_NETS {
        let defined = format!("\nfn {test}()");
        assert!(sources.iter().any(|source| source.contains(&defined)), "{test} does not exist");
        assert!(!table.contains_key(error), "{error} is reached by a transaction: it is no safety net");
        table.entry(error).or_default().insert(test);
    }
    let errors: Vec<String> = error::every().iter().map(|error| format!("{error:?}")).collect();
    for error in &errors {
        let tests: Vec<_> = table.get(&error[..]).into_iter().flatten().copied().collect();
        println!("{error:24} {}", tests.join(", "));
    }
    let unreached: Vec<_> = errors.iter().filter(|error| !table.contains_key(&error[..])).collect();
    assert!(unreached.is_empty(), "no test reaches {unreached:?}");
}
