//! `leasehold lease`: leases, from opening to the last claim.

mod change;
mod connect;
mod group;
mod leased;
mod list;
pub mod meter;
mod open;
mod open_group;
mod selection;
pub mod settle;
mod show;
mod watch;

use clap::{Args, Subcommand};
use solana_pubkey::Pubkey;

use self::{
    meter::{TokenArgs, TopUpArgs, VoucherArgs},
    selection::{LeaseArgs, LeasesArgs},
};
use crate::request::RequestArgs;
use leasehold_client::search::Length;
use leasehold_operate::{
    chain::{Chain, MarketArgs},
    failure::Failure,
    flags::parse_address,
};

#[derive(Subcommand)]
pub enum LeaseCommand {
    /// Leases machines from the next round on. If no single board has enough, it opens leases on several boards, or
    /// none at all.
    Open(OpenArgs),
    /// Leases of a wallet, settled ones included until they are closed.
    List(ListArgs),
    /// A lease and its machines: uptime, spending, rest of the deposit.
    Show(LeaseArgs),
    /// Watches a lease, read again every few seconds, until it is settled or Ctrl-C.
    ///
    /// On a terminal it is drawn in place, the machines that would lose most first; elsewhere each change is a line, or
    /// with --output a JSON object.
    Watch(watch::WatchArgs),
    /// Inventory of a lease's machines for ssh, Ansible or Ray, or as JSON.
    ///
    /// A board has each machine's address and the UDP port that keepers probe. The port of its SSH server is not on the
    /// chain: it is 22 unless --port names another. Ray's head is the machine that was up in most rounds of its lease
    /// and is not down; of several, the one in the lowest slot.
    Connect(connect::ConnectArgs),
    /// Extends a lease at the prices it was opened with.
    Extend(ExtendArgs),
    /// Cancels a lease: it ends with the running round, or with its first round if it has not begun. This costs the
    /// price of one hour, or of 5 percent of the remaining time if that is less.
    Cancel(LeasesArgs),
    /// Transfers a lease, with all that can still be claimed from it, to another wallet.
    Transfer(TransferArgs),
    /// Replaces a machine that is down by the first that fits the lease's criteria.
    Replace(ReplaceArgs),
    /// Pays the machines for their rounds, and refunds the rest once every round is closed. Anybody may; keepers do.
    Settle(LeasesArgs),
    /// Pays out the refund and the owner's part of slashed stake to the owner. Anybody may.
    Claim(ClaimArgs),
    /// Adds to the deposit of a metered lease. Anybody may.
    TopUp(TopUpArgs),
    /// Ends a metered lease six rounds after the running one. Its owner or the machine's supplier may.
    Notice(LeaseArgs),
    /// Prints a call token for the machine of a metered lease: the API key for OpenAI's clients.
    Token(TokenArgs),
    /// Signs a voucher for the use of a metered lease, as its spender.
    ///
    /// A voucher is for the total since the lease began, and replaces all earlier ones. Whoever holds it can have the
    /// machine paid, up to the deposit. It can't be revoked.
    Voucher(VoucherArgs),
    /// Closes a settled lease after its dispute window (144 rounds); its rent goes to the buyer. Anybody may.
    Close(LeasesArgs),
}

#[derive(Args)]
pub struct OpenArgs {
    #[command(flatten)]
    pub request: RequestArgs,
    /// Most to deposit if the quoted machines are taken meanwhile [default: the quote's total]
    #[arg(long, value_name = "AMOUNT", conflicts_with = "metered")]
    pub max_deposit: Option<String>,
    /// Number of the group of leases [default: a random one for leases on several boards]
    #[arg(long, value_name = "NUMBER")]
    pub group: Option<u64>,
    /// Public Ed25519 key, in base58, whose owner signs call tokens and vouchers, with --metered [default: the wallet]
    #[arg(long, requires = "metered", value_name = "PUBKEY")]
    #[arg(value_parser = parse_address)]
    pub spender: Option<Pubkey>,
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Wallet that owns the leases [default: the keypair's]
    #[arg(long, value_name = "WALLET")]
    #[arg(value_parser = parse_address)]
    pub owner: Option<Pubkey>,
    /// Only leases of this group.
    #[arg(long, value_name = "NUMBER")]
    pub group: Option<u64>,
}

#[derive(Args)]
pub struct ExtendArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// How much longer: rounds or time, for example 144r, 90m, 24h or 7d.
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Length,
    /// Most to deposit if it costs more by then [default: what it costs now]
    #[arg(long, value_name = "AMOUNT")]
    pub max_deposit: Option<String>,
}

#[derive(Args)]
pub struct TransferArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// The new owner.
    #[arg(value_parser = parse_address)]
    pub new_owner: Pubkey,
}

#[derive(Args)]
pub struct ReplaceArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Slot of the machine that is down.
    pub slot: u16,
    /// Most to deposit if another machine is the first that fits by then [default: what it costs now]
    #[arg(long, value_name = "AMOUNT")]
    pub max_deposit: Option<String>,
}

#[derive(Args)]
pub struct ClaimArgs {
    #[command(flatten)]
    pub leases: LeasesArgs,
    /// Wallet that owns the leases and is paid [default: the keypair's]
    #[arg(long, value_name = "WALLET")]
    #[arg(value_parser = parse_address)]
    pub owner: Option<Pubkey>,
}

pub async fn run(chain: &Chain, command: LeaseCommand) -> Result<(), Failure> {
    match command {
        LeaseCommand::Open(args) => open::run(chain, args).await,
        LeaseCommand::List(args) => list::run(chain, args).await,
        LeaseCommand::Show(args) => show::run(chain, args).await,
        LeaseCommand::Watch(args) => watch::run(chain, args).await,
        LeaseCommand::Connect(args) => connect::run(chain, args).await,
        LeaseCommand::Extend(args) => change::extend(chain, args).await,
        LeaseCommand::Cancel(args) => change::cancel(chain, args).await,
        LeaseCommand::Transfer(args) => change::transfer(chain, args).await,
        LeaseCommand::Replace(args) => change::replace(chain, args).await,
        LeaseCommand::Settle(args) => settle::settle(chain, args).await,
        LeaseCommand::Claim(args) => settle::claim(chain, args).await,
        LeaseCommand::TopUp(args) => meter::top_up(chain, args).await,
        LeaseCommand::Notice(args) => meter::notice(chain, args).await,
        LeaseCommand::Token(args) => meter::token(chain, args).await,
        LeaseCommand::Voucher(args) => meter::voucher(chain, args).await,
        LeaseCommand::Close(args) => settle::close(chain, args).await,
    }
}
