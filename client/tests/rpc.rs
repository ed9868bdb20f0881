//! Connections to RPC nodes, against one that answers over real sockets.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use leasehold_client::{
    error::failure as rpc_failure,
    fetch::Fetch,
    rpc::{CallTimeout, ClusterError, ClusterGuard, connect},
    sample::{
        GENESIS, NOW,
        rpc::{Reply, RpcServer, SECRET},
        snapshot,
    },
};
use serde_json::json;
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;

/// Longer than any test should take.
const PATIENCE: Duration = Duration::from_secs(60);

fn server() -> RpcServer {
    RpcServer::start(&snapshot(), NOW)
}

fn client(url: &str, timeout: &CallTimeout) -> RpcClient {
    connect(url, timeout.clone(), CommitmentConfig::confirmed())
}

/// The failure to read a market, in every form in which a program may print it.
async fn failure(rpc: &RpcClient) -> (String, String) {
    let error = Fetch::new(rpc).market(snapshot().address).await.unwrap_err();
    (error.to_string(), format!("{error:?}"))
}

#[tokio::test]
async fn a_call_ends_within_its_timeout_which_can_be_changed() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let timeout = CallTimeout::new(Duration::from_millis(10));
    let rpc = client(&format!("http://{}/{SECRET}", silent.local_addr().unwrap()), &timeout);
    let (error, _) = failure(&rpc).await;
    assert_eq!(
        error,
        "the RPC node did not answer: getAccountInfo was not answered within 0.01 s: timed out"
    );
    timeout.set(Duration::from_millis(20));
    assert!(failure(&rpc).await.0.contains("within 0.02 s"));
    assert_eq!(rpc.url(), format!("http://{}/<...>", silent.local_addr().unwrap()));
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_kept_if_there_is_time() {
    let server = server();
    let often = |after: &str| Reply {
        headers: format!("retry-after: {after}\r\n"),
        ..Reply::status("429 Too Many Requests")
    };
    let mut replies = vec![often(&u64::MAX.to_string()), often("3600"), often("0"), often("0")];
    server.hook(move |_, _| replies.pop());
    let timeout = CallTimeout::new(PATIENCE);
    let rpc = client(&server.url, &timeout);
    let begun = Instant::now();
    let (error, _) = failure(&rpc).await;
    assert!(error.contains("refuses more requests for 3600 s (status 429): ask less often"), "{error}");
    assert!(begun.elapsed() < PATIENCE, "nobody waits for an hour");
    assert_eq!(server.take().len(), 3);
    timeout.set(Duration::MAX);
    let (error, _) = failure(&rpc).await;
    assert!(
        error.contains("refuses more requests for a day or longer (status 429)"),
        "nor for ever: {error}"
    );
    assert!(Fetch::new(&rpc).market(snapshot().address).await.is_ok());
}

#[tokio::test]
async fn an_rpc_node_that_names_no_time_after_a_refusal_is_not_asked_at_once() {
    let server = server();
    let often = Reply { headers: "retry-after: 0\r\n".to_owned(), ..Reply::status("429 Too Many Requests") };
    server.hook(move |_, _| Some(often.clone()));
    let rpc = client(&server.url, &CallTimeout::new(Duration::from_secs(1)));
    assert!(failure(&rpc).await.0.contains("status 429"));
    assert!(server.take().len() <= 2, "half a second between two");
}

#[tokio::test]
async fn an_answer_that_is_not_one_of_json_rpc_is_an_error() {
    let server = server();
    let rpc = client(&server.url, &CallTimeout::new(PATIENCE));
    for (body, told) in [
        ("[]", "not one of JSON-RPC"),
        ("\"slow down\"", "not one of JSON-RPC"),
        ("7", "not one of JSON-RPC"),
        ("null", "not one of JSON-RPC"),
        ("{}", "not one of JSON-RPC"),
        ("<html>", "is not JSON"),
        (r#"{"error": null}"#, "not one of JSON-RPC"),
        (r#"{"error": "slow down"}"#, "its error is malformed"),
        (r#"[{"result": null}]"#, "not one of JSON-RPC"),
    ] {
        server.hook(move |_, _| Some(Reply { body: body.to_owned(), ..Reply::status("200 OK") }));
        let (error, _) = failure(&rpc).await;
        assert!(error.contains(told), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_result_of_another_type_is_told_without_its_values() {
    let server = server();
    let rpc = client(&server.secret_url(), &CallTimeout::new(PATIENCE));
    for result in [json!(SECRET), json!([SECRET]), json!({ "value": SECRET, "context": { "slot": 1 } })] {
        server.hook(move |_, _| Some(Reply::result(&result)));
        let error = rpc.get_slot().await.unwrap_err();
        let told = rpc_failure(&error);
        assert!(!told.contains(SECRET) && told.contains("has another form than expected"), "{told}");
        let (error, _) = failure(&rpc).await;
        assert!(!error.contains(SECRET), "{error}");
    }
}

#[tokio::test]
async fn an_error_without_data_ends_with_its_message() {
    let server = server();
    server.hook(|_, _| Some(Reply::error(-32_005, "behind")));
    let (error, _) = failure(&client(&server.url, &CallTimeout::new(PATIENCE))).await;
    assert!(error.ends_with("behind"), "{error}");
}

#[tokio::test]
async fn a_key_that_an_rpc_node_repeats_is_hidden_and_a_long_message_is_cut() {
    let server = server();
    let message = format!("invalid key {SECRET}: {}", "x".repeat(10_000));
    server.hook(move |_, _| Some(Reply::error(-32_000, &message)));
    let rpc = client(&server.secret_url(), &CallTimeout::new(PATIENCE));
    let (error, debug) = failure(&rpc).await;
    assert!(error.contains("invalid key <...>: x") && error.len() < 1_200, "{error}");
    assert!(!debug.contains(SECRET), "{debug}");
}

#[tokio::test]
async fn redirects_are_not_followed_and_no_error_has_a_key() {
    let server = server();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    server.misbehave(&format!("http://{}", elsewhere.local_addr().unwrap()));
    let rpc = client(&server.secret_url(), &CallTimeout::new(PATIENCE));
    for told in ["upgrade", "it redirects to http://127.0.0.1", "is not JSON", "status 500"] {
        let (error, debug) = failure(&rpc).await;
        assert!(error.contains(told), "{error}");
        assert!(!error.contains(SECRET) && !debug.contains(SECRET), "{debug}");
    }
    assert!(elsewhere.accept().is_err(), "nobody came");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rpc = client(&format!("http://{SECRET}@{closed}/{SECRET}"), &CallTimeout::new(PATIENCE));
    let (error, debug) = failure(&rpc).await;
    assert!(error.contains("Connection refused") && !debug.contains(SECRET), "{error} {debug}");
}

#[tokio::test]
async fn a_method_that_is_switched_off_is_named_with_what_to_do() {
    for reply in [
        Reply::error(-32_601, "Method not found"),
        Reply::error(-32_010, "excluded from account secondary indexes; this RPC method unavailable for key"),
        Reply::error(
            -32_600,
            "getProgramAccounts is not available on the Free tier - https://p.example/upgrade",
        ),
        Reply {
            status: "403 Forbidden".to_owned(),
            ..Reply::error(-32_000, "method getProgramAccounts is disabled")
        },
    ] {
        let server = server();
        server.hook(move |_, _| Some(reply.clone()));
        let rpc = client(&server.url, &CallTimeout::new(PATIENCE));
        let error = Fetch::new(&rpc).logs().await.unwrap_err().to_string();
        let named = error.starts_with("the RPC node does not serve getProgramAccounts (");
        assert!(named && error.contains("use an RPC node that serves it"), "{error}");
    }
    let server = server();
    server.hook(|_, _| Some(Reply::status("410 Gone")));
    let rpc = client(&server.url, &CallTimeout::new(PATIENCE));
    let error = Fetch::new(&rpc).logs().await.unwrap_err().to_string();
    assert!(error.contains("whether it serves getProgramAccounts"), "{error}");
}

#[tokio::test]
async fn another_cluster_is_noticed() {
    let server = server();
    let rpc = client(&server.url, &CallTimeout::new(PATIENCE));
    let mut guard = ClusterGuard::default();
    assert_eq!(guard.confirm(&rpc).await.unwrap().to_bytes(), GENESIS);
    server.set_genesis([9; 32]);
    assert!(guard.confirm(&rpc).await.is_ok(), "it is not asked again at once");
    guard.doubt();
    let other = guard.confirm(&rpc).await.unwrap_err();
    assert!(matches!(other, ClusterError::Other(other) if other.known.to_bytes() == GENESIS));
}

#[tokio::test]
async fn parts_of_a_board_are_those_of_the_whole() {
    let server = server();
    let rpc = client(&server.url, &CallTimeout::new(PATIENCE));
    let (fetch, market) = (Fetch::new(&rpc), snapshot());
    let board = &market.boards[0];
    let view = board.data.view().unwrap();
    let slots = fetch.slots(board.address, [3, 0, 77]).await.unwrap();
    let read: Vec<_> = slots.value.iter().map(|(number, slot)| (*number, *slot)).collect();
    assert_eq!(read, [(0, view.slots[0]), (3, view.slots[3])]);
    let headers = fetch.headers(&market.address).await.unwrap();
    assert_eq!((headers.len(), headers[0].address), (1, board.address));
    assert_eq!(headers[0].account.seats, view.header.seats);
    let heads = fetch.heads(&[market.address, board.address], 100).await.unwrap().value;
    assert!(heads.iter().flatten().all(|head| head.data.len() == 100 && !head.is_whole()));
}
