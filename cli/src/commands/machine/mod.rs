//! `leasehold machine`: machines of a supplier on the boards of a market.

mod file;
mod list;
mod plan;
mod show;

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use leasehold_client::{address, fetch::FetchedBoard};
use solana_pubkey::Pubkey;

use crate::{
    act::act,
    chain::{Chain, MarketArgs, MarketView},
    criteria::Length,
    failure::Failure,
};

#[derive(Subcommand)]
pub enum MachineCommand {
    /// Puts machines of a file on a board, and bonds stake to each.
    ///
    /// The file is TOML, with a section for each machine:
    ///
    /// [[machine]]
    /// node_key = "its ed25519 key, in base58 or hex"
    /// class = "RTX 4090"
    /// gpus = 1
    /// speed = 3
    /// country = "DE"
    /// region = 1
    /// metered = false
    /// endpoint = "203.0.113.7:7000"
    /// price = "0.35"
    #[command(verbatim_doc_comment)]
    List(ListArgs),
    /// Changes price and commitment of machines that are not leased, and makes their bonds whole.
    Reprice(RepriceArgs),
    /// Takes machines that are not leased off a board, with their bonds, a day after their last lease.
    Retire(SlotsArgs),
    /// Takes machines out of leases that run: they lose their whole bonds.
    Forfeit(SlotsArgs),
    /// Machines of a supplier.
    Show(ShowArgs),
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// The machines, in TOML.
    pub file: PathBuf,
    /// Number of the board.
    #[arg(long, value_name = "NUMBER")]
    pub board: u32,
    /// How long they are promised from the next round on: rounds or time, as 144r, 24h or 30d.
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Length,
}

#[derive(Args)]
pub struct SlotsArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Number of the board.
    #[arg(long, value_name = "NUMBER")]
    pub board: u32,
    /// Slots of the machines: numbers, or ranges as 0-11.
    #[arg(required = true, value_name = "SLOT")]
    pub slots: Vec<Slots>,
}

#[derive(Args)]
#[group(skip)]
pub struct RepriceArgs {
    #[command(flatten)]
    pub slots: SlotsArgs,
    /// Price of a machine and hour, in the market's payment mint [default: as it is]
    #[arg(long, value_name = "AMOUNT")]
    pub price: Option<String>,
    /// How long they are promised from the next round on [default: as it is]
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Option<Length>,
}

#[derive(Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Wallet of the supplier [default: the keypair's]
    #[arg(long, value_name = "WALLET")]
    pub supplier: Option<Pubkey>,
    /// Number of the board [default: all]
    #[arg(long, value_name = "NUMBER")]
    pub board: Option<u32>,
}

/// A slot, or several after each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    first: u16,
    last: u16,
}

impl FromStr for Slots {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let slots = first.parse().ok().zip(last.parse().ok()).map(|(first, last)| Slots { first, last });
        slots.filter(|slots| slots.first <= slots.last).ok_or("give a slot's number, or a range as 0-11")
    }
}

impl SlotsArgs {
    /// Every slot once, in order.
    pub fn numbers(&self) -> Vec<u16> {
        let mut all: Vec<_> = self.slots.iter().flat_map(|slots| slots.first..=slots.last).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Market and board that are meant.
    pub async fn load(&self, chain: &Chain) -> Result<(MarketView, FetchedBoard), Failure> {
        let market = chain.market(self.market.id.0).await?;
        let board = chain.fetch().board(address::board(&market.reference.address, self.board)).await?;
        Ok((market, board))
    }
}

pub async fn run(chain: &Chain, command: MachineCommand) -> Result<(), Failure> {
    let plan = match command {
        MachineCommand::List(args) => return list::run(chain, args).await,
        MachineCommand::Show(args) => return show::run(chain, args).await,
        MachineCommand::Reprice(args) => {
            let (market, board) = args.slots.load(chain).await?;
            let (view, now) = (board.view()?, chain.fetch().now().await?);
            let (price, length) = (args.price.as_deref(), args.length);
            plan::reprice(&market, &view, chain.wallet()?, now, &args.slots.numbers(), price, length)?
        }
        MachineCommand::Retire(args) => {
            let (market, board) = args.load(chain).await?;
            let now = chain.fetch().now().await?;
            plan::retire(&market, &board.view()?, chain.wallet()?, now, &args.numbers())?
        }
        MachineCommand::Forfeit(args) => {
            let (market, board) = args.load(chain).await?;
            plan::forfeit(&market, &board.view()?, chain.wallet()?, &args.numbers())?
        }
    };
    act(chain, plan).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::MarketId;

    #[test]
    fn slots_are_numbers_and_ranges_each_taken_once() {
        let slots = ["7", "0-3", "2-4"].map(|text| text.parse().unwrap()).into();
        let market = MarketArgs { id: MarketId(Pubkey::default()) };
        assert_eq!(SlotsArgs { market, board: 0, slots }.numbers(), [0, 1, 2, 3, 4, 7]);
        for wrong in ["", "-", "3-1", "1-", "a", "65536"] {
            assert!(wrong.parse::<Slots>().is_err(), "{wrong}");
        }
    }
}
