//! `leasehold log`: compute logs of suppliers.

mod plan;
mod show;

use clap::{Args, Subcommand};
use leasehold_client::{
    address,
    fetch::{Fetched, FetchedBoard},
    record::LogData,
};
use leasehold_operate::{
    act::act,
    chain::{Chain, MarketArgs},
    failure::Failure,
    flags::parse_address,
};
use solana_pubkey::Pubkey;

use super::{
    machine::{self, SlotsArgs},
    supplier,
};

#[derive(Subcommand)]
pub enum LogCommand {
    /// Creates the supplier's log; `log lanes` then makes room in it for machines.
    Create(CreateArgs),
    /// A log: who may append, its totals, and the lanes of its machines.
    Show(ShowArgs),
    /// Makes room for machines of a board; a slot keeps its lane for later machines.
    Lanes(SlotsArgs),
    /// Names the wallet that may append, which is the node's.
    Operator(OperatorArgs),
    /// Closes the log of a supplier without machines. Its receipts can then no longer be proved.
    Close(MarketArgs),
}

#[derive(Args)]
pub struct CreateArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Another wallet that may append, such as the node's [default: the supplier's only]
    #[arg(long, value_name = "PUBKEY")]
    #[arg(value_parser = parse_address)]
    pub operator: Option<Pubkey>,
}

#[derive(Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Wallet of the supplier [default: the keypair's]
    #[arg(long, value_name = "WALLET")]
    #[arg(value_parser = parse_address)]
    pub supplier: Option<Pubkey>,
}

#[derive(Args)]
pub struct OperatorArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Wallet that may append from now on, instead of the one before.
    #[arg(value_name = "PUBKEY")]
    #[arg(value_parser = parse_address)]
    pub operator: Pubkey,
}

pub async fn run(chain: &Chain, command: LogCommand) -> Result<(), Failure> {
    let plan = match command {
        LogCommand::Create(args) => {
            let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
            supplier::account(chain, &market.reference.address, &wallet).await?;
            let log = chain.fetch().log(address::log(&market.reference.supplier(&wallet))).await?;
            plan::create(&market, wallet, log.as_ref(), args.operator.unwrap_or(wallet))?
        }
        LogCommand::Show(args) => return show(chain, args).await,
        LogCommand::Lanes(args) => {
            let (market, board) = machine::load(chain, args.market, args.board).await?;
            let (view, wallet) = (board.view()?, chain.wallet()?);
            let slots = machine::slots::numbers(&market, &view, wallet, &args.slots)?;
            let log = log(chain, &market.reference.supplier(&wallet), &wallet).await?;
            plan::lanes(&market, &view, wallet, &log, &slots)?
        }
        LogCommand::Operator(args) => {
            let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
            let log = log(chain, &market.reference.supplier(&wallet), &wallet).await?;
            plan::operator(&market, wallet, &log, args.operator)?
        }
        LogCommand::Close(args) => {
            let (market, wallet) = (chain.market(args.id.0).await?, chain.wallet()?);
            let supplier = supplier::account(chain, &market.reference.address, &wallet).await?;
            let log = log(chain, &market.reference.supplier(&wallet), &wallet).await?;
            plan::close(&market, &supplier, &log)?
        }
    };
    act(chain, plan).await
}

async fn show(chain: &Chain, args: ShowArgs) -> Result<(), Failure> {
    let market = chain.market(args.market.id.0).await?;
    let wallet = chain.wallet_or(args.supplier)?;
    let log = log(chain, &market.reference.supplier(&wallet), &wallet).await?;
    let boards = chain.boards(&args.market.id.0, None).await?;
    let views = boards.iter().map(FetchedBoard::view).collect::<Result<Vec<_>, _>>()?;
    chain.settings.output.print(&show::Shown::new(&market, wallet, &log, &views)?)
}

/// The log of a supplier's account, which must exist.
async fn log(chain: &Chain, supplier: &Pubkey, wallet: &Pubkey) -> Result<Fetched<LogData>, Failure> {
    let found = chain.fetch().log(address::log(supplier)).await?;
    let missing =
        || format!("{wallet} has no compute log on the market: its supplier runs `leasehold log create`");
    found.ok_or_else(|| Failure::Refused(missing()))
}

#[cfg(test)]
pub mod tests {
    use leasehold::state::{BatchHeader, Lane, log_len};
    use leasehold_client::sample::{self, market, wallet};

    use super::*;

    /// Log of supplier 0 with a batch, and lanes for these slots of board 0.
    pub fn sample(slots: &[u16]) -> Fetched<LogData> {
        let header = BatchHeader { count: 5, last_ms: 600_000_000, ..bytemuck::Zeroable::zeroed() };
        let log = sample::log(&[header]);
        let mut bytes = log.bytes().to_vec();
        for slot in slots {
            let lane =
                Lane { slot: *slot, lease: 1, batches: 1, next_seq: 5, ..bytemuck::Zeroable::zeroed() };
            let last_ms = header.last_ms;
            bytes.extend_from_slice(bytemuck::bytes_of(&Lane { last_ms, ..lane }));
        }
        assert_eq!(bytes.len(), log_len(slots.len()));
        // Number of lanes: they stand behind a header that counts them.
        let at = 8 + std::mem::offset_of!(leasehold::state::ComputeLog, lanes);
        bytes[at..at + 4].copy_from_slice(&u32::try_from(slots.len()).unwrap().to_le_bytes());
        let account = LogData::new(&bytes).unwrap();
        Fetched { address: address::log(&market().supplier(&wallet(0))), lamports: 7, account }
    }
}
