//! Keys of machines: as they are written, and as the node keeps them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde::Deserialize;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use leasehold_client::keypair;
use leasehold_operate::failure::Failure;

/// Keys of machines.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct KeyArgs {
    /// A machine's ed25519 key, in base58 or hex; once for each machine.
    #[arg(long, value_name = "KEY")]
    #[arg(value_parser = |text: &str| node_key(text).ok_or(NO_KEY))]
    pub node_key: Vec<[u8; 32]>,
    /// File with secret keys of machines, of which the public ones are taken: a keypair as solana-keygen
    /// writes it, once for each machine, or the configuration (.toml) of their node.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub node_key_file: Vec<PathBuf>,
}

const NO_KEY: &str = "give the ed25519 key in base58 or 64 hex digits";

impl KeyArgs {
    /// The public keys, in the order they were given.
    pub fn read(&self) -> Result<Vec<[u8; 32]>, Failure> {
        let files = self.node_key_file.iter().map(|path| from_file(path));
        let keys = [vec![self.node_key.clone()], files.collect::<Result<_, _>>()?].concat().concat();
        let mut seen = HashSet::new();
        match keys.iter().find(|key| !seen.insert(**key)) {
            _ if keys.is_empty() => Err(Failure::Input(NO_KEY.to_owned())),
            Some(same) => Err(Failure::Input(format!(
                "the key {} is given twice: each machine needs its own",
                Pubkey::new_from_array(*same)
            ))),
            None => Ok(keys),
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

/// The public keys of a node's key file. Errors don't quote the file, which is secret.
fn from_file(path: &Path) -> Result<Vec<[u8; 32]>, Failure> {
    if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml")) {
        return Ok(vec![public_key(path)?]);
    }
    let wrong = |what: &str| Failure::Input(format!("{}: {what}", path.display()));
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::File { path: path.to_owned(), error })?;
    let node: Node =
        toml::from_str(&text).map_err(|_| wrong("not a configuration of a node: name a keypair file"))?;
    if node.machines.is_empty() {
        return Err(wrong("it has no machines: name a keypair file"));
    }
    let key = |machine: &Secret| match (&machine.keypair, &machine.seed) {
        (Some(file), None) => public_key(&path.parent().unwrap_or(Path::new("")).join(file)),
        (None, Some(seed)) => {
            let mut bytes = [0; 32];
            hex::decode_to_slice(seed, &mut bytes).map_err(|_| wrong("its seed is not 64 hex digits"))?;
            Ok(Keypair::new_from_array(bytes).pubkey().to_bytes())
        }
        _ => Err(wrong("each machine needs either `keypair` or `seed`")),
    };
    node.machines.iter().map(key).collect()
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
        assert_eq!(from_file(&key).unwrap(), [public()]);
        let sections = "round_secs = 600\n[[machine]]\nslot = 1\ngeneration = 1\n";
        let seed = format!("{sections}seed = \"{}\"\n", hex::encode(SEED));
        assert_eq!(from_file(&file("seed.toml", &seed)).unwrap(), [public()]);
        let named = format!("{sections}keypair = \"machine.json\"\n");
        assert_eq!(from_file(&file("named.toml", &named)).unwrap(), [public()]);
        let two = format!("{seed}[[machine]]\nseed = \"{}\"\n", hex::encode([8; 32]));
        let other = Keypair::new_from_array([8; 32]).pubkey().to_bytes();
        let two = file("two.toml", &two);
        assert_eq!(from_file(&two).unwrap(), [public(), other]);
        let args = |files: &[&PathBuf]| KeyArgs {
            node_key: vec![],
            node_key_file: files.iter().map(|file| (*file).clone()).collect(),
        };
        let twice = args(&[&two, &key]).read().unwrap_err().to_string();
        assert!(twice.contains("is given twice"), "{twice}");

        let mut forged = numbers;
        forged[63] ^= 1;
        for (name, text, expected) in [
            ("forged.json", format!("{forged:?}"), "not a keypair"),
            ("short.json", "[1, 2]".to_owned(), "not a keypair"),
            ("half.toml", format!("{seed}[[machine]]\n"), "each machine needs either"),
            ("none.toml", sections.to_owned(), "each machine needs either"),
            ("empty.toml", String::new(), "it has no machines"),
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
