//! Reading the chain from an RPC node that refuses, holds up or limits some requests, over real HTTP.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anchor_lang::AccountSerialize;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use leasehold::state::Seat;
use leasehold_client::{MarketRef, clock, sample};
use leasehold_keeper::snapshot::{ReadError, Reader, Snapshot};
use serde_json::{Value, json};
use solana_commitment_config::CommitmentConfig;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use tokio::{net::TcpListener, time::timeout};

/// Far more than a busy host needs.
const PATIENCE: Duration = Duration::from_secs(300);

/// What happens to a request for the slots of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    TooManyRequests,
    Hangs,
}

/// An RPC node of a market with some boards, in each of which keeper 2 holds a seat.
struct Node {
    accounts: HashMap<Pubkey, (Pubkey, Vec<u8>)>,
    market: MarketRef,
    now: AtomicI64,
    genesis: AtomicU8,
    troubled: Mutex<HashMap<Pubkey, Trouble>>,
    /// The most accounts of one request.
    most: AtomicUsize,
    /// Requests for slots under way, and the most of them at a time.
    under_way: Mutex<(usize, usize)>,
    rpc: Arc<RpcClient>,
}

const ME: u8 = 2;

impl Node {
    async fn start(boards: u32) -> Arc<Self> {
        let sample = sample::snapshot();
        let market = sample::market();
        let mut accounts = HashMap::new();
        let mut state = sample.market;
        state.next_board = boards;
        let mut data = vec![];
        state.try_serialize(&mut data).unwrap();
        accounts.insert(market.address, (leasehold::ID, data));
        let mut mint = vec![0; 82];
        mint[45] = 1;
        for address in [market.payment_mint, market.stake_mint] {
            accounts.insert(address, (market.payment_token_program, mint.clone()));
        }
        for index in 0..boards {
            let mut board = sample.boards[0].data.clone();
            sample::change(&mut board, |header, slots| {
                header.index = index;
                header.submit_secs = 8;
                header.seats[0] = Seat { keeper: sample::wallet(ME), taken: 1, ..header.seats[0] };
                // The sample's lease is of the first board alone.
                if index > 0 {
                    slots.fill(sample::slot(1));
                    header.leases = 0;
                }
            });
            let bytes = board.bytes_mut().to_vec();
            accounts.insert(market.board(index).address, (leasehold::ID, bytes));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rpc = RpcClient::new_with_commitment(url, CommitmentConfig::confirmed());
        let node = Arc::new(Self {
            accounts,
            market,
            now: AtomicI64::new(sample::NOW + 100),
            genesis: AtomicU8::new(sample::GENESIS[0]),
            troubled: Mutex::default(),
            most: AtomicUsize::new(100),
            under_way: Mutex::default(),
            rpc: Arc::new(rpc),
        });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&node));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        node
    }

    fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.rpc), sample::wallet(ME), self.market.address, None, false)
    }

    fn trouble(&self, board: u32, trouble: Trouble) {
        self.troubled.lock().unwrap().insert(self.market.board(board).address, trouble);
    }

    fn account(&self, address: &Pubkey, config: &Value) -> Value {
        let mut clock = vec![0; 40];
        clock[32..].copy_from_slice(&self.now.load(Relaxed).to_le_bytes());
        let clock = (Pubkey::default(), clock);
        let found = if *address == clock::ADDRESS { Some(&clock) } else { self.accounts.get(address) };
        let Some((owner, data)) = found else { return Value::Null };
        let cut = config["dataSlice"]["length"].as_u64().map_or(data.len(), |length| length as usize);
        json!({
            "lamports": 1_000_000_000u64,
            "data": [STANDARD.encode(&data[..cut.min(data.len())]), "base64"],
            "owner": owner.to_string(),
            "executable": false,
            "rentEpoch": 0,
            "space": data.len(),
        })
    }
}

/// The genesis hash of a node that does not tell it at the moment.
const BUSY: u8 = 0;

async fn answer(State(node): State<Arc<Node>>, Json(asked): Json<Value>) -> Response {
    let (method, params) = (asked["method"].as_str().unwrap(), &asked["params"]);
    let address = |text: &Value| text.as_str().unwrap().parse::<Pubkey>().unwrap();
    let context = |value: Value| json!({ "context": { "slot": 1 }, "value": value });
    let refused = |code: i64, message: &str| {
        let error = json!({ "code": code, "message": message });
        Json(json!({ "jsonrpc": "2.0", "id": asked["id"], "error": error })).into_response()
    };
    let result = match method {
        "getGenesisHash" if node.genesis.load(Relaxed) == BUSY => return refused(-32_005, "node is behind"),
        "getGenesisHash" => json!(Hash::new_from_array([node.genesis.load(Relaxed); 32]).to_string()),
        "getAccountInfo" => {
            let address = address(&params[0]);
            {
                let mut under_way = node.under_way.lock().unwrap();
                *under_way = (under_way.0 + 1, under_way.1.max(under_way.0 + 1));
            }
            let _guard = Ended(Arc::clone(&node));
            let trouble = node.troubled.lock().unwrap().get(&address).copied();
            match trouble {
                Some(Trouble::TooManyRequests) => {
                    return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "100")], "slow down")
                        .into_response();
                }
                Some(Trouble::Hangs) => std::future::pending().await,
                None => context(node.account(&address, &params[1])),
            }
        }
        "getMultipleAccounts" => {
            let addresses = params[0].as_array().unwrap();
            if addresses.len() > node.most.load(Relaxed) {
                return refused(-32_602, "too many inputs provided");
            }
            context(addresses.iter().map(|text| node.account(&address(text), &params[1])).collect())
        }
        method => return refused(-32_601, &format!("{method} is not available on your plan")),
    };
    Json(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result })).into_response()
}

/// Counts a request as ended, also if the client gave it up.
struct Ended(Arc<Node>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().0 -= 1;
    }
}

/// Machines to probe by board, for those whose slots were read.
fn read(snapshot: &Snapshot) -> BTreeMap<u32, usize> {
    let fleets = snapshot.boards.iter().filter_map(|board| Some((board, board.fleet.as_ref()?)));
    fleets.map(|(board, fleet)| (board.board.index, fleet.targets.len())).collect()
}

/// Looks until these boards' slots were read. Each look has the headers of all boards.
async fn look_until(reader: &mut Reader, all: usize, wanted: impl Fn(&HashSet<u32>) -> bool) {
    timeout(PATIENCE, async {
        loop {
            let snapshot = reader.read().await.unwrap();
            assert_eq!(snapshot.boards.len(), all);
            if wanted(&read(&snapshot).into_keys().collect()) {
                return;
            }
            // Arrivals, and the ends of pauses after failures.
            let _ = timeout(Duration::from_millis(500), reader.arrived()).await;
        }
    })
    .await
    .expect("the slots in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn boards_that_cannot_be_read_hold_up_no_other_and_are_read_once_they_can() {
    let node = Node::start(8).await;
    node.trouble(1, Trouble::TooManyRequests);
    node.trouble(2, Trouble::Hangs);
    let mut reader = node.reader();
    look_until(&mut reader, 8, |read| [0, 3, 4, 5, 6, 7].iter().all(|board| read.contains(board))).await;
    assert!(node.under_way.lock().unwrap().1 <= 4, "few at a time");

    // In the next round, the same.
    node.now.fetch_add(600, Relaxed);
    look_until(&mut reader, 8, |read| [0, 3, 4, 5, 6, 7].iter().all(|board| read.contains(board))).await;
    node.troubled.lock().unwrap().clear();
    look_until(&mut reader, 8, |read| read.len() == 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_get_program_accounts_lets_the_keeper_probe_and_vote() {
    let node = Node::start(1).await;
    let snapshot = timeout(PATIENCE, node.reader().read_all()).await.unwrap().unwrap();
    let fleet = snapshot.boards[0].fleet.as_ref().expect("the slots");
    assert_eq!(fleet.targets.len(), 3);
    assert!(fleet.leases.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_limits_the_accounts_of_a_request_is_asked_for_fewer() {
    let node = Node::start(12).await;
    node.most.store(5, Relaxed);
    let mut reader = node.reader();
    let all = timeout(PATIENCE, async {
        loop {
            if let Ok(snapshot) = reader.read().await
                && snapshot.boards.len() == 12
            {
                return snapshot;
            }
        }
    });
    assert_eq!(all.await.expect("the headers in time").next_board, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_ends_the_keeper_with_a_sentence() {
    let node = Node::start(1).await;
    node.genesis.store(7, Relaxed);
    let error = node.reader().read().await.unwrap_err();
    assert!(error.is_final(true) && matches!(error, ReadError::OtherCluster { .. }), "{error}");
    let [market, other] = [sample::GENESIS[0], 7].map(|byte| Hash::new_from_array([byte; 32]));
    assert_eq!(
        error.to_string(),
        format!(
            "the market is of the cluster with genesis hash {market}, and the RPC node is of {other}: check --rpc"
        )
    );

    // The URL leads to another node after a failure.
    node.genesis.store(sample::GENESIS[0], Relaxed);
    let mut reader = node.reader();
    reader.read().await.unwrap();
    node.most.store(1, Relaxed);
    reader.read().await.unwrap_err();
    node.most.store(100, Relaxed);
    // It does not say yet of which cluster it is.
    node.genesis.store(BUSY, Relaxed);
    reader.read().await.unwrap();
    node.genesis.store(7, Relaxed);
    let error = reader.read().await.unwrap_err();
    assert!(error.is_final(true) && matches!(error, ReadError::ClusterChanged { .. }), "{error}");
}
