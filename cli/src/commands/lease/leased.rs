//! Which lease is meant, and what there is to know of it.

use std::str::FromStr;

use clap::Args;
use leasehold::{error::LeaseholdError, state::Lease};
use leasehold_client::{BoardRef, address, board::BoardView, fetch::FetchedBoard};
use solana_pubkey::Pubkey;

use super::tied::{Cluster, load_cluster};
use crate::{
    args::parse_address,
    chain::{Chain, MarketId, MarketView},
    failure::Failure,
    plan::Plan,
    progress::patiently,
    table::count,
    text::tell,
};

#[derive(Args, Clone, Copy, Debug)]
pub struct LeaseArgs {
    /// The lease: its address; or, with --market, its board's number and its own, as 0:12.
    #[arg(value_name = "LEASE")]
    pub id: LeaseId,
    /// The market, by number or by address; needed where the lease is named by numbers.
    #[arg(long, env = "LEASEHOLD_MARKET", value_name = "NUMBER|ADDRESS")]
    pub market: Option<MarketId>,
}

/// One lease, or all of the wallet's that are tied together.
#[derive(Args, Clone, Copy, Debug)]
pub struct LeasesArgs {
    /// The lease: its address; or, with --market, its board's number and its own, as 0:12.
    #[arg(value_name = "LEASE", required_unless_present = "cluster", conflicts_with = "cluster")]
    pub id: Option<LeaseId>,
    /// All leases of the keypair's wallet with this cluster number.
    #[arg(long, value_name = "NUMBER", requires = "market")]
    pub cluster: Option<u64>,
    /// Take also the cluster's leases that this wallet opened and then gave to the owner.
    #[arg(long, value_name = "WALLET", requires = "cluster", conflicts_with = "id")]
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
        let lease = chain.lease(address).await?;
        let board = fetch.board(lease.board).await?;
        let market = chain.market(board.view()?.header.market).await?;
        Ok(Leased { address, lease, board: board.board_ref(&market.reference)?, data: board, market })
    }
}

impl LeasesArgs {
    /// Reads the leases, their boards and their market. There is at least one.
    pub async fn load(&self, chain: &Chain) -> Result<Vec<Leased>, Failure> {
        self.load_of(chain, None).await
    }

    /// The same of another owner than the keypair's wallet.
    pub async fn load_of(&self, chain: &Chain, owner: Option<Pubkey>) -> Result<Vec<Leased>, Failure> {
        let market = self.market;
        match (self.id, self.cluster, market) {
            (Some(id), ..) => Ok(vec![LeaseArgs { id, market }.load(chain).await?]),
            (None, Some(number), Some(market)) => {
                let cluster = Cluster { number, owner: chain.wallet_or(owner)?, buyer: self.buyer };
                patiently("Reading leases", load_cluster(chain, market, cluster)).await
            }
            _ => Err(Failure::Input("name a lease, or pass --cluster and --market".to_owned())),
        }
    }
}

/// One plan for all leases of a cluster. Those that the rules refuse it for are told and left out.
pub fn plan_each(
    leases: &[Leased],
    verb: &str,
    plan: impl Fn(&Leased) -> Result<Plan, Failure>,
) -> Result<Plan, Failure> {
    if let [one] = leases {
        return plan(one);
    }
    let (mut plans, mut refused) = (Vec::new(), None);
    for leased in leases {
        match plan(leased) {
            Ok(plan) => plans.push(plan),
            Err(error) if error.refusal().is_some() => {
                tell(format!("Left out: {}: {error}", leased.name()));
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match refused {
        Some(error) if plans.is_empty() => Err(error),
        _ => Ok(Plan::join(format!("{verb} {}", count(plans.len(), "lease")), plans)),
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
        format!("lease {}:{}", self.board.index, self.lease.serial)
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
        error::Refusal,
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
    fn a_cluster_has_one_plan_without_the_leases_that_refuse_it() {
        let plan = |leased: &Leased| {
            leased.lease.require_open().map_err(Refusal::from)?;
            Ok(Plan::new(leased.name()).step("cancel lease", vec![]))
        };
        let both = [sample(1), sample(2)];
        let joined = plan_each(&both, "Cancel", plan).unwrap();
        assert_eq!((joined.title.as_str(), joined.steps.len()), ("Cancel 1 lease", 1));
        assert_eq!(joined.facts[0].text, "lease 0:1");
        assert_eq!(plan_each(&both[..1], "Cancel", plan).unwrap().title, "lease 0:1");
        assert_eq!(plan_each(&both[1..], "Cancel", plan).unwrap_err().code(), 3);
        let none = plan_each(&[sample(2), sample(2)], "Cancel", plan).unwrap_err();
        assert_eq!(none.code(), 3, "no lease is left");
        let broken = |_: &Leased| Err(Failure::Declined);
        assert_eq!(plan_each(&both, "Cancel", broken).unwrap_err().code(), 4);
    }

    #[test]
    fn a_rule_with_values_leaves_a_lease_out_as_one_without_does() {
        let plan = |leased: &Leased| match leased.lease.serial {
            1 => Ok(Plan::new(leased.name()).step("cancel lease", vec![])),
            _ => Err(Failure::rule(LeaseholdError::LeaseOver, "its last round runs")),
        };
        let joined = plan_each(&[sample(1), sample(2)], "Cancel", plan).unwrap();
        assert_eq!((joined.title.as_str(), joined.steps.len()), ("Cancel 1 lease", 1));
    }

    #[test]
    fn only_the_owner_may_do_what_is_the_owners() {
        let lease = sample(1);
        assert!(lease.require_owner(&sample::wallet(9)).is_ok());
        assert_eq!(lease.require_owner(&sample::wallet(8)).unwrap_err().code(), 3);
        assert_eq!(lease.name(), "lease 0:1");
    }
}
