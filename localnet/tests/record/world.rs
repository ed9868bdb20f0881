//! One metered machine and its node.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use leasehold::{
    instructions::{Machine, MeterArgs},
    math::matching::Criteria,
    state::{Endpoint, SKIP, Traits},
};
use leasehold_client::{
    BoardRef, MarketRef, address,
    fetch::Fetch,
    instruction, listing,
    probe::SigningKey,
    quote::{self, ANY},
    record::{SignedReceipt, SignedVoucher, cluster, receipt::prefix, voucher},
};
use leasehold_localnet::{Genesis, Grant, Network, Options, open_market, program};
use leasehold_node::{
    Feed, Serving,
    chain::{Chain, ChainSettings, RecordSettings},
    leases::{LeaseWatch, WatchSettings},
    receipts::{
        Receipts, Settings,
        store::{NewReceipt, PARTS, Work},
    },
};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::{sleep, timeout};

pub const ROUND_SECS: u32 = 10;
/// More than four hours: receipts can be demanded after two.
const ROUNDS: u32 = 1_500;
const DEPOSIT: u64 = 1_000_000;
const NONCE: u64 = 1;
pub const PRICE: u64 = 100;
/// Limit for whatever the test waits for; far more than a busy machine needs.
const TIMEOUT: Duration = Duration::from_secs(300);

pub fn machine_key() -> SigningKey {
    SigningKey::from_bytes(&[0xa1; 32])
}

pub fn spender() -> SigningKey {
    SigningKey::from_bytes(&[0xa2; 32])
}

fn operator() -> Keypair {
    Keypair::new_from_array([0xa3; 32])
}

pub struct World {
    pub network: Network,
    pub market: MarketRef,
    pub supplier: Arc<Keypair>,
    pub buyer: Arc<Keypair>,
    pub folder: tempfile::TempDir,
    /// The node's public address, for archives.
    public: std::net::SocketAddr,
}

/// The node's tasks, as its process runs them.
pub struct Node {
    pub feed: Feed,
    pub receipts: Receipts,
    leases: LeaseWatch,
    chain: Chain,
}

impl World {
    /// A network with one metered machine, which is leased.
    pub async fn new() -> Self {
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

    pub fn board(&self) -> BoardRef {
        self.market.board(0)
    }

    pub fn fetch(&self) -> Fetch<'_> {
        Fetch::new(self.network.rpc())
    }

    fn account(&self) -> Pubkey {
        self.market.supplier(&self.supplier.pubkey())
    }

    pub fn log(&self) -> Pubkey {
        address::log(&self.account())
    }

    pub async fn send(&self, signer: &Arc<Keypair>, instructions: &[Instruction]) {
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
            bond: 0,
            profile: None,
            turnaround: 0,
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
        let market = self.fetch().market(self.market.address).await.expect("the market").account;
        // Nobody votes here.
        let criteria = Criteria { allow_unseen: true, ..ANY };
        let quote =
            quote::quote_metered(&market, &view, now, &criteria, ROUNDS, &[], meter).expect("a quote");
        let key = self.buyer.pubkey();
        let args = quote.args(NONCE, key, DEPOSIT, None);
        let wallet = self.market.payment_account(&key);
        self.send(&self.buyer, &[instruction::open_lease(&self.board(), key, wallet, args)]).await;
    }

    pub async fn open_log(&self) {
        let key = self.supplier.pubkey();
        let create = instruction::create_log(key, self.account(), operator().pubkey());
        let lanes = instruction::open_lanes(&self.board(), key, self.account(), vec![0]);
        self.send(&self.supplier, &[create, lanes]).await;
    }

    /// Starts the node. `headers` is the name of the file with the log's headers.
    pub async fn start(&self, headers: &str) -> Node {
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
            exposure_per_spender: DEPOSIT,
            leases: None,
            models: Default::default(),
            proxy: None,
        };
        let receipts = Receipts::start(settings, feed.machines(), feed.signable()).await.expect("receipts");
        let chain = ChainSettings {
            watch: WatchSettings {
                rpc: self.network.rpc_url().to_owned(),
                supplier: self.account(),
                poll: Duration::from_millis(500),
            },
            operator: Some(SigningKey::from_bytes(operator().secret_bytes())),
            records: RecordSettings {
                headers: at(headers),
                batch: Duration::from_secs(2),
                redeem: Duration::from_secs(1),
                redeem_least: 1,
                keep: Duration::MAX,
            },
            priority_fee: 0,
        };
        let leases =
            LeaseWatch::start(chain.watch.clone(), feed.machines(), feed.leases_sender(), Arc::default());
        let (signable, store) = (feed.signable_sender(), receipts.store().clone());
        let chain = Chain::start(chain, source, &leases, signable, store).await.expect("the chain's tasks");
        Node { feed, receipts, leases, chain }
    }

    /// Numbers of batches and receipts in the log.
    pub async fn logged(&self) -> (u64, u64) {
        match self.fetch().log(self.log()).await.expect("an answer") {
            Some(log) => {
                let (log, _) = log.account.view().expect("a log");
                (log.batches, log.receipts)
            }
            None => (0, 0),
        }
    }

    pub async fn await_receipts(&self, receipts: u64) {
        wait(&format!("{receipts} receipts in the log"), async || self.logged().await.1 == receipts).await;
    }

    pub fn lease_address(&self) -> Pubkey {
        self.board().lease(&self.buyer.pubkey(), NONCE)
    }

    pub async fn lease(&self) -> leasehold::state::Lease {
        let lease = self.fetch().lease(self.lease_address()).await.expect("an answer");
        lease.expect("the lease").account
    }

    /// Deletes the node's database.
    pub fn lose_database(&self) {
        for name in ["receipts.db", "receipts.db-wal", "receipts.db-shm"] {
            let path = self.folder.path().join(name);
            assert!(!path.exists() || std::fs::remove_file(path).is_ok());
        }
    }
}

impl Node {
    /// Signs `count` receipts, one after the other.
    pub async fn answer(&self, count: u64) -> Vec<SignedReceipt> {
        let place = *self.feed.signable().borrow().machines.keys().next().expect("a machine");
        let leases = self.feed.signable().borrow().clone();
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
                price: u128::from(PRICE) * u128::from(PARTS),
                start_ms: end_ms - 5,
                end_ms,
            };
            let new = NewReceipt { machine: machine.clone(), lease: lease.clone(), work, limit: None };
            signed.extend(self.receipts.store().append(vec![new]).await.expect("a receipt"));
        }
        signed
    }

    /// Gives the node a voucher for `count` receipts.
    pub async fn pay(&self, world: &World, count: u64) {
        let lease = world.lease().await;
        let genesis = world.fetch().genesis_hash().await.expect("the genesis hash");
        let voucher = leasehold::state::Voucher {
            lease: world.lease_address().to_bytes(),
            cluster: cluster(&genesis),
            node_key: machine_key().verifying_key().to_bytes(),
            supplier: prefix(&world.account()),
            from: lease.from,
            seq: SKIP + count,
            units: 50 * count,
            price: PRICE * count,
            ..voucher::blank()
        };
        let signed = SignedVoucher::sign(&spender(), voucher);
        self.receipts.store().put_voucher(signed).await.expect("it is kept");
    }

    pub async fn await_lease(&self) {
        let leases = self.feed.signable();
        let runs = || leases.borrow().machines.values().flatten().any(|lease| lease.runs_at(unix_ms()));
        wait("the lease runs", async || runs()).await;
    }

    /// Ends it like a crash.
    pub async fn kill(self) {
        drop(self.chain);
        drop(self.leases);
        self.receipts.shutdown().await;
    }

    pub async fn stop(self) {
        self.chain.shutdown().await;
        self.receipts.shutdown().await;
        self.leases.shutdown().await;
    }
}

/// Waits for a condition.
pub async fn wait(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let happens = async {
        while !happened().await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(timeout(TIMEOUT, happens).await.is_ok(), "timeout: {what}");
}

pub fn pubkey(key: &SigningKey) -> Pubkey {
    Pubkey::new_from_array(key.verifying_key().to_bytes())
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("a time")
}
