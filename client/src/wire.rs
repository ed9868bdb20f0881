//! JSON of the HTTP APIs of nodes and archives: each type once, for servers and clients.
//!
//! Keys are base58, hashes are hex, and amounts are decimal strings, since many JSON readers keep 53 bits of a number.
//! The archive's answer to `/v1/proofs/{id}` is [`crate::record::Proof`].

use leasehold::{math::sum_tree::SumNode, state::BatchHeader};
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;

use crate::text;

/// Body of every refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Sentence with the problem and its remedy.
    pub error: String,
}

/// An answer of the inference server, as it reports it to the node: body of `POST /v1/receipts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    pub slot: u32,
    /// Address of the board; needed if machines of several boards have the same slot.
    #[serde(default)]
    pub board: Option<String>,
    /// sha256 of the model's manifest in hex; needed unless exactly one model is configured.
    #[serde(default)]
    pub model: Option<String>,
    /// Salted hash of the request's body.
    #[serde(with = "text::hex")]
    pub request: [u8; 32],
    /// Salted hash of the response's body.
    #[serde(with = "text::hex")]
    pub response: [u8; 32],
    #[serde(with = "text::amount")]
    pub units: u64,
    pub tokens_in: u32,
    pub tokens_out: u32,
    /// Payment units.
    #[serde(with = "text::amount")]
    pub price: u64,
    /// Unix milliseconds.
    pub start_ms: u64,
    pub end_ms: u64,
}

/// A receipt that was just signed: the answer to `POST /v1/receipts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedReceipt {
    /// Id of the inference.
    #[serde(with = "text::hex")]
    pub id: [u8; 32],
    /// Number of the receipt in its lease.
    pub seq: u64,
    /// Serial of the lease.
    pub lease: u32,
    /// Receipt and signature in base64.
    pub receipt: String,
}

/// A receipt by its id: the answer to `GET /v1/receipts/{id}` of nodes and archives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReceipt {
    /// Id of the inference.
    #[serde(with = "text::hex")]
    pub id: [u8; 32],
    /// Receipt and signature in base64.
    pub receipt: String,
    /// `None` until the receipt is in a batch.
    pub batch: Option<BatchId>,
    /// Index in the batch.
    pub place: Option<u32>,
    /// Nodes beside the path from the receipt to the batch's root, lowest first.
    #[serde(with = "text::nodes")]
    pub path: Vec<SumNode>,
}

/// Identifies a batch, and where nodes and archives serve its receipts:
/// `GET /v1/batches/{board}/{slot}/{generation}/{number}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchId {
    #[serde(with = "text::key")]
    pub board: Pubkey,
    pub slot: u16,
    pub generation: u32,
    /// Batches of this machine before this one.
    pub number: u32,
}

impl From<&BatchHeader> for BatchId {
    fn from(header: &BatchHeader) -> Self {
        let BatchHeader { board, slot, generation, number, .. } = *header;
        BatchId { board, slot, generation, number }
    }
}

/// A voucher handed to a node: body of `POST /v1/vouchers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoucherOffer {
    /// Voucher and signature in base64.
    pub voucher: String,
}

/// The best voucher that a node has for a lease: the answer to `POST /v1/vouchers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BestVoucher {
    #[serde(with = "text::key")]
    pub lease_address: Pubkey,
    /// First round of the lease.
    pub from: u32,
    /// Receipts that it pays for, with their compute units and payment units.
    pub seq: u64,
    #[serde(with = "text::amount")]
    pub units: u64,
    #[serde(with = "text::amount")]
    pub price: u64,
}

/// Tab of a metered lease as its node reports it: the answer to `GET /v1/tabs/{slot}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tab {
    /// Serial of the lease.
    pub lease: u32,
    #[serde(with = "text::key")]
    pub lease_address: Pubkey,
    /// First round of the lease.
    pub from: u32,
    /// Receipts so far, with their compute units and payment units: a voucher for these three pays for everything.
    pub seq: u64,
    #[serde(with = "text::amount")]
    pub units: u64,
    #[serde(with = "text::amount")]
    pub price: u64,
    /// Payment units of the best voucher that the node has.
    #[serde(with = "text::amount")]
    pub signed_price: u64,
    /// Most payment units that may be used without a voucher.
    #[serde(with = "text::amount")]
    pub limit: u64,
}

/// The machines of a node: the answer to `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub machines: Vec<MachineStatus>,
}

/// A machine as its node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineStatus {
    #[serde(with = "text::key")]
    pub board: Pubkey,
    pub slot: u32,
    pub generation: u32,
    /// Serial of the lease that runs on it; `None` if it serves none.
    pub lease: Option<u32>,
    /// True while its tenant is paused, since the machine is not up: requests are refused.
    pub paused: bool,
}

/// State of an archive: the answer to `GET /v1/healthz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveHealth {
    /// True if the logs were polled lately.
    pub ok: bool,
    /// Unix seconds of the last successful poll.
    pub polled: i64,
    pub logs: u64,
    pub batches: u64,
    /// Batches whose receipts were not fetched yet.
    pub missing: u64,
    /// Batches whose source served other receipts than the log has.
    pub mismatched: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tab_is_read_as_a_node_writes_it() {
        let key = Pubkey::new_from_array([7; 32]);
        let json = json!({
            "lease": 1, "lease_address": key.to_string(), "from": 990, "seq": 31, "units": "1550",
            "price": "3100", "signed_price": "3000", "limit": "18446744073709551615",
        });
        let tab: Tab = serde_json::from_value(json.clone()).unwrap();
        assert_eq!((tab.lease_address, tab.from, tab.seq, tab.units), (key, 990, 31, 1_550));
        assert_eq!((tab.price, tab.signed_price, tab.limit), (3_100, 3_000, u64::MAX));
        assert_eq!(serde_json::to_value(tab).unwrap(), json);
        for (field, wrong) in [("price", "-1"), ("price", "18446744073709551616"), ("lease_address", "x")] {
            let mut json = json.clone();
            json[field] = wrong.into();
            assert!(serde_json::from_value::<Tab>(json).is_err(), "{field} {wrong}");
        }
    }

    #[test]
    fn a_receipt_comes_with_its_place_once_it_is_in_a_batch() {
        let board = Pubkey::new_from_array([8; 32]);
        let node = SumNode { hash: [9; 32], units: 5, price: u64::MAX };
        let stored = StoredReceipt {
            id: [1; 32],
            receipt: "AAAA".to_owned(),
            batch: Some(BatchId { board, slot: 3, generation: 70_002, number: 1 }),
            place: Some(0),
            path: vec![node],
        };
        let json = serde_json::to_value(&stored).unwrap();
        assert_eq!(json["id"], "01".repeat(32));
        assert_eq!(json["batch"]["board"], board.to_string());
        assert_eq!(json["path"][0]["price"], "18446744073709551615");
        assert_eq!(serde_json::from_value::<StoredReceipt>(json).unwrap(), stored);
        let waiting = StoredReceipt { batch: None, place: None, path: vec![], ..stored };
        assert_eq!(serde_json::to_value(waiting).unwrap()["batch"], json!(null));
    }

    #[test]
    fn a_paused_machine_is_shown_with_its_lease() {
        let key = Pubkey::new_from_array([7; 32]);
        let status = MachineStatus { board: key, slot: 3, generation: 70_000, lease: Some(5), paused: true };
        let json = serde_json::to_value(NodeStatus { machines: vec![status] }).unwrap();
        let expected = json!({ "machines": [
            { "board": key.to_string(), "slot": 3, "generation": 70_000, "lease": 5, "paused": true },
        ] });
        assert_eq!(json, expected);
    }

    #[test]
    fn an_amount_is_written_as_text_and_read_as_text_or_number() {
        let work = json!({
            "slot": 3, "request": "00".repeat(32), "response": "00".repeat(32), "units": 7, "tokens_in": 1,
            "tokens_out": 2, "price": "8", "start_ms": 1, "end_ms": 2,
        });
        let read: Work = serde_json::from_value(work.clone()).unwrap();
        assert_eq!((read.units, read.price, read.board.is_none()), (7, 8, true));
        for (field, wrong) in
            [("units", json!(-1)), ("price", json!("x")), ("request", json!("00")), ("x", json!(1))]
        {
            let mut work = work.clone();
            work[field] = wrong;
            assert!(serde_json::from_value::<Work>(work).is_err(), "{field}");
        }
    }
}
