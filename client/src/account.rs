//! Decodes the program's accounts from bytes.

use anchor_lang::Discriminator;
use leasehold::state::{Board, ComputeLog, Demand, Keeper, Lease, Market, PriceIndex, Profiles, Supplier};

pub use crate::decode::{DecodeError, Stored, price_index};
use crate::{board::BoardData, record::LogData};

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
    Profiles(Box<Profiles>),
    Index(Box<PriceIndex>),
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
        if is(Profiles::DISCRIMINATOR) {
            return Profiles::decode(data).map(|profiles| Account::Profiles(Box::new(profiles)));
        }
        if is(PriceIndex::DISCRIMINATOR) {
            return price_index(data).map(|index| Account::Index(Box::new(index)));
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
