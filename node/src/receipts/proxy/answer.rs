//! One answer, from the request to its receipt.

use super::headers::Signed;
use super::memory::Place;
use super::request::Asked;
use super::tally::Tally;
use super::tokens::Count;
use super::{Proxy, caller};
use crate::leases::RunningLease;
use crate::machines::Machine;
use crate::receipts::issuer::{Hold, Issuer};
use crate::receipts::refusal::Refusal;
use crate::receipts::settings::Model;
use crate::receipts::store::Work;
use axum::extract::Request;
use leasehold_client::record::salted;
use leasehold_daemon::http::Received;
use leasehold_daemon::unix_ms;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tracing::warn;

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
    /// Its place among the requests under way.
    pub(super) place: Place,
    /// Room for the request's body, by the server's own limits.
    received: Option<Received>,
    start_ms: u64,
    /// Start of the work by a clock that is never set.
    started: Instant,
    hold: Option<Hold>,
    /// The most tokens that it may cost.
    bound: Option<Count>,
    _alive: mpsc::Sender<()>,
}

impl Answer {
    /// Begins an answer; refuses it if no lease runs, its tenant is paused or the caller may not use it. An answer that was
    /// begun before a pause ends within its token limit and gets its receipt.
    pub(super) fn begin(proxy: &Proxy, request: &Request) -> Result<Self, Refusal> {
        let start_ms = unix_ms();
        let machine = proxy.issuer.machine(proxy.own.slot, proxy.own.board)?;
        let lease = proxy.issuer.lease(&machine, start_ms)?;
        if lease.paused {
            return Err(Refusal::Paused { slot: machine.slot, retry_secs: lease.round_secs });
        }
        let caller = caller::admit(request.headers(), &lease, start_ms)?;
        Ok(Self {
            issuer: proxy.issuer.clone(),
            machine,
            lease,
            model: None,
            gpus: proxy.own.gpus,
            salt: rand::random(),
            request: [0; 32],
            place: proxy.memory.place(caller)?,
            received: request.extensions().get().cloned(),
            start_ms,
            started: Instant::now(),
            hold: None,
            bound: None,
            _alive: proxy.alive.clone(),
        })
    }

    /// Room for the request's body.
    pub(super) fn received(&self) -> Option<Received> {
        self.received.clone()
    }

    /// Keeps no room for the request any more.
    pub(super) fn forget_request(&mut self) {
        self.place.clear();
        if let Some(received) = &self.received {
            received.clear();
        }
    }

    /// True if the lease is paid by use.
    pub(super) fn is_metered(&self) -> bool {
        self.lease.meter.is_some()
    }

    /// Holds credit for the most that the answer can cost; refuses it beyond the exposure limit, or if no numbers are left.
    pub(super) async fn hold(
        &mut self,
        proxy: &Proxy,
        model: Arc<Model>,
        body: &[u8],
        asked: &Asked,
    ) -> Result<(), Refusal> {
        self.request = salted(&self.salt, body);
        self.bound = asked.bound;
        let price = self.bound.map_or(0, |bound| bound.price_at_most(&model));
        self.hold = proxy.issuer.hold(&self.machine, &self.lease, price).await?;
        self.model = Some(model);
        // The work begins now: until here the caller was sending.
        (self.start_ms, self.started) = (unix_ms().max(self.start_ms), Instant::now());
        Ok(())
    }

    /// True if an answer has far more tokens than its request allows.
    pub(super) fn is_beyond_bound(&self, tally: &Tally) -> bool {
        self.bound
            .is_some_and(|bound| tally.least_out() > bound.tokens_out.saturating_mul(2).saturating_add(SLACK))
    }

    /// Signs the receipt of an answer whose caller has gone. Nobody waits for it.
    pub(super) async fn sign_unsent(self, part: &[u8], tally: &Tally, asked: &Asked) {
        let Some(count) = tally.count(asked) else { return };
        let response = salted(&self.salt, part);
        if let Err(refusal) = self.sign(response, count).await {
            warn!("an answer whose caller has gone has no receipt: {refusal}");
        }
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
