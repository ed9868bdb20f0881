//! Parts of accounts. A board has up to 1.2 MB, and most who watch it need its header and some of its slots.

use std::{collections::BTreeMap, ops::Range};

use futures::{StreamExt, TryStreamExt, stream};
use leasehold::state::{Board, SLOTS_OFFSET, Slot};
use serde_json::json;
use solana_account_decoder_client_types::{UiAccount, UiAccountEncoding, UiDataSliceConfig};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::{config::RpcAccountInfoConfig, request::RpcRequest, response::Response};

use super::{Fetch, FetchError, Fetched, Raw};
use crate::{
    address,
    board::{HEAD_LEN, header},
};

/// The most accounts of one `getMultipleAccounts`.
const ACCOUNTS: usize = 100;
/// Slots between two wanted ones up to which they are read together: a request of its own costs some 600 bytes, a slot
/// some 250.
const GAP: u16 = 2;
/// Most requests for the slots of one board; more slots are read together then.
const SPANS: usize = 16;
/// Requests for slots at a time.
const AT_ONCE: usize = 4;

/// The first bytes of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub address: Pubkey,
    pub owner: Pubkey,
    pub lamports: u64,
    pub data: Vec<u8>,
    /// Length of the account's data; `None` if the RPC node does not say.
    pub len: Option<u64>,
}

impl Head {
    /// True if these bytes are all of the account's data.
    pub fn is_whole(&self) -> bool {
        self.len.is_some_and(|len| usize::try_from(len) == Ok(self.data.len()))
    }
}

/// What was read, with the Solana slot as of which it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsOf<T> {
    pub slot: u64,
    pub value: T,
}

impl Fetch<'_> {
    /// The first `len` bytes of each account; `None` if it does not exist. Up to 100 accounts are as of one moment, else
    /// the Solana slot is that of the latest.
    ///
    /// # Errors
    /// [`FetchError::Rpc`].
    pub async fn heads(
        &self,
        addresses: &[Pubkey],
        len: usize,
    ) -> Result<AsOf<Vec<Option<Head>>>, FetchError> {
        let mut found = AsOf { slot: 0, value: Vec::with_capacity(addresses.len()) };
        for some in addresses.chunks(ACCOUNTS) {
            let names: Vec<_> = some.iter().map(Pubkey::to_string).collect();
            let asked = json!([names, self.part(0..len)]);
            let answer: Response<Vec<Option<UiAccount>>> =
                self.rpc.send(RpcRequest::GetMultipleAccounts, asked).await?;
            found.slot = found.slot.max(answer.context.slot);
            for (address, account) in some.iter().zip(answer.value) {
                found.value.push(account.map(|account| head(*address, account)).transpose()?);
            }
        }
        Ok(found)
    }

    /// Some slots of a board, by number; those that the board does not have are left out. As of the earliest moment at
    /// which one of them was read.
    ///
    /// # Errors
    /// [`FetchError::Missing`] or [`FetchError::Rpc`].
    pub async fn slots(
        &self,
        board: Pubkey,
        wanted: impl IntoIterator<Item = u16>,
    ) -> Result<AsOf<BTreeMap<u16, Slot>>, FetchError> {
        let wanted: Vec<u16> = wanted.into_iter().collect();
        let mut read = stream::iter(spans(&wanted))
            .map(|span| async move { Ok::<_, FetchError>((span.start, self.span(board, span).await?)) })
            .buffered(AT_ONCE);
        let mut found = AsOf { slot: u64::MAX, value: BTreeMap::new() };
        while let Some((first, AsOf { slot, value })) = read.try_next().await? {
            found.slot = found.slot.min(slot);
            let slots = value.chunks_exact(size_of::<Slot>()).map(bytemuck::pod_read_unaligned::<Slot>);
            found.value.extend((first..).zip(slots));
        }
        found.value.retain(|number, _| wanted.contains(number));
        Ok(found)
    }

    /// Headers of a market's boards, by index; `tally` and `sums` are zero.
    ///
    /// # Errors
    /// Any [`FetchError`].
    pub async fn headers(&self, market: &Pubkey) -> Result<Vec<Fetched<Box<Board>>>, FetchError> {
        let next = self.market(*market).await?.account.next_board;
        let addresses: Vec<_> = (0..next).map(|index| address::board(market, index)).collect();
        let heads = self.heads(&addresses, HEAD_LEN).await?.value;
        heads
            .into_iter()
            .flatten()
            .map(Raw::from)
            .filter(Raw::is_created)
            .map(|raw| raw.check(header(&raw.data)))
            .collect()
    }

    /// Bytes of a board's slots.
    async fn span(&self, board: Pubkey, span: Range<u16>) -> Result<AsOf<Vec<u8>>, FetchError> {
        let at =
            |number: u16| SLOTS_OFFSET.saturating_add(usize::from(number).saturating_mul(size_of::<Slot>()));
        let asked = json!([board.to_string(), self.part(at(span.start)..at(span.end))]);
        let answer: Response<Option<UiAccount>> = self.rpc.send(RpcRequest::GetAccountInfo, asked).await?;
        let account = answer.value.ok_or(FetchError::Missing { address: board })?;
        Ok(AsOf { slot: answer.context.slot, value: head(board, account)?.data })
    }

    fn part(&self, bytes: Range<usize>) -> RpcAccountInfoConfig {
        RpcAccountInfoConfig {
            encoding: Some(UiAccountEncoding::Base64Zstd),
            data_slice: Some(UiDataSliceConfig { offset: bytes.start, length: bytes.len() }),
            commitment: Some(self.commitment),
            ..Default::default()
        }
    }
}

fn head(address: Pubkey, account: UiAccount) -> Result<Head, FetchError> {
    let len = account.space;
    let Raw { owner, lamports, data, .. } = Raw::read(address, account)?;
    Ok(Head { address, owner, lamports, data, len })
}

impl From<Head> for Raw {
    fn from(head: Head) -> Self {
        Raw { address: head.address, owner: head.owner, lamports: head.lamports, data: head.data }
    }
}

/// Ranges of slots that cover the wanted ones: neighbours together, and at most [`SPANS`] of them.
fn spans(wanted: &[u16]) -> Vec<Range<u16>> {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let mut gap = GAP;
    loop {
        let mut spans = Vec::<Range<u16>>::new();
        for &number in &wanted {
            let end = number.saturating_add(1);
            match spans.last_mut() {
                Some(last) if number <= last.end.saturating_add(gap) => last.end = end,
                _ => spans.push(number..end),
            }
        }
        if spans.len() <= SPANS {
            return spans;
        }
        gap = gap.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_read_together_and_strangers_apart() {
        assert_eq!(spans(&[]), []);
        assert_eq!(spans(&[7, 5, 5, 6, 9, 12, 4_000]), [5..13, 4_000..4_001]);
        assert_eq!(spans(&[6_143, 0]), [0..1, 6_143..6_144]);
        let scattered: Vec<u16> = (0..300).map(|place| place * 20).collect();
        let spans = spans(&scattered);
        assert!(
            spans.len() <= SPANS && scattered.iter().all(|slot| spans.iter().any(|span| span.contains(slot)))
        );
    }
}
