//! The bot as a process. A package's binaries are built only for integration tests of its own, and the tests on the local
//! network run this one.

use std::process::Command;

#[test]
fn a_missing_keypair_is_named_before_anything_is_asked() {
    let output = Command::new(env!("CARGO_BIN_EXE_leasehold-bot"))
        .args(["--keypair", "/no/such/keypair.json", "--max-price", "1", "--market", "1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("error: cannot read the keypair /no/such/keypair.json"), "{text}");
}
