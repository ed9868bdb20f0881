//! `leasehold supplier`: suppliers list machines and stake for them.

mod leave;
mod plan;
mod show;

use clap::{Args, Subcommand};
use leasehold::state::Supplier;
use solana_pubkey::Pubkey;

use leasehold_operate::{
    act::act,
    chain::{Chain, MarketArgs},
    failure::Failure,
    flags::parse_address,
};

#[derive(Subcommand)]
pub enum SupplierCommand {
    /// Registers the wallet as a supplier.
    Register(MarketArgs),
    /// Deposits stake for the bonds of machines.
    Stake(AmountArgs),
    /// Unbonds free stake; it can be withdrawn after the market's unbonding time.
    Unstake(AmountArgs),
    /// Pays out stake that has unbonded.
    Withdraw(MarketArgs),
    /// Pays out the earnings of all machines to the supplier. Anybody may.
    Claim(WhoArgs),
    /// Reclaims the rent of slots that the supplier's machines left.
    Rent(MarketArgs),
    /// Closes the wallet's account as a supplier, once machines, stake and log are gone.
    Close(MarketArgs),
    /// A supplier's stake, machines and earnings.
    Show(WhoArgs),
}

#[derive(Args)]
pub struct AmountArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Amount of the market's stake mint.
    pub amount: String,
}

#[derive(Args)]
pub struct WhoArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Wallet of the supplier [default: the keypair's]
    #[arg(long, value_name = "WALLET")]
    #[arg(value_parser = parse_address)]
    pub supplier: Option<Pubkey>,
}

pub async fn run(chain: &Chain, command: SupplierCommand) -> Result<(), Failure> {
    let plan = match command {
        SupplierCommand::Register(args) => {
            let (market, wallet) = (chain.market(args.id.0).await?, chain.wallet()?);
            if chain.fetch().supplier(&market.reference.address, &wallet).await?.is_some() {
                return Err(Failure::Refused(format!("{wallet} is a supplier of the market already")));
            }
            plan::register(&market, wallet)
        }
        SupplierCommand::Stake(args) => {
            let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
            account(chain, &market.reference.address, &wallet).await?;
            plan::stake(&market, wallet, &args.amount)?
        }
        SupplierCommand::Unstake(args) => {
            let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
            let stake = account(chain, &market.reference.address, &wallet).await?.stake;
            plan::unstake(&market, wallet, &stake, chain.fetch().now().await?, &args.amount)?
        }
        SupplierCommand::Withdraw(args) => {
            let (market, wallet) = (chain.market(args.id.0).await?, chain.wallet()?);
            let stake = account(chain, &market.reference.address, &wallet).await?.stake;
            let payee = chain.stake_payee(&market, wallet).await?;
            plan::withdraw(&market, &stake, chain.fetch().now().await?, &payee)?
        }
        SupplierCommand::Claim(args) => {
            let market = chain.market(args.market.id.0).await?;
            let owner = chain.wallet_or(args.supplier)?;
            let boards = chain.boards(&args.market.id.0, None).await?;
            plan::claim(&market, &boards, chain.wallet()?, &chain.payee(&market, owner).await?)?
        }
        SupplierCommand::Rent(args) => return leave::rent(chain, args).await,
        SupplierCommand::Close(args) => return leave::close(chain, args).await,
        SupplierCommand::Show(args) => return show::run(chain, args).await,
    };
    act(chain, plan).await
}

/// A supplier's account, which must exist.
pub async fn account(chain: &Chain, market: &Pubkey, wallet: &Pubkey) -> Result<Supplier, Failure> {
    let found = chain.fetch().supplier(market, wallet).await?;
    Ok(found.ok_or_else(|| missing(wallet))?.account)
}

fn missing(wallet: &Pubkey) -> Failure {
    Failure::Refused(format!(
        "{wallet} is not a supplier of the market: run `leasehold supplier register` first"
    ))
}
