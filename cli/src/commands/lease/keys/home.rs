//! The folder of the command line's own files: keys of leases, and ssh configurations for their machines.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf, absolute},
};

use clap::{Args, ValueHint};
use leasehold_operate::failure::Failure;

/// Below the user's home folder, beside that of Solana's tools.
const FOLDER: &str = ".config/leasehold";

#[derive(Args, Clone, Debug, Default)]
pub struct HomeArgs {
    /// Folder for the keys of leases and for ssh's files [default: ~/.config/leasehold]
    #[arg(long, env = "LEASEHOLD_HOME", hide_env_values = true, value_name = "FOLDER")]
    #[arg(value_hint = ValueHint::DirPath)]
    pub home: Option<PathBuf>,
}

impl HomeArgs {
    pub fn folder(&self) -> Result<Home, Failure> {
        let named = self.home.clone().filter(|path| !path.as_os_str().is_empty());
        let default = || Some(std::env::home_dir()?.join(FOLDER));
        let path = named.or_else(default).ok_or_else(|| {
            Failure::Input(
                "no home folder to keep the keys of leases in: name a folder with --home".to_owned(),
            )
        })?;
        // ssh would look for a relative one from wherever it is started.
        let path = absolute(&path).map_err(|error| Failure::File { path, error })?;
        Ok(Home(path))
    }
}

/// The folder, which exists once something is written.
#[derive(Clone, Debug)]
pub struct Home(pub PathBuf);

impl Home {
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// Folder of the ssh configuration for a lease or group.
    pub fn ssh(&self, name: &str) -> PathBuf {
        self.0.join("ssh").join(name)
    }
}

/// Creates a folder, and those above it, for its owner alone.
pub fn create_folder(path: &Path) -> Result<(), Failure> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| Failure::File { path: path.to_owned(), error })
}

/// Writes a file that must not exist yet, for its owner alone, so that it outlives a crash.
pub fn create(path: &Path, content: &[u8]) -> Result<(), Failure> {
    write_new(path, content).map_err(|error| Failure::File { path: path.to_owned(), error })
}

/// Puts a file in the place of another: readers see the old one or the new one.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let replaced = || {
        // One that a crash left.
        let _ = fs::remove_file(&temporary);
        write_new(&temporary, content)?;
        fs::rename(&temporary, path)
    };
    replaced().map_err(|error| Failure::File { path: path.to_owned(), error })
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    // So that its name outlives a crash too; not every system can.
    let folder = path.parent().and_then(|folder| File::open(folder).ok());
    let _ = folder.map(|folder| folder.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn files_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        create_folder(&folder).unwrap();
        let file = folder.join("key");
        create(&file, b"one").unwrap();
        assert_eq!(create(&file, b"two").unwrap_err().code(), 2, "it exists");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir.path().join("a")), mode(&folder), mode(&file)), (0o700, 0o700, 0o600));
        replace(&file, b"two").unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"two".to_vec(), 0o600));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_relative_folder_is_from_where_the_command_runs() {
        let folder = |path: &str| HomeArgs { home: Some(path.into()) }.folder().unwrap().0;
        assert_eq!(folder("/a b"), Path::new("/a b"));
        assert_eq!(folder("keys"), std::env::current_dir().unwrap().join("keys"));
    }
}
