//! How keys, hashes, amounts and tree nodes are written in JSON and TOML, for `#[serde(with = ...)]`.

use leasehold::math::sum_tree::SumNode;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Addresses in base58.
pub mod key {
    use solana_pubkey::Pubkey;

    use super::*;

    /// Writes an address.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(key: &Pubkey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(key)
    }

    /// Reads an address.
    ///
    /// # Errors
    /// The deserializer's, or that the text is not an address.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pubkey, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not an address in base58")))
    }
}

/// Bytes of a fixed length in hexadecimal.
pub mod hex {
    use super::*;

    /// Writes bytes.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&::hex::encode(bytes))
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// The deserializer's, or that of [`decode`].
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        decode(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    /// Decodes bytes.
    ///
    /// # Errors
    /// A sentence about the text, if it does not have two hexadecimal digits per byte.
    pub fn decode<const N: usize>(text: &str) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        ::hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| format!("`{text}` should be {} hexadecimal digits", 2 * N))?;
        Ok(bytes)
    }
}

/// Amounts: written as text, read as text or number.
pub mod amount {
    use super::*;

    /// Writes an amount.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(amount: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(u64),
        Text(String),
    }

    /// Reads an amount.
    ///
    /// # Errors
    /// The deserializer's, or that it is not a whole number of 64 bits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        match Form::deserialize(deserializer) {
            Ok(Form::Number(amount)) => Ok(amount),
            Ok(Form::Text(text)) => {
                text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not an amount")))
            }
            Err(_) => Err(D::Error::custom("an amount is a whole number, or text with one")),
        }
    }
}

/// Nodes of a Merkle-sum tree: `{hash, units, price}`.
pub mod nodes {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Node {
        #[serde(with = "hex")]
        hash: [u8; 32],
        #[serde(with = "amount")]
        units: u64,
        #[serde(with = "amount")]
        price: u64,
    }

    /// Writes nodes.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(nodes: &[SumNode], serializer: S) -> Result<S::Ok, S::Error> {
        let nodes = nodes.iter().map(|&SumNode { hash, units, price }| Node { hash, units, price });
        serializer.collect_seq(nodes)
    }

    /// Reads nodes.
    ///
    /// # Errors
    /// The deserializer's.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SumNode>, D::Error> {
        let nodes = Vec::<Node>::deserialize(deserializer)?.into_iter();
        Ok(nodes.map(|Node { hash, units, price }| SumNode { hash, units, price }).collect())
    }
}
