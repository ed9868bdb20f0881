//! SSH keys of leases: made here unless the owner names another, and kept in a folder of the user's.
//!
//! A key's file is named by its lease's address, and by the access epoch from the second one on. It is written before the
//! transaction that names the key: a lease never names one that is lost. Which file is a lease's key is decided by the
//! fingerprint on the chain.

mod home;
mod public;

use std::{
    fs,
    path::{Path, PathBuf},
};

use leasehold_client::access::display;
use leasehold_operate::{failure::Failure, text::print_stderr};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use ssh_key::{
    LineEnding, PrivateKey,
    private::{Ed25519Keypair, KeypairData},
};

use self::home::create;
pub use self::{
    home::{Home, HomeArgs, create_folder, replace},
    public::Public,
};

/// Who is to be let in.
#[derive(Clone, Debug)]
pub enum Choice {
    /// A new key for each lease.
    New,
    /// The holder of the key in this file.
    Named(PathBuf),
    Nobody,
}

/// The key of a lease, before the lease names it.
pub struct Offered {
    pub lease: Pubkey,
    key: Key,
}

enum Key {
    /// A key pair whose file is this; `written` if an earlier try left it there.
    Own {
        private: Box<PrivateKey>,
        public: Public,
        file: PathBuf,
        written: bool,
    },
    /// Another key; a copy of its public half is kept in this file, so that ssh asks an agent for it.
    Named {
        public: Public,
        copy: PathBuf,
    },
    Nobody,
}

impl Offered {
    /// The key that is to be let in from this access epoch on. Writes nothing.
    pub fn new(home: &Home, lease: Pubkey, epoch: u32, choice: &Choice) -> Result<Self, Failure> {
        let file = home.keys().join(name(&lease, epoch));
        let key = match choice {
            Choice::Nobody => Key::Nobody,
            Choice::Named(path) => {
                let copy = home.keys().join(format!("{}.pub", name(&lease, epoch)));
                Key::Named { public: Public::read(path)?, copy }
            }
            Choice::New => own(file)?,
        };
        Ok(Offered { lease, key })
    }

    pub fn fingerprint(&self) -> Option<[u8; 32]> {
        Some(self.public()?.fingerprint)
    }

    pub fn public(&self) -> Option<&Public> {
        match &self.key {
            Key::Own { public, .. } | Key::Named { public, .. } => Some(public),
            Key::Nobody => None,
        }
    }

    /// File of the private key, if it was made here.
    pub fn file(&self) -> Option<&Path> {
        match &self.key {
            Key::Own { file, .. } => Some(file),
            _ => None,
        }
    }

    /// Writes it, before anything is sent.
    pub fn save(&self) -> Result<(), Failure> {
        match &self.key {
            Key::Own { private, file, written: false, .. } => {
                create_folder(file.parent().unwrap_or(Path::new("")))?;
                let text = private.to_openssh(LineEnding::LF).map_err(unwritable)?;
                create(file, text.as_bytes())
            }
            Key::Named { public, copy } => {
                create_folder(copy.parent().unwrap_or(Path::new("")))?;
                replace(copy, format!("{}\n", public.line).as_bytes())
            }
            _ => Ok(()),
        }
    }

    /// Removes what [`Self::save`] wrote, if it is sure that no lease names it.
    pub fn discard(&self) {
        let file = match &self.key {
            Key::Own { file, written: false, .. } => file,
            Key::Named { copy, .. } => copy,
            _ => return,
        };
        let _ = fs::remove_file(file);
    }
}

/// The key that a lease is to name.
pub fn named(keys: &[Offered], lease: &Pubkey) -> Option<[u8; 32]> {
    keys.iter().find(|key| key.lease == *lease)?.fingerprint()
}

/// Keys of leases that are opened or changed together.
pub fn save_all(keys: &[Offered]) -> Result<(), Failure> {
    let saved = keys.iter().try_for_each(Offered::save);
    if saved.is_err() {
        keys.iter().for_each(Offered::discard);
    }
    saved
}

/// Removes the keys if their transactions surely failed, and says where they are if that is unknown.
pub fn settle<T>(keys: &[Offered], done: &Result<T, Failure>) {
    let Err(failure) = done else { return };
    if failure.code() != leasehold_operate::failure::UNCERTAIN {
        return keys.iter().for_each(Offered::discard);
    }
    for file in keys.iter().filter_map(Offered::file) {
        print_stderr(format!("The lease's key is kept, in case it names it: {}", file.display()));
    }
}

/// The key pair in the file, if an earlier try left one there, or a new one.
fn own(file: PathBuf) -> Result<Key, Failure> {
    let written = file.exists();
    let private = if written {
        read_private(&file).ok_or_else(|| {
            let file = file.display();
            Failure::Input(format!(
                "{file} is not a private SSH key, and the lease's key belongs there: move it away"
            ))
        })?
    } else {
        // Only the 32 random bytes are taken: no transaction is signed with it.
        let seed = Keypair::new();
        let pair = Ed25519Keypair::from_seed(seed.secret_bytes());
        PrivateKey::new(KeypairData::Ed25519(pair), "leasehold").map_err(unwritable)?
    };
    let public = Public::of(private.public_key()).map_err(unwritable)?;
    Ok(Key::Own { private: Box::new(private), public, file, written })
}

fn read_private(file: &Path) -> Option<PrivateKey> {
    PrivateKey::from_openssh(fs::read(file).ok()?).ok()
}

fn unwritable(error: ssh_key::Error) -> Failure {
    Failure::Input(format!("cannot make an SSH key: {error}"))
}

/// Public half of a key file: its own text, or that of the file beside it.
pub fn public_half(file: &Path) -> Option<Public> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    let private = || Public::of(read_private(file)?.public_key()).ok();
    Public::read(file).ok().or_else(private).or_else(|| Public::read(Path::new(&beside)).ok())
}

/// Name of the file of a lease's key.
fn name(lease: &Pubkey, epoch: u32) -> String {
    match epoch {
        0 => lease.to_string(),
        epoch => format!("{lease}.{epoch}"),
    }
}

/// File that ssh logs in with: the private key with this fingerprint, or a public one whose private half an agent may have. Looks
/// among the lease's keys, then at the user's own.
pub fn find(home: &Home, lease: &Pubkey, fingerprint: &[u8; 32]) -> Option<PathBuf> {
    let own = home.keys();
    let users = std::env::home_dir().map(|home| home.join(".ssh"));
    let (prefix, is_public) =
        (lease.to_string(), |path: &Path| path.extension().is_some_and(|end| end == "pub"));
    let named = files(&own, |name| name.starts_with(&prefix));
    let private = named.iter().filter(|path| !is_public(path)).find(|path| {
        let public = read_private(path).and_then(|key| Public::of(key.public_key()).ok());
        public.is_some_and(|public| public.fingerprint == *fingerprint)
    });
    if let Some(private) = private {
        return Some(private.clone());
    }
    let theirs = users.map(|folder| files(&folder, |name| name.ends_with(".pub"))).unwrap_or_default();
    let fits = |path: &&PathBuf| Public::read(path).is_ok_and(|public| public.fingerprint == *fingerprint);
    let public = theirs.iter().chain(named.iter().filter(|path| is_public(path))).find(fits)?;
    let private = public.with_extension("");
    Some(if private.is_file() && theirs.contains(public) { private } else { public.clone() })
}

fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

/// Removes the lease's keys but the one that it names now, which is another than they are.
pub fn forget_others(home: &Home, offered: &Offered) {
    let prefix = offered.lease.to_string();
    let kept = match &offered.key {
        Key::Own { file, .. } => Some(file.clone()),
        Key::Named { copy, .. } => Some(copy.clone()),
        Key::Nobody => None,
    };
    for file in files(&home.keys(), |name| name.starts_with(&prefix)) {
        if Some(&file) != kept.as_ref() {
            let _ = fs::remove_file(file);
        }
    }
}

/// A key's fingerprint as OpenSSH shows it, for JSON.
pub fn shown(fingerprint: Option<[u8; 32]>) -> Option<String> {
    fingerprint.as_ref().map(display)
}

#[cfg(test)]
pub mod tests;
