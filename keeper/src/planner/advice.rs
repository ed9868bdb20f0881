//! Advice for the operator.

use solana_pubkey::Pubkey;

/// A problem that only the operator can solve. It is logged once while it lasts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Advice {
    #[error("the market has no board {0}: check --board")]
    NoSuchBoard(u32),
    #[error(
        "this keeper holds no seat and has nothing to do: give --take-seat, or --crank to only close rounds, settle \
         leases and the like"
    )]
    NoWork,
    #[error("all seats of board {0} are taken: the keeper takes one as soon as it is vacant")]
    NoVacantSeat(u32),
    #[error("this keeper has no account in the market: give --bond to open one and bond stake to it")]
    NotRegistered,
    #[error(
        "a seat of board {board} takes {needed} stake units, the keeper has {free} free: give --bond to bond the rest"
    )]
    StakeMissing { board: u32, free: u64, needed: u64 },
    #[error(
        "a seat of board {board} needs {needed} more stake units, but the wallet's token account {account} has {held}: \
         send stake tokens to it"
    )]
    WalletStakeMissing { board: u32, held: u64, needed: u64, account: Pubkey },
    #[error("the keeper's wallet {wallet} holds only {lamports} lamports for transaction fees: send it more")]
    LowLamports { wallet: Pubkey, lamports: u64 },
}
