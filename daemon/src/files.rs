//! Files that a daemon holds open by path, and that somebody may remove or replace meanwhile.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that was removed or replaced while it was held: a lock on it keeps nobody out any more, and what is written to it is
/// lost.
#[derive(Debug, thiserror::Error)]
#[error("{path} was removed or replaced while this process used it")]
pub struct Replaced {
    pub path: PathBuf,
}

/// Which file was at a path.
#[derive(Clone, Debug)]
pub struct Held {
    path: PathBuf,
    id: (u64, u64),
}

impl Held {
    /// The file that is there now.
    ///
    /// # Errors
    /// If there is none, or it can't be looked at.
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: id(&fs::metadata(path)?) })
    }

    /// Makes sure that the same file is there. A file that can't be looked at for another reason than its absence counts as
    /// the same.
    ///
    /// # Errors
    /// [`Replaced`].
    pub fn check(&self) -> Result<(), Replaced> {
        let is_same = match fs::metadata(&self.path) {
            Ok(there) => id(&there) == self.id,
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        };
        if is_same { Ok(()) } else { Err(Replaced { path: self.path.clone() }) }
    }
}

fn id(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
