//! `leasehold machine`: machines of a supplier on the boards of a market.

mod class;
mod detect;
mod differing;
pub mod endpoint;
mod file;
mod key;
mod list;
mod moving;
mod node_config;
mod plan;
mod prices;
mod profile;
mod reprice;
mod rows;
mod show;
pub mod slots;
mod watch;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use leasehold_client::{fetch::FetchedBoard, search::Length};
use leasehold_operate::{
    act::act,
    chain::{Chain, MarketArgs},
    failure::Failure,
    flags::parse_address,
    market::MarketView,
};
use solana_pubkey::Pubkey;

use self::{
    detect::DetectArgs, moving::MoveArgs, profile::ProfileCommand, reprice::RepriceArgs, rows::FileFormat,
    slots::Slots,
};

#[derive(Subcommand)]
pub enum MachineCommand {
    /// Lists the machines of a file on a board, with a bond for each.
    ///
    /// The file is TOML, with a section for each machine, or CSV, with the same names in its first line:
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
    ///
    /// The price is per GPU and hour. There may be bond, for each GPU, if it is more than the market's minimum; profile, the
    /// number of a description of `machine profile`; and turnaround, the minutes after a lease until the next.
    ///
    /// Machines whose keys are on the board already stay as they are, so the same command continues an interrupted run. If one
    /// of them differs from the file, nothing is listed and the command fails: `machine move` changes addresses, `machine
    /// reprice` prices and bonds.
    #[command(verbatim_doc_comment)]
    List(ListArgs),
    /// Finds the GPUs of this computer by nvidia-smi, and prints the file for `machine list`.
    ///
    /// With one key, they are one machine. With several, they are split evenly into as many machines, which answer at
    /// ports one after the other, beginning with that of --endpoint.
    Detect(DetectArgs),
    /// Changes price and commitment of machines that are not leased, and refills their bonds.
    ///
    /// A machine that is suspended because it was withheld or lost part of its bond can then be leased again; pass its current
    /// price or time if neither changes. Of a leased machine, the commitment can be shortened, to its lease's end at least:
    /// the lease can't be extended beyond it then. A bound machine keeps its commitment, and its price can only fall.
    ///
    /// With --file, each machine has its own values. The file is TOML with a section for each machine, or CSV
    /// with the same names in its first line. A machine is named by its slot or its node_key; a
    /// value that is left out is taken from --price, --for and --bond, or stays.
    ///
    /// [[machine]]
    /// slot = 7
    /// price = "0.35"
    /// for = "30d"
    #[command(verbatim_doc_comment)]
    Reprice(RepriceArgs),
    /// Changes the address at which a machine answers, also while it is leased.
    Move(MoveArgs),
    /// Withholds machines that are neither leased nor bound from new leases, at once and whatever their commitment.
    ///
    /// `machine reprice` offers them again.
    Withhold(SlotsArgs),
    /// Descriptions of a supplier's machines, which machines name by number.
    Profile {
        #[command(subcommand)]
        command: ProfileCommand,
    },
    /// Retires machines that are neither leased nor bound, after the dispute window of a day of their last lease; frees bonds.
    Retire(SlotsArgs),
    /// Forfeits machines: takes them out of their running leases. They lose their whole bonds.
    Forfeit(SlotsArgs),
    /// Machines of a supplier.
    Show(show::ShowArgs),
    /// Watches the machines of a supplier, read again every few seconds, until Ctrl-C.
    ///
    /// On a terminal they are drawn in place, those that are down first; elsewhere each change is a line, or
    /// with --output a JSON object. Each reading takes every board of the market, or the one that --board names.
    Watch(watch::WatchArgs),
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// The machines, in TOML, or in CSV if it ends in .csv; - for standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Format of the file, whatever its name.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<FileFormat>,
    /// Number of the board.
    #[arg(long, value_name = "NUMBER")]
    pub board: u32,
    /// Commitment from the next round on: rounds or time, for example 144r, 24h or 30d.
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
    /// Slots of the machines: numbers, or ranges such as 0-11; or the machines' node keys.
    #[arg(required = true, value_name = "SLOT|NODE_KEY")]
    pub slots: Vec<Slots>,
}

/// Machines of one supplier.
#[derive(Args)]
pub struct OwnArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Wallet of the supplier [default: the keypair's]
    #[arg(long, value_name = "WALLET")]
    #[arg(value_parser = parse_address)]
    pub supplier: Option<Pubkey>,
    /// Number of the board [default: all]
    #[arg(long, value_name = "NUMBER")]
    pub board: Option<u32>,
}

/// A market and a board of it.
pub async fn load(
    chain: &Chain,
    market: MarketArgs,
    board: u32,
) -> Result<(MarketView, FetchedBoard), Failure> {
    let market = chain.market(market.id.0).await?;
    let board = chain.board(&market.reference.address, board).await?;
    Ok((market, board))
}

pub async fn run(chain: &Chain, command: MachineCommand) -> Result<(), Failure> {
    let plan = match command {
        MachineCommand::List(args) => return list::run(chain, args).await,
        MachineCommand::Detect(args) => return detect::run(chain, args).await,
        MachineCommand::Show(args) => return show::run(chain, args).await,
        MachineCommand::Reprice(args) => return reprice::run(chain, args).await,
        MachineCommand::Move(args) => return moving::run(chain, args).await,
        MachineCommand::Profile { command } => return profile::run(chain, command).await,
        MachineCommand::Watch(args) => return watch::run(chain, args).await,
        MachineCommand::Withhold(args) => {
            let (market, board) = load(chain, args.market, args.board).await?;
            let (view, wallet, now) = (board.view()?, chain.wallet()?, chain.fetch().now().await?);
            let slots = slots::numbers(&market, &view, wallet, &args.slots)?;
            plan::withhold(&market, &view, wallet, now, &slots)?
        }
        MachineCommand::Retire(args) => {
            let (market, board) = load(chain, args.market, args.board).await?;
            let (view, wallet, now) = (board.view()?, chain.wallet()?, chain.fetch().now().await?);
            let slots = slots::numbers(&market, &view, wallet, &args.slots)?;
            plan::retire(&market, &view, wallet, now, &slots)?
        }
        MachineCommand::Forfeit(args) => {
            let (market, board) = load(chain, args.market, args.board).await?;
            let (view, wallet, now) = (board.view()?, chain.wallet()?, chain.fetch().now().await?);
            let slots = slots::numbers(&market, &view, wallet, &args.slots)?;
            let leases = chain.fetch().leases(&market.board(args.board).address).await?;
            plan::forfeit(&market, &view, wallet, now, &leases, &slots)?
        }
    };
    act(chain, plan).await
}
