//! The compilers: `toolchain/` and Solana's platform tools.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::source::{PROGRAM, TARGET};
use crate::{cargo, execute, frames, output, root, source};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Compiler {
    /// The folder `toolchain/`
    Toolchain,
    /// `cargo build-sbf`
    PlatformTools,
}

/// A compiled program and the versions of its compiler.
pub struct Built {
    pub program: Vec<u8>,
    pub versions: BTreeMap<String, String>,
}

/// Compiles the program. `locked` refuses a Cargo.lock that needs an update.
pub fn compile(compiler: Compiler, locked: bool) -> Result<Built> {
    let started = Instant::now();
    let built = match compiler {
        Compiler::Toolchain => compile_with_toolchain(locked)?,
        Compiler::PlatformTools => compile_with_platform_tools(locked)?,
    };
    println!("compiled in {:.1} s", started.elapsed().as_secs_f64());
    Ok(built)
}

fn compile_with_toolchain(locked: bool) -> Result<Built> {
    execute(&mut Command::new(root().join("toolchain/setup.sh")))?;
    let recipe = variables(&root().join("toolchain/recipe.env"))?;
    let place = PathBuf::from(&recipe["DIR"]);
    let compiler = output(rustc().arg("--version"))?.trim().to_owned();
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
    // The profile comes from Cargo.toml alone, not from the environment.
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

    let program = fs::read(output_dir.join("libleasehold.so")).context("the linker wrote no program")?;
    let built_with = variables(&place.join("versions.env"))?;
    let versions = BTreeMap::from([
        ("rustc".to_owned(), compiler.trim_start_matches("rustc ").to_owned()),
        ("llvm".to_owned(), built_with["LLVM"].clone()),
        ("sbpf-linker".to_owned(), built_with["SBPF_LINKER"].clone()),
    ]);
    Ok(Built { program, versions })
}

/// The Rust compiler that cargo uses.
pub fn rustc() -> Command {
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
    // LLVM's BPF target defines x / 0 as 0, so these passes may move a division above the check of its divisor.
    // Solana's virtual machine aborts on x / 0.
    flags.push("-Clink-arg=--llvm-args=-disable-machine-licm".into());
    flags.push("-Clink-arg=--llvm-args=-disable-machine-cse".into());
    // With loop strength reduction, loops over a board compute each field's address from the start of the board.
    flags.push("-Clink-arg=--llvm-args=-disable-lsr".into());

    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let mut remap =
        |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    // If several match, the last one counts.
    remap(&root(), "/leasehold");
    remap(&place.join("rust-src"), "/rust");
    // The folder of packages is named after the registry, which is not the same everywhere.
    let registries = home.join("registry/src");
    for entry in fs::read_dir(&registries).with_context(|| format!("cannot read {}", registries.display()))? {
        remap(&entry?.path(), "/packages");
    }
    Ok(flags)
}

/// Lines of the form NAME=value.
pub fn variables(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The output of `cargo build-sbf --version`; `None` if the tools are not installed or their Rust is too old for the
/// program. The output names their Rust only once they are downloaded.
pub fn platform_tools() -> Result<Option<String>> {
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

/// Stack frames are not checked here: `frames` knows the conventions of sbpf-linker, and Solana's compiler
/// refuses frames that overflow.
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
    let program = fs::read(output_dir.join("leasehold.so")).context("cargo build-sbf wrote no program")?;
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
}
