//! Receipts of sealed batches, for archives and for checking a root.

use super::Api;
use crate::receipts::refusal::Refusal;
use crate::receipts::store::{BatchKey, BatchPlace, MachineKey, Store, StoreError};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::IntoResponse;
use futures::Stream;
use futures::stream::try_unfold;
use leasehold_client::record::SignedReceipt;
use leasehold_daemon::http::{Peer, Share};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Receipts that are read at a time: 50 kilobytes, which is what a slow reader keeps in memory.
const PIECE: u32 = 128;
/// Time for a download. A full batch has 26 megabytes.
const DOWNLOAD: Duration = Duration::from_secs(300);

/// All receipts of a batch with their signatures, concatenated.
pub(super) async fn leaves(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    path: Result<Path<(String, u16, u32, u32)>, PathRejection>,
) -> Result<impl IntoResponse, Refusal> {
    let Path((board, slot, generation, number)) = path?;
    let board = board.parse().map_err(|_| Refusal::malformed(format!("`{board}` is not an address")))?;
    let key = BatchKey { machine: MachineKey { board, slot, generation }, number };
    let place =
        api.issuer.store.batch_place(&key).await?.ok_or(Refusal::NotFound("there is no such batch"))?;
    if place.is_pruned {
        return Err(StoreError::Pruned.into());
    }
    let share = api.downloads.take(peer.0, 1).ok_or(Refusal::Downloads)?;
    let length = u64::from(place.count) * SignedReceipt::LEN as u64;
    let headers =
        [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_LENGTH, length.to_string())];
    Ok((headers, Body::from_stream(download(api.issuer.store.clone(), place, share))))
}

/// The receipts, a piece at a time. Whoever is too slow gives up the share, so that others get their turn.
fn download(
    store: Store,
    place: BatchPlace,
    share: Share,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
    let (ended, end) = oneshot::channel::<()>();
    tokio::spawn(async move {
        tokio::select! {
            // The sender is dropped with the stream.
            _ = end => {}
            () = sleep(DOWNLOAD) => {}
        }
        drop(share);
    });
    try_unfold((0, ended), move |(first, ended)| {
        let store = store.clone();
        async move {
            if first >= place.count {
                return Ok(None);
            }
            if ended.is_closed() {
                return Err(io::Error::other("the download took too long"));
            }
            let piece = store.batch_bytes(&place, first, PIECE).await.map_err(io::Error::other)?;
            Ok(Some((piece.into(), (first.saturating_add(PIECE), ended))))
        }
    })
}
