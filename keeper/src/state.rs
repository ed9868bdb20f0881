//! The folder in which a keeper keeps what it needs after a restart, and the lock that keeps two processes with one key apart.

use std::{
    env,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use leasehold_daemon::files::{Held, Replaced};
use solana_pubkey::Pubkey;

/// Why a state folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(
        "cannot keep state in {folder} ({source}): choose a folder that this user may write to with --state"
    )]
    Folder { folder: PathBuf, source: io::Error },
    #[error(
        "another leasehold-keeper{} runs with the key {key} on this host: stop it, or give this one a key of its own",
        process.as_ref().map(|id| format!(" (process {id})")).unwrap_or_default()
    )]
    Locked { key: Pubkey, process: Option<String> },
    #[error(
        "{0}, so that another process with the same key would not be noticed: leave the folder of --state alone, and start the \
         keeper again"
    )]
    Replaced(#[from] Replaced),
}

/// A keeper's part of the state folder, `FOLDER/KEY`, locked until it is dropped.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    _lock: File,
    held: Held,
}

impl State {
    /// Creates the folder and locks it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(root: &Path, key: &Pubkey) -> Result<Self, StateError> {
        let folder = root.join(key.to_string());
        let failed = |source| StateError::Folder { folder: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let path = folder.join("lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut lock = opened.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut id = String::new();
                // Windows aside, anybody can read a locked file; without the number the sentence says enough.
                let read = lock.read_to_string(&mut id).is_ok() && !id.trim().is_empty();
                return Err(StateError::Locked { key: *key, process: read.then(|| id.trim().to_owned()) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        written.map_err(failed)?;
        let held = Held::new(&path).map_err(failed)?;
        Ok(Self { folder, _lock: lock, held })
    }

    /// Makes sure that the lock still keeps other processes out.
    ///
    /// # Errors
    /// [`StateError::Replaced`].
    pub fn check(&self) -> Result<(), StateError> {
        Ok(self.held.check()?)
    }

    /// Folder for the signed answers that are not voted on yet.
    pub fn answers(&self) -> PathBuf {
        self.folder.join("answers")
    }
}

/// The folder for state where the operator names none: that of systemd (`StateDirectory=`), else the user's
/// (`$XDG_STATE_HOME` or `~/.local/state`). `None` if there is neither.
pub fn default_folder() -> Option<PathBuf> {
    folder_by(|name| env::var(name).ok())
}

fn folder_by(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let path = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let systemd = variable("STATE_DIRECTORY");
    let systemd = systemd.as_deref().and_then(|folders| folders.split(':').next()).map(PathBuf::from);
    systemd.filter(|path| path.is_absolute()).or_else(|| {
        let states = path("XDG_STATE_HOME").or_else(|| path("HOME").map(|home| home.join(".local/state")))?;
        Some(states.join("leasehold/keeper"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(variables: &[(&str, &str)]) -> Option<PathBuf> {
        folder_by(|name| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn the_folder_is_systemds_or_the_users() {
        let home = ("HOME", "/home/k");
        assert_eq!(by(&[home]), Some("/home/k/.local/state/leasehold/keeper".into()));
        assert_eq!(by(&[home, ("XDG_STATE_HOME", "/s")]), Some("/s/leasehold/keeper".into()));
        assert_eq!(by(&[home, ("XDG_STATE_HOME", "s")]), by(&[home]), "a relative one is ignored");
        assert_eq!(by(&[home, ("STATE_DIRECTORY", "/var/lib/k:/x")]), Some("/var/lib/k".into()));
        assert_eq!(by(&[]), None);
    }

    #[test]
    fn two_keepers_with_one_key_notice_each_other() {
        let root = tempfile::tempdir().unwrap();
        let [key, other] = [1, 2].map(|byte| Pubkey::new_from_array([byte; 32]));
        let held = State::open(root.path(), &key).unwrap();
        let _another_key = State::open(root.path(), &other).unwrap();
        let error = State::open(root.path(), &key).unwrap_err().to_string();
        let id = std::process::id();
        assert_eq!(
            error,
            format!(
                "another leasehold-keeper (process {id}) runs with the key {key} on this host: stop it, or give this one a \
                 key of its own"
            )
        );
        drop(held);
        State::open(root.path(), &key).unwrap();
    }

    #[test]
    fn a_lock_that_is_removed_or_replaced_is_noticed() {
        let (root, key) = (tempfile::tempdir().unwrap(), Pubkey::new_from_array([1; 32]));
        let held = State::open(root.path(), &key).unwrap();
        held.check().unwrap();
        fs::remove_dir_all(root.path().join(key.to_string())).unwrap();
        let error = held.check().unwrap_err().to_string();
        assert!(
            error.contains("lock was removed or replaced while this process used it, so that"),
            "{error}"
        );
        let other = State::open(root.path(), &key).unwrap();
        held.check().unwrap_err();
        other.check().unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = State::open(&file, &Pubkey::default()).unwrap_err().to_string();
        assert!(error.ends_with("choose a folder that this user may write to with --state"), "{error}");
    }
}
