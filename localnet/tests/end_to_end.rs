//! Keepers and a node as processes, with one keeper killed in mid-lease: payments, refunds and slashes still follow the
//! verdicts to the last unit.

use std::{
    env,
    fmt::Write,
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use leasehold::{
    instructions::Machine,
    state::{Endpoint, Lease, LeaseState, Slot, SlotState, Traits},
};
use leasehold_client::{
    BoardRef, MarketRef, fetch::Fetch, instruction, invariants, listing, probe::SigningKey, quote,
    quote::ANY, rounds::round_at,
};
use leasehold_localnet::{Genesis, Grant, Network, Options, open_market, program};
use solana_instruction::Instruction;
use solana_keypair::{Keypair, write_keypair_file};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::{sleep, timeout};

const ROUND_SECS: u32 = 10;
const ROUNDS: u32 = 4;
const MACHINES: u16 = 40;
/// Slots for which the node does not answer.
const DARK: [u16; 2] = [7, 31];
/// Seats, and equal votes that decide: without one keeper, one can still be missing.
const COMMITTEE: (u8, u8) = (5, 3);
const PAYMENT: u64 = 1_000_000_000_000;
/// Limit for whatever the test waits for; far more than a busy machine needs.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Path of a binary that cargo built beside this test; `cargo xtask test` builds the whole workspace.
fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("this test's path");
    let folder = test.parent().and_then(Path::parent).expect("the folder above `deps`");
    let binary = folder.join(name);
    assert!(binary.is_file(), "{} does not exist; run `cargo build -p {name}`", binary.display());
    binary
}

/// A process that ends with the test.
struct Process {
    child: Child,
    /// The first line that it printed.
    line: String,
}

impl Process {
    async fn start(binary: &Path, args: &[&str]) -> Self {
        let child = Command::new(binary).args(args).stdout(Stdio::piped()).spawn().expect("a process");
        let mut process = Self { child, line: String::new() };
        let stdout = process.child.stdout.take().expect("its output");
        let line = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next());
        let line = timeout(TIMEOUT, line).await.expect("a line in time").expect("a reader");
        process.line = line.expect("a line").expect("text");
        process
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill").success());
    }

    async fn end(mut self) {
        self.signal("-TERM");
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("a status") {
                    return status;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let status = timeout(TIMEOUT, ended).await.expect("it ends after SIGTERM");
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct World {
    network: Network,
    market: MarketRef,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let options = Options { program: Some(program().expect("the program")), ..Options::default() };
        let network = Network::start(options).await.expect("a network");
        let (seats, threshold) = COMMITTEE;
        let genesis = Genesis::new(ROUND_SECS).committee(seats, threshold);
        let market = open_market(&network, genesis).await.expect("a market");
        Self { network, market, folder: tempfile::tempdir().expect("a folder") }
    }

    fn board(&self) -> BoardRef {
        self.market.board(0)
    }

    fn fetch(&self) -> Fetch<'_> {
        Fetch::new(self.network.rpc())
    }

    async fn round(&self) -> u32 {
        round_at(ROUND_SECS, self.network.time().await.expect("the time"))
    }

    async fn await_round(&self, round: u32) {
        let reached = async {
            while self.round().await < round {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(TIMEOUT, reached).await.expect("the clock advances");
    }

    async fn lease(&self, serial: u32) -> Lease {
        let lease = self.fetch().lease(self.board().lease(serial)).await.expect("an answer");
        lease.expect("the lease").account
    }

    async fn wallet(&self) -> Arc<Keypair> {
        let wallet = Arc::new(Keypair::new());
        let grant = Grant {
            wallet: wallet.pubkey(),
            lamports: 10_000_000_000,
            payment: PAYMENT,
            stake: 100_000_000_000_000,
        };
        self.network.fund(grant).await.expect("funding");
        wallet
    }

    async fn send(&self, signer: &Arc<Keypair>, instruction: Instruction) {
        let sender = self.network.sender().with_payer(signer.clone());
        sender.send(&[instruction], &[]).await.expect("it takes effect");
    }

    /// Lists machines that answer at a port, each with a different price. Returns the supplier.
    async fn list(&self, port: u16) -> Arc<Keypair> {
        let supplier = self.wallet().await;
        let key = supplier.pubkey();
        let machine = |slot: u16| Machine {
            slot: None,
            node_key: key_of(slot).verifying_key().to_bytes(),
            traits: Traits { class: 1, gpus: 1, speed: 1, country: 276, region: 2, flags: 0 },
            endpoint: Endpoint {
                ip: Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(),
                port: port.to_le_bytes(),
            },
            price: 999_983 + 10_007 * u64::from(slot),
        };
        let machines: Vec<_> = (0..MACHINES).map(machine).collect();
        self.send(&supplier, instruction::register_supplier(&self.market, key)).await;
        let stake = self.market.stake_account(&key);
        self.send(&supplier, instruction::deposit_stake(&self.market, key, stake, 50_000_000_000_000)).await;
        let board = self.fetch().board(self.board().address).await.expect("the board");
        let until = self.round().await + 1_000;
        let view = board.view().expect("a board");
        for list in listing::list(&self.board(), &view, key, until, &machines).expect("room") {
            self.send(&supplier, list).await;
        }
        supplier
    }

    /// Configures the node to answer for all machines but the dark ones.
    fn configure(&self, node: &Process) {
        let mut text = format!(
            "program = \"{}\"\nmarket = \"{}\"\nboard = \"{}\"\nround_secs = {ROUND_SECS}\n",
            leasehold::ID,
            self.market.address,
            self.board().address
        );
        for slot in (0..MACHINES).filter(|slot| !DARK.contains(slot)) {
            let seed = hex::encode(key_of(slot).to_bytes());
            writeln!(text, "[[machine]]\nslot = {slot}\ngeneration = 0\nseed = \"{seed}\"").expect("text");
        }
        fs::write(self.config(), text).expect("the configuration");
        node.signal("-HUP");
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("node.toml")
    }

    async fn keeper(&self, binary: &Path, wallet: &Keypair) -> Process {
        let file = self.folder.path().join(format!("{}.json", wallet.pubkey()));
        write_keypair_file(wallet, &file).expect("a keypair file");
        let market = self.market.address.to_string();
        let keypair = file.to_str().expect("a path");
        let flags = ["--take-seat", "--bond", "--allow-private", "--poll=0.5", "--log=error"];
        let mut args =
            vec!["--rpc", self.network.rpc_url(), "--market", market.as_str(), "--keypair", keypair];
        args.extend(flags);
        let process = Process::start(binary, &args).await;
        assert_eq!(process.line, format!("keeper {}", wallet.pubkey()));
        process
    }

    async fn await_seats(&self) {
        let seated = async {
            loop {
                let board = self.fetch().board(self.board().address).await.expect("the board");
                if board.view().expect("a board").vacant_seat().is_none() {
                    return;
                }
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(TIMEOUT, seated).await.expect("keepers take every seat");
    }

    /// The seat of a keeper, and the number of its votes.
    async fn seat(&self, keeper: &Pubkey) -> (u8, u32) {
        let board = self.fetch().board(self.board().address).await.expect("the board");
        let (index, seat) = board.view().expect("a board").seat_of(keeper).expect("it has a seat");
        (index, seat.submissions)
    }

    async fn await_vote(&self, keeper: &Pubkey) {
        let voted = async {
            while self.seat(keeper).await.1 == 0 {
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(TIMEOUT, voted).await.expect("the keeper votes");
    }
}

fn key_of(slot: u16) -> SigningKey {
    let mut seed = [0xe2; 32];
    seed[..2].copy_from_slice(&slot.to_le_bytes());
    SigningKey::from_bytes(&seed)
}

/// Net payment, fee and slash of a machine, by the formulas of the design.
fn due(slot: &Slot, bond: u64, lease: &Lease) -> (u64, u64, u64) {
    let (up, down, rounds) = (u128::from(slot.lease_up), u128::from(slot.lease_down), u128::from(ROUNDS));
    let (known, price) = (up + down, u128::from(slot.price) * u128::from(ROUND_SECS));
    // A keeper on a busy machine may vote too late: unknown rounds count at the machine's own ratio.
    let gross = match known {
        0 => 0,
        _ if 2 * known >= rounds => price * rounds * up / (known * 3_600),
        _ => price * up / 3_600,
    };
    let fee = gross * u128::from(lease.terms.fee_bps) / 10_000;
    let allowance = rounds * (10_000 - u128::from(lease.terms.sla_bps)) / 10_000;
    let over = down.saturating_sub(allowance) * u128::from(lease.terms.slash_multiplier_bps);
    let slash = u128::from(bond) * over / (rounds * 10_000);
    let narrow = |amount: u128| u64::try_from(amount).expect("64 bits");
    (narrow(gross - fee), narrow(fee), narrow(slash).min(bond))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_settles_exactly_though_a_keeper_is_killed() {
    let (node, keeper) = (binary("leasehold-node"), binary("leasehold-keeper"));
    let world = World::new().await;

    fs::write(world.config(), "").expect("the configuration");
    let config = world.config();
    let args = ["--config", config.to_str().expect("a path"), "--listen", "127.0.0.1:0", "--log", "error"];
    let node = Process::start(&node, &args).await;
    let address = node.line.strip_prefix("listening on ").expect("an address");
    let address: SocketAddr = address.parse().expect("an address");
    let supplier = world.list(address.port()).await;
    world.configure(&node);

    let mut keepers = Vec::new();
    for _ in 0..COMMITTEE.0 {
        let wallet = world.wallet().await;
        let process = world.keeper(&keeper, &wallet).await;
        keepers.push((wallet.pubkey(), process));
    }
    world.await_seats().await;

    let buyer = world.wallet().await;
    let key = buyer.pubkey();
    let board = world.fetch().board(world.board().address).await.expect("the board");
    let view = board.view().expect("a board");
    let now = world.network.time().await.expect("the time");
    let market = world.fetch().market(world.market.address).await.expect("the market").account;
    let quote = quote::quote(&market, &view, now, &ANY, MACHINES.into(), ROUNDS).expect("a quote");
    let wallet = world.market.payment_account(&key);
    let open = instruction::open_lease(&world.board(), key, wallet, quote.args(quote.deposit, None));
    world.send(&buyer, open).await;
    let lease = world.lease(quote.serial).await;
    assert_eq!((lease.deposit, lease.machines), (quote.deposit, u32::from(MACHINES)));
    let bonds: Vec<_> = view.slots.iter().map(|slot| slot.bond).collect();

    // In mid-lease, after it has voted, and without a chance to clean up.
    let (victim, mut process) = keepers.swap_remove(0);
    world.await_round(lease.from + 1).await;
    world.await_vote(&victim).await;
    process.child.kill().expect("it is killed");
    assert_eq!(process.child.wait().expect("a status").code(), None, "a signal ended it");
    let killed = world.round().await;
    let dead_seat = world.seat(&victim).await.0;

    let settled = async {
        while world.lease(quote.serial).await.state != LeaseState::Settled {
            sleep(Duration::from_millis(300)).await;
        }
    };
    timeout(TIMEOUT, settled).await.expect("the other keepers settle the lease");
    for (_, keeper) in keepers {
        keeper.end().await;
    }
    node.end().await;

    let lease = world.lease(quote.serial).await;
    let fetched = world.fetch().board(world.board().address).await.expect("the board");
    let view = fetched.view().expect("a board");
    let votes = |round: u32| view.header.votes[round as usize % 64];
    for round in killed..lease.until {
        assert_eq!(votes(round) >> dead_seat & 1, 0, "a killed keeper voted on round {round}");
    }
    let decided =
        (lease.from..lease.until).filter(|round| votes(*round).count_ones() >= u32::from(COMMITTEE.1));
    let decided = u32::try_from(decided.count()).expect("few rounds");
    let (mut paid, mut fees, mut slashed) = (0, 0, 0);
    for (index, slot) in view.machines() {
        let dark = DARK.contains(&index);
        let (up, down) = (slot.lease_up, slot.lease_down);
        if dark {
            assert_eq!((up, down), (0, decided), "slot {index}");
        } else {
            // A busy keeper may miss an answer; then the round is unknown for the machine, but never down.
            assert!(
                (1..=decided).contains(&up) && down == 0,
                "slot {index}: {up} up, {down} down of {decided}"
            );
        }
        let bond = bonds[usize::from(index)];
        let (net, fee, slash) = due(slot, bond, &lease);
        assert_eq!((slot.accrued, slot.bond), (net, bond - slash), "slot {index}");
        assert_eq!(slot.is(SlotState::Suspended), dark, "slot {index}");
        paid += net;
        fees += fee;
        slashed += slash;
    }
    assert_eq!((lease.paid, lease.fees, lease.slashed), (paid, fees, slashed));
    assert_eq!(lease.refunded, lease.deposit - paid - fees);
    assert!(
        paid > 0
            && slashed > 0
            && lease.compensation_due == lease.terms.split.of(slashed).expect("parts").buyer
    );

    // Buyer and supplier claim.
    let address = world.board().lease(quote.serial);
    world.send(&buyer, instruction::claim_refund(&world.board(), key, address, wallet)).await;
    let held = world.fetch().balance(wallet).await.expect("an answer");
    assert_eq!(held, Some(PAYMENT - paid - fees));
    let key = supplier.pubkey();
    let wallet = world.market.payment_account(&key);
    let account = world.market.supplier(&key);
    world.send(&supplier, instruction::claim_earnings(&world.board(), key, account, wallet)).await;
    assert_eq!(world.fetch().balance(wallet).await.expect("an answer"), Some(PAYMENT + paid));

    let snapshot = world.fetch().snapshot(&world.market.address).await.expect("a snapshot");
    let report = invariants::check(&snapshot);
    assert!(report.is_ok() && report.checked > 0, "{report}");
}
