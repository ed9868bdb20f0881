//! Receipts from sources that may lie, and what is served of them.

use super::super::follow::{Progress, fetch_due, now};
use super::super::sample::{BOARD, batch, receipts, signed};
use super::*;
use anchor_lang::Discriminator;
use axum::Router;
use axum::extract::State as Shared;
use axum::routing::get;
use leasehold::state::ComputeLog;
use leasehold_client::record::{Proof, SignedReceipt};
use std::collections::HashMap;
use std::sync::Mutex;

/// A log's account with these batches.
fn account(headers: &[BatchHeader]) -> Vec<u8> {
    let mut log: ComputeLog = bytemuck::Zeroable::zeroed();
    (log.version, log.supplier) = (ComputeLog::VERSION, SUPPLIER);
    for header in headers {
        log.append(header).unwrap();
    }
    [ComputeLog::DISCRIMINATOR, bytemuck::bytes_of(&log)].concat()
}

/// What a source gives, by number of the batch.
type Source = Arc<Mutex<HashMap<u32, Vec<u8>>>>;

/// Serves batches as a node does. Returns its URL.
async fn serve_source(source: Source) -> String {
    type Key = (String, u16, u16, u32);
    let give = async |Shared(source): Shared<Source>, axum::extract::Path(key): axum::extract::Path<Key>| {
        let given = source.lock().unwrap().get(&key.3).cloned();
        given.ok_or(axum::http::StatusCode::NOT_FOUND)
    };
    let path = "/v1/batches/{board}/{slot}/{generation}/{number}";
    serve_router(Router::new().route(path, get(give)).with_state(source)).await
}

async fn serve_router(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// An archive of a log with three batches: one that is honest, one whose source lies, one that is away.
async fn archive(place: &Place) -> (Db, Vec<Vec<SignedReceipt>>, Vec<BatchHeader>, Source) {
    let batches = vec![receipts(0, 5), receipts(5, 3), receipts(8, 4)];
    let headers: Vec<_> = (0..).zip(&batches).map(|(number, receipts)| batch(number, receipts)).collect();
    let source = Source::default();
    source.lock().unwrap().insert(0, signed(&batches[0]));
    source.lock().unwrap().insert(1, signed(&receipts(4, 3)));
    let url = serve_source(Arc::clone(&source)).await;
    let db = Db::open(&place.url).await.unwrap();
    db.append(&log(), &followed(1, 0, &url, &headers)).await.unwrap();
    (db, batches, headers, source)
}

#[tokio::test]
async fn only_what_the_log_has_is_kept_and_lies_are_noted() {
    for place in places().await {
        let (db, batches, _, source) = archive(&place).await;
        let strict = Downloader::new(false).unwrap();
        fetch_due(&db, &strict).await.unwrap();
        let (_, trouble) = db.state(&log(), 0).await.unwrap().unwrap();
        assert!(trouble.unwrap().contains("private network"));
        sqlx::query("UPDATE batches SET next_try = 0").execute(&db.pool).await.unwrap();

        let downloader = Downloader::new(true).unwrap();
        assert_eq!(fetch_due(&db, &downloader).await.unwrap(), 3);
        assert_eq!(fetch_due(&db, &downloader).await.unwrap(), 0, "they wait for another try");
        let states = async || {
            let mut states = Vec::new();
            for index in 0..3 {
                states.push(db.state(&log(), index).await.unwrap().unwrap());
            }
            states
        };
        let [here, lied, away] = states().await.try_into().unwrap();
        assert_eq!(here, (State::Here, None));
        assert_eq!(lied.0, State::Lied);
        assert!(lied.1.unwrap().contains("not the next in number"));
        assert_eq!(away.0, State::Missing);
        assert!(away.1.unwrap().contains("status 404"));
        for receipt in &batches[0] {
            assert!(db.receipt(&receipt.id()).await.unwrap().is_some());
        }
        for receipt in batches[1].iter().chain(&batches[2]) {
            assert_eq!(db.receipt(&receipt.id()).await.unwrap(), None);
        }
        assert_eq!(db.wanted(now() + 86_400, 9).await.unwrap().len(), 2);

        // They may better themselves.
        source.lock().unwrap().extend([(1, signed(&batches[1])), (2, signed(&batches[2]))]);
        sqlx::query("UPDATE batches SET next_try = 0").execute(&db.pool).await.unwrap();
        assert_eq!(fetch_due(&db, &downloader).await.unwrap(), 2);
        assert!(states().await.iter().all(|state| *state == (State::Here, None)));
    }
}

#[tokio::test]
async fn proofs_hold_against_the_logs_account_alone() {
    for place in places().await {
        let (db, batches, headers, _) = archive(&place).await;
        fetch_due(&db, &Downloader::new(true).unwrap()).await.unwrap();
        let progress =
            Arc::new(Progress { db: db.clone(), looked: AtomicI64::new(now()), fresh: Notify::new() });
        let url = serve_router(api::router(progress)).await;
        let ask = async |path: &str| {
            let answer = reqwest::get(format!("{url}{path}")).await.unwrap();
            (answer.status().as_u16(), answer.bytes().await.unwrap())
        };
        let json = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();

        for (place, receipt) in batches[0].iter().enumerate() {
            for known in 1..=3usize {
                let path = format!("/v1/proofs/{}?batches={known}", hex::encode(receipt.id()));
                let (status, body) = ask(&path).await;
                assert_eq!(status, 200);
                let proof: Proof = serde_json::from_slice(&body).unwrap();
                let verified = proof.verify(&account(&headers[..known])).unwrap();
                assert_eq!((verified.id, verified.batches), (receipt.id(), known as u64));
            }
            let (_, body) = ask(&format!("/v1/proofs/{}", hex::encode(receipt.id()))).await;
            let proof: Proof = serde_json::from_slice(&body).unwrap();
            assert_eq!(proof.verify(&account(&headers)).unwrap().seq, place as u64);
            let (status, body) = ask(&format!("/v1/receipts/{}", hex::encode(receipt.id()))).await;
            let found = json(&body);
            assert_eq!(status, 200);
            assert_eq!(found["receipt"], receipt.to_base64());
            assert_eq!((found["place"].as_u64(), &found["batch"]["number"]), (Some(place as u64), &0.into()));
            assert_eq!(found["path"], serde_json::to_value(&proof).unwrap()["path"]);
        }

        let id = hex::encode(batches[0][0].id());
        let (status, body) = ask(&format!("/v1/proofs/{id}?batches=0")).await;
        assert_eq!(status, 404);
        assert!(json(&body)["error"].as_str().unwrap().contains("not among the first 0"));
        let (status, body) = ask(&format!("/v1/proofs/{id}?batches=4")).await;
        assert!(status == 404 && json(&body)["error"].as_str().unwrap().contains("3 batches are known"));
        let lied = hex::encode(batches[1][0].id());
        assert_eq!(ask(&format!("/v1/proofs/{lied}")).await.0, 404);
        // What the source gave instead is not served either.
        assert_eq!(ask(&format!("/v1/receipts/{}", hex::encode(receipts(4, 1)[0].id()))).await.0, 200);
        let (status, body) = ask(&format!("/v1/batches/{BOARD}/3/2/1")).await;
        let sentence = json(&body)["error"].as_str().unwrap().to_owned();
        assert!(status == 404 && sentence.starts_with("its source gave other receipts"), "{sentence}");
        let (status, body) = ask(&format!("/v1/batches/{BOARD}/3/2/0")).await;
        assert_eq!((status, body.as_ref()), (200, signed(&batches[0]).as_slice()));
        assert_eq!(ask("/v1/receipts/xyz").await.0, 400);
        assert_eq!(ask("/v2").await.0, 404);
        let (status, body) = ask("/v1/healthz").await;
        let health = json(&body);
        assert_eq!((status, &health["ok"], &health["lied"]), (200, &true.into(), &1.into()));
        assert_eq!((&health["batches"], &health["missing"]), (&3.into(), &2.into()));
    }
}

#[tokio::test]
async fn an_archive_that_sees_no_logs_says_so_and_ends_when_told() {
    for place in places().await {
        let settings = ArchiveSettings {
            // Nobody listens there.
            rpc: "http://127.0.0.1:1".to_owned(),
            db: place.url.clone(),
            listen: "127.0.0.1:0".parse().unwrap(),
            logs: vec![],
            allow_private: true,
            poll: std::num::NonZeroU32::MIN,
        };
        let archive = Archive::start(settings.clone()).await.unwrap();
        let answer = reqwest::get(format!("http://{}/v1/healthz", archive.local_addr())).await.unwrap();
        assert_eq!(answer.status().as_u16(), 503);
        let taken = ArchiveSettings { listen: archive.local_addr(), ..settings };
        assert!(matches!(Archive::start(taken).await, Err(ArchiveError::Listen { .. })));
        archive.shutdown().await;
    }
}
