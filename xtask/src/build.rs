//! `cargo xtask build`: the program, compiled to sBPF v3, and its manifest.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::compile::{Compiler, compile, platform_tools};
use crate::source::{PROGRAM, hex};
use crate::{root, source};

#[derive(clap::Args)]
pub struct Arguments {
    /// Change nothing; fail if the committed program differs from what its sources compile to
    #[arg(long)]
    check: bool,
    /// The compiler. Default: Solana's platform tools if they are installed and new enough, otherwise toolchain/.
    /// --check uses the one that the manifest names
    #[arg(long, conflicts_with = "check")]
    with: Option<Compiler>,
}

/// The contents of programs/leasehold/leasehold.so.json.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// sha256 of leasehold.so, in hex.
    sha256: String,
    /// Bytes of leasehold.so.
    size: u64,
    /// `source::digest` of its inputs.
    source: String,
    compiler: Compiler,
    /// Name and version of each tool and library that determines the bytes.
    versions: BTreeMap<String, String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.check { check() } else { write(arguments.with) }
}

fn program_path() -> PathBuf {
    root().join(PROGRAM).join("leasehold.so")
}

fn manifest_path() -> PathBuf {
    root().join(PROGRAM).join("leasehold.so.json")
}

fn write(with: Option<Compiler>) -> Result<()> {
    let compiler = match with {
        Some(compiler) => compiler,
        None if platform_tools()?.is_some() => Compiler::PlatformTools,
        None => Compiler::Toolchain,
    };
    let source = source::digest(false)?;
    let built = compile(compiler, false)?;
    if source::digest(false)? != source {
        bail!("the sources changed while they were compiled: run `cargo xtask build` again");
    }
    let manifest = Manifest {
        sha256: hex(&Sha256::digest(&built.program)),
        size: built.program.len() as u64,
        source,
        compiler,
        versions: built.versions,
    };
    fs::write(program_path(), &built.program).context("cannot write leasehold.so")?;
    fs::write(manifest_path(), serde_json::to_string_pretty(&manifest)? + "\n")
        .context("cannot write leasehold.so.json")?;
    println!("{} bytes, sha256 {}", manifest.size, manifest.sha256);
    if compiler == Compiler::PlatformTools {
        println!("note: CI has no platform tools; commit the output of `cargo xtask build --with toolchain`");
    }
    Ok(())
}

fn check() -> Result<()> {
    const AGAIN: &str =
        "run `cargo xtask build --with toolchain` and commit leasehold.so and leasehold.so.json";
    let program =
        fs::read(program_path()).with_context(|| format!("{PROGRAM}/leasehold.so is missing: {AGAIN}"))?;
    let text = fs::read_to_string(manifest_path())
        .with_context(|| format!("{PROGRAM}/leasehold.so.json is missing: {AGAIN}"))?;
    let manifest: Manifest = serde_json::from_str(&text)
        .with_context(|| format!("{PROGRAM}/leasehold.so.json is not valid: {AGAIN}"))?;

    if manifest.sha256 != hex(&Sha256::digest(&program)) || manifest.size != program.len() as u64 {
        bail!("leasehold.so is not the file that leasehold.so.json describes: {AGAIN}");
    }
    if manifest.source != source::digest(true)? {
        bail!("leasehold.so was compiled from other sources: {AGAIN}");
    }
    let built = compile(manifest.compiler, true)?;
    if built.program != program {
        let found = hex(&Sha256::digest(&built.program));
        let difference = differences(&manifest.versions, &built.versions);
        bail!("leasehold.so differs from what its sources compile to (sha256 {found}){difference}: {AGAIN}");
    }
    println!("leasehold.so equals what its sources compile to (sha256 {})", manifest.sha256);
    Ok(())
}

/// The versions that differ, if any: the likely reason why the same sources give other bytes.
fn differences(committed: &BTreeMap<String, String>, here: &BTreeMap<String, String>) -> String {
    let absent = String::from("none");
    let mut text = String::new();
    for name in committed.keys().chain(here.keys().filter(|name| !committed.contains_key(*name))) {
        let (then, now) = (committed.get(name).unwrap_or(&absent), here.get(name).unwrap_or(&absent));
        if then != now {
            text += &format!("; it was compiled with {name} {then}, this is {now}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_versions_are_named() {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect::<BTreeMap<_, _>>()
        };
        let committed = map(&[("llvm", "23.1.4"), ("rustc", "1.95.0")]);
        assert_eq!(differences(&committed, &committed), "");
        assert_eq!(
            differences(&committed, &map(&[("llvm", "23.1.5"), ("rustc", "1.95.0")])),
            "; it was compiled with llvm 23.1.4, this is 23.1.5"
        );
        assert_eq!(
            differences(&map(&[]), &map(&[("llvm", "1")])),
            "; it was compiled with llvm none, this is 1"
        );
    }
}
