//! `leasehold board`: the boards that list a market's machines.

mod close;
mod show;

use clap::{Args, Subcommand};
use leasehold_client::instruction;
use leasehold_operate::{
    act::act,
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::MarketView,
    plan::Plan,
};
use solana_pubkey::Pubkey;

#[derive(Subcommand)]
pub enum BoardCommand {
    /// Adds an empty board to a market. Anybody may, and gets the rent back when the board is closed.
    Create(MarketArgs),
    /// A board's machines, seats and money.
    Show(BoardArgs),
    /// Removes vacant slots at a board's end; their rent goes to the suppliers that left them. Anybody may.
    Trim(BoardArgs),
    /// Closes an empty board that the wallet created; its rent goes back to the wallet.
    Close(BoardArgs),
}

#[derive(Args)]
pub struct BoardArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Number of the board.
    pub board: u32,
}

pub async fn run(chain: &Chain, command: BoardCommand) -> Result<(), Failure> {
    match command {
        BoardCommand::Create(args) => {
            act(chain, create(&chain.market(args.id.0).await?, chain.wallet()?)).await
        }
        BoardCommand::Show(args) => show::run(chain, args).await,
        BoardCommand::Trim(args) => close::trim(chain, args).await,
        BoardCommand::Close(args) => close::close(chain, args).await,
    }
}

fn create(market: &MarketView, creator: Pubkey) -> Plan {
    let board = market.reference.next_board(&market.account);
    let plan = Plan::new(format!("Create board {} of market {}", board.index, market.account.id))
        .fact("Market:", "market", market.reference.address)
        .fact("Board:", "board", board.address)
        .fact_as("Number:", "index", board.index, board.index)
        .creates_board();
    plan.step("create board", vec![instruction::create_board(&board, creator)])
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::state::board_len;
    use leasehold_client::sample::wallet;
    use leasehold_operate::sample::view;

    use super::*;

    #[test]
    fn the_next_board_is_created() {
        let plan = create(&view(), wallet(8));
        assert_eq!(
            (plan.title.as_str(), &plan.details()["index"]),
            ("Create board 1 of market 7", &1.into())
        );
        let instruction = &plan.steps[0].instructions[0];
        assert!(instruction.data.starts_with(leasehold::instruction::CreateBoard::DISCRIMINATOR));
        let board = view().board(1).address;
        assert!(instruction.accounts.iter().any(|meta| meta.pubkey == board && meta.is_writable));
        assert_eq!(plan.growths[0].to, board_len(0));
    }
}
