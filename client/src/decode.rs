//! Decoding of accounts: kinds, layout versions, and errors.

use anchor_lang::{AccountDeserialize, Discriminator};
use leasehold::state::{Demand, Keeper, Lease, Market, PriceIndex, Profiles, Supplier};
use solana_pubkey::Pubkey;

/// Why bytes could not be decoded as an account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the account belongs to program {owner}, not to Leasehold: check the address and the cluster")]
    Owner { owner: Pubkey },
    #[error("the account is not a {expected}: check the address")]
    Kind { expected: &'static str },
    #[error(
        "the {kind} has layout version {version}, and this client knows version {known}: update the client"
    )]
    Version { kind: &'static str, version: u8, known: u8 },
    #[error("the {kind}'s account is malformed or cut short: read it again")]
    Malformed { kind: &'static str },
}

/// Accounts that are decoded by value.
pub trait Stored: AccountDeserialize + Discriminator {
    /// Name in sentences.
    const KIND: &'static str;
    /// The layout version this client knows.
    const VERSION: u8;
    fn version(&self) -> u8;

    /// Decodes an account's data.
    fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        if !data.starts_with(Self::DISCRIMINATOR) {
            return Err(DecodeError::Kind { expected: Self::KIND });
        }
        let account =
            Self::try_deserialize(&mut &data[..]).map_err(|_| DecodeError::Malformed { kind: Self::KIND })?;
        check_version(Self::KIND, account.version(), Self::VERSION)?;
        Ok(account)
    }
}

macro_rules! stored {
    ($($account:ident $kind:literal)*) => {$(
        impl Stored for $account {
            const KIND: &'static str = $kind;
            const VERSION: u8 = $account::VERSION;
            fn version(&self) -> u8 {
                self.version
            }
        }
    )*};
}

stored!(Market "market" Supplier "supplier" Keeper "keeper" Lease "lease" Demand "demand");
stored!(Profiles "list of profiles");

/// Decodes a price index.
pub fn price_index(data: &[u8]) -> Result<PriceIndex, DecodeError> {
    const KIND: &str = "price index";
    let data = data.strip_prefix(PriceIndex::DISCRIMINATOR).ok_or(DecodeError::Kind { expected: KIND })?;
    let index = bytemuck::try_pod_read_unaligned::<PriceIndex>(data);
    let index = index.map_err(|_| DecodeError::Malformed { kind: KIND })?;
    check_version(KIND, index.version, PriceIndex::VERSION)?;
    Ok(index)
}

pub(crate) fn check_version(kind: &'static str, version: u8, known: u8) -> Result<(), DecodeError> {
    if version != known {
        return Err(DecodeError::Version { kind, version, known });
    }
    Ok(())
}
