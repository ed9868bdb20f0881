//! History of a compute log.
//!
//! A log's account holds peaks and sums only. The headers of its batches are in the `BatchesAppended` events of the
//! transactions that appended them: archives and nodes rebuild a log by reading these events in order.

use futures::{Stream, StreamExt, stream};
use leasehold::{events::BatchesAppended, state::BatchHeader};
use solana_pubkey::Pubkey;
use solana_rpc_client::{
    nonblocking::rpc_client::RpcClient, rpc_client::GetConfirmedSignaturesForAddress2Config,
};
use solana_rpc_client_api::{client_error::Error as RpcError, config::RpcTransactionConfig};
use solana_signature::{ParseSignatureError, Signature};
use solana_transaction_status_client_types::{
    EncodedConfirmedTransactionWithStatusMeta, UiTransactionEncoding, option_serializer::OptionSerializer,
};

use crate::{
    error::failure,
    event::{self, Event},
};

/// Signatures per page: the most an RPC node returns.
const PAGE: usize = 1_000;
/// Transactions fetched concurrently.
const AT_ONCE: usize = 8;
/// Most transactions read by one call: anybody can name a log in useless transactions.
const MOST: usize = 1_000;

/// Batches that one instruction appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendedBatches {
    /// Index of the first one in the log.
    pub first: u64,
    /// URL that serves their receipts.
    pub source: String,
    pub headers: Vec<BatchHeader>,
}

/// A transaction that names a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTransaction {
    /// Pass it as `since` to continue after this transaction.
    pub signature: Signature,
    /// Batches that it appended, in order; empty if it did something else.
    pub appended: Vec<AppendedBatches>,
}

/// Why the history of a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the log's transactions could not be read: {}", failure(_0))]
    Rpc(Box<RpcError>),
    #[error("the RPC node returned transaction {0} without its inner instructions: use another RPC node")]
    Unreadable(Signature),
}

impl From<RpcError> for HistoryError {
    fn from(error: RpcError) -> Self {
        HistoryError::Rpc(Box::new(error))
    }
}

/// Transactions of a log after `since`, or from its beginning, oldest first, with what they appended.
///
/// Returns at most a thousand, and whether there are more. The RPC node must keep transactions that far back. The
/// stream can be dropped at any point and resumed from the last transaction read.
///
/// # Errors
/// Any [`HistoryError`]: at once, or in the stream at the transaction that could not be read.
pub async fn log_transactions(
    rpc: &RpcClient,
    log: &Pubkey,
    since: Option<Signature>,
) -> Result<(impl Stream<Item = Result<LogTransaction, HistoryError>>, bool), HistoryError> {
    let Listed { mut succeeded, more, newest } = list(rpc, log, since).await?;
    succeeded.reverse();
    // A failed transaction appended nothing, but it is the newest one to continue from.
    let end = newest.filter(|newest| !more && succeeded.last() != Some(newest));
    let end = end.map(|signature| Ok(LogTransaction { signature, appended: Vec::new() }));
    let found = stream::iter(succeeded).map(|signature| read(rpc, log, signature)).buffered(AT_ONCE);
    Ok((found.chain(stream::iter(end)), more))
}

/// Signatures of transactions that name a log.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listed {
    /// The oldest successful ones, newest first.
    succeeded: Vec<Signature>,
    /// True if newer ones succeeded too.
    more: bool,
    /// The newest one, successful or not.
    newest: Option<Signature>,
}

impl Listed {
    /// Adds a page of older ones, newest first, each with whether it failed.
    fn add(&mut self, page: impl IntoIterator<Item = (Signature, bool)>) {
        for (signature, failed) in page {
            self.newest.get_or_insert(signature);
            if !failed {
                self.succeeded.push(signature);
            }
        }
        let over = self.succeeded.len().saturating_sub(MOST);
        self.succeeded.drain(..over);
        self.more |= over > 0;
    }
}

/// Lists the transactions that name the log, after `since`.
async fn list(rpc: &RpcClient, log: &Pubkey, since: Option<Signature>) -> Result<Listed, HistoryError> {
    let (mut listed, mut before) = (Listed::default(), None);
    loop {
        // RPC nodes return the newest first.
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

async fn read(rpc: &RpcClient, log: &Pubkey, signature: Signature) -> Result<LogTransaction, HistoryError> {
    let config = RpcTransactionConfig {
        encoding: Some(UiTransactionEncoding::Base64),
        commitment: Some(rpc.commitment()),
        max_supported_transaction_version: Some(0),
    };
    let found = rpc.get_transaction_with_config(&signature, config).await?;
    let events = events(&found).ok_or(HistoryError::Unreadable(signature))?;
    let appended = events.into_iter().filter_map(|event| of_log(event, log)).collect();
    Ok(LogTransaction { signature, appended })
}

/// Events of a transaction; `None` if the RPC node left out what carries them.
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
    fn events_of_other_logs_and_kinds_are_ignored() {
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
    fn a_failed_transaction_is_skipped_but_can_be_continued_from() {
        let mut listed = Listed::default();
        listed.add([(signature(4), true), (signature(3), false), (signature(2), true)]);
        listed.add([(signature(1), false)]);
        let succeeded = vec![signature(3), signature(1)];
        assert_eq!(listed, Listed { succeeded, more: false, newest: Some(signature(4)) });
    }

    #[test]
    fn the_oldest_transactions_are_read_first_if_there_are_too_many() {
        let mut listed = Listed::default();
        for page in (0..5 * MOST).rev().collect::<Vec<_>>().chunks(PAGE) {
            listed.add(page.iter().map(|number| (signature(*number), false)));
            assert!(listed.succeeded.len() <= MOST);
        }
        assert_eq!((listed.succeeded.len(), listed.more), (MOST, true));
        assert_eq!(listed.succeeded.last(), Some(&signature(0)));
        assert_eq!(listed.succeeded.first(), Some(&signature(MOST - 1)));
    }
}
