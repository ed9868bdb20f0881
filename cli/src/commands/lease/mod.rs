//! `leasehold lease`: machines leased together, from opening to the last claim.

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
    /// Leases machines from the next round on: of one board where one has enough, else of several, all or none.
    Open(OpenArgs),
    /// Leases of a wallet, settled ones too until they are closed.
    List(ListArgs),
    /// A lease and its machines: how long they were up, what is spent and what is left.
    Show(LeaseArgs),
    /// A lease as it runs, read again every few seconds, until it is settled or Ctrl-C.
    ///
    /// On a terminal it is drawn in place, the machines that stand to lose most first; elsewhere each change
    /// is a line, or with --output a JSON object.
    Watch(watch::WatchArgs),
    /// Where the machines of a lease are, as an inventory for ssh, Ansible or Ray, or as JSON.
    ///
    /// A board knows each machine's address and the UDP port that keepers probe; the port of its SSH server is
    /// not on the chain: it is 22 unless --port says otherwise. In Ray's file the head is, of the machines that
    /// are not down, the one that was up in most rounds of its lease; of several, that of the lowest slot.
    Connect(connect::ConnectArgs),
    /// Lets a lease run longer, at the prices it was opened with.
    Extend(ExtendArgs),
    /// Ends a lease with the round that runs, its first at the earliest. That costs an hour besides, or 5 percent of
    /// the time that is left, whichever is less.
    Cancel(LeasesArgs),
    /// Gives a lease, and all that is still to be claimed from it, to another wallet.
    Transfer(TransferArgs),
    /// Swaps a machine that is down for the first that fits what the lease was opened for.
    Replace(ReplaceArgs),
    /// Pays the machines for their rounds; refunds the rest once every round is closed. Anybody may: keepers do.
    Settle(LeasesArgs),
    /// Claims what is refunded, and the part of slashed stake that is the owner's. Anybody may, for the owner.
    Claim(ClaimArgs),
    /// Adds to the deposit of a metered lease. Anybody may, for the owner.
    TopUp(TopUpArgs),
    /// Ends a metered lease six rounds after the one that runs; its owner may, and the machine's supplier.
    Notice(LeaseArgs),
    /// Prints a token with which the machine of a metered lease can be called: the API key for OpenAI's clients.
    Token(TokenArgs),
    /// Signs for what was used under a metered lease, as its spender.
    ///
    /// A voucher says what is owed in all since the lease began, and takes the place of all before it. Whoever
    /// holds it can have the machine paid, up to the deposit: it can't be taken back.
    Voucher(VoucherArgs),
    /// Closes the account of a settled lease a day after its end; its rent goes back. Anybody may.
    Close(LeasesArgs),
}

#[derive(Args)]
pub struct OpenArgs {
    #[command(flatten)]
    pub request: RequestArgs,
    /// Most to deposit, where the machines of the quote are gone by then [default: the quote's total]
    #[arg(long, value_name = "AMOUNT", conflicts_with = "metered")]
    pub max_deposit: Option<String>,
    /// Number of your choice that ties leases together [default: one by itself where there are several]
    #[arg(long, value_name = "NUMBER")]
    pub group: Option<u64>,
    /// Ed25519 key that is to sign call tokens and vouchers, with --metered: the public half in base58 [default: the
    /// wallet, which is such a key as well]
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
    /// Only leases with this group number.
    #[arg(long, value_name = "NUMBER")]
    pub group: Option<u64>,
}

#[derive(Args)]
pub struct ExtendArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// How much longer: rounds or time, as 144r, 90m, 24h or 7d.
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Length,
    /// Most to deposit, where it takes more by then [default: what it takes now]
    #[arg(long, value_name = "AMOUNT")]
    pub max_deposit: Option<String>,
}

#[derive(Args)]
pub struct TransferArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Wallet that gets it.
    #[arg(value_parser = parse_address)]
    pub new_owner: Pubkey,
}

#[derive(Args)]
pub struct ReplaceArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Slot of the machine that is down.
    pub slot: u16,
    /// Most to deposit, where another machine is the first that fits by then [default: what it takes now]
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
