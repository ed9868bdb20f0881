//! What the operator is told.

use solana_pubkey::Pubkey;

/// Something that only the operator can do. Said once, until it is no longer so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Advice {
    #[error("the market has no board {0}: check --board")]
    NoSuchBoard(u32),
    #[error(
        "this keeper holds no seat, so there is nothing to do: give --take-seat, or --crank to close rounds \
         and settle leases only"
    )]
    NoWork,
    #[error("all seats of board {0} are taken: one is taken as soon as it is vacant")]
    NoVacantSeat(u32),
    #[error("this keeper has no account in the market: give --bond to open one and bond stake to it")]
    NotRegistered,
    #[error(
        "a seat of board {board} takes {needed} stake units and the keeper has {free} free: give --bond to \
         bond what is missing"
    )]
    StakeMissing { board: u32, free: u64, needed: u64 },
    #[error(
        "a seat of board {board} takes {needed} stake units more and {account} holds {held}: send it the rest"
    )]
    WalletStakeMissing { board: u32, held: u64, needed: u64, account: Pubkey },
    #[error(
        "the keeper's wallet {wallet} holds {lamports} lamports, too few to go on paying fees: send it some"
    )]
    LowLamports { wallet: Pubkey, lamports: u64 },
}
