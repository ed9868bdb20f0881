//! A metered lease from its first answer to the last voucher: the node's tasks append what was computed,
//! survive being killed, redeem and answer demands; an archive proves it.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use leasehold::{
    instructions::{Machine, MeterArgs},
    state::{Endpoint, LeaseState, Traits},
};
use leasehold_client::{
    BoardRef, MarketRef, address,
    fetch::Fetch,
    instruction, listing,
    probe::SigningKey,
    quote::{self, ANY},
    record::{Proof, SignedCall, SignedReceipt, SignedVoucher, voucher},
};
use leasehold_localnet::{Genesis, Grant, Network, Options, open_market, program};
use leasehold_node::{
    Serving,
    archive::{Archive, ArchiveSettings},
    chain::{Chain, ChainSettings},
    receipts::{
        Feed, Receipts, Settings,
        store::{BatchState, NewReceipt, Work},
    },
};
use solana_instruction::Instruction;
use solana_keypair::{Keypair, write_keypair_file};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::{sleep, timeout};

const ROUND_SECS: u32 = 10;
const ROUNDS: u32 = 200;
const DEPOSIT: u64 = 1_000_000;
const PRICE: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(60);

fn machine_key() -> SigningKey {
    SigningKey::from_bytes(&[0xa1; 32])
}

fn spender() -> SigningKey {
    SigningKey::from_bytes(&[0xa2; 32])
}

fn operator() -> Keypair {
    Keypair::new_from_array([0xa3; 32])
}

struct World {
    network: Network,
    market: MarketRef,
    supplier: Arc<Keypair>,
    buyer: Arc<Keypair>,
    folder: tempfile::TempDir,
    /// The node's own address, for archives.
    public: std::net::SocketAddr,
}

/// The node's side, as its process has it.
struct Node {
    feed: Feed,
    receipts: Receipts,
    chain: Chain,
}

impl World {
    /// One metered machine, leased.
    async fn new() -> Self {
        let options = Options { program: Some(program().expect("the program")), ..Options::default() };
        let network = Network::start(options).await.expect("a network");
        let market = open_market(&network, Genesis::new(ROUND_SECS)).await.expect("a market");
        let [supplier, buyer] = [Arc::new(Keypair::new()), Arc::new(Keypair::new())];
        let lamports = 10_000_000_000;
        let stake = 50_000_000_000_000;
        let grants = [
            Grant { wallet: supplier.pubkey(), lamports, payment: 0, stake },
            Grant { wallet: buyer.pubkey(), lamports, payment: 2 * DEPOSIT, stake: 0 },
            Grant { wallet: operator().pubkey(), lamports, payment: 0, stake: 0 },
        ];
        network.fund_all(grants).await.expect("funding");
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let public = free.local_addr().expect("its address");
        let folder = tempfile::tempdir().expect("a folder");
        let world = Self { network, market, supplier, buyer, folder, public };
        world.list().await;
        world.open_lease().await;
        world
    }

    fn board(&self) -> BoardRef {
        self.market.board(0)
    }

    fn fetch(&self) -> Fetch<'_> {
        Fetch::new(self.network.rpc())
    }

    fn account(&self) -> Pubkey {
        self.market.supplier(&self.supplier.pubkey())
    }

    fn log(&self) -> Pubkey {
        address::log(&self.account())
    }

    async fn send(&self, signer: &Arc<Keypair>, instructions: &[Instruction]) {
        let sender = self.network.sender().with_payer(signer.clone());
        sender.send(instructions, &[]).await.expect("it takes effect");
    }

    async fn list(&self) {
        let key = self.supplier.pubkey();
        let machine = Machine {
            slot: None,
            node_key: machine_key().verifying_key().to_bytes(),
            traits: Traits { class: 1, gpus: 1, speed: 1, country: 276, region: 2, flags: Traits::METERED },
            endpoint: Endpoint { ip: Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(), port: [1, 1] },
            price: 1_000,
        };
        self.send(&self.supplier, &[instruction::register_supplier(&self.market, key)]).await;
        let stake = self.market.stake_account(&key);
        let deposit = instruction::deposit_stake(&self.market, key, stake, 50_000_000_000_000);
        self.send(&self.supplier, &[deposit]).await;
        let board = self.fetch().board(self.board().address).await.expect("the board");
        let until = self.round().await + 2 * ROUNDS;
        let view = board.view().expect("a board");
        for list in listing::list(&self.board(), &view, key, until, &[machine]).expect("room") {
            self.send(&self.supplier, &[list]).await;
        }
    }

    async fn round(&self) -> u32 {
        u32::try_from(self.network.time().await.expect("the time")).expect("a time") / ROUND_SECS
    }

    async fn open_lease(&self) {
        let board = self.fetch().board(self.board().address).await.expect("the board");
        let now = self.network.time().await.expect("the time");
        let view = board.view().expect("a board");
        let meter = MeterArgs { spender: pubkey(&spender()), deposit: DEPOSIT };
        let quote = quote::quote_metered(&view, now, &ANY, ROUNDS, meter).expect("a quote");
        let args = quote.args(DEPOSIT, None);
        let key = self.buyer.pubkey();
        let wallet = self.market.payment_account(&key);
        self.send(&self.buyer, &[instruction::open_lease(&self.board(), key, wallet, args)]).await;
    }

    async fn open_log(&self) {
        let key = self.supplier.pubkey();
        let create = instruction::create_log(key, self.account(), operator().pubkey());
        let lanes = instruction::open_lanes(&self.board(), key, self.account(), vec![0]);
        self.send(&self.supplier, &[create, lanes]).await;
    }

    /// The node as its process starts it. `headers`: name of the file with the log's headers.
    async fn start(&self, headers: &str) -> Node {
        let at = |name: &str| self.folder.path().join(name);
        let machine = leasehold_node::Machine {
            program: leasehold::ID,
            market: self.market.address,
            board: self.board().address,
            slot: 0,
            generation: 0,
            round_secs: Some(ROUND_SECS),
            key: machine_key(),
        };
        let feed = Feed::new(&Serving { machines: vec![machine], keepers: None });
        let source = format!("http://{}", self.public);
        let settings = Settings {
            database: at("receipts.db"),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            public: Some(self.public),
            source: source.clone(),
            exposure_limit: DEPOSIT,
            leases: None,
            models: Default::default(),
            proxy: None,
        };
        let receipts = Receipts::start(settings, feed.machines(), feed.leases()).await.expect("receipts");
        let chain = ChainSettings {
            rpc: self.network.rpc_url().to_owned(),
            supplier: self.account(),
            operator: SigningKey::from_bytes(operator().secret_bytes()),
            headers: at(headers),
            batch: Duration::from_secs(2),
            redeem: Duration::from_secs(1),
            poll: Duration::from_millis(500),
            priority_fee: 0,
        };
        let (machines, leases) = (feed.machines(), feed.leases_sender());
        let store = receipts.store().clone();
        let chain = Chain::start(chain, source, machines, leases, store).await.expect("the chain's tasks");
        Node { feed, receipts, chain }
    }

    /// Batches in the log, and receipts of them.
    async fn logged(&self) -> (u64, u64) {
        match self.fetch().log(self.log()).await.expect("an answer") {
            Some(log) => {
                let (log, _) = log.account.view().expect("a log");
                (log.batches, log.receipts)
            }
            None => (0, 0),
        }
    }

    async fn await_receipts(&self, receipts: u64) {
        wait(&format!("{receipts} receipts in the log"), async || self.logged().await.1 == receipts).await;
    }

    async fn lease(&self) -> leasehold::state::Lease {
        let lease = self.fetch().lease(self.board().lease(1)).await.expect("an answer");
        lease.expect("the lease").account
    }
}

impl Node {
    /// Signs for so many answers, in turn.
    async fn answer(&self, count: u64) -> Vec<SignedReceipt> {
        let place = *self.feed.leases().borrow().machines.keys().next().expect("a machine");
        let leases = self.feed.leases().borrow().clone();
        let lease = Arc::new(leases.machines[&place].clone().expect("a lease"));
        let machine = self.feed.machines().borrow()[0].clone();
        let mut signed = Vec::new();
        for number in 0..count {
            let end_ms = unix_ms();
            let work = Work {
                model: [1; 32],
                request: [2; 32],
                response: [number as u8; 32],
                units: 50,
                tokens_in: 10,
                tokens_out: 20,
                price: PRICE,
                start_ms: end_ms - 5,
                end_ms,
            };
            let new = NewReceipt { machine: machine.clone(), lease: lease.clone(), work, limit: None };
            signed.extend(self.receipts.store().append(vec![new]).await.expect("a receipt"));
        }
        signed
    }

    /// Has the lease's spender pay for all up to a number.
    async fn pay(&self, world: &World, seq: u64) {
        let lease = world.lease().await;
        let voucher = leasehold::state::Voucher {
            lease: world.board().lease(1).to_bytes(),
            from: lease.from,
            seq,
            units: 50 * seq,
            price: PRICE * seq,
            ..voucher::blank()
        };
        let signed = SignedVoucher::sign(&spender(), voucher);
        self.receipts.store().put_voucher(signed).await.expect("it is kept");
    }

    async fn await_lease(&self) {
        let leases = self.feed.leases();
        let runs = || leases.borrow().machines.values().flatten().any(|lease| lease.runs_at(unix_ms()));
        wait("the lease runs", async || runs()).await;
    }

    /// As a crash would end it: nothing is finished.
    async fn kill(self) {
        drop(self.chain);
        self.receipts.shutdown().await;
    }

    async fn stop(self) {
        self.chain.shutdown().await;
        self.receipts.shutdown().await;
    }
}

async fn wait(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let happens = async {
        while !happened().await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(timeout(PATIENCE, happens).await.is_ok(), "it does not come to pass in time: {what}");
}

fn pubkey(key: &SigningKey) -> Pubkey {
    Pubkey::new_from_array(key.verifying_key().to_bytes())
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("a time")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_computed_is_logged_paid_shown_and_proved() {
    let world = World::new().await;
    let node = world.start("log.db").await;
    node.await_lease().await;
    let mut signed = node.answer(10).await;

    // Without a log nothing is lost: the batches wait.
    let sealed = async || node.receipts.store().batches(BatchState::Sealed).await.expect("batches").len();
    wait("a batch is sealed", async || sealed().await > 0).await;
    world.open_log().await;
    world.await_receipts(10).await;

    // Killed at a bad time: what was sent may have landed.
    for number in 0..3 {
        signed.extend(node.answer(5).await);
        sleep(Duration::from_millis(1_100 + 300 * number)).await;
    }
    node.kill().await;
    let node = world.start("log.db").await;
    node.await_lease().await;
    signed.extend(node.answer(5).await);
    world.await_receipts(30).await;
    assert!(signed.iter().enumerate().all(|(number, signed)| signed.receipt.seq == number as u64));
    let posted = async || node.receipts.store().batches(BatchState::Posted).await.expect("batches");
    let (batches, _) = world.logged().await;
    wait("their places are known", async || posted().await.len() as u64 == batches).await;
    let mut places: Vec<_> = posted().await.iter().map(|batch| batch.log_index.expect("a place")).collect();
    places.sort_unstable();
    assert_eq!(places, (0..batches).collect::<Vec<_>>(), "each once, none left out");

    // Vouchers.
    node.pay(&world, 10).await;
    let paid = async |sum: u64| {
        let lease = world.lease().await;
        lease.paid + lease.fees == sum
    };
    wait("the voucher is redeemed", async || paid(10 * PRICE).await).await;
    node.pay(&world, 30).await;
    wait("the next one is", async || paid(30 * PRICE).await).await;
    assert_eq!(world.lease().await.meter.expect("a meter").seq, 30);

    // Somebody wants to see a receipt; the node has forgotten the log's headers.
    node.stop().await;
    world.network.advance(Duration::from_secs(13 * u64::from(ROUND_SECS))).await.expect("the time");
    let wanted = &signed[17];
    let (lease, id) = (world.board().lease(1), wanted.id());
    demand(&world, wanted).await;
    token(&world).await;
    assert_eq!(world.lease().await.demands, 1);
    let node = world.start("fresh.db").await;
    wait("the demand is answered", async || world.lease().await.demands == 0).await;
    let gone = world.fetch().demand(address::demand(&id)).await.expect("an answer");
    assert!(gone.is_none());

    // An archive that knows nothing but the cluster's address.
    let archive = Archive::start(ArchiveSettings {
        rpc: world.network.rpc_url().to_owned(),
        db: format!("sqlite:{}", world.folder.path().join("archive.db").display()),
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        logs: vec![],
        allow_private: true,
        poll: std::num::NonZeroU32::MIN,
    });
    let archive = archive.await.expect("an archive");
    let account = world.network.rpc().get_account_data(&world.log()).await.expect("the log");
    for signed in [&signed[0], &signed[17], &signed[29]] {
        let proof = prove(&archive, signed).await;
        assert_eq!(proof.verify(&account).expect("it holds").id, signed.id());
        assert_eq!(proof.receipt, *signed);
    }
    command_line(&world, &archive, &signed[0]).await;
    archive.shutdown().await;

    // Notice: the last voucher is redeemed at once.
    node.pay(&world, 31).await;
    wait("the last one is", async || paid(31 * PRICE).await).await;
    let notice = instruction::give_notice(&world.board(), world.buyer.pubkey(), lease, None);
    world.send(&world.buyer, &[notice]).await;
    node.pay(&world, 32).await;
    wait("the last one is redeemed after notice", async || paid(32 * PRICE).await).await;
    assert_eq!(world.lease().await.state, LeaseState::Cancelled);
    node.stop().await;
    assert!(Path::new(&world.folder.path().join("fresh.db")).is_file());
}

/// The command line, as cargo has built it beside this test.
fn binary() -> PathBuf {
    let binary = std::env::current_exe().expect("this test's path");
    let binary = binary.parent().and_then(Path::parent).expect("the folder above `deps`").join("leasehold");
    assert!(binary.is_file(), "`cargo build -p leasehold-cli` makes {}", binary.display());
    binary
}

/// Demands that the machine shows a receipt in the log: `leasehold receipt demand`, as a process.
async fn demand(world: &World, wanted: &SignedReceipt) {
    let [file, wallet] = ["wanted", "buyer.json"].map(|name| world.folder.path().join(name));
    std::fs::write(&file, wanted.to_base64()).expect("a file");
    write_keypair_file(&world.buyer, &wallet).expect("a keypair file");
    let mut command = tokio::process::Command::new(binary());
    command.args(["receipt", "demand", "--market", "1", "--yes", "--url", world.network.rpc_url(), "-k"]);
    let output = command.arg(&wallet).arg(&file).output().await.expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A call token, signed by `leasehold lease token`, as a process.
async fn token(world: &World) {
    let key = Keypair::new_from_array(spender().to_bytes());
    let file = world.folder.path().join("spender.json");
    write_keypair_file(&key, &file).expect("a keypair file");
    let mut command = tokio::process::Command::new(binary());
    command.args(["lease", "token", "0:1", "--market", "1", "--yes", "--url", world.network.rpc_url()]);
    let output = command.arg("--spender-keypair").arg(&file).output().await.expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let signed = SignedCall::decode(text.trim()).expect("a token");
    signed.verify(&pubkey(&spender())).expect("the spender's");
    assert_eq!(signed.token.lease, world.board().lease(1));
}

/// What anybody does who holds an answer: `leasehold receipt verify` and `find`, as processes.
async fn command_line(world: &World, archive: &Archive, signed: &SignedReceipt) {
    let (url, archive) = (world.network.rpc_url(), format!("http://{}", archive.local_addr()));
    let run = async |args: &[&str]| {
        let mut command = tokio::process::Command::new(binary());
        command.args(["--url", url, "--output", "json-compact", "receipt"]).args(args);
        let output = command.args(["--archive", &archive]).output().await.expect("it runs");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), report)
    };
    let file = world.folder.path().join("receipt");
    let write = |signed: &SignedReceipt| std::fs::write(&file, signed.to_base64()).expect("a file");
    let path = file.to_str().expect("a path");
    write(signed);
    let id = hex::encode(signed.id());
    for args in [&["verify", path][..], &["find", &id]] {
        let (code, report) = run(args).await;
        assert_eq!((code, &report["verified"], &report["id"]), (Some(0), &true.into(), &id.as_str().into()));
        assert_eq!(report["machine"]["slot"], signed.receipt.slot);
        assert_eq!(report["supplier"]["wallet"], world.supplier.pubkey().to_string(), "{report}");
    }
    // Another price, signed by the machine, but not what it put on record.
    let forged = leasehold::state::Receipt { price: signed.receipt.price + 1, ..signed.receipt };
    write(&SignedReceipt::sign(&machine_key(), forged));
    assert_eq!(run(&["verify", path]).await.0, Some(1));
    assert_eq!(run(&["find", &"00".repeat(32)]).await.0, Some(1));
}

async fn prove(archive: &Archive, signed: &SignedReceipt) -> Proof {
    let url = format!("http://{}/v1/proofs/{}", archive.local_addr(), hex::encode(signed.id()));
    let mut found = None;
    wait("the archive has the receipt", async || {
        let answer = reqwest::get(&url).await.expect("an answer");
        if answer.status().is_success() {
            found = Some(answer.json::<Proof>().await.expect("a proof"));
        }
        found.is_some()
    })
    .await;
    found.expect("a proof")
}
