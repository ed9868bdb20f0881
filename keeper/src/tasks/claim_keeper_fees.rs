//! Claims a seat's fees to the keeper's associated token account, which is created if it is missing.

use leasehold::error::LeaseholdError::NothingToWithdraw;
use leasehold_client::{BoardRef, instruction};
use solana_pubkey::Pubkey;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;

use super::{Step, Task, codes};

pub(super) fn step(board: &BoardRef, me: Pubkey, seat: u8) -> Step {
    let market = &board.market;
    let wallet = market.payment_account(&me);
    Step {
        task: Task::ClaimKeeperFees,
        text: format!("claimed the fees of seat {seat}"),
        instructions: vec![
            create_associated_token_account_idempotent(
                &me,
                &me,
                &market.payment_mint,
                &market.payment_token_program,
            ),
            instruction::claim_keeper_fees(board, me, wallet, seat),
        ],
        overtaken: codes([NothingToWithdraw]),
    }
}
