//! Receipts of sealed batches, for archives and for checking a root.

use super::Api;
use crate::receipts::refusal::Refusal;
use crate::receipts::store::{BatchKey, MachineKey};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use leasehold_client::record::SignedReceipt;
use std::sync::Arc;

/// All receipts of a batch with their signatures, concatenated.
pub(super) async fn leaves(
    State(api): State<Arc<Api>>,
    path: Result<Path<(String, u16, u32, u32)>, PathRejection>,
) -> Result<impl IntoResponse, Refusal> {
    let Path((board, slot, generation, number)) = path?;
    let board = board.parse().map_err(|_| Refusal::malformed(format!("`{board}` is not an address")))?;
    let key = BatchKey { machine: MachineKey { board, slot, generation }, number };
    let receipts = api.issuer.store.batch_receipts(&key).await?;
    let receipts = receipts.ok_or(Refusal::NotFound("there is no such batch"))?;
    let bytes: Vec<u8> = receipts.iter().flat_map(SignedReceipt::to_bytes).collect();
    Ok(([(CONTENT_TYPE, "application/octet-stream")], bytes))
}
