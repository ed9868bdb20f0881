//! A log that strangers name in many transactions, read in parts.

use super::*;
use crate::sync::{SyncError, sync};
use leasehold_client::rpc::{CallTimeout, connect};
use leasehold_client::sample::rpc::{Reply, RpcServer};
use serde_json::{Value, json};
use std::sync::Mutex;

const PAGE: usize = 1_000;
/// Requests that the RPC node answers before a part is cut off.
const REQUESTS: usize = 3;

fn signature(number: usize) -> Signature {
    let mut bytes = [0; 64];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Signature::from(bytes)
}

/// A page of `count` failed transactions, as an RPC node lists them.
fn page(count: usize, params: &Value) -> Value {
    let place = |name: &str| {
        let found = params[1][name].as_str()?.parse::<Signature>().unwrap();
        let bytes: [u8; 8] = found.as_ref()[..8].try_into().unwrap();
        Some(u64::from_le_bytes(bytes) as usize)
    };
    let (end, first) = (place("before").unwrap_or(count), place("until").map_or(0, |until| until + 1));
    let listed = (first..end).rev().take(PAGE).map(|number| {
        json!({ "signature": signature(number).to_string(), "slot": number, "err": "AccountInUse", "memo": null,
            "blockTime": null, "confirmationStatus": "finalized" })
    });
    Value::Array(listed.collect())
}

#[tokio::test]
async fn a_read_that_is_always_cut_off_comes_to_the_end_and_lists_no_page_often() {
    let (snapshot, count) = (leasehold_client::sample::snapshot(), 20 * PAGE + 17);
    for database in databases().await {
        let server = RpcServer::start(&snapshot, 0);
        let left = Arc::new(Mutex::new(0));
        let (allowed, total) = (left.clone(), Arc::new(Mutex::new(0)));
        let counted = total.clone();
        server.hook(move |method, params| {
            assert_eq!(method, "getSignaturesForAddress", "a failed transaction is not read");
            *counted.lock().unwrap() += 1;
            let mut left = allowed.lock().unwrap();
            if *left == 0 {
                return Some(Reply::error(-32_000, "cut off"));
            }
            *left -= 1;
            Some(Reply::result(&page(count, params)))
        });
        let rpc = connect(&server.url, CallTimeout::new(RPC_TIMEOUT), CommitmentConfig::confirmed());
        let mut parts = 0;
        loop {
            // As after a restart.
            let db = Db::open(&database.url).await.unwrap();
            *left.lock().unwrap() = REQUESTS;
            let end = sync(&rpc, &db, &log()).await;
            let followed = db.known(&log()).await.unwrap().and_then(|known| known.followed);
            db.close().await;
            parts += 1;
            match end {
                Ok(()) => {
                    assert_eq!(followed, Some(signature(count - 1)));
                    break;
                }
                Err(SyncError::History(_)) => assert!(parts < 30, "no progress"),
                Err(error) => panic!("{error}"),
            }
        }
        let total = *total.lock().unwrap();
        assert!(total <= 2 * count.div_ceil(PAGE - 1) + parts, "{total} requests");
    }
}

#[tokio::test]
async fn a_mark_that_the_node_does_not_know_any_more_is_given_up() {
    let snapshot = leasehold_client::sample::snapshot();
    for database in databases().await {
        let db = Db::open(&database.url).await.unwrap();
        let lost = signature(7_000_000);
        db.add_mark(&log(), &lost).await.unwrap();
        let server = RpcServer::start(&snapshot, 0);
        server.hook(move |_, params| match params[1]["before"].as_str() {
            Some(before) if before == lost.to_string() => Some(Reply::error(-32_602, "unknown signature")),
            _ => Some(Reply::result(&page(5, params))),
        });
        let rpc = connect(&server.url, CallTimeout::new(RPC_TIMEOUT), CommitmentConfig::confirmed());
        assert!(matches!(sync(&rpc, &db, &log()).await, Err(SyncError::History(_))));
        sync(&rpc, &db, &log()).await.unwrap();
        assert_eq!(db.known(&log()).await.unwrap().unwrap().followed, Some(signature(4)));
        assert_eq!(db.mark(&log()).await.unwrap(), None);
    }
}
