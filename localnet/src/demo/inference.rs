//! Proof of compute: a leased machine answers through its node's proxy, its receipts are appended to its supplier's
//! log, an archive stores them, and one inference is proved from its id alone.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::{Json, Router, routing::post};
use futures::{StreamExt, TryStreamExt, stream};
use leasehold_archive::{Archive, ArchiveSettings};
use leasehold_client::{
    address,
    http::ArchiveClient,
    instruction,
    meter::call_token,
    probe::SigningKey,
    prove::{Prover, Steps},
    record::SignedCall,
};
use leasehold_node::{
    Feed, Machine, Serving,
    chain::{Chain, ChainSettings, RecordSettings},
    leases::{LeaseWatch, WatchSettings},
    receipts::{Model, ProxySettings, Receipts, Settings},
};
use rand::{Rng, rngs::StdRng};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    faults::{Faults, Place},
    fleet::{Fleet, LAMPORTS},
    leases::{Course, Opened},
    stage::{POLL, Stage, by},
};
use crate::network::Grant;

/// Number of requests: the smaller of the two batches for which docs/bench.md has a target.
const ANSWERS: u32 = 1_000;
/// Requests in flight at a time.
const AT_A_TIME: usize = 32;
/// Payment units for a million tokens of input and of output.
const PRICES: (u64, u64) = (1_000_000, 4_000_000);
/// Manifest of the model, whose hash is the model's id.
const MANIFEST: &str = r#"{"model":"demo","weights":"none: it doubles numbers"}"#;
/// Fee of the transaction that skips the numbers which a lost database could have signed.
const SKIP_LAMPORTS: u64 = 5_000;
/// Time after the end of the leases within which log and archive must have the receipts.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The proof of one inference.
#[derive(Clone, Debug, Serialize)]
pub struct Proved {
    /// The inference's id.
    pub id: String,
    /// True if every step of the proof holds.
    pub verified: bool,
    /// Fees of the transactions that appended receipts, divided by the number of receipts.
    pub lamports_per_inference: f64,
    /// The steps, a sentence each.
    #[serde(skip)]
    pub steps: String,
}

/// A leased machine with an inference server, its node and an archive.
pub struct Inference {
    machine: Machine,
    operator: Arc<Keypair>,
    supplier: Pubkey,
    server: JoinHandle<()>,
    receipts: Receipts,
    leases: LeaseWatch,
    chain: Chain,
    archive: Archive,
    id: Option<[u8; 32]>,
    /// With which the lease's owner calls the machine.
    token: String,
    // Dropped last: the databases are in it.
    _folder: TempDir,
}

impl Inference {
    /// Creates a log for the supplier of a machine that will not fail, and starts its server, node and archive.
    pub async fn begin(
        stage: &Stage,
        random: &mut StdRng,
        fleet: &Fleet,
        leases: &[Opened],
        faults: &Faults,
    ) -> Result<Self> {
        let machines = fleet.machines_as_listed(stage).await?;
        let stays = |place: &Place| !faults.forfeited.contains(place) && !faults.dark.contains(place);
        let runs = |lease: &&Opened| matches!(lease.course, Course::Small | Course::Large);
        // Leases may begin in two different rounds; one that begins last runs to the end of the demo.
        let first = leases.iter().filter(runs).map(|lease| lease.begins).max();
        let last = leases.iter().filter(runs).filter(|lease| Some(lease.begins) == first);
        let places = last.flat_map(|lease| lease.slots.iter().map(move |slot| (lease.board, *slot, lease)));
        let (board, slot, lease) = places
            .into_iter()
            .find(|(board, slot, _)| stays(&(board.address, *slot)))
            .context("every leased machine fails; give a smaller --down")?;
        let machine = machines
            .into_iter()
            .find(|machine| machine.board == board.address && machine.slot == u32::from(slot))
            .context("a leased machine is not on its board")?;
        let listed = stage.fetch().board(board.address).await?;
        let account = listed.view()?.slot(slot).context("a leased machine is not on its board")?.supplier;
        let wallet = &fleet.supplier(stage, &account).context("the machine's supplier is unknown")?.wallet;

        let operator = Arc::new(Keypair::new_from_array(random.random()));
        let grant = Grant { wallet: operator.pubkey(), lamports: LAMPORTS, payment: 0, stake: 0 };
        stage.network.fund_all([grant]).await?;
        let create = instruction::create_log(wallet.pubkey(), account, operator.pubkey());
        stage.send("create_log", &by(wallet, vec![create])).await?;
        let lanes = instruction::open_lanes(&board, wallet.pubkey(), account, vec![slot]);
        stage.send("open_lanes", &by(wallet, vec![lanes])).await?;
        let token = token(stage, lease).await?;
        Self::start(stage, machine, operator, account, token).await
    }

    async fn start(
        stage: &Stage,
        machine: Machine,
        operator: Arc<Keypair>,
        supplier: Pubkey,
        token: String,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot create a folder for databases")?;
        let (server, upstream) = inference_server().await?;
        let public = free_address()?;
        let source = format!("http://{public}");
        let (price_in, price_out) = PRICES;
        let model = Model { id: Sha256::digest(MANIFEST).into(), price_in, price_out };
        let settings = Settings {
            database: folder.path().join("receipts.db"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public: Some(public),
            source: source.clone(),
            exposure_limit: 0,
            exposure_per_spender: 0,
            leases: None,
            models: [("demo".to_owned(), Arc::new(model))].into(),
            proxy: Some(ProxySettings::new(
                format!("http://{upstream}").parse().context("an address makes a URL")?,
            )),
        };
        let feed = Feed::new(&Serving { machines: vec![machine.clone()], keepers: None });
        let receipts = Receipts::start(settings, feed.machines(), feed.signable()).await?;
        let chain = ChainSettings {
            watch: WatchSettings {
                rpc: stage.network.rpc_url().to_owned(),
                supplier,
                poll: Duration::from_secs(1),
            },
            operator: Some(SigningKey::from_bytes(operator.secret_bytes())),
            records: RecordSettings {
                headers: folder.path().join("log.db"),
                // All receipts go into one batch, which is sealed at the end of the lease.
                batch: Duration::from_secs(3_600),
                redeem: Duration::from_secs(u64::from(stage.round_secs)),
                redeem_least: 1,
                keep: Duration::MAX,
            },
            priority_fee: 0,
        };
        let leases =
            LeaseWatch::start(chain.watch.clone(), feed.machines(), feed.leases_sender(), Arc::default());
        let store = receipts.store().clone();
        let chain = Chain::start(chain, source, &leases, feed.signable_sender(), store).await?;
        let archive = Archive::start(ArchiveSettings {
            rpc: stage.network.rpc_url().to_owned(),
            db: format!("sqlite:{}", folder.path().join("archive.db").display()),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            logs: vec![address::log(&supplier)],
            allow_private: true,
            poll: NonZeroU32::MIN,
            metrics: None,
            max_log_gib: NonZeroU32::MIN,
            max_gib: NonZeroU32::MIN,
        })
        .await?;
        Ok(Self {
            machine,
            operator,
            supplier,
            server,
            receipts,
            leases,
            chain,
            archive,
            id: None,
            token,
            _folder: folder,
        })
    }

    /// The machine that answers.
    pub fn place(&self) -> Result<Place> {
        self.machine.place().context("no board has the machine's slot")
    }

    /// Sends the requests once the lease has begun; keeps the id of one answer.
    pub async fn ask(&mut self, stage: &Stage) -> Result<()> {
        let url = format!("http://{}/v1/chat/completions", self.receipts.local_addr());
        let client = reqwest::Client::new();
        self.await_lease(stage, &client, &url).await?;
        let bar = stage.progress.begin("a leased machine answers", ANSWERS.into());
        let answers = stream::iter(0..ANSWERS).map(|number| {
            let (client, url, token, bar) = (&client, &url, &self.token, &bar);
            async move {
                let id = ask(client, url, token, number)
                    .await?
                    .context("the lease is over; give longer rounds with --round-secs")?;
                bar.advance();
                anyhow::Ok(id)
            }
        });
        let ids: Vec<String> = answers.buffer_unordered(AT_A_TIME).try_collect().await?;
        let mut id = [0; 32];
        hex::decode_to_slice(&ids[ids.len() / 2], &mut id).context("invalid inference id")?;
        self.id = Some(id);
        bar.end(&format!("{} receipts, each with its answer", ids.len()));
        Ok(())
    }

    /// Waits until the node serves the lease.
    async fn await_lease(&self, stage: &Stage, client: &reqwest::Client, url: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(u64::from(2 * stage.round_secs) + 30);
        while ask(client, url, &self.token, 0).await?.is_none() {
            if Instant::now() > deadline {
                bail!("the node did not see the lease of slot {} in time", self.machine.slot);
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until log and archive have the receipts, then proves one of them from its id, as
    /// `leasehold receipt find` does.
    pub async fn prove(self, stage: &Stage) -> Result<Proved> {
        let id = self.id.context("no request was sent")?;
        let bar = stage.progress.begin("an inference is proved", 1);
        let archive = format!("http://{}", self.archive.local_addr());
        let deadline = Instant::now() + TIMEOUT;
        let (verified, steps) = loop {
            let client = ArchiveClient::new(archive.parse().context("an address makes a URL")?)?;
            let mut steps = Steps::default();
            match Prover::new(stage.network.rpc(), client).prove(id, None, &mut steps).await {
                Err(error) if Instant::now() < deadline => bar.set_message(error.to_string()),
                Err(error) => {
                    steps.fail(&error.to_string());
                    break (false, steps.to_string());
                }
                Ok(_) => break (true, steps.to_string()),
            }
            sleep(POLL).await;
        };
        let lamports_per_inference = self.price(stage).await?;
        bar.end(if verified { "every step holds" } else { "NOT PROVED" });
        self.chain.shutdown().await;
        self.archive.shutdown().await;
        self.receipts.shutdown().await;
        self.leases.shutdown().await;
        self.server.abort();
        Ok(Proved { id: hex::encode(id), verified, lamports_per_inference, steps })
    }

    /// Fees of everything that the operator sent to append receipts, divided by the receipts in the log.
    async fn price(&self, stage: &Stage) -> Result<f64> {
        let log = stage.fetch().log(address::log(&self.supplier)).await?.context("the log is gone")?;
        let receipts = log.account.view()?.0.receipts;
        let left = stage.network.rpc().get_balance(&self.operator.pubkey()).await?;
        // The node's database is new when the lease begins, so that the operator paid for skipping numbers once; and for
        // nothing else.
        let lamports = LAMPORTS.saturating_sub(left).saturating_sub(SKIP_LAMPORTS);
        Ok(lamports as f64 / receipts as f64)
    }
}

/// The token with which a lease's owner calls its machines, as `leasehold lease token` makes it.
async fn token(stage: &Stage, lease: &Opened) -> Result<String> {
    let account = stage.fetch().lease(lease.address).await?.context("the lease is gone")?.account;
    let now = stage.fetch().now().await?;
    let terms = call_token(lease.address, &account, now, u64::MAX)?;
    let key = SigningKey::from_bytes(lease.buyer.secret_bytes());
    Ok(SignedCall::sign(&key, terms.token).encode())
}

/// Sends one request. Returns the id of the inference; `None` if the lease has not begun.
async fn ask(client: &reqwest::Client, url: &str, token: &str, number: u32) -> Result<Option<String>> {
    let body = json!({
        "model": "demo",
        "messages": [{ "role": "user", "content": format!("what is {number} times two?") }],
    });
    let answer =
        client.post(url).bearer_auth(token).json(&body).send().await.context("the node does not answer")?;
    if answer.status() == reqwest::StatusCode::CONFLICT {
        return Ok(None);
    }
    let answer = answer.error_for_status().context("the node refused the request")?;
    let id = answer.headers().get("leasehold-id").context("the answer has no leasehold-id header")?;
    Ok(Some(id.to_str().context("invalid leasehold-id header")?.to_owned()))
}

/// An inference server with the part of OpenAI's API that a model which doubles numbers needs.
async fn inference_server() -> Result<(JoinHandle<()>, SocketAddr)> {
    async fn complete(Json(request): Json<Value>) -> Json<Value> {
        let question = request["messages"][0]["content"].as_str().unwrap_or_default();
        let number = question.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap_or_default();
        let answer = (2 * number).to_string();
        Json(json!({
            "id": format!("chatcmpl-{number}"),
            "object": "chat.completion",
            "created": 0,
            "model": "demo",
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": answer },
                "finish_reason": "stop",
            }],
            "usage": { "prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6 },
        }))
    }
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/v1/chat/completions", post(complete));
    let server = tokio::spawn(async move {
        // Ends with the demo.
        let _ = axum::serve(listener, router).await;
    });
    Ok((server, address))
}

/// A free address: the log must name it before anybody listens there.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot open a port")?;
    Ok(listener.local_addr()?)
}
