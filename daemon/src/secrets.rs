//! Files with secret keys.

use leasehold_client::keypair::{self, KeypairError};
use solana_keypair::Keypair;
use std::path::Path;

/// Reads a keypair file, and warns if other users can open it.
///
/// # Errors
/// Any [`KeypairError`].
pub fn read_keypair(path: &Path) -> Result<Keypair, KeypairError> {
    let keypair = keypair::read(path)?;
    warn_if_exposed(path);
    Ok(keypair)
}

/// Warns if users other than the owner can open a file with secret keys.
pub fn warn_if_exposed(path: &Path) {
    if keypair::is_exposed(path) {
        let path = path.display();
        tracing::warn!(
            "other users of this host can open {path}, which holds secret keys: run chmod 600 {path}"
        );
    }
}
