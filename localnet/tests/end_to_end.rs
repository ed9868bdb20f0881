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
    error::LeaseholdError,
    instructions::Machine,
    math::matching::Criteria,
    state::{Endpoint, Lease, LeaseState, Market, Slot, SlotState, Traits},
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
/// Number of the lease among those of its buyer.
const NONCE: u64 = 7;
/// Seats, and votes that decide: without one keeper, one can still be missing.
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
        round_at(ROUND_SECS, 0, self.network.time().await.expect("the time"))
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
        let lease = self.fetch().lease_of(&self.board().address, serial).await.expect("an answer");
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
            bond: 0,
            profile: None,
            turnaround: 0,
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
        let state = self.folder.path().join("state");
        args.extend(["--state", state.to_str().expect("a path")]);
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

/// What a machine is paid, what of its pay is burned, and what it loses.
struct Due {
    net: u64,
    fee: u64,
    damages: u64,
    slash: u64,
}

/// The formulas of the design, for a machine that stayed to the end.
fn due(slot: &Slot, bond: u64, lease: &Lease) -> Due {
    let [up, down, unseen] = [slot.lease_up, slot.lease_down, slot.lease_unseen].map(u128::from);
    let (rounds, judged) = (u128::from(ROUNDS), up + down + unseen);
    let gross = |rounds: u128| u128::from(slot.price) * u128::from(ROUND_SECS) * rounds / 3_600;
    // Keepers on a busy machine may vote too late: void rounds count at the machine's own ratio.
    let void = if up > 0 && 2 * judged >= rounds { (rounds - judged) * up / judged } else { 0 };
    let allowed = (rounds * (10_000 - u128::from(lease.terms.sla_bps)) / 10_000).max(1);
    let over = down.saturating_sub(allowed);
    let damages = gross(over).min(gross(up) * u128::from(lease.terms.hold_bps) / 10_000);
    let owed = gross(up + void) - damages;
    let fee = owed * u128::from(lease.terms.fee_bps) / 10_000;
    let three_days = u128::from(3 * 86_400 / ROUND_SECS);
    let slash = u128::from(bond) * over * u128::from(lease.terms.slash_multiplier_bps);
    let slash = slash / (rounds.max(three_days) * 10_000);
    let narrow = |amount: u128| u64::try_from(amount).expect("64 bits");
    Due {
        net: narrow(owed - fee),
        fee: narrow(fee),
        damages: narrow(damages),
        slash: narrow(slash).min(bond),
    }
}

/// Waits until a round has shown which machines answer.
async fn await_seen(world: &World, market: &Market) {
    let lit = u32::from(MACHINES) - DARK.len() as u32;
    let seen = async {
        loop {
            let board = world.fetch().board(world.board().address).await.expect("the board");
            let now = world.network.time().await.expect("the time");
            let quoted =
                |gpus| quote::quote(market, &board.view().expect("a board"), now, &ANY, gpus, ROUNDS, &[]);
            if quoted(lit).is_ok() {
                // Nothing dark is sold.
                assert_eq!(quoted(lit + 1).unwrap_err(), LeaseholdError::NotEnoughGpus.into());
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(TIMEOUT, seen).await.expect("a round shows which machines answer");
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
    let market = world.fetch().market(world.market.address).await.expect("the market").account;
    await_seen(&world, &market).await;
    let board = world.fetch().board(world.board().address).await.expect("the board");
    let view = board.view().expect("a board");
    let now = world.network.time().await.expect("the time");
    // The buyer takes those that don't answer, too.
    let criteria = Criteria { allow_unseen: true, ..ANY };
    let quote = quote::quote(&market, &view, now, &criteria, MACHINES.into(), ROUNDS, &[]).expect("a quote");
    let wallet = world.market.payment_account(&key);
    let args = quote.args(NONCE, key, quote.deposit, None);
    world.send(&buyer, instruction::open_lease(&world.board(), key, wallet, args)).await;
    let address = world.board().lease(&key, NONCE);
    let serial = world.fetch().lease(address).await.expect("an answer").expect("the lease").account.serial;
    let lease = world.lease(serial).await;
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
        while world.lease(serial).await.state != LeaseState::Settled {
            sleep(Duration::from_millis(300)).await;
        }
    };
    timeout(TIMEOUT, settled).await.expect("the other keepers settle the lease");
    for (_, keeper) in keepers {
        keeper.end().await;
    }
    node.end().await;

    let lease = world.lease(serial).await;
    let fetched = world.fetch().board(world.board().address).await.expect("the board");
    let view = fetched.view().expect("a board");
    let votes = |round: u32| view.header.votes[round as usize % 64];
    for round in killed..lease.until {
        assert_eq!(votes(round) >> dead_seat & 1, 0, "a killed keeper voted on round {round}");
    }
    // With three votes or more a round counts.
    let decided =
        (lease.from..lease.until).filter(|round| votes(*round).count_ones() >= u32::from(COMMITTEE.1));
    let decided = u32::try_from(decided.count()).expect("few rounds");
    let (mut paid, mut fees, mut burned, mut slashed) = (0, 0, 0, 0);
    for (index, slot) in view.machines() {
        let dark = DARK.contains(&index);
        let (up, down, unseen) = (slot.lease_up, slot.lease_down, slot.lease_unseen);
        if dark {
            assert_eq!((up, down, unseen), (0, decided, 0), "slot {index}");
        } else {
            // A busy keeper may miss an answer; then the machine is unseen in the round, but never down.
            assert!(up > 0 && down == 0, "slot {index}: {up} up, {down} down of {decided}");
            assert_eq!(up + unseen, decided, "slot {index}");
        }
        let bond = bonds[usize::from(index)];
        let Due { net, fee, damages, slash } = due(slot, bond, &lease);
        assert_eq!((slot.accrued, slot.bond), (net, bond - slash), "slot {index}");
        assert_eq!(slot.is(SlotState::Suspended), dark, "slot {index}");
        paid += net;
        fees += fee;
        burned += damages;
        slashed += slash;
    }
    assert_eq!((lease.paid, lease.fees, lease.burned, lease.slashed), (paid, fees, burned, slashed));
    assert_eq!(lease.refunded, lease.deposit - paid - fees - burned);
    // All that was slashed is burned.
    assert!(paid > 0 && slashed > 0 && view.header.ledger.slashed == slashed);

    // Buyer and supplier claim.
    world.send(&buyer, instruction::claim_refund(&world.board(), key, address, wallet)).await;
    let held = world.fetch().balance(wallet).await.expect("an answer");
    assert_eq!(held, Some(PAYMENT - paid - fees - burned));
    let key = supplier.pubkey();
    let wallet = world.market.payment_account(&key);
    let account = world.market.supplier(&key);
    world.send(&supplier, instruction::claim_earnings(&world.board(), key, account, wallet)).await;
    assert_eq!(world.fetch().balance(wallet).await.expect("an answer"), Some(PAYMENT + paid));

    let snapshot = world.fetch().snapshot(&world.market.address).await.expect("a snapshot");
    let report = invariants::check(&snapshot);
    assert!(report.is_ok() && report.checked > 0, "{report}");
}
