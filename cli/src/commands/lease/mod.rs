//! `leasehold lease`: leases, from opening to the last claim.

mod access;
mod change;
mod connect;
mod copy;
mod forward;
mod group;
mod inventory;
mod keys;
mod leased;
mod leaving;
mod list;
pub mod meter;
mod name;
mod open;
mod open_group;
mod ray;
mod run;
mod selection;
mod session;
pub mod settle;
mod show;
mod ssh;
mod watch;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use solana_pubkey::Pubkey;

use self::{
    keys::{Choice, HomeArgs},
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
    /// Leases GPUs from the next round on. If no single board has enough, it opens leases on several boards, or none at all.
    Open(OpenArgs),
    /// Leases of a wallet, settled ones included until they are closed.
    List(ListArgs),
    /// A lease and its machines: uptime, spending, rest of the deposit.
    Show(show::ShowArgs),
    /// Watches a lease, read again every few seconds, until it is settled or Ctrl-C.
    ///
    /// On a terminal it is drawn in place, the machines that would lose most first; elsewhere each change is a line, or
    /// with --output a JSON object.
    Watch(watch::WatchArgs),
    /// Logs in to a machine of a lease, or runs a command there, by ssh.
    ///
    /// The machine's key is checked against the chain, and only the lease's key is offered: nothing is trusted on first use, and
    /// neither ~/.ssh/config nor ~/.ssh/known_hosts is read. The exit code is ssh's.
    Ssh(ssh::SshArgs),
    /// Runs a command on all machines of a lease, and shows their output by machine.
    ///
    /// It ends on every machine if this one ends, by Ctrl-C too. The exit code is 0 if it was on every machine.
    Run(run::RunArgs),
    /// Copies files to all machines of a lease, or from them, by scp.
    Copy(copy::CopyArgs),
    /// Lets another SSH key into the machines of a lease, or nobody. All sessions are cut.
    Access(access::AccessArgs),
    /// Makes a Ray cluster of the machines of a lease, and ends it.
    Ray {
        #[command(subcommand)]
        command: ray::RayCommand,
    },
    /// Inventory of a lease's machines for ssh, Ansible, Ray, SkyPilot or dstack, or as JSON, with all that it takes to log in.
    ///
    /// Ansible and ssh check the machines' keys as `lease ssh` does. Ray's launcher, SkyPilot and dstack check none: they go
    /// through a session that does. Ray's head is the machine that was up in most rounds of its lease and is not down; of
    /// several, the one in the lowest slot.
    Connect(connect::ConnectArgs),
    /// Listens on this computer for tools that check no host keys, and connects them to the machines of a lease through sessions
    /// that do, until Ctrl-C.
    Forward(forward::ForwardArgs),
    /// Extends a lease at the prices it was opened with.
    Extend(ExtendArgs),
    /// Cancels a lease: it ends with the running round, or with its first round if it has not begun.
    ///
    /// This costs 5 percent of the remaining time, an hour at most for a lease of up to six days, and up to a day for longer
    /// ones. A machine that kept its promise is paid that; what others would have been paid is burned. A contested machine
    /// loses up to its last two hours of pay, and its owner pays half as much again; all of that is burned.
    Cancel(CancelArgs),
    /// Transfers a lease, with all that can still be claimed from it, to another wallet.
    ///
    /// All sessions are cut, and what runs on its machines is frozen until the new owner lets a key in by `lease access`.
    Transfer(TransferArgs),
    /// Replaces a machine, up or down, by the first that fits the lease's criteria and has as many GPUs.
    ///
    /// The new machine's price is paid in; what the old one leaves of the deposit comes back when it is settled. If the old one
    /// kept its promise, what the new one is cheaper by is burned, as far as cancelling would cost.
    Replace(ReplaceArgs),
    /// Pays the machines for their rounds, and refunds the rest once every round is closed. Anybody may; keepers do.
    Settle(LeasesArgs),
    /// Pays out the refund to the owner. Anybody may.
    Claim(ClaimArgs),
    /// Adds to the deposit of a metered lease. Anybody may.
    TopUp(TopUpArgs),
    /// Ends a metered lease an hour after the running round. Its owner and the machine's supplier may.
    ///
    /// It ends with the running round if its supplier gives notice while vouchers are below the standby price. It also does,
    /// and anybody may give notice, if less of the deposit is left than the standby price of the next hour. If its owner ends
    /// it, the machine is paid for an hour at least.
    Notice(LeaseArgs),
    /// Prints a call token for the machine of a metered lease: the API key for OpenAI's clients.
    Token(TokenArgs),
    /// Signs a voucher for the use of a metered lease, as its spender.
    ///
    /// A voucher is for the total since the lease began, and replaces all earlier ones. Whoever holds it can have the
    /// machine paid, up to the deposit. It can't be revoked.
    Voucher(VoucherArgs),
    /// Closes a settled lease after its dispute window of a day; its rent goes to the buyer. Anybody may.
    Close(LeasesArgs),
}

#[derive(Args)]
pub struct OpenArgs {
    #[command(flatten)]
    pub request: RequestArgs,
    /// Most to deposit if the quoted machines are taken meanwhile [default: the quote's total]
    #[arg(long, value_name = "AMOUNT", conflicts_with = "metered")]
    pub max_deposit: Option<String>,
    /// Number of the lease among this wallet's on its board: opening another with it fails, so that a command that is repeated
    /// with it opens none twice [default: a random one]
    #[arg(long, value_name = "NUMBER")]
    pub nonce: Option<u64>,
    /// Number of the group of leases [default: a random one for leases on several boards]
    #[arg(long, value_name = "NUMBER")]
    pub group: Option<u64>,
    /// Public Ed25519 key, in base58, whose owner signs call tokens and vouchers, with --metered [default: the wallet]
    #[arg(long, requires = "metered", value_name = "PUBKEY")]
    #[arg(value_parser = parse_address)]
    pub spender: Option<Pubkey>,
    #[command(flatten)]
    pub access: AccessFlags,
}

/// Who is let into the machines of a new lease.
#[derive(Args, Clone, Debug, Default)]
pub struct AccessFlags {
    /// Let the holder of this public SSH key in. A key that is published elsewhere tells whose lease it is. [default: a new key
    /// for each lease, kept on this computer; nobody with --metered]
    #[arg(long, value_name = "FILE.pub", value_hint = ValueHint::FilePath, conflicts_with = "no_access")]
    pub access: Option<PathBuf>,
    /// Let nobody in, until `lease access` names a key.
    #[arg(long)]
    pub no_access: bool,
    #[command(flatten)]
    pub home: HomeArgs,
}

impl AccessFlags {
    /// A machine that is paid by use is called by its URL: nobody needs a shell on it by default.
    fn choice(&self, is_metered: bool) -> Choice {
        match &self.access {
            Some(path) => Choice::Named(path.clone()),
            None if self.no_access || is_metered => Choice::Nobody,
            None => Choice::New,
        }
    }
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
    /// Number of machines that may leave at the old end, since they are not committed for so long or broke their promise.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub allow_leaving: u32,
}

#[derive(Args)]
pub struct CancelArgs {
    #[command(flatten)]
    pub leases: LeasesArgs,
    /// Slots of machines of the lease to contest: machines that did not let you in, or lacked what was listed.
    #[arg(long, value_name = "SLOT", value_delimiter = ',', conflicts_with = "group")]
    pub contest: Vec<u16>,
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
    /// Slot of the machine.
    pub slot: u16,
    /// Contest the machine: it did not let you in, or lacked what was listed.
    #[arg(long)]
    pub contest: bool,
    /// Slots of machines not to take, up to 16.
    #[arg(long, value_name = "SLOT", value_delimiter = ',')]
    pub avoid: Vec<u16>,
    /// Least bond of the new machine for each GPU, in stake tokens [default: the lease's]
    #[arg(long, value_name = "AMOUNT")]
    pub min_bond: Option<String>,
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
        LeaseCommand::Ssh(args) => ssh::run(chain, args).await,
        LeaseCommand::Run(args) => run::run(chain, args).await,
        LeaseCommand::Copy(args) => copy::run(chain, args).await,
        LeaseCommand::Access(args) => access::run(chain, args).await,
        LeaseCommand::Ray { command } => ray::run(chain, command).await,
        LeaseCommand::Forward(args) => forward::run(chain, args).await,
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
