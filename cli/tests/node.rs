//! What comes of a node that says anything, or nothing.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use leasehold_client::{
    probe::SigningKey,
    record::{SignedVoucher, voucher},
};
use leasehold_operate::{
    failure::Failure,
    node::{Node, NodeError},
};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;

/// A node that answers one request so, or hangs up. Returns the request's first line and its body.
fn node(answer: Option<(&str, String)>) -> (Node, JoinHandle<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/below", listener.local_addr().unwrap());
    let answer = answer.map(|(status, body)| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    });
    let served = thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let (mut first, mut length) = (String::new(), 0);
        stream.read_line(&mut first).unwrap();
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).unwrap();
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        if let Some(answer) = answer {
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
        (first, body)
    });
    (Node::new(url.parse().unwrap()).unwrap(), served)
}

fn signed() -> SignedVoucher {
    SignedVoucher::sign(&SigningKey::from_bytes(&[2; 32]), voucher::blank())
}

#[tokio::test]
async fn a_tab_is_asked_for_by_board_slot_and_lease() {
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
    let refused = Failure::from(node.tab(&board, 3, None).await.unwrap_err());
    assert_eq!(refused.code(), 3);
    assert!(refused.to_string().contains("no lease runs on slot 3 now"), "{refused}");
}

#[tokio::test]
async fn a_voucher_is_handed_in_and_the_best_is_told() {
    let (node, served) = node(Some(("200 OK", json!({ "price": "3100" }).to_string())));
    assert_eq!(node.hand_in(&signed()).await.unwrap(), 3_100);
    let (asked, body) = served.join().unwrap();
    assert_eq!(asked, "POST /below/v1/vouchers HTTP/1.1\r\n");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body, json!({ "voucher": signed().to_base64() }));
}

#[tokio::test]
async fn a_voucher_that_a_node_may_have_is_told_from_one_that_nobody_has() {
    let refusal = || json!({ "error": "no" }).to_string();
    // It can redeem what it refused.
    for answer in [
        None,
        Some(("404 Not Found", refusal())),
        Some(("500 Oh", refusal())),
        Some(("200 OK", "thanks".to_owned())),
    ] {
        let (node, _served) = node(answer);
        let error = node.hand_in(&signed()).await.unwrap_err();
        assert!(matches!(error, NodeError::Unacknowledged(_)), "{error}");
        assert_eq!(Failure::from(error).code(), 5);
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Node::new(format!("http://{free}").parse().unwrap()).unwrap();
    let error = nobody.hand_in(&signed()).await.unwrap_err();
    assert!(matches!(error, NodeError::Unreachable { .. }), "{error}");
    assert_eq!(Failure::from(error).code(), 2);
}
