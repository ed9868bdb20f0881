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
use solana_rpc_client_api::{
    client_error::{Error as RpcError, ErrorKind},
    config::RpcTransactionConfig,
};
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
    #[error("the RPC node does not list the log's transactions as it should: use another RPC node")]
    Listing,
    #[error("the RPC node returned transaction {0} without its inner instructions: use another RPC node")]
    Unreadable(Signature),
}

impl HistoryError {
    /// True if the RPC node understood the request and refused it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Rpc(error) if matches!(error.kind(), ErrorKind::RpcError(_)))
    }
}

impl From<RpcError> for HistoryError {
    fn from(error: RpcError) -> Self {
        HistoryError::Rpc(Box::new(error))
    }
}

/// Signatures of transactions that name a log, from one page of an RPC node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// Those that succeeded, oldest first.
    pub succeeded: Vec<Signature>,
    /// The newest one, successful or not: pass it as `since` once the page is read. `None` if there are none.
    pub newest: Option<Signature>,
    /// Older ones are left: pass it as `before` to list them. The page's oldest is listed again then, so that there is always
    /// one. `None` if the page has the oldest.
    pub older: Option<Signature>,
}

impl LogPage {
    /// A page, newest first, each with whether it failed.
    fn new(listed: &[(Signature, bool)]) -> Self {
        let is_full = listed.len() >= PAGE;
        let older = listed.iter().rev().nth(1).filter(|_| is_full);
        let succeeded = listed.iter().rev().filter(|(_, failed)| !failed);
        Self {
            succeeded: succeeded.map(|(signature, _)| *signature).collect(),
            newest: listed.first().map(|(signature, _)| *signature),
            older: older.map(|(signature, _)| *signature),
        }
    }
}

/// Lists transactions that name a log: those before `before`, or the newest, down to `since` (exclusive), or to the log's
/// beginning. RPC nodes list from the newest, and anybody can name a log in as many transactions as they pay for: keep `older`
/// of each page, so that an interrupted listing goes on where it stopped.
///
/// # Errors
/// Any [`HistoryError`].
pub async fn log_page(
    rpc: &RpcClient,
    log: &Pubkey,
    before: Option<Signature>,
    since: Option<Signature>,
) -> Result<LogPage, HistoryError> {
    let config = GetConfirmedSignaturesForAddress2Config {
        before,
        until: since,
        limit: Some(PAGE),
        commitment: Some(rpc.commitment()),
    };
    let page = rpc.get_signatures_for_address_with_config(log, config).await?;
    let parsed = page.iter().map(|status| Ok((status.signature.parse()?, status.err.is_some())));
    let listed = parsed.collect::<Result<Vec<_>, ParseSignatureError>>();
    let page = LogPage::new(&listed.map_err(|_| HistoryError::Listing)?);
    if page.older.is_some() && page.older == before {
        return Err(HistoryError::Listing);
    }
    Ok(page)
}

/// Reads transactions of a log in this order, with what they appended. The RPC node must keep transactions that far back. The
/// stream can be dropped at any point and resumed after the last transaction read.
pub fn log_transactions(
    rpc: &RpcClient,
    log: &Pubkey,
    signatures: Vec<Signature>,
) -> impl Stream<Item = Result<LogTransaction, HistoryError>> {
    stream::iter(signatures).map(move |signature| read(rpc, log, signature)).buffered(AT_ONCE)
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
        let page = LogPage::new(&[(signature(3), true), (signature(2), false), (signature(1), false)]);
        let succeeded = vec![signature(1), signature(2)];
        assert_eq!(page, LogPage { succeeded, newest: Some(signature(3)), older: None });
        assert_eq!(LogPage::new(&[]), LogPage::default());
    }

    #[test]
    fn a_full_page_says_where_to_go_on_so_that_one_is_left() {
        let listed: Vec<_> = (0..PAGE).rev().map(|number| (signature(number), false)).collect();
        assert_eq!(LogPage::new(&listed).older, Some(signature(1)));
        assert_eq!(LogPage::new(&listed[1..]).older, None);
    }
}
