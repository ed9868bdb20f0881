//! Public SSH keys in files.

use std::path::Path;

use leasehold_client::access::fingerprint;
use leasehold_operate::failure::Failure;
use ssh_key::{Algorithm, PublicKey};

/// A public key whose holder is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    pub fingerprint: [u8; 32],
    /// Algorithm and key as a file has them, without the comment.
    pub line: String,
}

impl Public {
    pub fn of(key: &PublicKey) -> ssh_key::Result<Self> {
        let blob = key.to_bytes()?;
        let mut key = key.clone();
        key.set_comment("");
        Ok(Public { fingerprint: fingerprint(&blob), line: key.to_openssh()?.trim_end().to_owned() })
    }

    /// Reads a file with one public key, as ssh-keygen writes it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text =
            std::fs::read_to_string(path).map_err(|error| Failure::File { path: path.to_owned(), error })?;
        parse(&text).map_err(|problem| Failure::Input(format!("{}: {problem}", path.display())))
    }
}

/// Never repeats the text, which may be secret.
fn parse(text: &str) -> Result<Public, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.contains("PRIVATE KEY") || text.starts_with("PuTTY-User-Key-File") {
        return Err(
            "it is a private key: name its public half, which ssh-keygen writes beside it as FILE.pub".into(),
        );
    }
    if text.trim_start().starts_with('[') {
        return Err("it is a keypair of Solana: name a public SSH key, FILE.pub".into());
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<_> = lines.collect();
    let [line] = lines[..] else {
        return Err(format!("it has {} keys: name a file with one public key, FILE.pub", lines.len()));
    };
    if line.split(' ').next().is_some_and(|kind| kind.contains("-cert-")) {
        return Err("it is a certificate: name the public key that it certifies, FILE.pub".into());
    }
    let key = PublicKey::from_openssh(line);
    let key =
        key.map_err(|_| "not a public SSH key: name a file as ssh-keygen writes it, FILE.pub".to_owned())?;
    if key.algorithm() == Algorithm::Dsa {
        return Err("it is a DSA key, which SSH servers no longer accept: take an ed25519 key".into());
    }
    Public::of(&key).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn keygen(dir: &Path, kind: &str) -> std::path::PathBuf {
        let path = dir.join(kind);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", kind, "-N", "", "-C", "me@host", "-f"]).arg(&path);
        assert!(keygen.status().expect("ssh-keygen, of openssh-client").success());
        path
    }

    #[test]
    fn keys_of_every_kind_have_the_fingerprint_that_ssh_keygen_shows() {
        let dir = tempfile::tempdir().unwrap();
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let path = keygen(dir.path(), kind);
            let file = path.with_extension("pub");
            let public = Public::read(&file).unwrap();
            let shown = Command::new("ssh-keygen").arg("-lf").arg(&file).output().unwrap().stdout;
            let shown = String::from_utf8(shown).unwrap();
            assert_eq!(
                shown.split(' ').nth(1),
                Some(&*leasehold_client::access::display(&public.fingerprint))
            );
            assert!(
                !public.line.contains("me@host") && public.line.split(' ').count() == 2,
                "{}",
                public.line
            );
            let private = Public::read(&path).unwrap_err();
            assert!(private.code() == 2 && private.to_string().contains("it is a private key"), "{private}");
        }
    }

    #[test]
    fn other_files_are_refused_with_what_to_name_instead_and_without_their_text() {
        let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJzmkKHC7ZyUKpHi0Lxf7Gvdi0w7BCwVUcFZgqXq9yIu";
        assert!(parse(&format!("\u{feff}# mine\n\n{good} a comment\r\n")).is_ok());
        for (text, expected) in [
            ("", "it has 0 keys"),
            (&format!("{good}\n{good}\n"), "it has 2 keys"),
            ("[231, 4, 7]", "it is a keypair of Solana"),
            ("ssh-ed25519-cert-v01@openssh.com AAAA", "it is a certificate"),
            ("secret words", "not a public SSH key"),
            ("ssh-ed25519 AAAAC3Nz", "not a public SSH key"),
            ("PuTTY-User-Key-File-3: ssh-ed25519", "it is a private key"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected) && error.contains(".pub"), "{text}: {error}");
            assert!(!error.contains("231") && !error.contains("secret"), "{error}");
        }
    }
}
