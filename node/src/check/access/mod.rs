//! What letting tenants in needs of this host: a profile, the toolkit of its containers, the host's own sshd, TCP ports.

mod profile;
mod sshd;
pub(super) mod tcp;
mod toolkit;

use super::{CheckOptions, Report};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// Where the Debian package installs profiles.
const PROFILES: &str = "/usr/lib/leasehold/profiles";
/// How long a program may take that looks at this host.
const PATIENCE: Duration = Duration::from_secs(60);

/// How tenants are let in, as far as `check` looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    /// Folder of the profile; `None` if the supplier has hooks of its own.
    pub profile: Option<PathBuf>,
    /// GPUs of all machines, as hooks get them.
    pub gpus: Vec<String>,
}

impl Access {
    /// Reads the option, or else the section `[access]`. `None` if nobody is let in.
    pub fn of(options: &CheckOptions) -> Option<Self> {
        let section = options.config.as_deref().and_then(section);
        let (folder, table) = section.unwrap_or_default();
        let text = |field: &str| table.get(field).and_then(toml::Value::as_str);
        let named = options.profile.clone().or_else(|| text("profile").map(PathBuf::from));
        if named.is_none() && table.is_empty() {
            return None;
        }
        let profiles = folder.join(text("profiles").unwrap_or(PROFILES));
        let is_name = |named: &Path| named.components().count() == 1 && !named.is_dir();
        let profile = named.map(|named| if is_name(&named) { profiles.join(named) } else { named });
        let machines = table.get("machine").and_then(toml::Value::as_array).into_iter().flatten();
        let gpus = machines.filter_map(|machine| machine.get("gpus")?.as_array()).flatten();
        Some(Self { profile, gpus: gpus.filter_map(toml::Value::as_str).map(str::to_owned).collect() })
    }

    /// True if tenants get containers.
    fn is_container(&self) -> bool {
        self.profile.as_deref().and_then(Path::file_name) == Some(OsStr::new("container"))
    }
}

/// The section and the folder of the file.
fn section(config: &Path) -> Option<(PathBuf, toml::Table)> {
    let table: toml::Table = std::fs::read_to_string(config).ok()?.parse().ok()?;
    let folder = config.parent().unwrap_or(Path::new("")).to_owned();
    Some((folder, table.get("access")?.as_table()?.clone()))
}

/// Looks at the profile, the toolkit and the host's own sshd.
pub(super) async fn check(options: &CheckOptions, report: &mut Report) {
    let Some(access) = Access::of(options) else {
        report.ok("access", "tenants are not let in: there is no section [access]".to_owned());
        return;
    };
    profile::check(&access, report).await;
    if access.is_container() {
        toolkit::check(&options.nvidia_ctk, report).await;
    }
    sshd::check(&options.sshd, &options.listen, report).await;
}

/// What a program printed.
struct Printed {
    is_success: bool,
    out: String,
    err: String,
}

/// Runs a program to its end; an error says why it gave no answer.
async fn run(command: &mut Command) -> Result<Printed, std::io::Error> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let late = || {
        std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no end after {} s", PATIENCE.as_secs()))
    };
    let output = timeout(PATIENCE, output).await.map_err(|_| late())??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(Printed { is_success: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) })
}
