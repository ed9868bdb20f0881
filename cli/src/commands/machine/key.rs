//! Keys of machines: as they are written, and as the node keeps them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde::Deserialize;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use leasehold_client::keypair;
use leasehold_operate::failure::Failure;

/// The key of a machine.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct KeyArgs {
    /// The machine's ed25519 key, in base58 or hex.
    #[arg(long, value_name = "KEY")]
    #[arg(value_parser = |text: &str| node_key(text).ok_or(NO_KEY))]
    pub node_key: Option<[u8; 32]>,
    /// File with the machine's secret key, of which the public one is taken: a keypair as solana-keygen
    /// writes it, or the configuration (.toml) of a node with one machine.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub node_key_file: Option<PathBuf>,
}

const NO_KEY: &str = "give the ed25519 key in base58 or 64 hex digits";

impl KeyArgs {
    pub fn read(&self) -> Result<[u8; 32], Failure> {
        match (self.node_key, self.node_key_file.as_deref()) {
            (Some(key), _) => Ok(key),
            (None, Some(path)) => from_file(path),
            (None, None) => Err(Failure::Input(NO_KEY.to_owned())),
        }
    }
}

/// Reads a public key in base58 or hex.
pub fn node_key(text: &str) -> Option<[u8; 32]> {
    let hex = hex::decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    hex.or_else(|| text.parse::<Pubkey>().ok().map(|key| key.to_bytes()))
}

/// A node's configuration, as far as its keys go.
#[derive(Deserialize)]
struct Node {
    #[serde(rename = "machine", default)]
    machines: Vec<Secret>,
}

#[derive(Deserialize)]
struct Secret {
    keypair: Option<PathBuf>,
    seed: Option<String>,
}

/// The public key of a node's key file. Errors don't quote the file, which is secret.
fn from_file(path: &Path) -> Result<[u8; 32], Failure> {
    if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml")) {
        return public_key(path);
    }
    let wrong = |what: &str| Failure::Input(format!("{}: {what}", path.display()));
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::File { path: path.to_owned(), error })?;
    let node: Node =
        toml::from_str(&text).map_err(|_| wrong("not a configuration of a node: name a keypair file"))?;
    let [machine] = node.machines.as_slice() else {
        let count = node.machines.len();
        return Err(wrong(&format!("it has {count} machines, not one: name the machine's keypair file")));
    };
    match (&machine.keypair, &machine.seed) {
        (Some(file), None) => public_key(&path.parent().unwrap_or(Path::new("")).join(file)),
        (None, Some(seed)) => {
            let mut bytes = [0; 32];
            hex::decode_to_slice(seed, &mut bytes).map_err(|_| wrong("its seed is not 64 hex digits"))?;
            Ok(Keypair::new_from_array(bytes).pubkey().to_bytes())
        }
        _ => Err(wrong("its machine needs either `keypair` or `seed`")),
    }
}

fn public_key(path: &Path) -> Result<[u8; 32], Failure> {
    let keypair = keypair::read(path).map_err(|error| Failure::Input(error.to_string()))?;
    Ok(keypair.pubkey().to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 32] = [7; 32];

    fn public() -> [u8; 32] {
        Keypair::new_from_array(SEED).pubkey().to_bytes()
    }

    #[test]
    fn a_key_is_written_in_base58_or_hex() {
        let key = public();
        assert_eq!(node_key(&Pubkey::new_from_array(key).to_string()), Some(key));
        assert_eq!(node_key(&hex::encode(key)), Some(key));
        for wrong in ["", "1", "0x00", &hex::encode(&key[1..])] {
            assert_eq!(node_key(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_public_key_is_that_of_what_the_node_signs_with() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let numbers = [SEED, public()].concat();
        let key = file("machine.json", &format!("{numbers:?}"));
        assert_eq!(from_file(&key).unwrap(), public());
        let sections = "round_secs = 600\n[[machine]]\nslot = 1\ngeneration = 1\n";
        let seed = format!("{sections}seed = \"{}\"\n", hex::encode(SEED));
        assert_eq!(from_file(&file("seed.toml", &seed)).unwrap(), public());
        let named = format!("{sections}keypair = \"machine.json\"\n");
        assert_eq!(from_file(&file("named.toml", &named)).unwrap(), public());

        let mut forged = numbers;
        forged[63] ^= 1;
        for (name, text, expected) in [
            ("forged.json", format!("{forged:?}"), "not a keypair"),
            ("short.json", "[1, 2]".to_owned(), "not a keypair"),
            ("two.toml", format!("{seed}[[machine]]\n"), "it has 2 machines, not one"),
            ("none.toml", sections.to_owned(), "its machine needs either"),
            ("broken.toml", seed.replace("seed = ", "seed == "), "not a configuration of a node"),
            ("long.toml", seed.replace("07\"", "0700\""), "its seed is not"),
        ] {
            let error = from_file(&file(name, &text)).unwrap_err();
            assert!(error.code() == 2 && error.to_string().contains(expected), "{error}");
            assert!(!error.to_string().contains("0707"), "a secret is printed: {error}");
        }
        let missing = from_file(&dir.path().join("missing.json")).unwrap_err().to_string();
        assert!(missing.contains("check the path"), "{missing}");
    }
}
