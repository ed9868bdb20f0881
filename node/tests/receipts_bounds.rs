//! The receipts' service against many and slow strangers, over real sockets.

mod common;
mod support;

use leasehold_client::record::SignedReceipt;
use leasehold_node::leases::{Leases, Unsigned};
use leasehold_node::receipts::store::NewReceipt;
use serde_json::json;
use std::time::Duration;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// For what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Downloads at a time, in all.
const DOWNLOADS: usize = 16;
/// Receipts of the batch that is downloaded: more than sockets hold.
const BATCH: usize = 30_000;

/// A service with a batch that strangers can download.
async fn service() -> (tempfile::TempDir, Service, String) {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(settings(folder.path()), &[(0, metered(1, 100_000))]).await;
    let store = service.receipts.store();
    let receipts: Vec<NewReceipt> = (0..BATCH).map(|_| new(0, &metered(1, 100_000), 0)).collect();
    for group in receipts.chunks(5_000) {
        store.append(group.to_vec()).await.unwrap();
    }
    let batch = store.seal(&key(0), "https://a", u32::MAX).await.unwrap().unwrap();
    assert_eq!(batch.header.count as usize, BATCH);
    (folder, service, format!("/v1/batches/{BOARD}/0/1/0"))
}

/// Asks for the batch and reads nothing but the first bytes of the answer.
async fn slow_reader(service: &Service, path: &str) -> (TcpStream, String) {
    let socket = TcpSocket::new_v4().unwrap();
    // Little fits on the way.
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(service.receipts.public_addr().unwrap()).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = [0; 64];
    timeout(PATIENCE, stream.read_exact(&mut head)).await.expect("no answer").unwrap();
    (stream, String::from_utf8_lossy(&head).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_do_not_read_hold_up_nothing() {
    let (_folder, service, path) = service().await;
    let mut readers = Vec::new();
    for _ in 0..3 * DOWNLOADS {
        readers.push(slow_reader(&service, &path).await);
    }
    let served = readers.iter().filter(|(_, head)| head.starts_with("HTTP/1.1 200 ")).count();
    let refused = readers.iter().filter(|(_, head)| head.starts_with("HTTP/1.1 503 ")).count();
    assert_eq!((served, refused), (DOWNLOADS, 2 * DOWNLOADS), "downloads at a time are bounded");

    // Probes are answered meanwhile.
    let node = common::node(&["127.0.0.1:0"], common::serving(0..1)).await;
    let asker = common::Asker::new("127.0.0.1:0", node.local_addr()).await;
    for _ in 0..50 {
        asker.send(&common::datagram(&common::challenge(0))).await;
        assert!(asker.receive(PATIENCE).await.is_some());
    }
    // They hold none of the database's connections: more receipts are signed than there are connections, vouchers are
    // taken, and receipts are found and proved, both for strangers and for answers to demands.
    let lease = metered(1, 100_000);
    let store = service.receipts.store();
    for turn in 1..=40 {
        let (status, answer) = service.post(&service.url("/v1/receipts"), &report(0, 1)).await;
        assert_eq!(status, 200, "{answer}");
        let voucher = json!({ "voucher": signed_voucher(&lease, turn).to_base64() });
        assert_eq!(service.post(&service.public("/v1/vouchers"), &voucher).await.0, 200);
        assert_eq!(service.get(&service.public("/v1/tabs/0")).await.1["signed_price"], turn.to_string());
        assert_eq!(store.vouchers_due().await.unwrap()[0].signed.voucher.price, turn);
        let receipt = receipt_of(&answer);
        assert!(store.receipt(&receipt.id()).await.unwrap().is_some());
    }
    let batch = store.batches(leasehold_node::receipts::store::BatchState::Sealed).await.unwrap().remove(0);
    assert!(store.path(&batch.key, 7).await.unwrap().is_some_and(|path| !path.is_empty()));
    // The readers are still there, and one who reads on gets all of it.
    assert_eq!(readers.iter().filter(|(_, head)| head.starts_with("HTTP/1.1 200 ")).count(), DOWNLOADS);
    let (mut one, _) = readers.into_iter().find(|(_, head)| head.starts_with("HTTP/1.1 200 ")).unwrap();
    let mut left = BATCH * SignedReceipt::LEN - 64;
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let read = timeout(PATIENCE, one.read(&mut buffer)).await.expect("it stalls").unwrap();
        assert_ne!(read, 0, "{left} bytes are missing");
        left = left.saturating_sub(read);
    }
    // Their turns are given back with their connections.
    drop(one);
    let again = async {
        while slow_reader(&service, &path).await.1.starts_with("HTTP/1.1 503 ") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, again).await.expect("no turn is given back");
    service.receipts.shutdown().await;
}

#[tokio::test]
async fn a_download_in_pieces_is_the_batch() {
    let (_folder, service, path) = service().await;
    let response = service.http.get(service.public(&path)).send().await.unwrap();
    assert_eq!(response.headers()["content-length"], (BATCH * SignedReceipt::LEN).to_string());
    let bytes = response.bytes().await.unwrap();
    let seqs =
        bytes.chunks(SignedReceipt::LEN).map(|bytes| SignedReceipt::from_bytes(bytes).unwrap().receipt.seq);
    assert!(seqs.eq(0..BATCH as u64));
    let text = service.receipts.metrics().to_string();
    assert!(text.contains("leasehold_node_public_http_refused_total{reason=\"memory\"} 0"), "{text}");
    assert!(text.contains("leasehold_node_local_http_connections "), "{text}");
}

#[tokio::test]
async fn deleted_receipts_are_said_to_be_gone() {
    let (_folder, service, path) = service().await;
    let store = service.receipts.store();
    let batch = store.batches(leasehold_node::receipts::store::BatchState::Sealed).await.unwrap().remove(0);
    store.mark_posted(batch.key, 0).await.unwrap();
    let tab = store.running_tabs().await.unwrap()[0].id;
    store.mark_ended(vec![tab], 5).await.unwrap();
    assert_eq!(store.prune(6, 100).await.unwrap(), 100);
    let (status, answer) = service.get(&service.public(&path)).await;
    assert_eq!(status, 410);
    assert!(answer["error"].as_str().unwrap().contains("ask an archive"), "{answer}");
}

#[tokio::test]
async fn what_is_not_signed_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let lease = metered(1, 1_000);
    let service = Service::start(settings(folder.path()), &[(0, lease.clone())]).await;
    let url = service.url("/v1/receipts");
    assert_eq!(service.post(&url, &report(0, 10)).await.0, 200);
    for reason in [Unsigned::NoLog, Unsigned::NoLane, Unsigned::Lost { least: 1_048_576 }] {
        let unsigned = [((BOARD, 0), reason)].into();
        service.feed.set_leases(Leases {
            machines: [((BOARD, 0), None)].into(),
            unsigned,
            credit_until: None,
        });
        let (status, answer) = service.post(&url, &report(0, 10)).await;
        assert_eq!(status, 503);
        let sentence = answer["error"].as_str().unwrap();
        assert!(sentence.contains("nothing is signed for slot 0") && sentence.contains(&reason.to_string()));
    }
    // Without news from the chain, as far as vouchers cover.
    let silent = Leases { credit_until: Some(tokio::time::Instant::now()), ..of(&[(0, lease.clone())]) };
    service.feed.set_leases(silent);
    assert_eq!(service.post(&url, &report(0, 1)).await.0, 402);
    let voucher = json!({ "voucher": signed_voucher(&lease, 30).to_base64() });
    assert_eq!(service.post(&service.public("/v1/vouchers"), &voucher).await.0, 200);
    assert_eq!(service.post(&url, &report(0, 20)).await.0, 200);
    let (status, answer) = service.post(&url, &report(0, 1)).await;
    assert_eq!(status, 402, "{answer}");
    service.feed.set_leases(of(&[(0, lease)]));
    assert_eq!(service.post(&url, &report(0, 1)).await.0, 200);
}

/// Whoever never ends a request, and never reads, does not keep a node from stopping.
#[tokio::test]
async fn a_node_that_stops_waits_for_nobody_for_long() {
    let (_folder, service, path) = service().await;
    let reader = slow_reader(&service, &path).await;
    let mut sender = TcpStream::connect(service.receipts.local_addr()).await.unwrap();
    sender
        .write_all(b"POST /v1/receipts HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\n{")
        .await
        .unwrap();
    let mut head = TcpStream::connect(service.receipts.local_addr()).await.unwrap();
    head.write_all(b"GET /v1/status HT").await.unwrap();
    timeout(PATIENCE, service.receipts.shutdown()).await.expect("it does not stop");
    drop((reader, sender, head));
}
