//! The demo as a process, where tenants can't log in.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use leasehold_localnet::rooms::Rooms;

fn demo() -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    let binary = test.parent().and_then(Path::parent).expect("the folder above `deps`").join("demo");
    assert!(binary.is_file(), "{} does not exist; run `cargo build --bins`", binary.display());
    binary
}

#[test]
fn the_demo_says_why_it_shows_no_shell_and_succeeds() {
    let mut command = if Rooms::new().is_ok() {
        // A host without sshd: nothing but a device is in its place.
        let script = "mount --bind /dev/null /usr/sbin/sshd && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(demo());
        command
    } else {
        Command::new(demo())
    };
    let output = command.args(["--machines", "100", "--rounds", "2", "--json"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(report["shell"].is_null() && report["receipt"]["verified"] == true, "{report}");
    let lines = said.lines().filter(|line| line.starts_with("shell: left out, since ")).count();
    assert_eq!(lines, 1, "{said}");
}
