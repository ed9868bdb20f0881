//! `cargo xtask build`: the program, compiled to sBPF v3, and its manifest.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::source::{PROGRAM, TARGET, hex};
use crate::{cargo, execute, frames, output, root, source};

#[derive(clap::Args)]
pub struct Arguments {
    /// Change nothing; fail where the committed program is not what its sources give
    #[arg(long)]
    check: bool,
    /// What to compile with; by default Solana's platform tools where they are installed and new enough.
    /// With --check it is what the manifest names
    #[arg(long, conflicts_with = "check")]
    with: Option<Compiler>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Compiler {
    /// The folder `toolchain/`
    Toolchain,
    /// `cargo build-sbf`
    PlatformTools,
}

/// What programs/leasehold/leasehold.so.json holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// sha256 of leasehold.so, in hex.
    sha256: String,
    /// Bytes of leasehold.so.
    size: u64,
    /// `source::digest` of what it was compiled from.
    source: String,
    compiler: Compiler,
    /// Name and version of each program and library that had a hand in the bytes.
    versions: BTreeMap<String, String>,
}

/// A compiled program and the versions of what compiled it.
struct Built {
    program: Vec<u8>,
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
    let manifest = Manifest {
        sha256: hex(&Sha256::digest(&built.program)),
        size: built.program.len() as u64,
        source,
        compiler,
        versions: built.versions,
    };
    fs::write(program_path(), &built.program).context("leasehold.so can't be written")?;
    fs::write(manifest_path(), serde_json::to_string_pretty(&manifest)? + "\n")
        .context("leasehold.so.json can't be written")?;
    println!("{} bytes, sha256 {}", manifest.size, manifest.sha256);
    if compiler == Compiler::PlatformTools {
        println!("note: CI has no platform tools; commit what `cargo xtask build --with toolchain` makes");
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
        bail!("leasehold.so was compiled from other sources than these: {AGAIN}");
    }
    let built = compile(manifest.compiler, true)?;
    if built.program != program {
        let found = hex(&Sha256::digest(&built.program));
        let difference = differences(&manifest.versions, &built.versions);
        bail!("leasehold.so is not what its sources compile to (sha256 {found}){difference}: {AGAIN}");
    }
    println!("leasehold.so is what its sources compile to (sha256 {})", manifest.sha256);
    Ok(())
}

/// Says which versions differ, if any: the likely cause of other bytes from the same sources.
fn differences(committed: &BTreeMap<String, String>, here: &BTreeMap<String, String>) -> String {
    let absent = String::from("none");
    let mut text = String::new();
    for name in committed.keys().chain(here.keys().filter(|name| !committed.contains_key(*name))) {
        let (then, now) = (committed.get(name).unwrap_or(&absent), here.get(name).unwrap_or(&absent));
        if then != now {
            text += &format!("; it was made with {name} {then}, here is {now}");
        }
    }
    text
}

fn compile(compiler: Compiler, locked: bool) -> Result<Built> {
    let started = Instant::now();
    let built = match compiler {
        Compiler::Toolchain => compile_with_toolchain(locked)?,
        Compiler::PlatformTools => compile_with_platform_tools(locked)?,
    };
    println!("compiled in {:.1} s", started.elapsed().as_secs_f64());
    Ok(built)
}

// ---- toolchain/

fn compile_with_toolchain(locked: bool) -> Result<Built> {
    execute(&mut Command::new(root().join("toolchain/setup.sh")))?;
    let recipe = variables(&root().join("toolchain/recipe.env"))?;
    let place = PathBuf::from(&recipe["DIR"]);
    let compiler = output(cargo_rustc().arg("--version"))?.trim().to_owned();
    if compiler.split(' ').nth(1) != Some(&recipe["RUST"]) {
        bail!(
            "the program is compiled with Rust {}, this is {compiler}: run cargo without +TOOLCHAIN",
            recipe["RUST"]
        );
    }

    let target_dir = root().join("target/sbf");
    let mut path = place.join("bin").into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut command = cargo();
    command
        .args(["build", "--release", "-p", "leasehold", "--lib"])
        .args(locked.then_some("--locked"))
        .args(["-Zbuild-std=std,panic_abort", "-Zjson-target-spec", "--target"])
        // The copy beside the toolchain: Cargo puts the file's path into the hashes of names.
        .arg(place.join(Path::new(TARGET).file_name().unwrap_or_default()))
        .arg("--target-dir")
        .arg(&target_dir)
        .env("PATH", path)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(&place)?.join("\x1f"))
        .env("CARGO_INCREMENTAL", "0")
        // Stable Rust with two unstable parts: compiling std, and the calling convention of 128-bit arithmetic.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC_BOOTSTRAP_SYNTHETIC_TARGET", "1")
        .env("__CARGO_TESTS_ONLY_SRC_ROOT", place.join("rust-src/library"));
    // The profile is what Cargo.toml says, whatever the user's environment does.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PROFILE_")) {
        command.env_remove(name);
    }
    execute(&mut command)?;

    let output_dir = target_dir.join("sbpf-solana-solana/release");
    let object = output_dir.join("deps/libleasehold.o");
    let object = fs::read(&object)
        .with_context(|| format!("{} is missing: remove target/sbf", source::relative(&object)))?;
    let frames = frames::read(&object)?;
    frames::check(&frames)?;
    if let Some((name, frame)) = frames.first() {
        println!("deepest of {} stack frames: {} bytes, in {name}", frames.len(), frame.locals);
    }

    let program = fs::read(output_dir.join("libleasehold.so")).context("the linker made no program")?;
    let built_with = variables(&place.join("versions.env"))?;
    let versions = BTreeMap::from([
        ("rustc".to_owned(), compiler.trim_start_matches("rustc ").to_owned()),
        ("llvm".to_owned(), built_with["LLVM"].clone()),
        ("sbpf-linker".to_owned(), built_with["SBPF_LINKER"].clone()),
    ]);
    Ok(Built { program, versions })
}

fn cargo_rustc() -> Command {
    let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.current_dir(root());
    command
}

/// Flags for the sBPF target. The remapped prefixes keep this machine's paths out of the bytes.
fn rustflags(place: &Path) -> Result<Vec<String>> {
    let mut flags: Vec<String> = [
        "-Ctarget-cpu=v3",
        "-Crelocation-model=static",
        "-Cpasses=lower-atomic",
        "-Clink-arg=--arch=v3",
        "-Clink-arg=--deploy=false",
    ]
    .map(String::from)
    .to_vec();
    flags.push(format!("-Clink-arg=--llvm-args=-bpf-stack-size={}", frames::FRAME));

    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let mut remap =
        |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    // Where several match, the last one counts.
    remap(&root(), "/leasehold");
    remap(&place.join("rust-src"), "/rust");
    // Packages lie in a folder that is named after the registry: not the same everywhere.
    let registries = home.join("registry/src");
    for entry in
        fs::read_dir(&registries).with_context(|| format!("{} can't be read", registries.display()))?
    {
        remap(&entry?.path(), "/packages");
    }
    Ok(flags)
}

/// Lines of the form NAME=value.
fn variables(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

// ---- Solana's platform tools

/// What `cargo build-sbf --version` prints, where the tools are installed and their Rust can compile the
/// program. It names their Rust only once they are downloaded.
fn platform_tools() -> Result<Option<String>> {
    let Ok(output) = cargo().args(["build-sbf", "--version"]).output() else { return Ok(None) };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.lines().find_map(|line| line.strip_prefix("rustc "));
    let (Some(found), true) = (found, output.status.success()) else { return Ok(None) };
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    if version(found) < version(wanted) {
        println!(
            "note: the platform tools have Rust {found}, the program needs {wanted}: using toolchain/ instead"
        );
        return Ok(None);
    }
    Ok(Some(text.lines().collect::<Vec<_>>().join(", ")))
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').map_while(|part| part.trim().parse().ok()).collect()
}

/// Stack frames are not checked here: Solana's own compiler does that.
fn compile_with_platform_tools(locked: bool) -> Result<Built> {
    let Some(tools) = platform_tools()? else {
        bail!("Solana's platform tools are not installed: run `cargo xtask build --with toolchain`");
    };
    let target_dir = root().join("target/sbf-platform-tools");
    let output_dir = target_dir.join("deploy");
    let mut command = cargo();
    command
        .args(["build-sbf", "--arch", "v3", "--manifest-path"])
        .arg(root().join(PROGRAM).join("Cargo.toml"))
        .arg("--sbf-out-dir")
        .arg(&output_dir)
        .env("CARGO_TARGET_DIR", &target_dir);
    if locked {
        command.args(["--", "--locked"]);
    }
    execute(&mut command)?;
    let program = fs::read(output_dir.join("leasehold.so")).context("cargo build-sbf made no program")?;
    Ok(Built { program, versions: BTreeMap::from([("cargo-build-sbf".to_owned(), tools)]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(version("1.89.0") < version("1.95"));
        assert!(version("1.95.0") >= version("1.95"));
        assert!(version("1.100.0") >= version("1.95"));
    }

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
            "; it was made with llvm 23.1.4, here is 23.1.5"
        );
        assert_eq!(differences(&map(&[]), &map(&[("llvm", "1")])), "; it was made with llvm none, here is 1");
    }
}
