//! A consistent snapshot of a whole market.

use leasehold::state::{Keeper, Lease, Market, Supplier};
use solana_pubkey::Pubkey;

use super::{BOARD_OFFSET, Fetch, FetchError, Fetched, MARKET_OFFSET, Raw, decode_all};
use crate::{
    address,
    invariants::{BoardState, Snapshot},
};

/// How many times the accounts are read again before the market counts as too busy for a snapshot.
const READINGS: usize = 8;

impl Fetch<'_> {
    /// All accounts that the invariants are about, as they were at one moment: read until two readings in a row agree.
    pub async fn snapshot(&self, market: &Pubkey) -> Result<Snapshot, FetchError> {
        let mut last = self.reading(market).await?;
        for _ in 0..READINGS {
            let reading = self.reading(market).await?;
            if reading == last {
                return reading.decode();
            }
            last = reading;
        }
        Err(FetchError::Busy)
    }

    /// The accounts of a market; they may be of different moments.
    async fn reading(&self, market: &Pubkey) -> Result<Reading, FetchError> {
        let account = self.existing(*market).await?;
        let next_board = account.decode::<Market>()?.account.next_board;
        let mut boards = Vec::new();
        for address in (0..next_board).map(|index| address::board(market, index)) {
            let Some(board) = self.raw(address).await? else { continue };
            boards.push(BoardReading {
                board,
                payment_vault: self.existing(address::payment_vault(&address)).await?,
                leases: self.every::<Lease>(BOARD_OFFSET, &address).await?,
            });
        }
        Ok(Reading {
            market: account,
            stake_vault: self.existing(address::stake_vault(market)).await?,
            suppliers: self.every::<Supplier>(MARKET_OFFSET, market).await?,
            keepers: self.every::<Keeper>(MARKET_OFFSET, market).await?,
            boards,
        })
    }
}

/// All accounts of a market.
#[derive(PartialEq, Eq)]
struct Reading {
    market: Raw,
    stake_vault: Raw,
    suppliers: Vec<Raw>,
    keepers: Vec<Raw>,
    boards: Vec<BoardReading>,
}

#[derive(PartialEq, Eq)]
struct BoardReading {
    board: Raw,
    payment_vault: Raw,
    leases: Vec<Raw>,
}

impl Reading {
    fn decode(self) -> Result<Snapshot, FetchError> {
        Ok(Snapshot {
            address: self.market.address,
            market: self.market.decode()?.account,
            stake_vault: self.stake_vault.token_balance()?,
            unasked_stake: 0,
            suppliers: named(decode_all(&self.suppliers)?),
            keepers: named(decode_all(&self.keepers)?),
            boards: self.boards.into_iter().map(BoardReading::decode).collect::<Result<_, _>>()?,
        })
    }
}

impl BoardReading {
    fn decode(self) -> Result<BoardState, FetchError> {
        Ok(BoardState {
            address: self.board.address,
            data: self.board.board()?.account,
            payment_vault: self.payment_vault.token_balance()?,
            unasked_payments: 0,
            leases: named(decode_all(&self.leases)?),
        })
    }
}

fn named<T>(accounts: Vec<Fetched<T>>) -> Vec<(Pubkey, T)> {
    accounts.into_iter().map(|fetched| (fetched.address, fetched.account)).collect()
}
