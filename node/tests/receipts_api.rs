//! The HTTP API, asked over real sockets.

mod support;

use leasehold::math::sum_tree::{SumNode, climb};
use leasehold_client::probe::SigningKey;
use leasehold_client::record::{SignedReceipt, SignedVoucher};
use leasehold_node::leases::RunningLease;
use leasehold_node::receipts::Settings;
use serde_json::{Value, json};
use support::*;

async fn service(leases: &[(u16, RunningLease)]) -> (tempfile::TempDir, Service) {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(settings(folder.path()), leases).await;
    (folder, service)
}

async fn send_voucher(service: &Service, signed: &SignedVoucher) -> (u16, Value) {
    service.post(&service.public("/v1/vouchers"), &json!({ "voucher": signed.to_base64() })).await
}

#[tokio::test]
async fn a_report_is_answered_with_a_signed_receipt() {
    let (_folder, service) = service(&[(0, lease(8))]).await;
    for seq in 0..3 {
        let (status, answer) = service.post(&service.url("/v1/receipts"), &report(0, 15)).await;
        assert_eq!(status, 200, "{answer}");
        let signed = receipt_of(&answer);
        assert_eq!((answer["seq"].as_u64(), answer["lease"].as_u64()), (Some(seq), Some(8)));
        assert_eq!((signed.receipt.seq, signed.receipt.price), (seq, 15));
        assert_eq!(signed.receipt.node_key, machine(0).key.verifying_key().to_bytes());
    }
}

#[tokio::test]
async fn a_receipt_is_found_with_its_batch_and_path() {
    let (_folder, service) = service(&[(0, lease(1))]).await;
    let mut reported = Vec::new();
    for price in 0..5 {
        reported.push(receipt_of(&service.post(&service.url("/v1/receipts"), &report(0, price)).await.1));
    }
    let url = service.public(&format!("/v1/receipts/{}", hex::encode(reported[3].id())));
    let (status, answer) = service.get(&url).await;
    assert_eq!((status, &answer["batch"], &answer["place"]), (200, &Value::Null, &Value::Null));
    assert_eq!(receipt_of(&answer), reported[3]);

    let batch = service.receipts.store().seal(&key(0), "https://a", 100).await.unwrap().unwrap();
    let (_, answer) = service.get(&url).await;
    assert_eq!(answer["batch"], json!({"board": BOARD.to_string(), "slot": 0, "generation": 1, "number": 0}));
    let amount = |node: &Value, name: &str| node[name].as_str().unwrap().parse().unwrap();
    let nodes = answer["path"].as_array().unwrap().iter().map(|node| {
        let mut hash = [0; 32];
        hex::decode_to_slice(node["hash"].as_str().unwrap(), &mut hash).unwrap();
        SumNode { hash, units: amount(node, "units"), price: amount(node, "price") }
    });
    let path = nodes.collect::<Vec<_>>();
    assert_eq!(answer["place"], 3);
    assert_eq!(climb(reported[3].receipt.leaf(), 3, 5, &path).unwrap().root, batch.header.root);

    let leaves = service.public(&format!("/v1/batches/{BOARD}/0/1/0"));
    let response = service.http.get(leaves).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    let bytes = response.bytes().await.unwrap();
    let leaves = bytes.chunks(SignedReceipt::LEN).map(|bytes| SignedReceipt::from_bytes(bytes).unwrap());
    assert_eq!(leaves.collect::<Vec<_>>(), reported);
}

#[tokio::test]
async fn unsigned_use_stays_within_the_limit() {
    let lease = metered(4, 250);
    let (_folder, service) = service(&[(0, lease.clone())]).await;
    let report_of = async |price| service.post(&service.url("/v1/receipts"), &report(0, price)).await;
    assert_eq!(report_of(60).await.0, 200);
    let (status, answer) = report_of(41).await;
    assert_eq!(status, 402);
    assert!(answer["error"].as_str().unwrap().contains("41 payment units are more than the 40"), "{answer}");
    assert_eq!(report_of(40).await.0, 200);

    let (status, tab) = service.get(&service.public("/v1/tabs/0")).await;
    let expected = json!({
        "lease": 4, "lease_address": lease.address.to_string(), "from": lease.from, "seq": 2,
        "units": "1600", "price": "100", "signed_price": "0", "limit": "100",
    });
    assert_eq!((status, tab), (200, expected));

    assert_eq!(send_voucher(&service, &signed_voucher(&lease, 100)).await.0, 200);
    assert_eq!(report_of(100).await.0, 200);
    assert_eq!(report_of(1).await.0, 402);
    // Nothing beyond the deposit is ever paid, whatever is signed.
    assert_eq!(send_voucher(&service, &signed_voucher(&lease, 10_000)).await.0, 200);
    assert_eq!(report_of(51).await.0, 402);
    assert_eq!(report_of(50).await.0, 200);
    assert_eq!(report_of(1).await.0, 402);
    assert_eq!(service.get(&service.public("/v1/tabs/0")).await.1["signed_price"], "10000");
}

#[tokio::test]
async fn vouchers_count_in_any_order_and_forged_ones_do_not() {
    let lease = metered(4, 1_000);
    let (_folder, service) = service(&[(0, lease.clone()), (1, support::lease(5))]).await;
    for (price, best) in [(30, 30), (10, 30), (50, 50), (50, 50), (20, 50)] {
        let (status, answer) = send_voucher(&service, &signed_voucher(&lease, price)).await;
        assert_eq!((status, answer["price"].as_str()), (200, Some(best.to_string().as_str())));
    }
    assert_eq!(service.get(&service.url("/v1/tabs/0")).await.1["signed_price"], "50");

    let good = signed_voucher(&lease, 99).voucher;
    let stranger = SigningKey::from_bytes(&[12; 32]);
    let (status, answer) = send_voucher(&service, &SignedVoucher::sign(&stranger, good)).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("forged"), "{answer}");
    let mut changed = signed_voucher(&lease, 60);
    changed.voucher.price = 61;
    assert_eq!(send_voucher(&service, &changed).await.0, 400);
    for wrong in [
        leasehold::state::Voucher { cluster: [0; 8], ..good },
        leasehold::state::Voucher { from: good.from + 1, ..good },
        leasehold::state::Voucher { lease: address(99).to_bytes(), ..good },
        leasehold::state::Voucher { lease: address(5).to_bytes(), ..good },
        leasehold::state::Voucher { generation: good.generation + 1, ..good },
        leasehold::state::Voucher { slot: 1, ..good },
        leasehold::state::Voucher { node_key: [1; 32], ..good },
        leasehold::state::Voucher { supplier: [1; 8], ..good },
    ] {
        assert_eq!(send_voucher(&service, &SignedVoucher::sign(&spender(), wrong)).await.0, 404);
    }
    assert_eq!(service.get(&service.url("/v1/tabs/0")).await.1["signed_price"], "50");
}

#[tokio::test]
async fn the_last_voucher_may_come_after_the_lease() {
    let lease = metered(4, 1_000);
    let (_folder, service) = service(&[(0, lease.clone())]).await;
    assert_eq!(service.post(&service.url("/v1/receipts"), &report(0, 15)).await.0, 200);
    service.feed.set_leases(of(&[(0, metered(5, 1_000))]));
    assert_eq!(send_voucher(&service, &signed_voucher(&lease, 15)).await.0, 200);
    let (status, tab) = service.get(&service.public("/v1/tabs/0?lease=4")).await;
    assert_eq!((status, tab["price"].as_str(), tab["signed_price"].as_str()), (200, Some("15"), Some("15")));
    assert_eq!(service.get(&service.public("/v1/tabs/0")).await.1["seq"], 0);
    assert_eq!(service.get(&service.public("/v1/tabs/0?lease=9")).await.0, 404);
}

#[tokio::test]
async fn no_receipt_without_a_lease() {
    let (_folder, service) = service(&[(0, lease(1))]).await;
    let status = async |report: &Value| service.post(&service.url("/v1/receipts"), report).await.0;
    assert_eq!(status(&report(0, 1)).await, 200);
    assert_eq!(status(&report(7, 1)).await, 404);

    let other_machine = RunningLease { generation: 2, ..lease(1) };
    let ended = RunningLease { until: lease(1).from + 1, ..lease(1) };
    let to_come = RunningLease { from: lease(1).from + 2, ..lease(1) };
    for none in [other_machine, ended, to_come] {
        service.feed.set_leases(of(&[(0, none)]));
        assert_eq!(status(&report(0, 1)).await, 409);
        assert_eq!(service.get(&service.url("/v1/tabs/0")).await.0, 409);
    }
    service.feed.set_leases(of(&[]));
    let (status, answer) = service.post(&service.url("/v1/receipts"), &report(0, 1)).await;
    assert_eq!(
        (status, answer),
        (409, json!({"error": "slot 0 serves no lease now: wait until the lease begins, or check the slot"}))
    );
}

#[tokio::test]
async fn machines_of_several_boards_have_different_names() {
    let (_folder, service) = service(&[(0, lease(1))]).await;
    let board = leasehold_client::probe::Pubkey::new_from_array([33; 32]);
    let mut other = (*machine(0)).clone();
    other.board = board;
    let machines = vec![(*machine(0)).clone(), other];
    service.feed.set_serving(&leasehold_node::Serving { machines, keepers: None });
    assert_eq!(service.post(&service.url("/v1/receipts"), &report(0, 1)).await.0, 400);
    let mut named = report(0, 1);
    named["board"] = BOARD.to_string().into();
    assert_eq!(service.post(&service.url("/v1/receipts"), &named).await.0, 200);
    named["board"] = board.to_string().into();
    assert_eq!(service.post(&service.url("/v1/receipts"), &named).await.0, 409);
    assert_eq!(service.get(&service.url(&format!("/v1/tabs/0?board={BOARD}"))).await.0, 200);
}

#[tokio::test]
async fn every_mistake_gets_a_status_and_a_sentence() {
    let (_folder, service) = service(&[(0, lease(1))]).await;
    let id = "0".repeat(64);
    let mistakes: [(reqwest::RequestBuilder, u16, &str); 14] = [
        (service.http.post(service.url("/v1/receipts")).body("{}"), 415, "Content-Type"),
        (service.http.post(service.url("/v1/receipts")).json(&json!({"slot": 0})), 422, "missing field"),
        (
            service.http.post(service.url("/v1/receipts")).json(&changed("request", "0102")),
            422,
            "64 hexadecimal",
        ),
        (service.http.post(service.url("/v1/receipts")).json(&changed("price", "-1")), 422, "not an amount"),
        (service.http.post(service.url("/v1/receipts")).json(&changed("model", "x")), 400, "64 hexadecimal"),
        (service.http.post(service.url("/v1/receipts")).json(&changed("typo", "x")), 422, "unknown field"),
        (
            service.http.post(service.url("/v1/receipts")).json(&changed("typo", &"x".repeat(20_000))),
            413,
            "length limit",
        ),
        (service.http.get(service.url("/v1/receipts/xyz")), 400, "64 hexadecimal"),
        (service.http.get(service.url(&format!("/v1/receipts/{id}"))), 404, "no receipt has this id"),
        (service.http.get(service.url("/v1/batches/x/0/1/0")), 400, "not an address"),
        (service.http.get(service.url(&format!("/v1/batches/{BOARD}/0/1/0"))), 404, "no such batch"),
        (service.http.get(service.url("/v1/tabs/many")), 400, "many"),
        (service.http.get(service.url("/v1/vouchers")), 405, "another method"),
        (service.http.get(service.url("/v2")), 404, "nothing at this path"),
    ];
    for (request, status, sentence) in mistakes {
        let (got, answer) = read(request.send().await.unwrap()).await;
        assert_eq!(got, status, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(sentence), "{sentence}: {answer}");
    }
    for (voucher, sentence) in
        [("%", "not base64"), ("AAAA", "has 3 bytes"), (&"A".repeat(352), "not a voucher")]
    {
        let (status, answer) =
            service.post(&service.url("/v1/vouchers"), &json!({ "voucher": voucher })).await;
        assert_eq!(status, 400);
        assert!(answer["error"].as_str().unwrap().contains(sentence), "{answer}");
    }
}

fn changed(field: &str, value: &str) -> Value {
    let mut report = report(0, 1);
    report[field] = value.into();
    report
}

#[tokio::test]
async fn strangers_cannot_have_receipts_signed() {
    let (_folder, service) = service(&[(0, lease(1))]).await;
    let (status, _) = service.post(&service.public("/v1/receipts"), &report(0, 1)).await;
    assert_eq!(status, 404);
    assert!(service.receipts.store().tab(&key(0), 1).await.unwrap().is_none());
}

#[tokio::test]
async fn the_model_may_be_left_out_where_there_is_one() {
    let (_folder, service) = service(&[(0, lease(1))]).await;
    let mut unnamed = report(0, 1);
    unnamed.as_object_mut().unwrap().remove("model");
    let (status, answer) = service.post(&service.url("/v1/receipts"), &unnamed).await;
    assert_eq!((status, receipt_of(&answer).receipt.model), (200, MODEL));

    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { models: Default::default(), ..settings(folder.path()) };
    let service = Service::start(settings, &[(0, lease(1))]).await;
    assert_eq!(service.post(&service.url("/v1/receipts"), &unnamed).await.0, 400);
}
