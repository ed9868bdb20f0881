//! The inputs in `corpus/` break nothing, and the lists of `decode` are complete.

use std::{collections::BTreeSet, fs, path::Path};

use leasehold_fuzz::{INSTRUCTIONS, TARGETS};

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

/// Runs a target on its inputs. A failure names the input above its panic.
fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let folder = corpus().join(name);
    for input in names(&folder) {
        println!("{name}/{input}");
        (target.run)(&fs::read(folder.join(input)).expect("an input"));
    }
    for len in 0..64u8 {
        (target.run)(&vec![len; usize::from(len) * 4]);
    }
}

#[test]
fn corpus_of_rules_breaks_no_invariant() {
    replay("rules");
}

#[test]
fn corpus_of_settlement_agrees_with_the_specification() {
    replay("settlement");
}

#[test]
fn corpus_of_decode_is_read_and_written_alike() {
    replay("decode");
}

#[test]
fn corpus_has_a_folder_for_each_target() {
    let targets = TARGETS.iter().map(|target| target.name.to_owned()).filter(|name| name != "planted");
    assert_eq!(names(corpus()), targets.collect());
}

#[test]
fn decode_knows_every_instruction() {
    let idl = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../idl/leasehold.json"))
        .expect("the interface");
    let idl: serde_json::Value = serde_json::from_str(&idl).expect("JSON");
    let listed = idl["instructions"].as_array().expect("instructions").iter();
    let listed = listed.map(|instruction| instruction["name"].as_str().expect("a name").replace('_', ""));
    let known = INSTRUCTIONS.iter().map(|name| name.to_lowercase());
    assert_eq!(known.collect::<BTreeSet<_>>(), listed.collect());
}
