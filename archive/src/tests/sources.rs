//! Downloads from sources that may give wrong receipts, and the proofs that are served.

use super::*;
use crate::fetch::fetch_due;
use crate::sample::{BOARD, batch, receipts, signed};
use anchor_lang::Discriminator;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use leasehold::state::ComputeLog;
use leasehold_client::record::{Proof, SignedReceipt};
use leasehold_daemon::http::{Gate, Limits, serve};
use leasehold_daemon::unix_secs;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A log's account with these batches.
fn account(headers: &[BatchHeader]) -> Vec<u8> {
    let mut log: ComputeLog = bytemuck::Zeroable::zeroed();
    (log.version, log.supplier) = (ComputeLog::VERSION, SUPPLIER);
    for header in headers {
        log.append(header).unwrap();
    }
    [ComputeLog::DISCRIMINATOR, bytemuck::bytes_of(&log)].concat()
}

/// Bytes that a source serves, by number of the batch.
pub type Source = Arc<Mutex<HashMap<u32, Vec<u8>>>>;

/// Serves batches as a node does. Returns its URL.
pub async fn serve_source(source: Source) -> String {
    type Key = (String, u16, u32, u32);
    let give = async |State(source): State<Source>, axum::extract::Path(key): axum::extract::Path<Key>| {
        let given = source.lock().unwrap().get(&key.3).cloned();
        given.ok_or(axum::http::StatusCode::NOT_FOUND)
    };
    let path = "/v1/batches/{board}/{slot}/{generation}/{number}";
    serve_router(Router::new().route(path, get(give)).with_state(source)).await
}

async fn serve_router(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (gate, (stop, stopped)) = (Gate::new("test", Limits::default()), watch::channel(false));
    tokio::spawn(async move {
        serve(listener, router, gate, stopped).await;
        drop(stop);
    });
    url
}

/// A log with three batches: the source has the first, gives other receipts for the second and lacks the third.
async fn archive(database: &TestDb) -> (Shared, Vec<Vec<SignedReceipt>>, Vec<BatchHeader>, Source) {
    let batches = vec![receipts(0, 5), receipts(5, 3), receipts(8, 4)];
    let headers: Vec<_> = (0..).zip(&batches).map(|(number, receipts)| batch(number, receipts)).collect();
    let source = Source::default();
    source.lock().unwrap().insert(0, signed(&batches[0]));
    source.lock().unwrap().insert(1, signed(&receipts(4, 3)));
    let url = serve_source(Arc::clone(&source)).await;
    let db = Db::open(&database.url).await.unwrap();
    db.append(&log(), &followed(1, 0, &url, &headers)).await.unwrap();
    let room = Room { each: u64::MAX, in_all: u64::MAX };
    let shared =
        Shared { db, metrics: Arc::default(), new_batches: Notify::new(), room, told: Told::default() };
    (shared, batches, headers, source)
}

#[tokio::test]
async fn only_receipts_of_the_log_are_stored_and_failures_are_noted() {
    for database in databases().await {
        let (shared, batches, _, source) = archive(&database).await;
        let db = &shared.db;
        let strict = Downloader::new(false).unwrap();
        fetch_due(&shared, &strict).await.unwrap();
        let (_, reason) = db.state(&log(), 0).await.unwrap().unwrap();
        assert!(reason.unwrap().contains("private or loopback address"));
        sqlx::query("UPDATE batches SET next_try = 0").execute(&db.pool).await.unwrap();

        let downloader = Downloader::new(true).unwrap();
        assert_eq!(fetch_due(&shared, &downloader).await.unwrap(), 2, "of one log at a time");
        assert_eq!(fetch_due(&shared, &downloader).await.unwrap(), 1);
        assert_eq!(fetch_due(&shared, &downloader).await.unwrap(), 0, "they wait for another try");
        let states = async || {
            let mut states = Vec::new();
            for index in 0..3 {
                states.push(db.state(&log(), index).await.unwrap().unwrap());
            }
            states
        };
        let [stored, mismatch, missing] = states().await.try_into().unwrap();
        assert_eq!(stored, (LeavesState::Stored, None));
        assert_eq!(mismatch.0, LeavesState::Mismatch);
        assert!(mismatch.1.unwrap().contains("not the next in number"));
        assert_eq!(missing.0, LeavesState::Missing);
        assert!(missing.1.unwrap().contains("status 404"));
        for receipt in &batches[0] {
            assert!(db.receipt(&receipt.id()).await.unwrap().is_some());
        }
        for receipt in batches[1].iter().chain(&batches[2]) {
            assert_eq!(db.receipt(&receipt.id()).await.unwrap(), None);
        }
        assert_eq!(db.missing(unix_secs() + 86_400, 9, 9).await.unwrap().len(), 2);

        // Sources may give the right receipts later.
        source.lock().unwrap().extend([(1, signed(&batches[1])), (2, signed(&batches[2]))]);
        sqlx::query("UPDATE batches SET next_try = 0").execute(&db.pool).await.unwrap();
        assert_eq!(fetch_due(&shared, &downloader).await.unwrap(), 2);
        assert!(states().await.iter().all(|state| *state == (LeavesState::Stored, None)));
    }
}

#[tokio::test]
async fn proofs_hold_against_the_logs_account_alone() {
    for database in databases().await {
        let (shared, batches, headers, _) = archive(&database).await;
        fetch_due(&shared, &Downloader::new(true).unwrap()).await.unwrap();
        shared.metrics.polled(unix_secs(), shared.db.totals().await.unwrap());
        let counted = shared.metrics.to_string();
        for line in ["batches 3", "batches_missing 2", "batches_mismatched 1", "batches_stored_total 1"] {
            assert!(counted.contains(&format!("leasehold_archive_{line}\n")), "{line}: {counted}");
        }
        let url = serve_router(api::router(Arc::new(shared))).await;
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
        assert!(status == 404 && json(&body)["error"].as_str().unwrap().contains("3 batches of log"));
        let mismatched = hex::encode(batches[1][0].id());
        assert_eq!(ask(&format!("/v1/proofs/{mismatched}")).await.0, 404);
        // The receipts that the source gave instead are not served under that batch: this one is of the first.
        assert_eq!(ask(&format!("/v1/receipts/{}", hex::encode(receipts(4, 1)[0].id()))).await.0, 200);
        let (status, body) = ask(&format!("/v1/batches/{BOARD}/3/70002/1")).await;
        let sentence = json(&body)["error"].as_str().unwrap().to_owned();
        assert!(status == 404 && sentence.starts_with("its source gave other receipts"), "{sentence}");
        let (status, body) = ask(&format!("/v1/batches/{BOARD}/3/70002/0")).await;
        assert_eq!((status, body.as_ref()), (200, signed(&batches[0]).as_slice()));
        assert_eq!(ask("/v1/receipts/xyz").await.0, 400);
        assert_eq!(ask("/v2").await.0, 404);
        let (status, body) = ask("/v1/healthz").await;
        let health = json(&body);
        assert_eq!((status, &health["ok"], &health["mismatched"]), (200, &true.into(), &1.into()));
        assert_eq!((&health["batches"], &health["missing"]), (&3.into(), &2.into()));
    }
}

#[tokio::test]
async fn an_archive_without_an_rpc_node_reports_itself_unhealthy_and_stops_on_request() {
    for database in databases().await {
        let settings = ArchiveSettings {
            // Nobody listens there.
            rpc: "http://127.0.0.1:1".to_owned(),
            db: database.url.clone(),
            listen: "127.0.0.1:0".parse().unwrap(),
            logs: vec![],
            allow_private: true,
            poll: std::num::NonZeroU32::MIN,
            metrics: Some("127.0.0.1:0".parse().unwrap()),
            max_log_gib: std::num::NonZeroU32::MIN,
            max_gib: std::num::NonZeroU32::MIN,
        };
        let archive = Archive::start(settings.clone()).await.unwrap();
        let answer = reqwest::get(format!("http://{}/v1/healthz", archive.local_addr())).await.unwrap();
        assert_eq!(answer.status().as_u16(), 503);
        let url = format!("http://{}/metrics", archive.metrics_addr().unwrap());
        let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
        assert!(metrics.contains("leasehold_archive_polled_seconds 0\n"), "{metrics}");
        let taken = ArchiveSettings { listen: archive.local_addr(), ..settings };
        assert!(matches!(Archive::start(taken).await, Err(ArchiveError::Listen(_))));
        archive.shutdown().await;
    }
}
