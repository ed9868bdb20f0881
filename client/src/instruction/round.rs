use anchor_lang::system_program;
use leasehold::{accounts, instruction};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{build, payments, stake};
use crate::{
    address,
    market::{BoardRef, MarketRef},
};

/// Registers the keeper with this wallet, which pays.
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

/// Starts unbonding `amount` stake units that no seat locks.
pub fn request_unbond(market: &MarketRef, authority: Pubkey, amount: u64) -> Instruction {
    build(
        accounts::RequestUnbond { authority, market: market.address, keeper: market.keeper(&authority) },
        instruction::RequestUnbond { amount },
    )
}

/// Pays out all stake whose unbonding is over.
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

/// Takes a vacant seat of a board.
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

/// Vacates the seat of a keeper. Anybody may sign if the seat has not voted for a day. `forfeit_fees`: the keeper leaves fees
/// that are not claimed to the pool.
pub fn leave_seat(
    board: &BoardRef,
    signer: Pubkey,
    keeper: Pubkey,
    seat: u8,
    forfeit_fees: bool,
) -> Instruction {
    build(
        accounts::LeaveSeat { signer, keeper, board: board.address },
        instruction::LeaveSeat { seat, forfeit_fees },
    )
}

/// Adds `amount` payment units to a board's keeper pool. They don't come back.
pub fn fund_keepers(board: &BoardRef, funder: Pubkey, wallet: Pubkey, amount: u64) -> Instruction {
    build(
        accounts::FundKeepers {
            funder,
            board: board.address,
            tokens: payments(board, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::FundKeepers { amount },
    )
}

/// Votes on a round. `authority`: the wallet of the keeper that holds the seat; `bitmap` has
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

/// Counts the votes of a round, or skips rounds without votes. Nobody needs to sign.
pub fn close_round(board: &BoardRef) -> Instruction {
    build(
        accounts::CloseRound { market: board.market.address, board: board.address },
        instruction::CloseRound {},
    )
}

/// Pays a seat's earned fees to the keeper that holds it.
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
