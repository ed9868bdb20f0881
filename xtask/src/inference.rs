//! `cargo xtask inference`: the inference server that the node's proxy is tested with.
//!
//! llama-cpp-python comes as source. pip compiles it, for some minutes, and keeps the result in its cache for other
//! checkouts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::{execute, root};

/// Names a Python that has the server, or is `none` to leave its tests out.
pub const VARIABLE: &str = "LEASEHOLD_TEST_LLAMA";

const PACKAGE: &str = "llama-cpp-python[server]==0.3.36";
/// For any processor, so that the result can be kept; without pictures, threads of OpenMP and downloads, which no test needs.
const CMAKE: &str = "-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DLLAMA_CURL=OFF";

/// Installs the server unless it is there.
pub fn install() -> Result<()> {
    let folder = root().join("target/inference");
    let python = folder.join("bin/python");
    if is_installed(&python) {
        return Ok(());
    }
    println!("installing {PACKAGE} for the tests of the node's proxy: this compiles for some minutes, once");
    let installed = fill(&folder, &python);
    installed.with_context(|| {
        format!(
            "cannot install the inference server: install python3, its module venv and a C++ compiler (on Debian \
             python3-venv and build-essential), or set {VARIABLE}=none to leave out the tests that need it"
        )
    })
}

fn fill(folder: &Path, python: &PathBuf) -> Result<()> {
    execute(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]);
    execute(pip.env("CMAKE_ARGS", CMAKE))
}

fn is_installed(python: &Path) -> bool {
    let mut check = Command::new(python);
    check.args(["-c", "import llama_cpp.server.app; assert llama_cpp.__version__ == '0.3.36'"]);
    check.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
