//! The headers of boards, by the hundred.

use anchor_lang::Discriminator;
use futures::future::join_all;
use leasehold::state::{Board, SLOTS_OFFSET, split};
use leasehold_client::{BoardRef, fetch::FetchError};
use solana_account_decoder_client_types::UiAccount;
use solana_rpc_client_api::{client_error::ErrorKind, request::RpcError as Answer};
use tracing::info;

use super::{ReadError, Reader, Trouble, data, is_busy};
use crate::snapshot::{BoardSnapshot, Snapshot};

/// Batches of headers that are read at a time.
const BATCHES: usize = 4;

impl Reader {
    /// The headers of all boards that exist.
    pub(super) async fn headers(&mut self, snapshot: &mut Snapshot) -> Result<Vec<BoardSnapshot>, ReadError> {
        let wanted = |index: &u32| self.boards.as_ref().is_none_or(|boards| boards.contains(index));
        let boards: Vec<_> = (0..snapshot.next_board)
            .filter(wanted)
            .map(|index| match self.addresses.get(&index) {
                Some(address) => BoardRef { address: *address, index, market: snapshot.market },
                None => snapshot.market.board(index),
            })
            .collect();
        self.addresses.extend(boards.iter().map(|board| (board.index, board.address)));
        let mut batches = Vec::new();
        for some in boards.chunks(self.batch.saturating_mul(BATCHES)) {
            let read = some.chunks(self.batch).map(|batch| self.header_accounts(batch));
            batches.extend(join_all(read).await);
        }
        let mut headers = Vec::with_capacity(boards.len());
        let (mut failed, mut read) = (None, batches.is_empty());
        for (batch, accounts) in batches {
            match accounts {
                Ok(accounts) => {
                    read = true;
                    for (board, account) in batch.iter().zip(accounts) {
                        headers.extend(self.header(board, account, &mut snapshot.missing));
                    }
                }
                Err(error) => failed = Some((batch, error)),
            }
        }
        let Some((batch, error)) = failed else {
            self.failures.reset(&Trouble::Headers);
            return Ok(headers);
        };
        self.ask_for_fewer(&error);
        if !read {
            return Err(error);
        }
        let [from, until] = [batch.first(), batch.last()].map(|board| board.map_or(0, |board| board.index));
        let line = format!("the headers of boards {from} to {until} can't be read: {error}");
        self.failures.fail(Trouble::Headers, &line);
        Ok(headers)
    }

    async fn header_accounts<'a>(
        &self,
        batch: &'a [BoardRef],
    ) -> (&'a [BoardRef], Result<Vec<Option<UiAccount>>, ReadError>) {
        let addresses: Vec<_> = batch.iter().map(|board| board.address).collect();
        (batch, self.accounts(&addresses, Some(SLOTS_OFFSET)).await)
    }

    /// Asks for fewer accounts at a time after an answer that refuses a request.
    fn ask_for_fewer(&mut self, error: &ReadError) {
        let ReadError::Rpc(FetchError::Rpc(error)) = error else { return };
        let refused = match error.kind() {
            ErrorKind::RpcError(Answer::RpcResponseError { .. }) => !is_busy(error),
            ErrorKind::Reqwest(error) => {
                error.status().is_some_and(|status| [400, 413].contains(&status.as_u16()))
            }
            _ => false,
        };
        if refused && self.batch > 1 {
            self.batch = self.batch.div_ceil(2);
            info!("the RPC node refused to read many accounts at once: {} at a time from now on", self.batch);
        }
    }

    /// The header in an account; `None` if the board was closed or has another layout.
    fn header(
        &mut self,
        board: &BoardRef,
        account: Option<UiAccount>,
        missing: &mut Vec<u32>,
    ) -> Option<BoardSnapshot> {
        // A board that was closed leaves nothing behind.
        let Some(account) = account else {
            missing.extend(self.boards.is_some().then_some(board.index));
            return None;
        };
        let header = header(&account);
        if header.is_none() {
            let line = format!(
                "board {} ({}) has a layout that this keeper does not know: update the keeper",
                board.index, board.address
            );
            self.failures.fail(Trouble::Layout(board.address), &line);
        }
        Some(BoardSnapshot { board: *board, header: header?, fleet: None })
    }
}

/// A board's header, from an account that is cut off after it.
fn header(account: &UiAccount) -> Option<Box<Board>> {
    let data = data(account).filter(|data| data.starts_with(Board::DISCRIMINATOR))?;
    let (header, _) = split(&data).ok()?;
    (header.version == Board::VERSION).then(|| Box::new(*header))
}
