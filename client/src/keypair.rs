//! Keypair files as `solana-keygen` writes them: 64 numbers in brackets, secret key and public key.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use solana_keypair::{Keypair, read_keypair};

/// Why a keypair can't be read. Never repeats bytes of the file.
#[derive(Debug, thiserror::Error)]
pub enum KeypairError {
    #[error("cannot read the keypair {path} ({source}): check the path and who may read the file")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not a keypair: it must hold 64 numbers in brackets, as solana-keygen writes them")]
    Form { path: PathBuf },
    #[error("{path} is not a keypair: its last 32 numbers are not the public key of its first 32")]
    PublicKey { path: PathBuf },
}

/// Reads a keypair file.
///
/// # Errors
/// Any [`KeypairError`].
pub fn read(path: &Path) -> Result<Keypair, KeypairError> {
    let path = path.to_owned();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(KeypairError::Read { path, source }),
    };
    read_keypair(&mut bytes.as_slice()).map_err(|_| {
        let numbers = serde_json::from_slice::<Vec<u8>>(&bytes);
        match numbers.is_ok_and(|numbers| numbers.len() == 64) {
            true => KeypairError::PublicKey { path },
            false => KeypairError::Form { path },
        }
    })
}

/// True if users other than the owner can open the file.
#[cfg(unix)]
pub fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_keypair_and_a_missing_file_have_different_errors() {
        let folder = std::env::temp_dir().join(format!("leasehold-keypair-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("keypair.json");
        let keypair = Keypair::new_from_array([7; 32]);
        fs::write(&path, format!("{:?}", keypair.to_bytes())).unwrap();
        assert_eq!(read(&path).unwrap(), keypair);
        for text in ["", "[1, 2, 3]", "words"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(read(&path), Err(KeypairError::Form { .. })), "{text}");
        }
        fs::write(&path, format!("{:?}", [1u8; 64])).unwrap();
        assert!(matches!(read(&path), Err(KeypairError::PublicKey { .. })));
        fs::remove_dir_all(&folder).unwrap();
        let missing = read(&path).unwrap_err().to_string();
        assert!(
            missing.starts_with("cannot read the keypair ") && missing.contains("keypair.json ("),
            "{missing}"
        );
    }
}
