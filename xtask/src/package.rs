//! `cargo xtask package`: the Debian package of the node.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{cargo, execute, output, root};

#[derive(clap::Args)]
pub struct Arguments {
    /// Where the package goes [default: target/leasehold-node_VERSION.deb]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    // Statically linked on its own: sshd runs it in tenants' images, whatever C library they have.
    let host = output(std::process::Command::new("rustc").args(["--print", "host-tuple"]))?;
    let host = host.trim();
    execute(cargo().args(["build", "--release", "--locked", "--bin", "leasehold-node"]))?;
    execute(
        cargo()
            .args(["build", "--release", "--locked", "--bin", "leasehold-authorized-keys", "--target", host])
            .env("RUSTFLAGS", "-C target-feature=+crt-static"),
    )?;
    let target = root().join("target");
    let binaries = target.join("package");
    std::fs::create_dir_all(&binaries)?;
    let built = target.join("release");
    let built_static = target.join(host).join("release");
    for (folder, name) in [(&built, "leasehold-node"), (&built_static, "leasehold-authorized-keys")] {
        let from = folder.join(name);
        std::fs::copy(&from, binaries.join(name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let version = env!("CARGO_PKG_VERSION");
    let out = arguments.out.clone().unwrap_or_else(|| target.join(format!("leasehold-node_{version}.deb")));
    let mut build = std::process::Command::new(root().join("node/deploy/debian/build"));
    execute(build.arg(&binaries).arg(version).arg(&out))?;
    println!("{}", out.display());
    Ok(())
}
