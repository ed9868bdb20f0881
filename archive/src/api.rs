//! The archive's HTTP API. Whoever asks checks the answer against the log's account.

use crate::Shared;
use crate::db::DbError;
use crate::headers::Placed;
use crate::leaves::{LeavesState, Located, Totals};
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::{Stream, stream};
use leasehold::math::sum_tree::{SumNode, SumTree};
use leasehold_client::record::{Proof, SignedReceipt, receipt::parse_hash};
use leasehold_client::wire::{ArchiveHealth, BatchId, ErrorBody, StoredReceipt};
use leasehold_daemon::http::{Peer, Quota, Share};
use leasehold_daemon::unix_secs;
use serde::Deserialize;
use solana_pubkey::Pubkey;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Semaphore;
use tracing::error;

/// Batches whose trees are cached: full ones have 30 megabytes each.
const TREES: usize = 8;
/// Downloads at a time, in all and by one caller: full batches have 26 megabytes each.
const DOWNLOADS: usize = 8;
const DOWNLOADS_EACH: usize = 2;
/// Bytes of a download that are sent at a time.
const PIECE: usize = 64 << 10;
/// Seconds without a successful poll after which the archive reports itself unhealthy.
const UNHEALTHY_AFTER: i64 = 300;

/// State shared by the handlers.
pub(super) struct Api {
    shared: Arc<Shared>,
    trees: Mutex<Trees>,
    /// To make one tree at a time: a batch and its tree take up to 60 megabytes meanwhile.
    making: Semaphore,
    /// Downloads under way, each with a batch in memory.
    downloads: Arc<Quota>,
}

/// Batches by log and place, the last used first.
type Trees = VecDeque<((Pubkey, u64), Arc<Batch>)>;

/// A batch's receipts, and the tree over them.
struct Batch {
    signed: Vec<u8>,
    tree: SumTree,
}

/// Why a request is refused.
enum Refusal {
    Malformed(String),
    NotFound(String),
    Busy,
    Failed(DbError),
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        Refusal::Failed(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, sentence) = match self {
            Refusal::Malformed(sentence) => (StatusCode::BAD_REQUEST, sentence),
            Refusal::NotFound(sentence) => (StatusCode::NOT_FOUND, sentence),
            Refusal::Busy => {
                let sentence = "as many downloads are under way as the archive allows: try again later";
                (StatusCode::SERVICE_UNAVAILABLE, sentence.to_owned())
            }
            Refusal::Failed(failure) if failure.is_unavailable() => {
                error!("{failure}");
                let sentence = "the archive's database does not answer: try again later";
                (StatusCode::SERVICE_UNAVAILABLE, sentence.to_owned())
            }
            Refusal::Failed(failure) => {
                error!("{failure}");
                (StatusCode::INTERNAL_SERVER_ERROR, "the archive's database failed: try again".to_owned())
            }
        };
        (status, Json(ErrorBody { error: sentence })).into_response()
    }
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/proofs/{id}", get(proof))
        .route("/v1/receipts/{id}", get(receipt))
        .route("/v1/batches/{board}/{slot}/{generation}/{number}", get(leaves))
        .route("/v1/healthz", get(health))
        .fallback(async || Refusal::NotFound("there is nothing at this path".to_owned()))
        .with_state(Arc::new(Api {
            shared,
            trees: Mutex::default(),
            making: Semaphore::new(1),
            downloads: Quota::new(DOWNLOADS, DOWNLOADS_EACH),
        }))
}

#[derive(Deserialize)]
struct ProofQuery {
    /// Batches in the log's account for which the proof must hold; all that are known if left out.
    batches: Option<u64>,
}

async fn proof(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Query(query): Query<ProofQuery>,
) -> Result<Json<Proof>, Refusal> {
    let Located { batch: Placed { log, index, .. }, place } = api.find(&id).await?;
    let db = &api.shared.db;
    let known = db.known(&log).await?.map_or(0, |known| known.batches);
    let batches = query.batches.unwrap_or(known);
    if batches > known {
        return Err(Refusal::NotFound(format!(
            "{known} batches of log {log} are known here: ask again later"
        )));
    }
    let proof = db.proof(&log, index, batches).await?.ok_or_else(|| {
        Refusal::NotFound(format!(
            "the receipt is in batch {index} of log {log}, not among the first {batches}"
        ))
    })?;
    let (receipt, path) = api.in_batch(log, index, place).await?;
    let (header, batch_path) = (proof.header, proof.path);
    Ok(Json(Proof { receipt, log, header, index, batch_path, place, path }))
}

async fn receipt(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<StoredReceipt>, Refusal> {
    let Located { batch: Placed { log, index, header }, place } = api.find(&id).await?;
    let (signed, path) = api.in_batch(log, index, place).await?;
    Ok(Json(StoredReceipt {
        id: signed.id(),
        receipt: signed.to_base64(),
        batch: Some(BatchId::from(&header)),
        place: Some(place),
        path,
    }))
}

async fn leaves(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Path((board, slot, generation, number)): Path<(String, u16, u32, u32)>,
) -> Result<impl IntoResponse, Refusal> {
    let board = board.parse().map_err(|_| Refusal::Malformed(format!("`{board}` is not an address")))?;
    let db = &api.shared.db;
    let none = || Refusal::NotFound("there is no such batch".to_owned());
    let Placed { log, index, .. } = db.find(&board, slot, generation, number).await?.ok_or_else(none)?;
    let share = api.downloads.take(peer.0, 1).ok_or(Refusal::Busy)?;
    if let Some(bytes) = db.leaves(&log, index).await? {
        let headers = [
            (CONTENT_TYPE, "application/octet-stream".to_owned()),
            (CONTENT_LENGTH, bytes.len().to_string()),
        ];
        return Ok((headers, Body::from_stream(download(bytes.into(), share))));
    }
    let (state, reason) = db.state(&log, index).await?.ok_or_else(none)?;
    let sentence = match state {
        LeavesState::Mismatch => "its source gave other receipts than the log has",
        LeavesState::Missing | LeavesState::Stored => "its receipts are not stored yet",
    };
    Err(Refusal::NotFound(match reason {
        Some(reason) => format!("{sentence}: {reason}"),
        None => sentence.to_owned(),
    }))
}

/// The bytes in pieces. The share is given back once the last of them is sent, or the caller has gone.
fn download(bytes: Bytes, share: Share) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold((bytes, share), |(mut bytes, share)| async move {
        let piece = bytes.split_to(bytes.len().min(PIECE));
        (!piece.is_empty()).then_some((Ok(piece), (bytes, share)))
    })
}

async fn health(State(api): State<Arc<Api>>) -> Result<(StatusCode, Json<ArchiveHealth>), Refusal> {
    let Totals { logs, batches, missing, mismatched } = api.shared.db.totals().await?;
    let polled = api.shared.metrics.last_poll();
    let ok = unix_secs().saturating_sub(polled) <= UNHEALTHY_AFTER;
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = ArchiveHealth { ok, polled, logs, batches, missing, mismatched };
    Ok((status, Json(body)))
}

impl Api {
    async fn find(&self, id: &str) -> Result<Located, Refusal> {
        let hash = parse_hash(id)
            .ok_or_else(|| Refusal::Malformed(format!("`{id}` is not an id: 64 hexadecimal digits")))?;
        let found = self.shared.db.receipt(&hash).await?;
        found.ok_or_else(|| Refusal::NotFound("no stored receipt has this id".to_owned()))
    }

    /// The receipt at a place of a batch, with its Merkle path to the batch's root.
    async fn in_batch(
        &self,
        log: Pubkey,
        index: u64,
        place: u32,
    ) -> Result<(SignedReceipt, Vec<SumNode>), Refusal> {
        let batch = self.batch(log, index).await?;
        let malformed = || Refusal::Failed(DbError::Malformed("a batch without its receipts"));
        let place = usize::try_from(place).map_err(|_| malformed())?;
        let bytes = batch.signed.chunks(SignedReceipt::LEN).nth(place).ok_or_else(malformed)?;
        let receipt = SignedReceipt::from_bytes(bytes).map_err(|_| malformed())?;
        Ok((receipt, batch.tree.path(place).ok_or_else(malformed)?))
    }

    async fn batch(&self, log: Pubkey, index: u64) -> Result<Arc<Batch>, Refusal> {
        let key = (log, index);
        let kept = || self.trees().iter().find(|(kept, _)| *kept == key).map(|(_, batch)| Arc::clone(batch));
        if let Some(batch) = kept() {
            return Ok(batch);
        }
        // It is never closed, so that this can't fail.
        let _turn = self.making.acquire().await;
        if let Some(batch) = kept() {
            return Ok(batch);
        }
        let gone = || Refusal::NotFound("the receipt is no longer in the log".to_owned());
        let signed = self.shared.db.leaves(&log, index).await?.ok_or_else(gone)?;
        let made = tokio::task::spawn_blocking(move || {
            let leaves = signed
                .chunks(SignedReceipt::LEN)
                .map(|bytes| SignedReceipt::from_bytes(bytes).ok().map(|signed| signed.receipt.leaf()));
            let tree = SumTree::new(leaves.collect::<Option<_>>()?).ok()?;
            Some(Arc::new(Batch { signed, tree }))
        });
        let malformed = || Refusal::Failed(DbError::Malformed("receipts"));
        let batch = made.await.ok().flatten().ok_or_else(malformed)?;
        let mut trees = self.trees();
        trees.truncate(TREES.saturating_sub(1));
        trees.push_front((key, Arc::clone(&batch)));
        Ok(batch)
    }

    // A panic elsewhere leaves the list intact.
    fn trees(&self) -> MutexGuard<'_, Trees> {
        self.trees.lock().unwrap_or_else(|error| error.into_inner())
    }
}
