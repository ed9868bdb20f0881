//! Keepers on the local network: they take seats, probe a node over UDP, vote, close rounds and settle leases.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use leasehold::{
    instructions::Machine,
    math::matching::Criteria,
    state::{Endpoint, LeaseState, SlotState, Traits},
};
use leasehold_client::{
    BoardRef, MarketRef,
    fetch::Fetch,
    instruction, invariants, listing,
    probe::{SigningKey, pong_root},
    quote::{self, quote},
    rounds::round_at,
};
use leasehold_keeper::{
    Evidence, EvidenceSettings, Keeper, KeeperError, Outcome, Report, Settings, tasks::Task,
};
use leasehold_localnet::{Genesis, Grant, Network, Options, network::sender_options, open_market, program};
use leasehold_node::{Node, NodeConfig, Serving};
use solana_commitment_config::CommitmentConfig;
use solana_instruction::Instruction;
use solana_keypair::{Keypair, write_keypair_file};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signer::Signer;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

const ROUND_SECS: u32 = 10;
/// Number of a lease among those of its buyer.
const NONCE: u64 = 0;
const MACHINES: u16 = 70;
/// Machines that don't answer, on both sides of a word of the bitmap.
const DARK: [u16; 2] = [3, 69];

struct World {
    network: Network,
    market: MarketRef,
}

impl World {
    async fn new() -> Self {
        Self::at(None).await
    }

    /// On that port.
    async fn at(rpc_port: Option<u16>) -> Self {
        let options = Options { rpc_port, program: Some(program().unwrap()), ..Options::default() };
        let network = Network::start(options).await.unwrap();
        let mut genesis = Genesis::new(ROUND_SECS).committee(3, 2);
        genesis.rules.submit_secs = 5;
        let market = open_market(&network, genesis).await.unwrap();
        Self { network, market }
    }

    fn board(&self) -> BoardRef {
        self.market.board(0)
    }

    fn fetch(&self) -> Fetch<'_> {
        Fetch::new(self.network.rpc())
    }

    async fn wallet(&self) -> Keypair {
        let wallet = Keypair::new();
        let grant = Grant {
            wallet: wallet.pubkey(),
            lamports: 100_000_000_000,
            payment: 1_000_000_000_000,
            stake: 1_000_000_000_000_000,
        };
        self.network.fund(grant).await.unwrap();
        wallet
    }

    async fn send(&self, signer: &Keypair, instructions: &[Instruction]) {
        let payer = Arc::new(signer.insecure_clone());
        self.network.sender().with_payer(payer).send(instructions, &[]).await.unwrap();
    }

    async fn round(&self) -> u32 {
        round_at(ROUND_SECS, 0, self.network.time().await.unwrap())
    }

    /// A supplier's machines, and the node that answers for all but those that are dark.
    async fn machines(&self) -> Node {
        let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        let node = Node::bind(NodeConfig { listen, ..NodeConfig::default() }).await.unwrap();
        let port = node.local_addr().port();
        let key = |slot: u16| SigningKey::from_bytes(&[u8::try_from(slot).unwrap() + 1; 32]);
        let machines: Vec<_> = (0..MACHINES)
            .map(|slot| Machine {
                slot: None,
                node_key: key(slot).verifying_key().to_bytes(),
                traits: Traits { class: 1, gpus: 1, speed: 1, country: 276, region: 1, flags: 0 },
                endpoint: Endpoint {
                    ip: Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(),
                    port: port.to_le_bytes(),
                },
                price: 3_600_000,
                bond: 0,
                profile: None,
                turnaround: 0,
            })
            .collect();

        let supplier = self.wallet().await;
        let authority = supplier.pubkey();
        let stake = self.market.stake_account(&authority);
        self.send(
            &supplier,
            &[
                instruction::register_supplier(&self.market, authority),
                instruction::deposit_stake(&self.market, authority, stake, 500_000_000_000_000),
            ],
        )
        .await;
        let until = self.round().await + 1_000;
        let board = self.fetch().board(self.board().address).await.unwrap();
        let lists =
            listing::list(&self.board(), &board.view().unwrap(), authority, until, &machines).unwrap();
        for list in lists {
            self.send(&supplier, &[list]).await;
        }

        let serve = |slot: u16| leasehold_node::Machine {
            program: leasehold::ID,
            market: self.market.address,
            board: self.board().address,
            slot: slot.into(),
            generation: 0,
            // Some tests move the network's time ahead of this host's.
            round_secs: None,
            key: key(slot),
        };
        let lit = (0..MACHINES).filter(|slot| !DARK.contains(slot)).map(serve).collect();
        node.set_serving(Serving { machines: lit, keepers: None }).unwrap();
        node
    }

    /// Leases everything for some rounds from the next on, also what does not answer. Returns the lease's address.
    async fn lease(&self, rounds: u32) -> Pubkey {
        let buyer = self.wallet().await;
        let board = self.fetch().board(self.board().address).await.unwrap();
        let now = self.network.time().await.unwrap();
        let market = self.fetch().market(self.market.address).await.unwrap().account;
        let criteria = Criteria { allow_unseen: true, ..quote::ANY };
        let view = board.view().unwrap();
        let quote = quote(&market, &view, now, &criteria, MACHINES.into(), rounds, &[]).unwrap();
        let key = buyer.pubkey();
        let args = quote.args(NONCE, key, u64::MAX, None);
        let wallet = self.market.payment_account(&key);
        self.send(&buyer, &[instruction::open_lease(&self.board(), key, wallet, args)]).await;
        self.board().lease(&key, NONCE)
    }

    fn keeper(&self, wallet: Keypair, settings: Settings) -> Running {
        Running::start(Keeper::new(settings, wallet, Arc::clone(self.network.rpc())).unwrap())
    }
}

fn settings(market: Pubkey) -> Settings {
    let mut settings = Settings {
        take_seat: true,
        bond: true,
        poll: Duration::from_millis(500),
        sender: sender_options(),
        ..Settings::new(market)
    };
    settings.prober.allow_private = true;
    settings
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Running {
    fn start(mut keeper: Keeper) -> Self {
        let reports = keeper.reports();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            keeper.run(stopped).await.unwrap();
        });
        Self { stop, task, reports }
    }

    /// Stops the keeper. Returns the steps it did.
    async fn stop(mut self) -> Vec<Report> {
        self.stop.send(()).unwrap();
        timeout(Duration::from_secs(20), self.task).await.expect("it stops").unwrap();
        let mut reports = Vec::new();
        while let Ok(report) = self.reports.try_recv() {
            reports.push(report);
        }
        reports
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keepers_attest_and_settle_a_lease_by_themselves() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let wallets = [world.wallet().await, world.wallet().await, world.wallet().await];
    let (me, first) = (wallets[0].pubkey(), wallets[0].insecure_clone());
    // A proposal to take over the market, which nobody can refuse, must not stop a keeper.
    let authority = world.network.payer();
    let offer = instruction::propose_authority(&world.market, authority.pubkey(), Some(me));
    world.send(authority, &[offer]).await;
    let evidence = EvidenceSettings { folder: folder.path().to_owned(), secs: 86_400 };
    let mut keepers = Vec::new();
    for (index, wallet) in wallets.into_iter().enumerate() {
        let evidence = (index == 0).then(|| evidence.clone());
        keepers.push(world.keeper(wallet, Settings { evidence, ..settings(world.market.address) }));
    }
    let _node = world.machines().await;
    let lease = world.lease(2).await;

    let settled = async {
        loop {
            let state = world.fetch().lease(lease).await.unwrap().unwrap().account.state;
            if state == LeaseState::Settled {
                return;
            }
            sleep(Duration::from_millis(300)).await;
        }
    };
    timeout(Duration::from_secs(90), settled).await.expect("the keepers settle the lease");
    let mut reports = Vec::new();
    for keeper in keepers {
        reports.push(keeper.stop().await);
    }

    let fetched = world.fetch().board(world.board().address).await.unwrap();
    let board = fetched.view().unwrap();
    assert_eq!(board.seats().filter(|(_, seat)| !seat.is_vacant()).count(), 3);
    let lease = world.fetch().lease(lease).await.unwrap().unwrap().account;
    // On a busy host keepers miss rounds. What they vote on is right.
    let votes = |round: u32| board.header.votes[round as usize % 64].count_ones();
    let decided = (lease.from..lease.until).filter(|round| votes(*round) >= 2).count() as u32;
    for (slot, machine) in board.machines() {
        let dark = DARK.contains(&slot);
        if dark {
            assert_eq!((machine.lease_up, machine.lease_down), (0, decided), "slot {slot}");
        } else {
            assert_eq!((machine.lease_up, machine.lease_down), (decided, 0), "slot {slot}");
        }
        // It lost stake for being down all the time.
        assert_eq!(machine.is(SlotState::Suspended), dark && decided == 2, "slot {slot}");
    }
    let lit = u64::from(MACHINES) - DARK.len() as u64;
    if decided == 2 {
        assert_eq!(lease.paid + lease.fees, lit * 2 * 10_000);
        assert_eq!(lease.refunded, DARK.len() as u64 * 2 * 10_000);
    }
    let snapshot = world.fetch().snapshot(&world.market.address).await.unwrap();
    let report = invariants::check(&snapshot);
    assert!(report.is_ok(), "{report:#?}");

    // Nobody is paid out of a slash: all of it waits to be burned.
    assert_eq!(lease.slashed > 0, decided == 2);
    assert_eq!(board.header.ledger.slashed, lease.slashed);
    assert!(snapshot.keepers.iter().all(|(_, keeper)| keeper.stake.free == 0));

    for steps in &reports {
        let failed: Vec<_> = steps.iter().filter(|step| step.outcome == Outcome::Failed).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let done =
            |task| steps.iter().filter(|step| step.task == task && step.outcome == Outcome::Done).count();
        assert_eq!(done(Task::TakeSeat), 1);
        assert!(done(Task::ProbeRound) >= 1, "{steps:#?}");
        let paid = steps.iter().filter_map(|step| step.confirmation.as_ref());
        assert!(paid.clone().count() >= 3 && paid.clone().all(|confirmation| confirmation.cu.is_some()));
    }
    let settled = reports.iter().flatten().filter(|step| step.task == Task::SettleLease);
    assert_eq!(settled.filter(|step| step.outcome == Outcome::Done).count(), 1, "settled once");

    // The evidence matches the vote.
    let (_, seat) = board.seat_of(&me).unwrap();
    let evidence = Evidence::new(evidence.folder, evidence.secs).unwrap();
    if seat.submissions > 0 {
        let kept = evidence.load(&world.board().address, seat.last_round, &me).unwrap().unwrap();
        assert_eq!(kept.answers.len() as u64, lit);
        assert_eq!(pong_root(&kept.answers), seat.pong_root);
    }

    // A day later, a keeper burns what was slashed.
    let supply =
        async || world.network.rpc().get_token_supply(&world.market.stake_mint).await.unwrap().amount;
    let before: u64 = supply().await.parse().unwrap();
    let keeper = world.keeper(first, settings(world.market.address));
    let burned = async {
        loop {
            world.network.advance(Duration::from_secs(86_400)).await.unwrap();
            for _ in 0..20 {
                let board = world.fetch().board(world.board().address).await.unwrap();
                let ledger = board.view().unwrap().header.ledger;
                if ledger.slashed == 0 && ledger.burning == 0 {
                    return;
                }
                sleep(Duration::from_millis(200)).await;
            }
        }
    };
    timeout(Duration::from_secs(90), burned).await.expect("the keeper burns what was slashed");
    keeper.stop().await;
    assert_eq!(supply().await.parse::<u64>().unwrap(), before - lease.slashed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_waits_for_its_rpc_node_and_for_lamports() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rpc = Arc::new(RpcClient::new_with_commitment(
        format!("http://127.0.0.1:{port}"),
        CommitmentConfig::confirmed(),
    ));
    let wallet = Keypair::new();
    let me = wallet.pubkey();
    let market = leasehold_client::address::market(1);
    let keeper = Keeper::new(settings(market), wallet, rpc).unwrap();
    let metrics = Arc::clone(keeper.metrics());
    let mut running = Running::start(keeper);
    let waits = async {
        while metrics.failed_polls() < 2 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), waits).await.expect("it goes on polling");

    let world = World::at(Some(port)).await;
    assert_eq!(world.market.address, market);
    let grant = Grant { wallet: me, lamports: 0, payment: 0, stake: 5_000_000_000_000 };
    world.network.fund(grant).await.unwrap();
    let failure = timeout(Duration::from_secs(60), running.reports.recv()).await.expect("it tries").unwrap();
    assert_eq!((failure.task, failure.outcome), (Task::TakeSeat, Outcome::Failed));
    assert!(failure.text.contains("fund"), "{}", failure.text);

    let grant = Grant { lamports: 1_000_000_000, stake: 0, ..grant };
    world.network.fund(grant).await.unwrap();
    let seated = async {
        while let Some(report) = running.reports.recv().await {
            if report.outcome == Outcome::Done {
                return report.task;
            }
        }
        panic!("it stopped")
    };
    assert_eq!(timeout(Duration::from_secs(60), seated).await.expect("it takes a seat"), Task::TakeSeat);
    running.stop().await;
}

/// A binary that Cargo has built beside this test.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(binary.is_file(), "`cargo build -p {name}` makes {}", binary.display());
    binary
}

/// The keeper as a process.
struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start(world: &World, wallet: &Keypair, folder: &Path, flags: &[&str]) -> Self {
        Self::start_in(&world.market.address, world, wallet, folder, flags)
    }

    fn start_in(market: &Pubkey, world: &World, wallet: &Keypair, folder: &Path, flags: &[&str]) -> Self {
        Self::spawn(world.network.rpc_url(), market, wallet, folder, flags)
    }

    fn spawn(rpc: &str, market: &Pubkey, wallet: &Keypair, folder: &Path, flags: &[&str]) -> Self {
        let keypair: PathBuf = folder.join("keeper.json");
        write_keypair_file(wallet, &keypair).unwrap();
        let mut child = Command::new(binary("leasehold-keeper"))
            .args(["--rpc", rpc, "--market", &market.to_string()])
            .args(["--keypair", keypair.to_str().unwrap(), "--log", "warn"])
            .args(["--state", folder.join("state").to_str().unwrap()])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Exit status and standard error.
    fn end(mut self) -> (ExitStatus, String) {
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap(), stderr)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_process_counts_its_steps_and_stops_on_signals() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let wallet = world.wallet().await;
        let flags = ["--take-seat", "--bond", "--poll=0.5", "--metrics=127.0.0.1:0"];
        let mut process = Process::start(&world, &wallet, folder.path(), &flags);
        assert_eq!(process.line(), format!("keeper {}", wallet.pubkey()));
        let line = process.line();
        let address: SocketAddr = line
            .strip_prefix("metrics on http://")
            .unwrap()
            .strip_suffix("/metrics")
            .unwrap()
            .parse()
            .unwrap();

        let seated = async {
            // The poll may show the seat before the transaction is confirmed.
            let counted = "leasehold_keeper_steps_total{step=\"take_seat\",outcome=\"done\"} 1\n";
            loop {
                let page = scrape(address);
                if page.contains("leasehold_keeper_seats 1\n") && page.contains(counted) {
                    return;
                }
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(Duration::from_secs(60), seated).await.expect("it takes a seat, and counts the step");

        // A terminal that is closed ends nothing.
        process.signal("-HUP");
        let page = scrape(address);
        assert!(page.contains("leasehold_keeper_board_seats{board=\"0\"} 3\n"), "{page}");
        assert!(
            page.contains("leasehold_keeper_missed_rounds_total{board=\"0\",reason=\"busy\"} "),
            "{page}"
        );

        process.signal(signal);
        let (status, said) = process.end();
        assert_eq!(status.code(), Some(0), "{said}");
        assert_eq!(said, "");
    }
}

fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: keeper\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_cannot_work_here_says_why_and_fails() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let payer = world.network.payer();
    let wallet = world.wallet().await;
    let elsewhere = leasehold_client::address::market(999);
    let mint = world.market.stake_mint;
    for (keypair, market, sentence) in [
        (
            &**payer,
            world.market.address,
            format!(
                "{} is the market's authority: give the keeper a key of its own with --keypair",
                payer.pubkey()
            ),
        ),
        (
            &wallet,
            elsewhere,
            format!("there is no market at {elsewhere} on this cluster: check --market and --rpc"),
        ),
        (&wallet, mint, format!("{mint}: ")),
    ] {
        for flags in [&[][..], &["--once"]] {
            let (status, said) = Process::start_in(&market, &world, keypair, folder.path(), flags).end();
            assert_eq!(status.code(), Some(1), "{said}");
            assert!(said.starts_with(&format!("leasehold-keeper: {sentence}")), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_is_started_now_and_then_votes_from_what_it_kept() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let wallet = world.wallet().await;
    let _node = world.machines().await;
    // Its state is kept where every flag is left out, too: see `Process`.
    let flags = ["--once", "--take-seat", "--bond", "--allow-private"];

    let board = world.board().address;
    let voted = async {
        loop {
            let (status, said) = Process::start(&world, &wallet, folder.path(), &flags).end();
            assert_eq!(status.code(), Some(0), "{said}");
            let fetched = world.fetch().board(board).await.unwrap();
            let view = fetched.view().unwrap();
            let (_, seat) = view.seat_of(&wallet.pubkey()).expect("the first time takes a seat");
            if seat.submissions > 0 {
                return seat.pong_root;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    let root = timeout(Duration::from_secs(60), voted).await.expect("it votes");
    assert_ne!(root, [0; 32]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keepers_with_one_key_notice_each_other() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let wallet = world.wallet().await;
    let _node = world.machines().await;

    // On one host, at once.
    let flags = ["--take-seat", "--bond", "--allow-private", "--poll=0.5"];
    let mut first = Process::start(&world, &wallet, folder.path(), &flags);
    first.line();
    let (status, said) = Process::start(&world, &wallet, folder.path(), &flags).end();
    assert_eq!(status.code(), Some(1), "{said}");
    let id = first.child.id();
    let sentence = format!(
        "leasehold-keeper: another leasehold-keeper (process {id}) runs with the key {} on this host: stop it, or give \
         this one a key of its own\n",
        wallet.pubkey()
    );
    assert_eq!(said, sentence);
    first.signal("-TERM");
    assert_eq!(first.end().0.code(), Some(0));

    // On two hosts, by the votes on the chain.
    let mut keepers = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let settings = settings(world.market.address);
        let keeper = Keeper::new(settings, wallet.insecure_clone(), Arc::clone(world.network.rpc())).unwrap();
        keepers.spawn(keeper.run(std::future::pending()));
    }
    let ended = timeout(Duration::from_secs(300), keepers.join_next()).await.expect("one of them stops");
    let error = ended.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, KeeperError::Twin { board: 0, .. }), "{error}");
}
