use reqwest::{Client, StatusCode, Url};
use serde::de::DeserializeOwned;
use solana_pubkey::Pubkey;

use super::{HttpError, ask, below, client, parse, read, refusal, unreachable};
use crate::{
    record::SignedVoucher,
    redact,
    wire::{BestVoucher, Tab, VoucherOffer},
};

/// Why a node gave no useful answer.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("the node at {url} can't be reached ({error}): check the node's URL")]
    Unreachable {
        /// Without the parts that may hold a key.
        url: String,
        error: String,
    },
    #[error(
        "the node refused with status {status} ({sentence}): check the node's URL, and ask the machine's supplier"
    )]
    Refused { status: StatusCode, sentence: String },
    #[error("the node's answer has more than 1 MiB: check the node's URL")]
    TooLarge,
    #[error("the node's answer is malformed, or of another version ({error}): check the node's URL")]
    Malformed { error: String },
    /// The node received a voucher and reports a lower one as its best.
    #[error("the node still reports an older voucher, for {price} payment units: send the voucher again")]
    LowerVoucher { price: u64 },
    /// The voucher was sent: the node can redeem it, whatever it answers.
    #[error(
        "the voucher is signed and was sent to the node, which can redeem it whatever it answers ({0}): send the \
         same voucher again, it is not paid twice"
    )]
    Unacknowledged(Box<NodeError>),
}

/// Client of the node beside a leased machine, which reports what the lease owes and takes vouchers. Nothing it says
/// is checked.
#[derive(Clone, Debug)]
pub struct NodeClient {
    url: Url,
    client: Client,
}

impl NodeClient {
    /// A client for the node at a base URL.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`] if the HTTP client can't be made.
    pub fn new(url: Url) -> Result<Self, NodeError> {
        match client() {
            Ok(client) => Ok(NodeClient { url, client }),
            Err(error) => Err(failed(&url, error)),
        }
    }

    /// The node's base URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Tab of a machine's lease: the running one, or a past one by its serial.
    ///
    /// # Errors
    /// Any [`NodeError`] but [`NodeError::LowerVoucher`] and [`NodeError::Unacknowledged`].
    pub async fn tab(&self, board: &Pubkey, slot: u16, past: Option<u32>) -> Result<Tab, NodeError> {
        let mut url = below(&self.url, &["v1", "tabs", &slot.to_string()]);
        url.query_pairs_mut().append_pair("board", &board.to_string());
        if let Some(serial) = past {
            url.query_pairs_mut().append_pair("lease", &serial.to_string());
        }
        let answer = ask(self.client.get(url)).await;
        let (status, body) = answer.map_err(|error| failed(&self.url, error))?;
        accepted(status, &body)
    }

    /// Hands in a voucher. Returns the best voucher that the node has for the lease, which may be a higher one.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`] if the voucher was certainly not sent; else [`NodeError::Unacknowledged`], also if
    /// the node reports a lower voucher than this one as its best.
    pub async fn hand_in(&self, signed: &SignedVoucher) -> Result<BestVoucher, NodeError> {
        let url = below(&self.url, &["v1", "vouchers"]);
        let offer = VoucherOffer { voucher: signed.to_base64() };
        let response = self.client.post(url.clone()).json(&offer).send().await;
        let best = match response {
            Ok(response) => read(response).await.map_err(|error| failed(&self.url, error)),
            // No connection to the node itself: nobody has the voucher.
            Err(error) if error.is_connect() && error.url().is_none_or(|at| *at == url) => {
                return Err(failed(&self.url, unreachable(error)));
            }
            Err(error) => Err(failed(&self.url, unreachable(error))),
        };
        let best = best.and_then(|(status, body)| accepted::<BestVoucher>(status, &body));
        let best = best.and_then(|best| {
            let BestVoucher { price, .. } = best;
            if price < signed.voucher.price { Err(NodeError::LowerVoucher { price }) } else { Ok(best) }
        });
        // From here on the node may have the voucher, even if it refused.
        best.map_err(|error| NodeError::Unacknowledged(Box::new(error)))
    }
}

/// The content of an answer that is not a refusal.
fn accepted<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, NodeError> {
    if !status.is_success() {
        return Err(NodeError::Refused { status, sentence: refusal(body) });
    }
    parse(body).map_err(|error| NodeError::Malformed { error })
}

fn failed(url: &Url, error: HttpError) -> NodeError {
    match error {
        HttpError::Unreachable(error) => NodeError::Unreachable { url: redact::url(url), error },
        HttpError::TooLarge => NodeError::TooLarge,
    }
}
