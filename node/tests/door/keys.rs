//! The command that `sshd` asks for keys.

use crate::stage::{Files, Host, LEASE, Stage, alias, machine, now, tenant};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::process::Command;

/// The tenant's key, as sshd gives it.
const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
const FINGERPRINT: &str = "SHA256:";

async fn ask(source: &Path, fingerprint: &str, key: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold-authorized-keys"));
    let output = command.arg(source).args([fingerprint, "ssh-ed25519", key]).output().await.unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

fn hash(key: &str) -> ([u8; 32], String) {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    use sha2::{Digest, Sha256};
    let hash: [u8; 32] = Sha256::digest(STANDARD.decode(key).unwrap()).into();
    (hash, format!("{FINGERPRINT}{}", STANDARD_NO_PAD.encode(hash)))
}

#[tokio::test]
async fn the_command_asks_the_door_or_reads_a_file() {
    let stage = Stage::new().await;
    let (access, fingerprint) = hash(KEY);
    let folder =
        stage.door.prepare(&machine(1), &LEASE, &alias(1, &LEASE, 0), &access, now() + 3600).unwrap();
    let mut let_in = tenant(1, LEASE, 0, &stage.files.key("ed25519").await);
    let_in.access = access;
    stage.door.admit(let_in).unwrap();
    let yes = (true, format!("ssh-ed25519 {KEY}\n"));
    for source in ["keys.sock", "access"] {
        assert_eq!(ask(&folder.join(source), &fingerprint, KEY).await, yes, "{source}");
        let other = KEY.replace("HR4f", "HR4e");
        assert_eq!(ask(&folder.join(source), &hash(&other).1, &other).await, (true, String::new()));
    }
    stage.door.shut(&machine(1));
    assert_eq!(
        ask(&folder.join("keys.sock"), &fingerprint, KEY).await,
        (false, String::new()),
        "no answer is a no"
    );
}

#[tokio::test]
async fn the_command_hashes_the_key_itself() {
    let files = Files::new();
    let file = files.path("access");
    let (access, fingerprint) = hash(KEY);
    fs::write(&file, hex::encode(access)).unwrap();
    let other = KEY.replace("HR4f", "HR4e");
    assert_eq!(
        ask(&file, &fingerprint, &other).await,
        (false, String::new()),
        "another key by the tenant's name"
    );
    assert_eq!(ask(&file, &fingerprint, "no base64").await, (false, String::new()));
    fs::write(&file, "short").unwrap();
    assert_eq!(ask(&file, &fingerprint, KEY).await, (false, String::new()));
}

/// Profiles must mount the folder so that nobody else can write to it.
#[tokio::test]
async fn sshd_refuses_the_command_in_a_folder_that_others_may_write_to() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let folder = stage.files.path("door");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!stage.ssh(&key, Host::new(1, LEASE, 0)).gets_in().await);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).unwrap();
    assert!(stage.ssh(&key, Host::new(1, LEASE, 0)).gets_in().await);
}
