//! `cargo xtask wasm`: compiles the client for web pages, which proves that its default features need no operating
//! system.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::compile::{rustc, variables};
use crate::{cargo, execute, output, root};

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds `leasehold-client` for WebAssembly: with rustup's target where it is installed, else together with the
/// standard library, from the sources in `toolchain/`.
///
/// Its target folder is its own, so the workspace is not compiled again afterwards. From an empty folder, the
/// standard library included, it takes about 3 minutes and 20 seconds of CPU time and 640 MB; when nothing changed, a
/// second.
pub fn run() -> Result<()> {
    let target_dir = root().join("target/wasm");
    let mut command = cargo();
    command.args([
        "build",
        "--locked",
        "-p",
        "leasehold-client",
        "--lib",
        "--target",
        TARGET,
        "--target-dir",
    ]);
    command.arg(&target_dir);
    // Nothing is run or debugged here.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
    let sysroot = PathBuf::from(output(rustc().args(["--print", "sysroot"]))?.trim());
    if !sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        build_std(&mut command, &sysroot, &target_dir)?;
    }
    execute(&mut command)
}

/// Has the command compile the standard library as well. Stable Rust does so with an unstable flag.
fn build_std(command: &mut Command, sysroot: &Path, target_dir: &Path) -> Result<()> {
    command
        .arg("-Zbuild-std=std,panic_abort")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("__CARGO_TESTS_ONLY_SRC_ROOT", library(target_dir)?)
        .env("PATH", path_with_linker(sysroot)?);
    Ok(())
}

/// The folder of the standard library's sources, unpacked once.
fn library(target_dir: &Path) -> Result<PathBuf> {
    let recipe = variables(&root().join("toolchain/recipe.env"))?;
    let archive = root().join(format!("toolchain/rust-library-{}.tar.xz", recipe["RUST"]));
    let place = target_dir.join("rust-src");
    let library = place.join("library");
    if !library.join("std/Cargo.toml").is_file() {
        std::fs::create_dir_all(&place).with_context(|| format!("{} can't be made", place.display()))?;
        execute(Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(&place))?;
    }
    Ok(library)
}

/// PATH with Rust's own `wasm-ld` in front.
fn path_with_linker(sysroot: &Path) -> Result<OsString> {
    let host = output(rustc().args(["--print", "host-tuple"]))?;
    let linker = sysroot.join("lib/rustlib").join(host.trim()).join("bin/gcc-ld");
    let rest = env::var_os("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(linker).chain(env::split_paths(&rest))).context("PATH can't be extended")
}
