//! Reporting answers, and finding their receipts again.

use super::Api;
use crate::receipts::refusal::Refusal;
use crate::receipts::store::{BatchKey, Work};
use crate::receipts::text::{self, hex};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use leasehold::math::sum_tree::SumNode;
use leasehold_client::probe::Pubkey;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An answer, as the inference server reports it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    slot: u32,
    /// Where machines of several boards have the same slot.
    #[serde(default)]
    board: Option<String>,
    /// Where several models are configured, or none.
    #[serde(default)]
    model: Option<String>,
    #[serde(with = "text::hex")]
    request: [u8; 32],
    #[serde(with = "text::hex")]
    response: [u8; 32],
    #[serde(with = "text::amount")]
    units: u64,
    tokens_in: u32,
    tokens_out: u32,
    #[serde(with = "text::amount")]
    price: u64,
    start_ms: u64,
    end_ms: u64,
}

#[derive(Serialize)]
pub(super) struct Issued {
    id: String,
    seq: u64,
    /// Serial of the lease.
    lease: u32,
    /// Base64 of receipt and signature.
    receipt: String,
}

pub(super) async fn report(
    State(api): State<Arc<Api>>,
    report: Result<Json<Report>, JsonRejection>,
) -> Result<Json<Issued>, Refusal> {
    let Json(report) = report?;
    let model = match &report.model {
        Some(model) => hex::decode(model).map_err(Refusal::malformed)?,
        None => api.settings.model(None).ok_or_else(|| Refusal::malformed("say which model answered"))?.id,
    };
    let machine = api.issuer.machine(Some(report.slot), address(report.board.as_deref())?)?;
    // An answer belongs to the lease in which it was begun.
    let lease = api.issuer.lease(&machine, report.start_ms)?;
    let Report { request, response, units, tokens_in, tokens_out, price, start_ms, end_ms, .. } = report;
    let work = Work { model, request, response, units, tokens_in, tokens_out, price, start_ms, end_ms };
    let serial = lease.serial;
    let signed = api.issuer.issue(machine, lease, work, true).await?;
    Ok(Json(Issued {
        id: ::hex::encode(signed.id()),
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

#[derive(Serialize)]
pub(super) struct Found {
    id: String,
    receipt: String,
    /// `null` until it is in a batch; then place and path say where.
    batch: Option<Batch>,
    place: Option<u32>,
    path: Vec<Node>,
}

#[derive(Serialize)]
struct Batch {
    #[serde(with = "text::key")]
    board: Pubkey,
    slot: u16,
    generation: u16,
    number: u32,
}

#[derive(Serialize)]
struct Node {
    #[serde(with = "text::hex")]
    hash: [u8; 32],
    #[serde(with = "text::amount")]
    units: u64,
    #[serde(with = "text::amount")]
    price: u64,
}

pub(super) async fn find(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<Found>, Refusal> {
    let hash: [u8; 32] = hex::decode(&id).map_err(Refusal::malformed)?;
    let store = &api.issuer.store;
    let kept = store.receipt(&hash).await?.ok_or(Refusal::NotFound("no receipt has this id"))?;
    let mut path = Vec::new();
    if let Some((key, place)) = &kept.batch {
        let nodes = store.path(key, *place).await?.unwrap_or_default();
        path.extend(nodes.into_iter().map(|SumNode { hash, units, price }| Node { hash, units, price }));
    }
    let batch = kept.batch.map(|(BatchKey { machine, number }, _)| Batch {
        board: machine.board,
        slot: machine.slot,
        generation: machine.generation,
        number,
    });
    let place = kept.batch.map(|(_, place)| place);
    Ok(Json(Found { id: ::hex::encode(hash), receipt: kept.signed.to_base64(), batch, place, path }))
}
