//! Names and keys of SSH access to leased machines, as the command line, the node and other tools write them.
//!
//! A lease names the tenant's key by its [`fingerprint`]. A machine's host key is certified by its `node_key`, which the
//! tenant's known_hosts file trusts for that machine alone ([`ca_line`]), under a name that no other tenancy has
//! ([`host_alias`]).

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use sha2::{Digest, Sha256};
use solana_pubkey::Pubkey;

/// Algorithm name of Ed25519 keys (RFC 8709, section 3).
const ED25519: &str = "ssh-ed25519";

/// Characters of a lease's address in an alias.
const ADDRESS_CHARS: usize = 8;

/// Name of a machine in one tenancy: principal of its host certificate, and `HostKeyAlias` of whoever logs in.
/// `lease-BOARD-SERIAL-EPOCH-slotN-XXXXXXXX`, with the first eight characters of the lease's address in lower case: ssh converts
/// aliases to lower case and then compares principals exactly.
///
/// A board never uses a serial again, and epochs never fall, so no two tenancies on a machine share a name.
pub fn host_alias(board: u32, serial: u32, access_epoch: u32, slot: u16, lease: &Pubkey) -> String {
    let address: String = lease.to_string().chars().take(ADDRESS_CHARS).collect();
    format!("lease-{board}-{serial}-{access_epoch}-slot{slot}-{}", address.to_ascii_lowercase())
}

/// Fingerprint of an SSH public key of any kind: the SHA-256 of its blob, which is what the base64 text of a `.pub` file
/// encodes.
pub fn fingerprint(blob: &[u8]) -> [u8; 32] {
    Sha256::digest(blob).into()
}

/// A fingerprint as OpenSSH shows it: `SHA256:` and unpadded base64.
pub fn display(fingerprint: &[u8; 32]) -> String {
    format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(fingerprint))
}

/// Line of a known_hosts file that trusts the host certificates of a machine under one alias.
pub fn ca_line(alias: &str, node_key: &Pubkey) -> String {
    format!("@cert-authority {alias} {ED25519} {}", BASE64_STANDARD.encode(ed25519_blob(node_key)))
}

/// Blob of an Ed25519 public key (RFC 8709, section 4): algorithm name and key, each after its length.
pub fn ed25519_blob(key: &Pubkey) -> Vec<u8> {
    let field = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    [field(ED25519.as_bytes()), field(key.as_ref())].concat()
}

#[cfg(test)]
mod tests;
