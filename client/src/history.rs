//! What came to a log, from its own transactions: a log's account keeps peaks and sums only.

use futures::{Stream, StreamExt, stream};
use leasehold::events::BatchesAppended;
use leasehold::state::BatchHeader;
use leasehold_client::event::{self, Event};
use solana_pubkey::Pubkey;
use solana_rpc_client::{
    nonblocking::rpc_client::RpcClient, rpc_client::GetConfirmedSignaturesForAddress2Config,
};
use solana_rpc_client_api::{client_error::Error as RpcError, config::RpcTransactionConfig};
use solana_signature::{ParseSignatureError, Signature};
use solana_transaction_status_client_types::{
    EncodedConfirmedTransactionWithStatusMeta, UiTransactionEncoding, option_serializer::OptionSerializer,
};

/// Signatures in one answer: the most a node gives.
const PAGE: usize = 1_000;
/// Transactions that are read at once.
const AT_ONCE: usize = 8;
/// Most transactions that are read at one go: anybody can name a log in transactions of no use.
const MOST: usize = 1_000;

/// Batches that one instruction appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendedBatches {
    /// Place in the log of the first of them.
    pub first: u64,
    /// URL where their receipts can be had.
    pub source: String,
    pub headers: Vec<BatchHeader>,
}

/// A transaction that names the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// What to go on from.
    pub signature: Signature,
    /// What it appended, in order; nothing, where it did something else.
    pub appended: Vec<AppendedBatches>,
}

/// Why the transactions of a log can't be read.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("the RPC node did not tell the log's transactions: {0}")]
    Rpc(Box<RpcError>),
    #[error("the RPC node returned transaction {0} in a form that can't be read: use another node")]
    Unreadable(Signature),
}

impl From<RpcError> for FollowError {
    fn from(error: RpcError) -> Self {
        FollowError::Rpc(Box::new(error))
    }
}

/// Transactions of a log after `since`, or from its beginning, in order, with what they appended; at most the
/// first thousand, and whether there are more. The node must keep transactions that far back. Nothing is lost
/// by ending early and going on from the last one.
///
/// # Errors
/// Any [`FollowError`], now or at the transaction that can't be read.
pub async fn follow(
    rpc: &RpcClient,
    log: &Pubkey,
    since: Option<Signature>,
) -> Result<(impl Stream<Item = Result<Followed, FollowError>>, bool), FollowError> {
    let Listed { mut worth, more, newest } = list(rpc, log, since).await?;
    worth.reverse();
    // One that failed is nothing to read, yet something to go on from.
    let end = newest.filter(|newest| !more && worth.last() != Some(newest));
    let end = end.map(|signature| Ok(Followed { signature, appended: Vec::new() }));
    let found = stream::iter(worth).map(|signature| read(rpc, log, signature)).buffered(AT_ONCE);
    Ok((found.chain(stream::iter(end)), more))
}

/// Transactions that name a log.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listed {
    /// The oldest that succeeded, from the newest of them back.
    worth: Vec<Signature>,
    /// Newer ones succeeded too.
    more: bool,
    /// The newest, whether it succeeded or not.
    newest: Option<Signature>,
}

impl Listed {
    /// Adds older ones, from the newest back, each with whether it failed.
    fn add(&mut self, page: impl IntoIterator<Item = (Signature, bool)>) {
        for (signature, failed) in page {
            self.newest.get_or_insert(signature);
            if !failed {
                self.worth.push(signature);
            }
        }
        let over = self.worth.len().saturating_sub(MOST);
        self.worth.drain(..over);
        self.more |= over > 0;
    }
}

/// Lists what names the log, after `since`.
async fn list(rpc: &RpcClient, log: &Pubkey, since: Option<Signature>) -> Result<Listed, FollowError> {
    let (mut listed, mut before) = (Listed::default(), None);
    loop {
        // Nodes answer from the newest back.
        let config = GetConfirmedSignaturesForAddress2Config {
            before,
            until: since,
            limit: Some(PAGE),
            commitment: Some(rpc.commitment()),
        };
        let page = rpc.get_signatures_for_address_with_config(log, config).await?;
        let parsed = page.iter().map(|status| Ok((status.signature.parse()?, status.err.is_some())));
        let Ok(parsed) = parsed.collect::<Result<Vec<_>, ParseSignatureError>>() else { break };
        let last = parsed.last().map(|(signature, _)| *signature);
        listed.add(parsed);
        match last {
            Some(last) if page.len() == PAGE => before = Some(last),
            _ => break,
        }
    }
    Ok(listed)
}

async fn read(rpc: &RpcClient, log: &Pubkey, signature: Signature) -> Result<Followed, FollowError> {
    let config = RpcTransactionConfig {
        encoding: Some(UiTransactionEncoding::Base64),
        commitment: Some(rpc.commitment()),
        max_supported_transaction_version: Some(0),
    };
    let found = rpc.get_transaction_with_config(&signature, config).await?;
    let events = events(&found).ok_or(FollowError::Unreadable(signature))?;
    let appended = events.into_iter().filter_map(|event| of_log(event, log)).collect();
    Ok(Followed { signature, appended })
}

/// Events of a transaction; nothing, where the node left out what they stand in.
fn events(found: &EncodedConfirmedTransactionWithStatusMeta) -> Option<Vec<Event>> {
    let meta = found.transaction.meta.as_ref()?;
    let transaction = found.transaction.transaction.decode()?;
    let mut accounts = transaction.message.static_account_keys().to_vec();
    if let OptionSerializer::Some(loaded) = &meta.loaded_addresses {
        for address in loaded.writable.iter().chain(&loaded.readonly) {
            accounts.push(address.parse().ok()?);
        }
    }
    if !accounts.contains(&leasehold::ID) {
        return Some(Vec::new());
    }
    Some(event::of_transaction(meta, &accounts))
}

fn of_log(event: Event, log: &Pubkey) -> Option<AppendedBatches> {
    match event {
        Event::BatchesAppended(event) if event.log == *log => {
            let BatchesAppended { first, source, headers, .. } = event;
            Some(AppendedBatches { first, source, headers })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use leasehold::events::DemandAnswered;

    #[test]
    fn events_of_other_logs_and_kinds_are_left_out() {
        let [log, other] = [1, 2].map(|byte| Pubkey::new_from_array([byte; 32]));
        let headers = vec![BatchHeader { count: 5, ..BatchHeader::zeroed() }];
        let event = |log| {
            BatchesAppended { log, first: 7, source: "http://node".to_owned(), headers: headers.clone() }
                .into()
        };
        let expected =
            AppendedBatches { first: 7, source: "http://node".to_owned(), headers: headers.clone() };
        assert_eq!(of_log(event(log), &log), Some(expected));
        assert_eq!(of_log(event(other), &log), None);
        assert_eq!(of_log(DemandAnswered { lease: log, receipt: [0; 32] }.into(), &log), None);
    }

    fn signature(number: usize) -> Signature {
        let mut bytes = [0; 64];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Signature::from(bytes)
    }

    #[test]
    fn what_failed_is_not_read_but_gone_on_from() {
        let mut listed = Listed::default();
        listed.add([(signature(4), true), (signature(3), false), (signature(2), true)]);
        listed.add([(signature(1), false)]);
        let worth = vec![signature(3), signature(1)];
        assert_eq!(listed, Listed { worth, more: false, newest: Some(signature(4)) });
    }

    #[test]
    fn of_too_many_the_oldest_are_read_first() {
        let mut listed = Listed::default();
        for page in (0..5 * MOST).rev().collect::<Vec<_>>().chunks(PAGE) {
            listed.add(page.iter().map(|number| (signature(*number), false)));
            assert!(listed.worth.len() <= MOST);
        }
        assert_eq!((listed.worth.len(), listed.more), (MOST, true));
        assert_eq!(listed.worth.last(), Some(&signature(0)));
        assert_eq!(listed.worth.first(), Some(&signature(MOST - 1)));
    }
}
