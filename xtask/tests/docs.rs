//! Tests, functions and files that the documents name exist.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Files of the repository with that ending, without build output and downloads.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && !["target", "node_modules"].contains(&&*name) {
            files(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Code in a text: the parts between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn tests_and_functions_that_documents_name_exist() {
    let mut sources = Vec::new();
    files(&root(), ".rs", &mut sources);
    let sources: Vec<String> = sources.iter().map(|path| read(path)).collect();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: HashSet<&str> = sources.iter().flat_map(|text| text.split(|c| !is_word(c))).collect();
    let mut missing = Vec::new();
    for document in ["docs/threats.md", "docs/invariants.md", "docs/economics.md"] {
        let text = read(&root().join(document));
        let names = code(&text).filter(|word| word.contains('_') && word.chars().all(is_word));
        missing.extend(names.filter(|name| !words.contains(name)).map(|name| format!("{document}: {name}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = Vec::new();
    files(&root(), ".md", &mut documents);
    let mut broken = Vec::new();
    for document in documents {
        let text = read(&document);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or(link);
            if !document.parent().expect("a folder").join(file).exists() {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_decision_is_in_the_list_of_decisions() {
    let list = read(&root().join("docs/architecture.md"));
    let mut decisions = Vec::new();
    files(&root().join("docs/adr"), ".md", &mut decisions);
    let names = decisions.iter().map(|path| path.file_name().expect("a name").to_string_lossy());
    let missing: Vec<_> = names.filter(|name| !list.contains(&format!("(adr/{name})"))).collect();
    assert!(!decisions.is_empty() && missing.is_empty(), "{missing:?}");
}

#[test]
fn the_glossary_has_each_term_once_in_alphabetical_order() {
    let text = read(&root().join("docs/glossary.md"));
    let rows = text.lines().filter_map(|line| line.strip_prefix("| **")?.split_once("** |"));
    let terms: Vec<_> = rows.map(|(term, _)| term.trim_matches('`').to_lowercase()).collect();
    let sorted = terms.is_sorted_by(|a, b| a < b);
    let wrong = terms.windows(2).find(|pair| pair[0] >= pair[1]);
    assert!(terms.len() > 50 && sorted, "{wrong:?}");
}

#[test]
fn files_that_documents_name_exist() {
    let mut all = Vec::new();
    files(&root(), "", &mut all);
    let mut missing = Vec::new();
    for document in all.iter().filter(|path| is_prose(path)) {
        let text = read(document);
        let is_path = |word: &&str| {
            let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            plain && word.contains('/') && Path::new(word).extension().is_some()
        };
        for path in code(&text).filter(is_path) {
            // Documents may leave out the first folders: `state/lease.rs`.
            if !all.iter().any(|file| file.ends_with(path)) {
                missing.push(format!("{}: {path}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Documents that people read; the transcripts of the command line hold paths of their own.
fn is_prose(path: &Path) -> bool {
    let path = path.strip_prefix(root()).expect("a path below the root");
    let in_docs =
        path.starts_with("docs") || path.parent() == Some(Path::new("")) || path.starts_with("toolchain");
    in_docs && path.extension().is_some_and(|extension| extension == "md")
}
