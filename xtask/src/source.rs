//! A digest of everything that the compiled program is made from.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::{cargo, output, root};

/// The program's folder in the workspace.
pub const PROGRAM: &str = "programs/leasehold";
/// The sBPF target, as Cargo wants it.
pub const TARGET: &str = "toolchain/sbpf-solana-solana.json";

/// Digest of the program's sources, of the packages that are compiled into it with their versions and
/// features, and of its profile. The rest of the workspace, its lints and its other dependencies don't
/// change it. `locked` refuses a Cargo.lock that needs an update.
pub fn digest(locked: bool) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut add = |name: &str, contents: &[u8]| {
        for part in [name.as_bytes(), contents] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    };
    add("packages", packages(locked)?.as_bytes());
    add("profile", profile()?.as_bytes());
    for path in files()? {
        let name = path.strip_prefix(root())?.to_string_lossy().replace('\\', "/");
        add(&name, &fs::read(&path).with_context(|| format!("cannot read {name}"))?);
    }
    Ok(hex(&hasher.finalize()))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Cargo.toml and everything under src/, sorted by path.
fn files() -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::from([root().join(PROGRAM).join("Cargo.toml")]);
    let mut folders = vec![root().join(PROGRAM).join("src")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path);
            }
        }
    }
    Ok(files)
}

/// One line for each package in the program, with its version and features.
fn packages(locked: bool) -> Result<String> {
    let mut command = cargo();
    command
        .args(["tree", "-p", "leasehold", "-e", "normal,build", "--prefix", "none", "-f", "{p} [{f}]"])
        .args(["--target", TARGET, "-Zjson-target-spec"])
        .args(locked.then_some("--locked"))
        .env("RUSTC_BOOTSTRAP", "1");
    let tree = output(&mut command)?;
    let root = root().display().to_string();
    // Cargo marks packages that it has already listed with an asterisk.
    let lines: BTreeSet<String> =
        tree.lines().map(|line| line.trim_end_matches(" (*)").replace(&root, "")).collect();
    Ok(lines.into_iter().collect::<Vec<_>>().join("\n"))
}

/// The tables of the workspace's Cargo.toml that affect the compiler.
fn profile() -> Result<String> {
    let text = fs::read_to_string(root().join("Cargo.toml")).context("cannot read Cargo.toml")?;
    let manifest: toml::Table = text.parse().context("Cargo.toml is not valid")?;
    let get = |keys: [&str; 2]| manifest.get(keys[0]).and_then(|table| table.get(keys[1]));
    let mut lines = Vec::new();
    for keys in [["workspace", "package"], ["profile", "release"]] {
        if let Some(table) = get(keys) {
            write_sorted(&keys.join("."), table, &mut lines);
        }
    }
    Ok(lines.join("\n"))
}

/// One line for each value, sorted by name, since the order in the file has no meaning.
fn write_sorted(name: &str, value: &toml::Value, lines: &mut Vec<String>) {
    match value.as_table() {
        Some(table) => {
            for (key, value) in table.iter().collect::<std::collections::BTreeMap<_, _>>() {
                write_sorted(&format!("{name}.{key}"), value, lines);
            }
        }
        None => lines.push(format!("{name} = {value}")),
    }
}

/// The path without the workspace's root, for messages.
pub fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_has_no_meaning() {
        let lines = |text: &str| {
            let mut lines = Vec::new();
            write_sorted("t", &toml::Value::Table(text.parse().unwrap()), &mut lines);
            lines
        };
        assert_eq!(lines("b = 1\na.c = \"x\""), lines("a = { c = \"x\" }\nb = 1"));
        assert_eq!(lines("b = 1\na.c = \"x\""), ["t.a.c = \"x\"", "t.b = 1"]);
        assert_ne!(lines("a = 1"), lines("a = \"1\""));
    }

    #[test]
    fn bytes_are_written_with_two_digits() {
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
    }
}
