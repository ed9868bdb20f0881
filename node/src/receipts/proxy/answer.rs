//! One answer, from the request to its receipt.

use super::headers::Signed;
use super::tokens::{self, Count};
use super::{Kind, Proxy, caller};
use crate::leases::RunningLease;
use crate::machines::Machine;
use crate::receipts::issuer::{Hold, Issuer};
use crate::receipts::refusal::Refusal;
use crate::receipts::settings::Model;
use crate::receipts::store::Work;
use axum::body::Bytes;
use axum::http::HeaderMap;
use leasehold_client::record::salted;
use leasehold_daemon::unix_ms;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// Allowance for chunks of a stream that are counted as tokens but aren't tokens, such as names of tools.
const SLACK: u32 = 16;

/// An answer under way.
#[derive(Debug)]
pub(super) struct Answer {
    issuer: Arc<Issuer>,
    machine: Arc<Machine>,
    lease: Arc<RunningLease>,
    model: Option<Arc<Model>>,
    gpus: u32,
    /// Random, so that nobody can guess a short text from its hash.
    pub(super) salt: [u8; 32],
    request: [u8; 32],
    pub(super) request_len: usize,
    start_ms: u64,
    /// Start of the work by a clock that is never set.
    started: Instant,
    hold: Option<Hold>,
    /// Tokens of the answer for which credit is held.
    held_out: Option<u32>,
    _alive: mpsc::Sender<()>,
}

impl Answer {
    /// Begins an answer; refuses it if no lease runs or the caller may not use it.
    pub(super) fn begin(proxy: &Proxy, headers: &HeaderMap) -> Result<Self, Refusal> {
        let start_ms = unix_ms();
        let machine = proxy.issuer.machine(proxy.own.slot, proxy.own.board)?;
        let lease = proxy.issuer.lease(&machine, start_ms)?;
        caller::admit(headers, &lease, start_ms)?;
        Ok(Self {
            issuer: proxy.issuer.clone(),
            machine,
            lease,
            model: None,
            gpus: proxy.own.gpus,
            salt: rand::random(),
            request: [0; 32],
            request_len: 0,
            start_ms,
            started: Instant::now(),
            hold: None,
            held_out: None,
            _alive: proxy.alive.clone(),
        })
    }

    /// Under a metered lease: writes a token limit into the request if it has none, and refuses it beyond the exposure
    /// limit. Under any: refuses it if no numbers are left. Returns true if the request must be sent as it was parsed here.
    pub(super) async fn ask(
        &mut self,
        proxy: &Proxy,
        model: Arc<Model>,
        kind: Kind,
        body: &Bytes,
        asked: &mut Value,
    ) -> Result<bool, Refusal> {
        self.request = salted(&self.salt, body);
        self.request_len = body.len();
        let mut price = 0;
        if self.lease.meter.is_some() {
            let bound = tokens::bound(asked, body.len(), kind, proxy.own.max_tokens)?;
            price = bound.price_at_most(&model);
            self.held_out = Some(bound.tokens_out);
        }
        self.hold = proxy.issuer.hold(&self.machine, &self.lease, price).await?;
        self.model = Some(model);
        // The work begins now: until here the caller was sending.
        (self.start_ms, self.started) = (unix_ms().max(self.start_ms), Instant::now());
        Ok(self.held_out.is_some())
    }

    /// True if an answer with that many tokens is far beyond the limit of its request.
    pub(super) fn is_beyond_hold(&self, tokens_out: u32) -> bool {
        self.held_out.is_some_and(|held| tokens_out > held.saturating_mul(2).saturating_add(SLACK))
    }

    /// Signs the receipt of an answer that came in one piece.
    pub(super) async fn sign_whole(self, body: &Bytes) -> Result<Signed, Refusal> {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let count = Count::of_usage(&json)
            .unwrap_or_else(|| Count::guess(self.request_len, tokens::answer_text(&json)));
        let response = salted(&self.salt, body);
        self.sign(response, count).await
    }

    /// Signs the receipt of an answer. The work is done, so the exposure limit does not apply any more.
    pub(super) async fn sign(self, response: [u8; 32], count: Count) -> Result<Signed, Refusal> {
        let model = self.model.as_deref().ok_or(Refusal::NotFound("this node does not offer the model"))?;
        let took = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let work = Work {
            model: model.id,
            request: self.request,
            response,
            units: took.saturating_mul(u64::from(self.gpus)),
            tokens_in: count.tokens_in,
            tokens_out: count.tokens_out,
            // A lease by the hour has paid for all that its machines do.
            price: if self.lease.meter.is_some() { count.parts(model) } else { 0 },
            start_ms: self.start_ms,
            end_ms: unix_ms().max(self.start_ms),
        };
        let receipt = self.issuer.issue(self.machine, self.lease, work, false).await?;
        // The tab has the receipt now, so the credit can be released.
        drop(self.hold);
        Ok(Signed { receipt, salt: self.salt, counted: count.source() })
    }
}
