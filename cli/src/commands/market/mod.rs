//! `leasehold market`: markets and their authority.

mod create;
mod govern;
mod show;
mod vaults;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use solana_pubkey::Pubkey;

use leasehold_operate::{
    chain::{Chain, MarketArgs},
    failure::Failure,
    flags::parse_address,
};

#[derive(Subcommand)]
pub enum MarketCommand {
    /// A market's rules, parameters and authority.
    Show(MarketArgs),
    /// Pauses listing, opening and extending; nothing else can be paused.
    Pause(MarketArgs),
    /// Resumes a paused market.
    Resume(MarketArgs),
    /// Proposes parameters, which can be applied after the market's timelock, for two weeks.
    ///
    /// The file is TOML with the fields of `params` in `market show --output json`. Classes can be added at the end, and their
    /// weights changed, but none can be removed or renamed.
    Propose(ProposeArgs),
    /// Applies proposed parameters. Anybody may.
    Apply(MarketArgs),
    /// Offers the market to another wallet, withdraws the offer, or accepts it.
    Authority(AuthorityArgs),
    /// Creates a market; the wallet becomes its authority.
    ///
    /// The file is TOML: id, payment_mint, stake_mint and timelock_secs, then a section [rules] with
    /// round_secs, submit_secs, seats, threshold, abandon_rounds and sla_bps, and a section [params] as of
    /// `market propose`. The boards that a file for `deploy` asks for are not created.
    Create(CreateArgs),
    /// Pays the market's fees to its authority. Anybody may.
    Withdraw(WithdrawArgs),
    /// Burns slashed stake, and payments that nobody gets: damages, and what leaving and contesting cost. Anybody may.
    Burn(BurnArgs),
    /// Closes a market without boards, suppliers and keepers.
    Close(MarketArgs),
}

#[derive(Args)]
pub struct ProposeArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// The parameters, in TOML.
    #[arg(required_unless_present = "withdraw", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Withdraw the proposed parameters.
    #[arg(long, conflicts_with = "file")]
    pub withdraw: bool,
}

#[derive(Args)]
pub struct AuthorityArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Wallet to offer the market to.
    #[arg(required_unless_present_any = ["withdraw", "accept"])]
    #[arg(value_parser = parse_address)]
    pub offered: Option<Pubkey>,
    /// Withdraw the offer.
    #[arg(long, conflicts_with_all = ["offered", "accept"])]
    pub withdraw: bool,
    /// Accept the offer, with the wallet it was made to.
    #[arg(long, conflicts_with = "offered")]
    pub accept: bool,
}

#[derive(Args)]
pub struct BoardsArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Number of the board [default: all boards]
    #[arg(long, value_name = "NUMBER")]
    pub board: Option<u32>,
}

#[derive(Args)]
pub struct WithdrawArgs {
    #[command(flatten)]
    pub boards: BoardsArgs,
    /// Wallet that is the market's authority and is paid [default: the keypair's]
    #[arg(long, value_name = "WALLET")]
    #[arg(value_parser = parse_address)]
    pub authority: Option<Pubkey>,
}

#[derive(Args)]
pub struct BurnArgs {
    #[command(flatten)]
    pub boards: BoardsArgs,
    /// Burn the keeper pools, too, of boards that the keypair's wallet created and that have no machines and leases, so that
    /// they can be closed.
    #[arg(long)]
    pub pool: bool,
}

#[derive(Args)]
pub struct CreateArgs {
    /// The market, in TOML.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

pub async fn run(chain: &Chain, command: MarketCommand) -> Result<(), Failure> {
    match command {
        MarketCommand::Show(args) => show::run(chain, args).await,
        MarketCommand::Pause(args) => govern::pause(chain, args, true).await,
        MarketCommand::Resume(args) => govern::pause(chain, args, false).await,
        MarketCommand::Propose(args) => govern::propose(chain, args).await,
        MarketCommand::Apply(args) => govern::apply(chain, args).await,
        MarketCommand::Authority(args) => govern::authority(chain, args).await,
        MarketCommand::Create(args) => create::run(chain, args).await,
        MarketCommand::Withdraw(args) => vaults::withdraw(chain, args).await,
        MarketCommand::Burn(args) => vaults::burn(chain, args).await,
        MarketCommand::Close(args) => vaults::close(chain, args).await,
    }
}
