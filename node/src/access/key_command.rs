//! `sshd`'s AuthorizedKeysCommand in a tenant's namespaces.
//!
//! Prints the offered key if it is the tenant's, else nothing. The first argument is the Door's Unix socket, or a file with
//! the key's SHA-256 in hexadecimal where no socket reaches, as in a virtual machine.
//!
//! `leasehold-authorized-keys` has this file as a module of its own instead of the library's: `sshd` runs it twice for a
//! login, and it must start where the library's dependencies are missing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The node answers from memory; a node that hangs must not hold up `sshd`.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers for the arguments of the command: socket or file, then sshd's `%f`, `%t` and `%k`.
pub fn run(arguments: &[String]) -> ExitCode {
    let [source, fingerprint, kind, key] = arguments else {
        eprintln!("usage: leasehold-authorized-keys SOCKET|FILE FINGERPRINT TYPE KEY (as sshd's %f %t %k)");
        return ExitCode::FAILURE;
    };
    match is_let_in(Path::new(source), fingerprint, key) {
        Ok(true) => {
            // sshd compares it with the offered key once more.
            let _ = writeln!(io::stdout(), "{kind} {key}");
            ExitCode::SUCCESS
        }
        Ok(false) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leasehold-authorized-keys: {source}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_let_in(source: &Path, fingerprint: &str, key: &str) -> io::Result<bool> {
    let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
    let blob = STANDARD.decode(key).map_err(|_| invalid("the key is not base64"))?;
    let hash: [u8; 32] = Sha256::digest(&blob).into();
    // The hash that counts is the one of the key itself. If sshd has another, something is wrong with one of the two.
    let ours = format!("SHA256:{}", STANDARD.encode(hash));
    if ours.trim_end_matches('=') != fingerprint {
        return Err(invalid("the fingerprint is not the key's"));
    }
    if fs::metadata(source)?.file_type().is_socket() { ask(source, &hash) } else { read(source, &hash) }
}

fn ask(socket: &Path, hash: &[u8; 32]) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(hash)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok(answer == [1])
}

fn read(file: &Path, hash: &[u8; 32]) -> io::Result<bool> {
    let mut access = [0; 32];
    hex::decode_to_slice(fs::read_to_string(file)?.trim(), &mut access)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not 64 hexadecimal digits"))?;
    Ok(access == *hash)
}
