//! Which lease is meant, and what there is to know of it.

use std::str::FromStr;

use clap::Args;
use leasehold::{error::LeaseholdError, state::Lease};
use leasehold_client::{
    BoardRef, address,
    board::BoardView,
    fetch::{FetchError, FetchedBoard},
};
use solana_pubkey::Pubkey;

use crate::{
    chain::{Chain, MarketId, MarketView},
    failure::Failure,
};

#[derive(Args, Clone, Copy, Debug)]
pub struct LeaseArgs {
    /// The lease: its address, or with --market numbers of its board and its own, as 0:12.
    #[arg(value_name = "LEASE")]
    pub id: LeaseId,
    /// The market, by number or by address; needed where the lease is named by numbers.
    #[arg(long, env = "LEASEHOLD_MARKET", value_name = "NUMBER|ADDRESS")]
    pub market: Option<MarketId>,
}

/// A lease by its address, or by the numbers of its board and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseId {
    Address(Pubkey),
    Numbers { board: u32, serial: u32 },
}

impl FromStr for LeaseId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once(':').and_then(|(board, serial)| {
            Some(LeaseId::Numbers { board: board.parse().ok()?, serial: serial.parse().ok()? })
        });
        let address = || text.parse().ok().map(LeaseId::Address);
        numbers.or_else(address).ok_or("give the lease's address, or BOARD:SERIAL as 0:12")
    }
}

impl LeaseArgs {
    pub fn address(&self) -> Result<Pubkey, Failure> {
        match (self.id, self.market) {
            (LeaseId::Address(address), _) => Ok(address),
            (LeaseId::Numbers { board, serial }, Some(market)) => {
                Ok(address::lease(&address::board(&market.0, board), serial.into()))
            }
            (LeaseId::Numbers { .. }, None) => {
                Err(Failure::Input("a lease named by numbers needs its market: pass --market".to_owned()))
            }
        }
    }

    /// Reads the lease, its board and its market.
    pub async fn load(&self, chain: &Chain) -> Result<Leased, Failure> {
        let (address, fetch) = (self.address()?, chain.fetch());
        let lease = fetch.lease(address).await?.ok_or(FetchError::Missing { address })?.account;
        let board = fetch.board(lease.board).await?;
        let market = chain.market(board.view()?.header.market).await?;
        Ok(Leased { address, lease, board: board.board_ref(&market.reference)?, data: board, market })
    }
}

/// A lease with its surroundings.
pub struct Leased {
    pub address: Pubkey,
    pub lease: Lease,
    pub board: BoardRef,
    pub data: FetchedBoard,
    pub market: MarketView,
}

impl Leased {
    pub fn view(&self) -> Result<BoardView<'_>, Failure> {
        Ok(self.data.view()?)
    }

    /// What a sentence calls it.
    pub fn name(&self) -> String {
        format!("lease {} on board {}", self.lease.serial, self.board.index)
    }

    /// Refuses whoever may not do what only the owner may.
    pub fn require_owner(&self, wallet: &Pubkey) -> Result<(), Failure> {
        if *wallet != self.lease.owner {
            return Err(Failure::rule(
                LeaseholdError::WrongAuthority,
                format!("its owner is {}, and {wallet} signs", self.lease.owner),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use leasehold_client::{
        fetch::Fetched,
        sample::{self, snapshot},
    };

    use super::*;
    use crate::chain::tests::view;

    /// Lease 1 of the sample: of wallet 9, from round 990 to 1,009, with slots 0 and 1.
    pub fn sample(serial: u32) -> Leased {
        let mut snapshot = snapshot();
        let state = snapshot.boards.remove(0);
        let (address, lease) = state.leases.into_iter().find(|(_, lease)| lease.serial == serial).unwrap();
        let data = Fetched { address: state.address, lamports: 1, account: state.data };
        Leased { address, lease, board: sample::market().board(0), data, market: view() }
    }

    #[test]
    fn a_lease_is_named_by_address_or_by_numbers_within_a_market() {
        let lease = sample(1);
        let numbers: LeaseId = "0:1".parse().unwrap();
        let market = Some(MarketId(lease.market.reference.address));
        assert_eq!(LeaseArgs { id: numbers, market }.address().unwrap(), lease.address);
        let id: LeaseId = lease.address.to_string().parse().unwrap();
        assert_eq!(LeaseArgs { id, market: None }.address().unwrap(), lease.address);
        let nowhere = LeaseArgs { id: numbers, market: None }.address().unwrap_err();
        assert!(nowhere.code() == 2 && nowhere.to_string().contains("--market"));
        for wrong in ["", "1", "0:", "0:1:2", "a:b"] {
            assert!(wrong.parse::<LeaseId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_the_owner_may_do_what_is_the_owners() {
        let lease = sample(1);
        assert!(lease.require_owner(&sample::wallet(9)).is_ok());
        assert_eq!(lease.require_owner(&sample::wallet(8)).unwrap_err().code(), 3);
        assert_eq!(lease.name(), "lease 1 on board 0");
    }
}
