//! Clients of HTTP servers against servers that answer anything, or nothing.

mod support;

use std::{
    io::{BufReader, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use leasehold_client::{
    http::{ArchiveClient, ArchiveError, NodeClient, NodeError},
    probe::SigningKey,
    record::{SignedVoucher, voucher},
};
use reqwest::Url;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use support::read_request;

/// A server that gives one answer, or hangs up. Returns the request's first line and its body.
fn server(answer: Option<(&str, String)>) -> (Url, JoinHandle<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/below", listener.local_addr().unwrap());
    let answer = answer.map(|(status, body)| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    });
    let served = thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let request = read_request(&mut stream).unwrap();
        if let Some(answer) = answer {
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
        request
    });
    (url.parse().unwrap(), served)
}

/// A node that gives one answer, or hangs up.
fn node(answer: Option<(&str, String)>) -> (NodeClient, JoinHandle<(String, Vec<u8>)>) {
    let (url, served) = server(answer);
    (NodeClient::new(url).unwrap(), served)
}

/// A URL at which nobody listens.
fn nobody() -> Url {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{free}").parse().unwrap()
}

/// A voucher for 3,100 payment units.
fn signed() -> SignedVoucher {
    let voucher = leasehold::state::Voucher { price: 3_100, ..voucher::blank() };
    SignedVoucher::sign(&SigningKey::from_bytes(&[2; 32]), voucher)
}

/// A node's answer to a voucher.
fn best(price: u64) -> String {
    let lease = Pubkey::new_from_array([7; 32]).to_string();
    json!({ "lease_address": lease, "from": 990, "seq": 31, "units": "1550", "price": price.to_string() })
        .to_string()
}

#[tokio::test]
async fn a_tab_is_requested_by_board_slot_and_lease() {
    let board = Pubkey::new_from_array([7; 32]);
    let tab = json!({
        "lease": 1, "lease_address": board.to_string(), "from": 990, "seq": 31, "units": "1550",
        "price": "3100", "signed_price": "3000", "limit": "5",
    });
    for (past, query) in [(None, ""), (Some(5), "&lease=5")] {
        let (node, served) = node(Some(("200 OK", tab.to_string())));
        let found = node.tab(&board, 3, past).await.unwrap();
        assert_eq!((found.seq, found.price), (31, 3_100));
        let (asked, _) = served.join().unwrap();
        assert_eq!(asked, format!("GET /below/v1/tabs/3?board={board}{query} HTTP/1.1\r\n"));
    }
    let refusal = json!({ "error": "no lease runs on slot 3 now" }).to_string();
    let (node, _served) = node(Some(("409 Conflict", refusal)));
    let refused = node.tab(&board, 3, None).await.unwrap_err();
    assert!(matches!(refused, NodeError::Refused { .. }), "{refused}");
    assert!(refused.to_string().contains("no lease runs on slot 3 now"), "{refused}");
}

#[tokio::test]
async fn a_voucher_is_handed_in_and_the_nodes_best_is_returned() {
    for price in [3_100, 5_000] {
        let (node, served) = node(Some(("200 OK", best(price))));
        assert_eq!(node.hand_in(&signed()).await.unwrap().price, price);
        let (asked, body) = served.join().unwrap();
        assert_eq!(asked, "POST /below/v1/vouchers HTTP/1.1\r\n");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, json!({ "voucher": signed().to_base64() }));
    }
}

#[tokio::test]
async fn a_voucher_that_may_have_arrived_has_another_error_than_one_that_was_not_sent() {
    let refusal = || json!({ "error": "no" }).to_string();
    // The node can redeem a voucher that it refused.
    for answer in [
        None,
        Some(("404 Not Found", refusal())),
        Some(("500 Oh", refusal())),
        Some(("200 OK", "thanks".to_owned())),
    ] {
        let (node, _served) = node(answer);
        let error = node.hand_in(&signed()).await.unwrap_err();
        assert!(matches!(error, NodeError::Unacknowledged(_)), "{error}");
    }
    let unsent = NodeClient::new(nobody()).unwrap().hand_in(&signed()).await.unwrap_err();
    assert!(matches!(unsent, NodeError::Unreachable { .. }), "{unsent}");
}

#[tokio::test]
async fn a_node_that_reports_a_lower_voucher_has_not_acknowledged_this_one() {
    let (node, _served) = node(Some(("200 OK", best(3_099))));
    let error = node.hand_in(&signed()).await.unwrap_err();
    let NodeError::Unacknowledged(cause) = error else { panic!("{error}") };
    assert!(matches!(*cause, NodeError::LowerVoucher { price: 3_099 }), "{cause}");
}

#[tokio::test]
async fn an_archive_that_lacks_a_receipt_and_one_that_lags_have_different_errors() {
    let ask = async |answer: (&str, String), batches| {
        let (url, served) = server(Some(answer));
        let error = ArchiveClient::new(url).unwrap().proof(&[0xab; 32], batches).await.unwrap_err();
        (error, served.join().unwrap().0)
    };
    let refusal = || json!({ "error": "not yet" }).to_string();
    let path = format!("GET /below/v1/proofs/{}", "ab".repeat(32));
    let (error, asked) = ask(("404 Not Found", refusal()), None).await;
    assert!(matches!(error, ArchiveError::Unknown { .. }), "{error}");
    assert_eq!(asked, format!("{path} HTTP/1.1\r\n"));
    let (error, asked) = ask(("404 Not Found", refusal()), Some(8)).await;
    assert!(matches!(error, ArchiveError::Behind { batches: 8 }), "{error}");
    assert_eq!(asked, format!("{path}?batches=8 HTTP/1.1\r\n"));
    let (error, _) = ask(("500 Oh", refusal()), Some(8)).await;
    assert!(error.to_string().contains("(not yet)"), "{error}");
    let (error, _) = ask(("200 OK", "{}".to_owned()), None).await;
    assert!(matches!(error, ArchiveError::Malformed { .. }), "{error}");
    let (error, _) = ask(("200 OK", "a".repeat((1 << 20) + 1)), None).await;
    assert!(matches!(error, ArchiveError::TooLarge), "{error}");
    let error = ArchiveClient::new(nobody()).unwrap().proof(&[0; 32], None).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Unreachable { .. }), "{error}");
}
