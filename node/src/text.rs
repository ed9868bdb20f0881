//! How keys, hashes and amounts are written in JSON and TOML.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Addresses in base58.
pub mod key {
    use super::*;
    use leasehold_client::probe::Pubkey;

    pub fn serialize<S: Serializer>(key: &Pubkey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(key)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pubkey, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not an address in base58")))
    }
}

/// Bytes in hexadecimal, of a length that is known.
pub mod hex {
    use super::*;

    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&::hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        decode(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    /// The bytes, or what is wrong with the text.
    pub fn decode<const N: usize>(text: &str) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        ::hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| format!("`{text}` should be {} hexadecimal digits", 2 * N))?;
        Ok(bytes)
    }
}

/// Amounts: written as text, since many readers of JSON keep 53 bits of a number; read in both forms.
pub mod amount {
    use super::*;

    pub fn serialize<S: Serializer>(amount: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(u64),
        Text(String),
    }

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
