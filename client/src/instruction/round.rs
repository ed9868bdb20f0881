use anchor_lang::system_program;
use leasehold::{accounts, instruction};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{build, payments, stake};
use crate::{
    address,
    market::{BoardRef, MarketRef},
};

/// Opens the account of the keeper with this wallet, which pays.
pub fn register_keeper(market: &MarketRef, authority: Pubkey) -> Instruction {
    build(
        accounts::RegisterKeeper {
            authority,
            market: market.address,
            keeper: market.keeper(&authority),
            system_program: system_program::ID,
        },
        instruction::RegisterKeeper {},
    )
}

/// Adds `amount` stake units to a keeper's free stake.
pub fn deposit_bond(market: &MarketRef, authority: Pubkey, wallet: Pubkey, amount: u64) -> Instruction {
    build(
        accounts::DepositBond {
            authority,
            market: market.address,
            keeper: market.keeper(&authority),
            tokens: stake(market, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::DepositBond { amount },
    )
}

/// Asks `amount` stake units back that no seat holds.
pub fn request_unbond(market: &MarketRef, authority: Pubkey, amount: u64) -> Instruction {
    build(
        accounts::RequestUnbond { authority, market: market.address, keeper: market.keeper(&authority) },
        instruction::RequestUnbond { amount },
    )
}

/// Pays out all stake that has unbonded.
pub fn withdraw_bond(market: &MarketRef, authority: Pubkey, wallet: Pubkey) -> Instruction {
    build(
        accounts::WithdrawBond {
            authority,
            market: market.address,
            keeper: market.keeper(&authority),
            tokens: stake(market, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::WithdrawBond {},
    )
}

/// Takes a vacant seat of the board's committee.
pub fn take_seat(board: &BoardRef, authority: Pubkey, seat: u8) -> Instruction {
    build(
        accounts::TakeSeat {
            authority,
            market: board.market.address,
            keeper: board.market.keeper(&authority),
            board: board.address,
        },
        instruction::TakeSeat { seat },
    )
}

/// Vacates the seat of a keeper. Anybody may sign where it has not submitted for a day.
pub fn leave_seat(board: &BoardRef, signer: Pubkey, keeper: Pubkey, seat: u8) -> Instruction {
    build(accounts::LeaveSeat { signer, keeper, board: board.address }, instruction::LeaveSeat { seat })
}

/// Votes on a round. `authority` is the wallet of the keeper that holds the seat; `bitmap` has
/// [`crate::rounds::bitmap_len`] bytes.
pub fn submit_round(
    board: &BoardRef,
    authority: Pubkey,
    seat: u8,
    round: u32,
    pong_root: [u8; 32],
    bitmap: Vec<u8>,
) -> Instruction {
    build(
        accounts::SubmitRound { keeper: authority, board: board.address },
        instruction::SubmitRound { seat, round, pong_root, bitmap },
    )
}

/// Counts the round that was voted on, or steps over rounds nobody voted on. Nobody needs to sign.
pub fn close_round(board: &BoardRef) -> Instruction {
    build(
        accounts::CloseRound { market: board.market.address, board: board.address },
        instruction::CloseRound {},
    )
}

/// Pays the keeper that holds a seat what the seat has earned.
pub fn claim_keeper_fees(board: &BoardRef, signer: Pubkey, wallet: Pubkey, seat: u8) -> Instruction {
    build(
        accounts::ClaimKeeperFees {
            signer,
            board: board.address,
            tokens: payments(board, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::ClaimKeeperFees { seat },
    )
}

/// Closes the account of a keeper without seats and stake.
pub fn close_keeper(market: &MarketRef, authority: Pubkey) -> Instruction {
    build(
        accounts::CloseKeeper { authority, market: market.address, keeper: market.keeper(&authority) },
        instruction::CloseKeeper {},
    )
}
