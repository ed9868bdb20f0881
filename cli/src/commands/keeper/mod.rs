//! `leasehold keeper`: keepers vote on uptime and settle leases.

mod exit;
mod seat;
mod show;

use anchor_lang::Space;
use clap::{Args, Subcommand};
use leasehold::{error::LeaseholdError, state::Keeper};
use leasehold_client::{error::Refusal, instruction, search::Bonds};
use leasehold_operate::{
    act::act,
    chain::{Chain, MarketArgs},
    failure::Failure,
    flags::parse_address,
    market::MarketView,
    plan::Plan,
};
use solana_pubkey::Pubkey;

use super::supplier::AmountArgs;
use crate::bonds;

#[derive(Subcommand)]
pub enum KeeperCommand {
    /// Registers the wallet as a keeper.
    Register(MarketArgs),
    /// Deposits stake for the bonds of seats.
    Bond(AmountArgs),
    /// Takes a seat of a board; its bond comes from the stake.
    Seat(SeatArgs),
    /// Leaves the seat of a board after claiming its fees; its bond is free again.
    Leave(LeaveArgs),
    /// Adds payments to a board's keeper pool, out of which votes are paid. Anybody may; it does not come back.
    Fund(FundArgs),
    /// Pays out the fees of all seats to the keeper. Anybody may.
    Claim(ShowArgs),
    /// Leaves the market step by step: seats, stake, account. Each run takes the next step that is possible.
    Exit(MarketArgs),
    /// A keeper's stake and seats.
    Show(ShowArgs),
}

#[derive(Args)]
pub struct SeatArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Number of the board.
    pub board: u32,
    /// Number of the seat [default: the first vacant]
    #[arg(long, value_name = "NUMBER")]
    pub seat: Option<u8>,
}

#[derive(Args)]
pub struct LeaveArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Number of the board.
    pub board: u32,
    /// Leave unclaimed fees to the board's keeper pool, if your token account can't receive them.
    #[arg(long)]
    pub forfeit_fees: bool,
}

#[derive(Args)]
pub struct FundArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Number of the board.
    pub board: u32,
    /// Amount in the market's payment mint.
    pub amount: String,
}

#[derive(Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Wallet of the keeper [default: the keypair's]
    #[arg(long, value_name = "WALLET")]
    #[arg(value_parser = parse_address)]
    pub keeper: Option<Pubkey>,
}

pub async fn run(chain: &Chain, command: KeeperCommand) -> Result<(), Failure> {
    let plan = match command {
        KeeperCommand::Register(args) => {
            let (market, wallet) = (chain.market(args.id.0).await?, chain.wallet()?);
            if chain.fetch().keeper(&market.reference.address, &wallet).await?.is_some() {
                return Err(Failure::Refused(format!("{wallet} is a keeper of the market already")));
            }
            register(&market, wallet)
        }
        KeeperCommand::Bond(args) => {
            let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
            account(chain, &market.reference.address, &wallet).await?;
            bond(&market, wallet, &args.amount)?
        }
        KeeperCommand::Seat(args) => return seat::take(chain, args).await,
        KeeperCommand::Leave(args) => return seat::leave(chain, args).await,
        KeeperCommand::Fund(args) => return seat::fund(chain, args).await,
        KeeperCommand::Claim(args) => return seat::claim(chain, args).await,
        KeeperCommand::Exit(args) => return exit::run(chain, args).await,
        KeeperCommand::Show(args) => return show::run(chain, args).await,
    };
    act(chain, plan).await
}

fn register(market: &MarketView, wallet: Pubkey) -> Plan {
    Plan::new("Register as a keeper")
        .fact("Market:", "market", market.reference.address)
        .fact("Account:", "keeper", market.reference.keeper(&wallet))
        .creates(8 + Keeper::INIT_SPACE)
        .step("register keeper", vec![instruction::register_keeper(&market.reference, wallet)])
}

fn bond(market: &MarketView, wallet: Pubkey, amount: &str) -> Result<Plan, Failure> {
    let money = market.stake.parse(amount)?;
    if money.amount == 0 {
        return Err(Refusal::from(LeaseholdError::AmountIsZero).into());
    }
    let account = market.reference.stake_account(&wallet);
    let deposit = instruction::deposit_bond(&market.reference, wallet, account, money.amount);
    let plan = Plan::new("Deposit stake as a keeper").fact("Market:", "market", market.reference.address);
    let plan = bonds::shown(Bonds::of_seat(&market.account), plan, market, "A seat takes:", "keeper_bond");
    Ok(plan.spend("stake", money, account).step("deposit bond", vec![deposit]))
}

/// A keeper's account, which must exist.
async fn account(chain: &Chain, market: &Pubkey, wallet: &Pubkey) -> Result<Keeper, Failure> {
    let found = chain.fetch().keeper(market, wallet).await?;
    let missing = || format!("{wallet} is not a keeper of the market: run `leasehold keeper register` first");
    Ok(found.ok_or_else(|| Failure::Refused(missing()))?.account)
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::instruction as data;
    use leasehold_client::sample::wallet;
    use leasehold_operate::sample::view;

    use super::*;

    #[test]
    fn a_keeper_registers_and_bonds() {
        let registered = register(&view(), wallet(2));
        assert!(registered.steps[0].instructions[0].data.starts_with(data::RegisterKeeper::DISCRIMINATOR));
        assert_eq!(registered.growths[0].to, 8 + Keeper::INIT_SPACE);
        let bonded = bond(&view(), wallet(2), "0.5").unwrap();
        let expected = [data::DepositBond::DISCRIMINATOR, &50u64.to_le_bytes()].concat();
        assert_eq!(bonded.steps[0].instructions[0].data, expected);
        assert_eq!(
            (bonded.spends[0].money.amount, &bonded.details()["keeper_bond"]["display"]),
            (50, &"0.5".into())
        );
        assert_eq!(bond(&view(), wallet(2), "0").unwrap_err().code(), 3);
        assert_eq!(bond(&view(), wallet(2), "0.005").unwrap_err().code(), 2);
    }
}
