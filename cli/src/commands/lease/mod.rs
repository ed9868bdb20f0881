//! `leasehold lease`: machines leased together, from opening to the last claim.

mod change;
mod cluster;
mod leased;
mod list;
mod open;
mod settle;
mod show;

use clap::{Args, Subcommand};
use solana_pubkey::Pubkey;

use self::leased::{LeaseArgs, LeasesArgs};
use super::quote::WishArgs;
use crate::{
    chain::{Chain, MarketArgs},
    criteria::Length,
    failure::Failure,
};

#[derive(Subcommand)]
pub enum LeaseCommand {
    /// Leases machines from the next round on: of one board where one has enough, else of several, all or none.
    Open(OpenArgs),
    /// Leases of a wallet, settled ones too until they are closed.
    List(ListArgs),
    /// A lease and its machines: how long they were up, what is spent and what is left.
    Show(LeaseArgs),
    /// Lets a lease run longer, at the prices it was opened with.
    Extend(ExtendArgs),
    /// Ends a lease with the round that runs; costs an hour, or 5 percent of what was left, the lesser.
    Cancel(LeasesArgs),
    /// Gives a lease, and all that is still to be claimed from it, to another wallet.
    Transfer(TransferArgs),
    /// Swaps a machine that is down for the first that fits what the lease was opened for.
    Replace(ReplaceArgs),
    /// Pays the machines for the rounds they were up; refunds the rest once every round is closed. Anybody may.
    Settle(LeasesArgs),
    /// Claims what is refunded, and the part of slashed stake that is the owner's. Anybody may, for the owner.
    Claim(LeasesArgs),
    /// Closes the account of a settled lease a day after its end; its rent goes back. Anybody may.
    Close(LeasesArgs),
}

#[derive(Args)]
pub struct OpenArgs {
    #[command(flatten)]
    pub wish: WishArgs,
    /// Most to deposit, where the machines of the quote are gone by then [default: the quote's total]
    #[arg(long, value_name = "AMOUNT")]
    pub max_deposit: Option<String>,
    /// Number of your choice that ties leases together [default: one by itself where there are several]
    #[arg(long, value_name = "NUMBER")]
    pub cluster: Option<u64>,
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Wallet that owns the leases [default: the keypair's]
    #[arg(long, value_name = "WALLET")]
    pub owner: Option<Pubkey>,
    /// Only leases with this cluster number.
    #[arg(long, value_name = "NUMBER")]
    pub cluster: Option<u64>,
}

#[derive(Args)]
pub struct ExtendArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// How much longer: rounds or time, as 144r, 90m, 24h or 7d.
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Length,
}

#[derive(Args)]
pub struct TransferArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Wallet that gets it.
    pub new_owner: Pubkey,
}

#[derive(Args)]
pub struct ReplaceArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Slot of the machine that is down.
    pub slot: u16,
}

pub async fn run(chain: &Chain, command: LeaseCommand) -> Result<(), Failure> {
    match command {
        LeaseCommand::Open(args) => open::run(chain, args).await,
        LeaseCommand::List(args) => list::run(chain, args).await,
        LeaseCommand::Show(args) => show::run(chain, args).await,
        LeaseCommand::Extend(args) => change::extend(chain, args).await,
        LeaseCommand::Cancel(args) => change::cancel(chain, args).await,
        LeaseCommand::Transfer(args) => change::transfer(chain, args).await,
        LeaseCommand::Replace(args) => change::replace(chain, args).await,
        LeaseCommand::Settle(args) => settle::settle(chain, args).await,
        LeaseCommand::Claim(args) => settle::claim(chain, args).await,
        LeaseCommand::Close(args) => settle::close(chain, args).await,
    }
}
