//! NVIDIA's container toolkit, whose hooks run as root on this host for each tenant's container.

use super::{Printed, run};
use crate::check::Report;
use std::path::Path;
use tokio::process::Command;

const CHECK: &str = "toolkit";
/// The first version without CVE-2025-23266, by which an image runs code as root on the host, and CVE-2025-23267: NVIDIA's
/// record says "up to and including 1.17.7". CVE-2024-0132 (up to 1.16.1) does not concern CDI.
const LEAST: [u32; 3] = [1, 17, 8];

/// Compares its version.
pub(super) async fn check(nvidia_ctk: &Path, report: &mut Report) {
    let program = nvidia_ctk.display();
    let least = text(LEAST);
    match run(Command::new(nvidia_ctk).arg("--version")).await {
        Err(error) => report.warning(
            CHECK,
            format!("cannot run {program} ({error}): containers get no GPUs"),
            &format!("install nvidia-container-toolkit {least} or later, if this host has GPUs"),
        ),
        Ok(Printed { out, err, .. }) => match version(&out) {
            Some(found) if found >= LEAST => report.ok(CHECK, format!("nvidia-container-toolkit {}", text(found))),
            Some(found) => report.error(
                CHECK,
                format!(
                    "nvidia-container-toolkit {} is older than {least}: a tenant's image can become root of this host \
                     (CVE-2025-23266)",
                    text(found)
                ),
                "upgrade it from NVIDIA's repository, then run `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`",
            ),
            None => {
                let said = out.lines().chain(err.lines()).next().unwrap_or("nothing").to_owned();
                report.error(CHECK, format!("{program} tells no version: {said}"), "install it again");
            }
        },
    }
}

fn text(version: [u32; 3]) -> String {
    version.map(|part| part.to_string()).join(".")
}

/// The version in a text such as `NVIDIA Container Toolkit CLI version 1.17.8`. A release candidate counts as the version
/// before it.
fn version(said: &str) -> Option<[u32; 3]> {
    let word = said.lines().next()?.split_whitespace().next_back()?;
    let (numbers, candidate) =
        word.split_once(['-', '~']).map_or((word, false), |(numbers, _)| (numbers, true));
    let mut parts = numbers.trim_start_matches('v').split('.').map(|part| part.parse().ok());
    let version = [parts.next()??, parts.next()??, parts.next()??];
    let [major, minor, patch] = version;
    if !candidate {
        return Some(version);
    }
    Some(
        patch
            .checked_sub(1)
            .map_or([major, minor.saturating_sub(1), u32::MAX], |patch| [major, minor, patch]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers_and_candidates_are_older() {
        let read =
            |text: &str| version(&format!("NVIDIA Container Toolkit CLI version {text}\ncommit: 9c1f4d"));
        assert_eq!(read("1.17.8"), Some([1, 17, 8]));
        assert!(read("1.9.12") < Some(LEAST) && read("1.18.0") > Some(LEAST));
        assert!(read("1.17.8-rc.1") < Some(LEAST) && read("1.18.0-rc.2") > Some(LEAST));
        assert_eq!((read("unknown"), version("")), (None, None));
    }
}
