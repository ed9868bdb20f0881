//! Decodes the program's accounts from bytes.

use anchor_lang::{AccountDeserialize, Discriminator};
use leasehold::state::{Board, ComputeLog, Demand, Keeper, Lease, Market, Supplier};
use solana_pubkey::Pubkey;

use crate::{board::BoardData, record::LogData};

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

pub(crate) fn check_version(kind: &'static str, version: u8, known: u8) -> Result<(), DecodeError> {
    if version != known {
        return Err(DecodeError::Version { kind, version, known });
    }
    Ok(())
}

/// Any account of the program.
#[derive(Debug)]
pub enum Account {
    Market(Box<Market>),
    Supplier(Box<Supplier>),
    Board(BoardData),
    Keeper(Box<Keeper>),
    Lease(Box<Lease>),
    Log(LogData),
    Demand(Box<Demand>),
}

impl Account {
    /// Decodes an account according to its discriminator.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let is = |discriminator: &[u8]| data.starts_with(discriminator);
        if is(Market::DISCRIMINATOR) {
            return Market::decode(data).map(|market| Account::Market(Box::new(market)));
        }
        if is(Supplier::DISCRIMINATOR) {
            return Supplier::decode(data).map(|supplier| Account::Supplier(Box::new(supplier)));
        }
        if is(Keeper::DISCRIMINATOR) {
            return Keeper::decode(data).map(|keeper| Account::Keeper(Box::new(keeper)));
        }
        if is(Lease::DISCRIMINATOR) {
            return Lease::decode(data).map(|lease| Account::Lease(Box::new(lease)));
        }
        if is(Demand::DISCRIMINATOR) {
            return Demand::decode(data).map(|demand| Account::Demand(Box::new(demand)));
        }
        if is(ComputeLog::DISCRIMINATOR) {
            return LogData::new(data).map(Account::Log);
        }
        if is(Board::DISCRIMINATOR) {
            return BoardData::new(data).map(Account::Board);
        }
        Err(DecodeError::Kind { expected: "account of Leasehold" })
    }
}

#[cfg(test)]
mod tests {
    use anchor_lang::AccountSerialize;

    use super::*;
    use crate::sample::snapshot;

    #[test]
    fn an_account_is_decoded_by_its_discriminator() {
        let mut snapshot = snapshot();
        let data = |account: &dyn Fn(&mut Vec<u8>)| {
            let mut data = Vec::new();
            account(&mut data);
            Account::decode(&data)
        };
        let market = data(&|data| snapshot.market.try_serialize(data).unwrap());
        assert!(matches!(market, Ok(Account::Market(market)) if market.id == 7));
        let supplier = data(&|data| snapshot.suppliers[1].1.try_serialize(data).unwrap());
        assert!(matches!(supplier, Ok(Account::Supplier(supplier)) if supplier.machines == 1));
        let keeper = data(&|data| snapshot.keepers[0].1.try_serialize(data).unwrap());
        assert!(matches!(keeper, Ok(Account::Keeper(keeper)) if keeper.locked == 50));
        let lease = data(&|data| snapshot.boards[0].leases[0].1.try_serialize(data).unwrap());
        assert!(matches!(lease, Ok(Account::Lease(lease)) if lease.deposit == 2_400));
        let board = snapshot.boards.remove(0).data;
        assert!(matches!(Account::decode(board.bytes()), Ok(Account::Board(found)) if found == board));
        let log = crate::sample::log(&[]);
        assert!(matches!(Account::decode(log.bytes()), Ok(Account::Log(found)) if found == log));
        assert_eq!(
            Account::decode(&[0; 100]).unwrap_err(),
            DecodeError::Kind { expected: "account of Leasehold" }
        );
    }
}
