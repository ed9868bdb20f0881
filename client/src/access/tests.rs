//! What this module writes is what OpenSSH reads: compared with `ssh-keygen` and `ssh` themselves.

use std::{fs, path::Path, process::Command};

use ed25519_dalek::SigningKey;

use super::*;

/// Standard output of a program that must succeed.
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} ({error}): install openssh-client"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a key pair in a folder; returns the path of the public key.
fn generate(folder: &Path, kind: &str) -> String {
    let key = folder.join(kind).to_str().unwrap().to_owned();
    run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", "", "-f", &key]);
    key + ".pub"
}

/// Algorithm name and blob of a public key file.
fn public_key(path: &str) -> (String, Vec<u8>) {
    let text = fs::read_to_string(path).unwrap();
    let mut words = text.split_whitespace();
    (words.next().unwrap().to_owned(), BASE64_STANDARD.decode(words.next().unwrap()).unwrap())
}

#[test]
fn fingerprints_are_those_that_ssh_keygen_shows() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let path = generate(folder.path(), kind);
        let listed = run("ssh-keygen", &["-l", "-E", "sha256", "-f", &path]);
        let (_, blob) = public_key(&path);
        assert_eq!(listed.split_whitespace().nth(1), Some(display(&fingerprint(&blob)).as_str()), "{kind}");
    }
}

#[test]
fn an_ed25519_key_is_written_as_ssh_keygen_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (algorithm, blob) = public_key(&generate(folder.path(), "ed25519"));
    let key: [u8; 32] = blob.last_chunk().copied().unwrap();
    assert_eq!((algorithm.as_str(), ed25519_blob(&Pubkey::new_from_array(key))), (ED25519, blob));
}

#[test]
fn ssh_keygen_finds_the_authority_under_its_alias_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let known_hosts = folder.path().join("known_hosts");
    let file = known_hosts.to_str().unwrap();
    let node_key = SigningKey::from_bytes(&[3; 32]).verifying_key().to_bytes();
    let node_key = Pubkey::new_from_array(node_key);
    let alias = host_alias(0, 7, 2, 5_120, &Pubkey::new_from_array([0xfe; 32]));
    let line = ca_line(&alias, &node_key);
    fs::write(&known_hosts, format!("{line}\n")).unwrap();
    let found = run("ssh-keygen", &["-F", &alias, "-f", file]);
    assert!(found.contains(" found: line 1 CA") && found.ends_with(&format!("{line}\n")), "{found}");
    let listed = run("ssh-keygen", &["-l", "-F", &alias, "-f", file]);
    assert!(listed.contains(&display(&fingerprint(&ed25519_blob(&node_key)))), "{listed}");
    for other in [host_alias(0, 7, 3, 5_120, &node_key), alias.replace("5120", "512")] {
        let searched = Command::new("ssh-keygen").args(["-F", &other, "-f", file]).output().unwrap();
        assert!(!searched.status.success() && searched.stdout.is_empty(), "{other}");
    }
}

/// ssh converts aliases and host names to lower case before it compares them with a certificate's principals, exactly.
#[test]
fn ssh_leaves_an_alias_as_it_is() {
    let lease = Pubkey::new_from_array([0xfe; 32]);
    assert_ne!(lease.to_string()[..8], lease.to_string()[..8].to_ascii_lowercase());
    let alias = host_alias(u32::MAX, u32::MAX, u32::MAX, u16::MAX, &lease);
    let option = format!("HostKeyAlias={alias}");
    let settings = run("ssh", &["-F", "none", "-G", "-o", &option, &alias]);
    for name in ["hostname", "hostkeyalias"] {
        assert!(settings.lines().any(|line| line == format!("{name} {alias}")), "{name}: {settings}");
    }
}

#[test]
fn a_host_certificate_for_the_alias_is_of_that_name() {
    let folder = tempfile::tempdir().unwrap();
    let authority = generate(folder.path(), "ed25519");
    let host = generate(folder.path(), "ecdsa");
    let alias = host_alias(1, 2, 3, 4, &Pubkey::new_from_array([9; 32]));
    let secret = authority.trim_end_matches(".pub");
    run("ssh-keygen", &["-q", "-s", secret, "-h", "-I", &alias, "-n", &alias, "-V", "-1h:+1h", &host]);
    let certificate = run("ssh-keygen", &["-L", "-f", &host.replace(".pub", "-cert.pub")]);
    let (_, blob) = public_key(&authority);
    for expected in [alias, display(&fingerprint(&blob))] {
        assert!(certificate.contains(&expected), "{expected}: {certificate}");
    }
}

#[test]
fn an_alias_names_board_serial_epoch_slot_and_lease() {
    let lease: Pubkey = "8qbHbw2BbbTHBW1sbeqakYXVKRQM8Ne7pLK7m6CVfeR".parse().unwrap();
    assert_eq!(host_alias(1, 2, 3, 4, &lease), "lease-1-2-3-slot4-8qbhbw2b");
    let others = [(0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (1, 2, 3, 0), (12, 3, 4, 0)];
    let names = others.map(|(board, serial, epoch, slot)| host_alias(board, serial, epoch, slot, &lease));
    let distinct: std::collections::HashSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}
