//! Arguments that select the leases of a command.

use std::str::FromStr;

use clap::Args;
use leasehold_client::fetch::Fetched;
use leasehold_operate::{
    chain::{Chain, MarketId},
    failure::Failure,
    flags::parse_address,
    progress::with_spinner,
};
use solana_pubkey::Pubkey;

use super::{
    group::{Group, load_group},
    leased::Leased,
};

#[derive(Args, Clone, Copy, Debug)]
pub struct LeaseArgs {
    /// The lease: its address; or, with --market, its board's number and its own, for example 0:12.
    #[arg(value_name = "LEASE")]
    pub id: LeaseId,
    /// The market, by number or by address; needed if the lease is named by numbers.
    #[arg(long, env = "LEASEHOLD_MARKET", value_name = "NUMBER|ADDRESS")]
    pub market: Option<MarketId>,
}

/// One lease, or all leases of a group.
#[derive(Args, Clone, Copy, Debug)]
pub struct LeasesArgs {
    /// The lease: its address; or, with --market, its board's number and its own, for example 0:12.
    #[arg(value_name = "LEASE", required_unless_present = "group", conflicts_with = "group")]
    pub id: Option<LeaseId>,
    /// All leases of the keypair's wallet in this group.
    #[arg(long, value_name = "NUMBER", requires = "market")]
    pub group: Option<u64>,
    /// Include leases of the group that this wallet opened and then transferred to the owner.
    #[arg(long, value_name = "WALLET", requires = "group", conflicts_with = "id")]
    #[arg(value_parser = parse_address)]
    pub buyer: Option<Pubkey>,
    /// The market, by number or by address; needed unless the lease is named by its address.
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
        numbers.or_else(address).ok_or("give the lease's address, or BOARD:SERIAL, for example 0:12")
    }
}

impl LeaseArgs {
    /// Reads the lease, its board and its market.
    pub async fn load(&self, chain: &Chain) -> Result<Leased, Failure> {
        match (self.id, self.market) {
            (LeaseId::Address(address), _) => {
                let lease = chain.lease(address).await?;
                let data = chain.fetch().board(lease.board).await?;
                let market = chain.market(data.view()?.header.market).await?;
                Ok(Leased { address, lease, board: data.board_ref(&market.reference)?, data, market })
            }
            (LeaseId::Numbers { board, serial }, Some(market)) => {
                let market = chain.market(market.0).await?;
                let board = market.board(board);
                let Fetched { address, account: lease, .. } = chain.lease_of(&board, serial).await?;
                let data = chain.fetch().board(board.address).await?;
                Ok(Leased { address, lease, board, data, market })
            }
            (LeaseId::Numbers { .. }, None) => {
                Err(Failure::Input("a lease named by numbers needs --market".to_owned()))
            }
        }
    }
}

impl LeasesArgs {
    /// Reads the leases, their boards and their market. There is at least one.
    pub async fn load(&self, chain: &Chain) -> Result<Vec<Leased>, Failure> {
        self.load_of(chain, None).await
    }

    /// Like [`LeasesArgs::load`] for another owner than the keypair's wallet.
    pub async fn load_of(&self, chain: &Chain, owner: Option<Pubkey>) -> Result<Vec<Leased>, Failure> {
        let market = self.market;
        match (self.id, self.group, market) {
            (Some(id), ..) => Ok(vec![LeaseArgs { id, market }.load(chain).await?]),
            (None, Some(number), Some(market)) => {
                let group = Group { number, owner: chain.wallet_or(owner)?, buyer: self.buyer };
                with_spinner("Reading leases", load_group(chain, market, group)).await
            }
            _ => Err(Failure::Input("name a lease, or pass --group and --market".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::leased::tests::sample, *};

    #[test]
    fn a_lease_is_named_by_address_or_by_numbers() {
        let address = sample(1).address;
        assert_eq!("0:1".parse(), Ok(LeaseId::Numbers { board: 0, serial: 1 }));
        assert_eq!(address.to_string().parse(), Ok(LeaseId::Address(address)));
        for wrong in ["", "1", "0:", "0:1:2", "a:b"] {
            assert!(wrong.parse::<LeaseId>().is_err(), "{wrong}");
        }
    }
}
