//! `cargo xtask idl`: the program's interface description, made by compiling the program natively.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anchor_lang_idl::build::IdlBuilder;
use anyhow::{Context, Result, bail};

use crate::source::PROGRAM;
use crate::{execute, root};

#[derive(clap::Args)]
pub struct Arguments {
    /// Change nothing; fail if idl/leasehold.json differs from the one generated from the sources
    #[arg(long)]
    check: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    // The builder starts `cargo` by name and passes on rustup's choice of a toolchain in a form that cargo refuses. So
    // PATH gets the cargo that runs this task, and rustup's variable is removed.
    if env::var_os("RUSTUP_TOOLCHAIN").is_some() {
        let cargo = PathBuf::from(env::var_os("CARGO").context("this task is started by `cargo xtask`")?);
        let mut path = cargo.parent().unwrap_or(Path::new("/")).as_os_str().to_owned();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let mut again = Command::new(env::current_exe().context("cannot find the path of xtask")?);
        again.arg("idl").args(arguments.check.then_some("--check"));
        return execute(again.env("PATH", path).env_remove("RUSTUP_TOOLCHAIN"));
    }

    let path = root().join("idl/leasehold.json");
    let text = build()?;
    if !arguments.check {
        fs::create_dir_all(root().join("idl")).context("cannot create idl/")?;
        return fs::write(&path, text).context("cannot write idl/leasehold.json");
    }
    if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
        bail!("idl/leasehold.json is not up to date: run `cargo xtask idl` and commit it");
    }
    println!("idl/leasehold.json is up to date");
    Ok(())
}

/// The builder runs the program's generated tests with the feature `idl-build` and reads their output.
/// It sets its own compiler flags and therefore gets its own target folder: otherwise it and every other build would
/// recompile all packages in turn. The packages run once, so they are not optimised.
fn build() -> Result<String> {
    let target_dir = root().join("target/idl").display().to_string();
    let arguments = [
        "--lib",
        "--locked",
        "--target-dir",
        &target_dir,
        "--config",
        "profile.dev.package.\"*\".opt-level=0",
    ];
    let idl = IdlBuilder::new()
        .program_path(root().join(PROGRAM))
        .cargo_args(arguments.map(String::from).to_vec())
        .build()
        .context("cannot build the interface description")?;
    Ok(serde_json::to_string_pretty(&idl)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(path: &str) -> toml::Table {
        fs::read_to_string(root().join(path)).unwrap().parse().unwrap()
    }

    /// Anchor.toml has to repeat both.
    #[test]
    fn anchor_toml_names_the_address_and_the_version_of_the_sources() {
        let anchor = table("Anchor.toml");
        let sources = fs::read_to_string(root().join(PROGRAM).join("src/lib.rs")).unwrap();
        let address = anchor["programs"]["localnet"]["leasehold"].as_str().unwrap();
        assert!(sources.contains(&format!("declare_id!(\"{address}\")")), "{address}");

        let version = anchor["toolchain"]["anchor_version"].as_str().unwrap();
        let dependencies = &table("Cargo.toml")["workspace"]["dependencies"];
        assert_eq!(dependencies["anchor-lang"].as_str(), Some(format!("={version}").as_str()));
    }
}
