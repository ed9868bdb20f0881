//! The node of a leased machine, which says what is owed and takes vouchers. What it says is shown, bounded
//! and not believed.

use leasehold_client::record::SignedVoucher;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};
use serde_json::json;
use solana_pubkey::Pubkey;
use url::Url;

use crate::http::{HttpError, ask, below, client, printable, read, said, unreachable};

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("the node at {url} can't be reached ({error}): check --node")]
    Unreachable { url: Url, error: String },
    #[error("the node refused with status {status} ({said}): check --node, and ask the machine's supplier")]
    Refused { status: StatusCode, said: String },
    #[error("the node's answer has more than 1 MiB: check --node")]
    TooLarge,
    #[error("the node's answer is none of this version ({error}): check --node")]
    Malformed { error: String },
    #[error("the node's tab is that of another lease: check --node and the lease")]
    OtherLease,
    /// It was given a voucher, and says that it has none as good.
    #[error("the node says that its best is a lesser one")]
    Lesser,
    #[error(
        "the voucher is signed and was sent to the node, which can redeem it whatever it says ({0}): hand it in \
         again, it costs no more"
    )]
    Unacknowledged(Box<NodeError>),
}

/// What a lease owes, as the node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Tab {
    #[serde(deserialize_with = "parsed")]
    pub lease_address: Pubkey,
    /// First round of the lease.
    pub from: u32,
    /// Receipts so far, and their compute units and payment units.
    pub seq: u64,
    #[serde(deserialize_with = "parsed")]
    pub units: u64,
    #[serde(deserialize_with = "parsed")]
    pub price: u64,
    /// Payment units in the best voucher that it has.
    #[serde(deserialize_with = "parsed")]
    pub signed_price: u64,
    /// Most payment units that it lets be used without a voucher.
    #[serde(deserialize_with = "parsed")]
    pub limit: u64,
}

/// The best voucher that a node has.
#[derive(Deserialize)]
struct Best {
    #[serde(deserialize_with = "parsed")]
    price: u64,
}

/// Keys and amounts are text.
fn parsed<'de, D: Deserializer<'de>, T: std::str::FromStr>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom("a key or an amount is malformed"))
}

pub struct Node {
    url: Url,
    client: Client,
}

impl Node {
    /// A node by its base URL.
    pub fn new(url: Url) -> Result<Self, NodeError> {
        match client() {
            Ok(client) => Ok(Node { url, client }),
            Err(error) => Err(failed(url, error)),
        }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What the lease of a machine owes: the lease that runs, or one that is over by its serial.
    pub async fn tab(&self, board: &Pubkey, slot: u16, past: Option<u32>) -> Result<Tab, NodeError> {
        let mut url = below(&self.url, &["v1", "tabs", &slot.to_string()]);
        url.query_pairs_mut().append_pair("board", &board.to_string());
        if let Some(serial) = past {
            url.query_pairs_mut().append_pair("lease", &serial.to_string());
        }
        self.answer(self.client.get(url)).await
    }

    /// Hands in a voucher. Returns the price of the best that the node has for the lease, in payment units.
    pub async fn hand_in(&self, signed: &SignedVoucher) -> Result<u64, NodeError> {
        let url = below(&self.url, &["v1", "vouchers"]);
        let request = self.client.post(url.clone()).json(&json!({ "voucher": signed.to_base64() }));
        let best = match request.send().await {
            Ok(response) => read(response).await.map_err(|error| failed(self.url.clone(), error)),
            // Then nobody has the voucher, unless it was sent on from there.
            Err(error) if error.is_connect() && error.url().is_none_or(|at| *at == url) => {
                return Err(failed(self.url.clone(), unreachable(error)));
            }
            Err(error) => Err(failed(self.url.clone(), unreachable(error))),
        };
        let best = best.and_then(|(status, body)| said_well::<Best>(status, &body));
        // From here on it has the voucher, or may have it, also where it says that it will not.
        Ok(best.map_err(|error| NodeError::Unacknowledged(Box::new(error)))?.price)
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, NodeError> {
        let (status, body) = ask(request).await.map_err(|error| failed(self.url.clone(), error))?;
        said_well(status, &body)
    }
}

/// What an answer says, unless it is a refusal.
fn said_well<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, NodeError> {
    if !status.is_success() {
        return Err(NodeError::Refused { status, said: said(body) });
    }
    serde_json::from_slice(body)
        .map_err(|error| NodeError::Malformed { error: printable(&error.to_string()) })
}

fn failed(url: Url, error: HttpError) -> NodeError {
    match error {
        HttpError::Unreachable(error) => NodeError::Unreachable { url, error },
        HttpError::TooLarge => NodeError::TooLarge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tab_is_read_as_the_node_writes_it() {
        let key = Pubkey::new_from_array([7; 32]);
        let json = json!({
            "lease": 1, "lease_address": key.to_string(), "from": 990, "seq": 31, "units": "1550",
            "price": "3100", "signed_price": "3000", "limit": "18446744073709551615",
        });
        let tab: Tab = serde_json::from_value(json.clone()).unwrap();
        assert_eq!((tab.lease_address, tab.from, tab.seq, tab.units), (key, 990, 31, 1_550));
        assert_eq!((tab.price, tab.signed_price, tab.limit), (3_100, 3_000, u64::MAX));
        for (field, wrong) in [("price", "-1"), ("price", "18446744073709551616"), ("lease_address", "x")] {
            let mut json = json.clone();
            json[field] = wrong.into();
            assert!(serde_json::from_value::<Tab>(json).is_err(), "{field} {wrong}");
        }
    }
}
