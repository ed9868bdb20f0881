//! The proxy in front of a scripted server with OpenAI's API, and of a real one.

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod answers;
mod bills;
mod bounds;
mod fields;
mod real;

use futures::StreamExt;
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_client::record::{CallToken, SignedCall, SignedReceipt, salted};
use leasehold_node::leases::RunningLease;
use leasehold_node::receipts::settings::{Secret, UnknownFields};
use leasehold_node::receipts::{ProxySettings, Settings};
use serde_json::{Value, json};
use std::time::Duration;
use support::answers::{client_text, receipt_in, split};
use support::upstream::{End, Hangs, Script, Upstream, WORDS};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An exposure limit for one such answer at a time, and no other once it has cost its 23.
const LIMIT: u64 = 130;

struct Proxied {
    _folder: tempfile::TempDir,
    upstream: Upstream,
    service: Service,
    /// Of the lease that runs at the start.
    api_key: String,
}

impl Proxied {
    async fn start(lease: RunningLease) -> Self {
        Self::with(lease, LIMIT, |settings| settings).await
    }

    /// With credit for many answers.
    async fn generous(set: impl FnOnce(ProxySettings) -> ProxySettings) -> Self {
        Self::with(metered(1, 1 << 40), 1 << 39, set).await
    }

    async fn with(
        lease: RunningLease,
        exposure_limit: u64,
        set: impl FnOnce(ProxySettings) -> ProxySettings,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start().await;
        let proxy = Some(set(proxy_settings(upstream.address)));
        let api_key = api_key(&lease);
        let settings = Settings {
            proxy,
            exposure_limit,
            exposure_per_spender: exposure_limit,
            ..settings(folder.path())
        };
        let service = Service::start(settings, &[(0, lease)]).await;
        Self { _folder: folder, upstream, service, api_key }
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.service.http.post(self.service.public(path)).bearer_auth(&self.api_key)
    }

    fn chat(&self, asked: &Value) -> reqwest::RequestBuilder {
        self.post("/v1/chat/completions").json(asked)
    }

    /// Has the buyer sign for that price.
    async fn pay(&self, lease: &RunningLease, price: u64) {
        self.service.receipts.store().put_voucher(signed_voucher(lease, price)).await.unwrap();
    }

    /// Waits for the receipt of an answer that nobody waits for.
    async fn receipts(&self, count: u64) -> u64 {
        for _ in 0..3_000 {
            let tab = self.service.receipts.store().tab(&key(0), 1).await.unwrap();
            if let Some(tab) = tab.filter(|tab| tab.seq == count) {
                return tab.price;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("there are not {count} receipts");
    }
}

fn asked(stream: bool) -> Value {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    json!({"model": "tiny", "stream": stream, "temperature": 0.1, "max_tokens": 6, "messages": messages})
}

/// Payment units held for a request: one for each byte, and two for each token of its limit.
fn held(asked: &Value) -> u64 {
    asked.to_string().len() as u64 + 2 * asked["max_tokens"].as_u64().unwrap()
}
