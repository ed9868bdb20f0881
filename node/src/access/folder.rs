//! The folder of a lease on a machine: all that its `sshd` reads.
//!
//! | file | content |
//! |---|---|
//! | `ssh_host_ed25519_key`, `-cert.pub` | host key of this access epoch, its certificate |
//! | `access` | SHA-256 of the tenant's key in hexadecimal, for a virtual machine that the socket does not reach |
//! | `sshd_config` | configuration for the paths of this folder |
//! | `authorized-keys` | the command that `sshd` runs for each offered key |
//! | `keys.sock` | the Door's end of it, while the tenant is let in |
//!
//! The folder's path stays for the whole lease, whatever the epoch, so that a container which has it mounted sees the new
//! files.

use super::config::{ACCESS, CERTIFICATE, CONFIG, HOST_KEY, KEY_COMMAND, sshd_config};
use super::credentials::Credentials;
use super::{DoorError, MachineKey};
use leasehold_client::probe::{Pubkey, SigningKey};
use ssh_key::{Certificate, PrivateKey};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a lease's folder is made from, besides the lease's own part.
#[derive(Debug)]
pub(super) struct Folders {
    pub root: PathBuf,
    pub key_command: PathBuf,
    pub login: Duration,
}

/// The lease's part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant<'a> {
    pub machine: &'a MachineKey,
    pub lease: &'a Pubkey,
    pub alias: &'a str,
    pub access: &'a [u8; 32],
    pub valid_until: u64,
}

impl Folders {
    pub fn path(&self, machine: &MachineKey, lease: &Pubkey) -> PathBuf {
        // A lease is of one board.
        self.root.join(format!("slot{}-{lease}", machine.slot))
    }

    /// Writes the folder. The host key stays if it was made for the same alias, also by an earlier process.
    pub fn write(&self, grant: Grant<'_>, node_key: &SigningKey, now: u64) -> Result<PathBuf, DoorError> {
        let folder = self.path(grant.machine, grant.lease);
        let Grant { machine, alias, valid_until, .. } = grant;
        make_folder(&folder)?;
        let credentials = match read(&folder).filter(|old| old.fits(node_key, alias)) {
            Some(old) => Credentials::certify(old.key, node_key, machine, alias, now, valid_until)?,
            None => Credentials::new(node_key, machine, alias, now, valid_until)?,
        };
        // The certificate goes last: a key without its certificate does not fit, and is made anew.
        replace(&folder.join(HOST_KEY), 0o600, credentials.key_text()?.as_bytes())?;
        replace(&folder.join(CERTIFICATE), 0o600, credentials.certificate_text()?.as_bytes())?;
        replace(&folder.join(ACCESS), 0o600, format!("{}\n", hex::encode(grant.access)).as_bytes())?;
        replace(&folder.join(CONFIG), 0o600, sshd_config(&folder, self.login.as_secs()).as_bytes())?;
        self.copy_command(&folder)?;
        Ok(folder)
    }

    /// Not hard-linked, so that only this folder must be seen in the tenant's namespaces.
    fn copy_command(&self, folder: &Path) -> Result<(), DoorError> {
        let source = &self.key_command;
        let program =
            fs::read(source).map_err(|error| DoorError::Write { path: source.clone(), source: error })?;
        let copy = folder.join(KEY_COMMAND);
        // A program that runs can't be written to, and need not be.
        if fs::read(&copy).is_ok_and(|old| old == program) {
            return Ok(());
        }
        replace(&copy, 0o755, &program)
    }

    /// Removes the folder of a lease; fine if there is none.
    pub fn remove(&self, machine: &MachineKey, lease: &Pubkey) -> Result<(), DoorError> {
        let path = self.path(machine, lease);
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DoorError::Write { path, source }),
            _ => Ok(()),
        }
    }
}

/// What an earlier call wrote; `None` if it is not whole.
fn read(folder: &Path) -> Option<Credentials> {
    let key = PrivateKey::read_openssh_file(&folder.join(HOST_KEY)).ok()?;
    let certificate = Certificate::read_file(&folder.join(CERTIFICATE)).ok()?;
    Some(Credentials { key, certificate })
}

/// A folder that root alone may write to, and others may pass.
pub(super) fn make_folder(path: &Path) -> Result<(), DoorError> {
    let made = DirBuilder::new().mode(0o711).recursive(true).create(path);
    made.map_err(|source| DoorError::Write { path: path.to_owned(), source })
}

/// Puts a file in the place of another: readers see the old one or the new one.
fn replace(path: &Path, mode: u32, content: &[u8]) -> Result<(), DoorError> {
    let temporary = path.with_extension("new");
    let write = || {
        // One that a crash left may have other permissions.
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(content)?;
        drop(file);
        fs::rename(&temporary, path)
    };
    write().map_err(|source: io::Error| DoorError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const MACHINE: MachineKey = MachineKey { board: Pubkey::new_from_array([3; 32]), slot: 7 };
    const LEASE: Pubkey = Pubkey::new_from_array([4; 32]);

    fn folders(root: &Path) -> Folders {
        let key_command = root.join("command");
        fs::write(&key_command, "program").unwrap();
        Folders { root: root.join("leases"), key_command, login: Duration::from_secs(20) }
    }

    fn write(folders: &Folders, alias: &str, valid_until: u64) -> Credentials {
        let access = [8; 32];
        let grant = Grant { machine: &MACHINE, lease: &LEASE, alias, access: &access, valid_until };
        let path = folders.write(grant, &SigningKey::from_bytes(&[5; 32]), 10_000).unwrap();
        read(&path).unwrap()
    }

    #[test]
    fn a_host_key_lives_as_long_as_its_alias() {
        let root = tempfile::tempdir().unwrap();
        let folders = folders(root.path());
        let first = write(&folders, "lease-1-2-0-slot7-x", 20_000);
        let extended = write(&folders, "lease-1-2-0-slot7-x", 30_000);
        assert_eq!(first.key.public_key(), extended.key.public_key(), "an extension leaves the key");
        assert_eq!(extended.certificate.valid_before(), 30_000);
        let epoch = write(&folders, "lease-1-2-1-slot7-x", 30_000);
        assert_ne!(first.key.public_key(), epoch.key.public_key(), "an epoch makes it anew");
    }

    #[test]
    fn secrets_are_for_the_owner_alone_and_a_half_written_folder_is_mended() {
        let root = tempfile::tempdir().unwrap();
        let folders = folders(root.path());
        let first = write(&folders, "one", 20_000);
        let path = folders.path(&MACHINE, &LEASE);
        let mode = |name| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!([HOST_KEY, CERTIFICATE, CONFIG, ACCESS].map(mode), [0o600; 4]);
        assert_eq!(mode(KEY_COMMAND), 0o755);
        fs::write(path.join(CERTIFICATE), "half").unwrap();
        fs::write(path.join("ssh_host_ed25519_key.new"), "left by a crash").unwrap();
        let mended = write(&folders, "one", 20_000);
        assert_ne!(first.key.public_key(), mended.key.public_key());
        folders.remove(&MACHINE, &LEASE).unwrap();
        folders.remove(&MACHINE, &LEASE).unwrap();
        assert!(!path.exists());
    }
}
