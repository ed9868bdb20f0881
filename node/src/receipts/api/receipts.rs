//! Reporting answers, and finding their receipts again.

use super::Api;
use crate::receipts::refusal::Refusal;
use crate::receipts::store::{BatchKey, PARTS, Work};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use leasehold_client::probe::Pubkey;
use leasehold_client::{
    text::hex,
    wire::{self, BatchId, IssuedReceipt, StoredReceipt},
};
use std::sync::Arc;

pub(super) async fn report(
    State(api): State<Arc<Api>>,
    report: Result<Json<wire::Work>, JsonRejection>,
) -> Result<Json<IssuedReceipt>, Refusal> {
    let Json(report) = report?;
    let model = match &report.model {
        Some(model) => hex::decode(model).map_err(Refusal::malformed)?,
        None => api.settings.model(None).ok_or_else(|| Refusal::malformed("say which model answered"))?.id,
    };
    let machine = api.issuer.machine(Some(report.slot), address(report.board.as_deref())?)?;
    // An answer belongs to the lease in which it was begun.
    let lease = api.issuer.lease(&machine, report.start_ms)?;
    let wire::Work { request, response, units, tokens_in, tokens_out, price, start_ms, end_ms, .. } = report;
    let price = u128::from(price).saturating_mul(PARTS.into());
    let work = Work { model, request, response, units, tokens_in, tokens_out, price, start_ms, end_ms };
    let serial = lease.serial;
    let signed = api.issuer.issue(machine, lease, work, true).await?;
    Ok(Json(IssuedReceipt {
        id: signed.id(),
        seq: signed.receipt.seq,
        lease: serial,
        receipt: signed.to_base64(),
    }))
}

/// An address that may be left out.
pub(super) fn address(text: Option<&str>) -> Result<Option<Pubkey>, Refusal> {
    let parse =
        |text: &str| text.parse().map_err(|_| Refusal::malformed(format!("`{text}` is not an address")));
    text.map(parse).transpose()
}

pub(super) async fn find(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<StoredReceipt>, Refusal> {
    let hash: [u8; 32] = hex::decode(&id).map_err(Refusal::malformed)?;
    let store = &api.issuer.store;
    let kept = store.receipt(&hash).await?.ok_or(Refusal::NotFound("no receipt has this id"))?;
    let path = match &kept.batch {
        Some((key, place)) => store.path(key, *place).await?.unwrap_or_default(),
        None => Vec::new(),
    };
    let batch = kept.batch.map(|(BatchKey { machine, number }, _)| BatchId {
        board: machine.board,
        slot: machine.slot,
        generation: machine.generation,
        number,
    });
    let place = kept.batch.map(|(_, place)| place);
    Ok(Json(StoredReceipt { id: hash, receipt: kept.signed.to_base64(), batch, place, path }))
}
