//! A network with a keeper, and a supplier's machines with rooms for tenants.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use leasehold::{
    instructions::Machine,
    math::matching::Criteria,
    rules::extend::Allowance,
    state::{Endpoint, LeaseState, Traits},
};
use leasehold_client::{
    BoardRef, MarketRef,
    access::host_alias,
    fetch::Fetch,
    instruction, invariants, listing,
    probe::SigningKey,
    quote::{ANY, quote},
};
use leasehold_keeper::{Keeper, Settings};
use leasehold_localnet::{
    Genesis, Grant, Network, Options, network::sender_options, open_market, program, rooms::Rooms,
};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::{task::JoinSet, time::sleep};

use super::{
    client::{Files, Host, Key, Session, Ssh, limited},
    node::Node,
};

/// Room for whatever must be done in one round; tests move the clock where they would wait.
pub const ROUND_SECS: u32 = 15;
/// Rounds of a lease that does not end by itself.
pub const LONG: u32 = 1_000;
pub const MACHINES: u16 = 3;

pub struct World {
    pub network: Network,
    pub market: MarketRef,
    pub rooms: Rooms,
    pub files: Files,
    supplier: Arc<Keypair>,
    ports: Vec<u16>,
    _keeper: JoinSet<()>,
}

/// An open lease of one machine.
pub struct Lease {
    pub address: Pubkey,
    pub serial: u32,
    pub slot: u16,
    pub owner: Arc<Keypair>,
    /// Unix second at which it begins.
    pub begins: i64,
}

pub fn key(slot: u16) -> SigningKey {
    SigningKey::from_bytes(&[u8::try_from(slot).unwrap() + 1; 32])
}

/// Machine 1 has an IPv6 address, if this host has one.
fn ip(slot: u16) -> IpAddr {
    let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
    if slot == 1 && TcpListener::bind((v6, 0)).is_ok() { v6 } else { Ipv4Addr::LOCALHOST.into() }
}

/// A port that was free a moment ago.
fn port(ip: IpAddr) -> u16 {
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port()
}

impl World {
    /// `None`, told on standard error, if this host can't have rooms.
    pub async fn new() -> Option<Self> {
        let rooms = Rooms::new().inspect_err(|error| eprintln!("not tested: {error}")).ok()?;
        Some(Self::with(rooms).await)
    }

    pub async fn with(rooms: Rooms) -> Self {
        // An end counts as final some hundred blocks later.
        let slot = Duration::from_millis(50);
        let options = Options { program: Some(program().unwrap()), slot, ..Options::default() };
        let network = Network::start(options).await.unwrap();
        let mut genesis = Genesis::new(ROUND_SECS).committee(1, 1);
        genesis.rules.submit_secs = 5;
        let market = open_market(&network, genesis).await.unwrap();
        let [supplier, keeper] = [Arc::new(Keypair::new()), Arc::new(Keypair::new())];
        let ports = (0..MACHINES).map(|slot| port(ip(slot))).collect();
        let mut world =
            Self { network, market, rooms, files: Files::new(), supplier, ports, _keeper: JoinSet::new() };
        world.fund(&world.supplier).await;
        world.fund(&keeper).await;
        let mut settings = Settings {
            take_seat: true,
            bond: true,
            poll: Duration::from_millis(500),
            sender: sender_options(),
            ..Settings::new(world.market.address)
        };
        settings.prober.allow_private = true;
        let keeper = Keeper::new(settings, keeper.insecure_clone(), Arc::clone(world.network.rpc())).unwrap();
        world._keeper.spawn(async move { keeper.run(std::future::pending()).await.unwrap() });
        world.list().await;
        world
    }

    pub fn board(&self) -> BoardRef {
        self.market.board(0)
    }

    pub fn fetch(&self) -> Fetch<'_> {
        Fetch::new(self.network.rpc())
    }

    pub fn endpoint(&self, slot: u16) -> SocketAddr {
        SocketAddr::new(ip(slot), self.ports[usize::from(slot)])
    }

    /// The supplier's account.
    pub fn supplier(&self) -> Pubkey {
        self.market.supplier(&self.supplier.pubkey())
    }

    async fn fund(&self, wallet: &Keypair) {
        let grant = Grant {
            wallet: wallet.pubkey(),
            lamports: 100_000_000_000,
            payment: 1_000_000_000_000,
            stake: 1_000_000_000_000_000,
        };
        self.network.fund(grant).await.unwrap();
    }

    pub async fn wallet(&self) -> Arc<Keypair> {
        let wallet = Arc::new(Keypair::new());
        self.fund(&wallet).await;
        wallet
    }

    pub async fn send(&self, signer: &Arc<Keypair>, instructions: &[Instruction]) {
        self.network.sender().with_payer(signer.clone()).send(instructions, &[]).await.unwrap();
    }

    async fn list(&self) {
        let machine = |slot: u16| {
            let ip = match ip(slot) {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            Machine {
                slot: None,
                node_key: key(slot).verifying_key().to_bytes(),
                traits: Traits { class: 1, gpus: 1, speed: 1, country: 276, region: 1, flags: 0 },
                endpoint: Endpoint { ip: ip.octets(), port: self.endpoint(slot).port().to_le_bytes() },
                price: 3_600_000,
                bond: 0,
                profile: None,
                turnaround: 0,
            }
        };
        let authority = self.supplier.pubkey();
        let stake = self.market.stake_account(&authority);
        let enlist = [
            instruction::register_supplier(&self.market, authority),
            instruction::deposit_stake(&self.market, authority, stake, 500_000_000_000_000),
        ];
        self.send(&self.supplier, &enlist).await;
        let board = self.fetch().board(self.board().address).await.unwrap();
        let view = board.view().unwrap();
        let until = view.header.round_at(self.network.time().await.unwrap()).unwrap() + 10 * LONG;
        let machines: Vec<_> = (0..MACHINES).map(machine).collect();
        for list in listing::list(&self.board(), &view, authority, until, &machines).unwrap() {
            self.send(&self.supplier, &[list]).await;
        }
    }

    /// Leases a machine from the next round on.
    pub async fn open(&self, slot: u16, rounds: u32, key: &Key) -> Lease {
        let owner = self.wallet().await;
        let market = self.fetch().market(self.market.address).await.unwrap().account;
        let criteria = Criteria { allow_unseen: true, ..ANY };
        let others: Vec<_> = (0..MACHINES).filter(|other| *other != slot).collect();
        let board = self.fetch().board(self.board().address).await.unwrap();
        let now = self.network.time().await.unwrap();
        let quoted = quote(&market, &board.view().unwrap(), now, &criteria, 1, rounds, &others).unwrap();
        let mut args = quoted.args(0, owner.pubkey(), u64::MAX, None);
        args.access = Some(key.hash);
        let wallet = self.market.payment_account(&owner.pubkey());
        self.send(&owner, &[instruction::open_lease(&self.board(), owner.pubkey(), wallet, args)]).await;
        let address = self.board().lease(&owner.pubkey(), 0);
        let account = self.account(address).await;
        Lease { address, serial: account.serial, slot, owner, begins: account.begins() }
    }

    pub async fn account(&self, lease: Pubkey) -> leasehold::state::Lease {
        self.fetch().lease(lease).await.unwrap().expect("the lease").account
    }

    /// Unix second at which the lease's machine leaves it.
    pub async fn ends(&self, lease: &Lease) -> i64 {
        let board = self.fetch().board(self.board().address).await.unwrap();
        let view = board.view().unwrap();
        let slot = view.slot(lease.slot).unwrap();
        assert_eq!(slot.lease, lease.serial);
        i64::from(slot.lease_until) * i64::from(ROUND_SECS)
    }

    pub async fn set_access(&self, lease: &Lease, key: &Key, wipe: bool) {
        let owner = lease.owner.pubkey();
        let set = instruction::set_access(owner, lease.address, Some(key.hash), wipe);
        self.send(&lease.owner, &[set]).await;
    }

    /// The lease, as another owner has it.
    pub async fn transfer(&self, lease: &Lease) -> Lease {
        let owner = self.wallet().await;
        let transfer = instruction::transfer_lease(lease.owner.pubkey(), lease.address, owner.pubkey());
        self.send(&lease.owner, &[transfer]).await;
        Lease { owner, ..*lease }
    }

    pub async fn extend(&self, lease: &Lease, rounds: u32) {
        let owner = lease.owner.pubkey();
        let wallet = self.market.payment_account(&owner);
        let allowed = Allowance { max_deposit: u64::MAX, max_leaving: 0 };
        let board = self.board();
        let extend = instruction::extend_lease(&board, owner, owner, lease.address, wallet, rounds, allowed);
        self.send(&lease.owner, &[extend]).await;
    }

    pub async fn cancel(&self, lease: &Lease) {
        let cancel = instruction::cancel_lease(&self.board(), lease.owner.pubkey(), lease.address, vec![]);
        self.send(&lease.owner, &[cancel]).await;
    }

    /// Moves the cluster's clock to a Unix second, unless it is there.
    pub async fn advance_to(&self, time: i64) {
        let now = self.network.time().await.unwrap();
        if let Ok(secs @ 1..) = u64::try_from(time - now) {
            self.network.advance(Duration::from_secs(secs)).await.unwrap();
        }
    }

    /// Waits until keepers have settled the lease.
    pub async fn settled(&self, lease: &Lease) {
        limited(async {
            while self.account(lease.address).await.state != LeaseState::Settled {
                sleep(Duration::from_millis(200)).await;
                // Its last round can be closed once another one has passed.
                let now = self.network.time().await.unwrap();
                self.advance_to(now + 1).await;
            }
        })
        .await;
    }

    /// A client that takes itself to be connected to the lease's machine in an access epoch.
    pub fn ssh(&self, key: &Key, lease: &Lease, epoch: u32) -> Ssh {
        let alias = host_alias(0, lease.serial, epoch, lease.slot, &lease.address);
        let host = Host { slot: lease.slot, alias, node_key: self::key(lease.slot) };
        Ssh::new(&self.files, key, self.endpoint(lease.slot), host)
    }

    /// Logs in as soon as the machine lets the key in.
    pub async fn session(&self, key: &Key, lease: &Lease, epoch: u32) -> Session {
        limited(async {
            while !self.ssh(key, lease, epoch).gets_in().await {
                sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
        self.ssh(key, lease, epoch).session().await
    }

    /// Output of a command on the machine.
    pub async fn run(&self, key: &Key, lease: &Lease, epoch: u32, command: &str) -> String {
        let output = self.ssh(key, lease, epoch).run(command).await;
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn node(&self, name: &str, slots: &[u16], rpc: &str) -> Node {
        Node::start(self, name, slots, rpc)
    }

    pub async fn check(&self) {
        let snapshot = self.fetch().snapshot(&self.market.address).await.unwrap();
        let report = invariants::check(&snapshot);
        assert!(report.is_ok(), "{report:#?}");
    }
}
