//! `deploy` on a running network: it creates missing accounts, proposes and applies changes, and otherwise does
//! nothing.

use std::{path::PathBuf, time::Duration};

use anchor_lang::Space;
use clap::Parser;
use leasehold::{constants::TIMELOCK_SECS, state::Market};
use leasehold_client::{address, fetch::Fetch};
use leasehold_localnet::{Grant, Network, Options, Program, program};
use leasehold_migrations::{Args, Report, State, deploy};
use leasehold_operate::failure::Failure;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

const MARKET: u64 = 5;
const EXAMPLE: &str = include_str!("../../migrations/example.toml");

struct World {
    network: Network,
    folder: tempfile::TempDir,
    wallet: Pubkey,
}

impl World {
    /// A network without a market, and the wallet that deploys.
    async fn new(program: Option<Program>) -> Self {
        let network = Network::start(Options { program, ..Options::default() }).await.expect("a network");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("config.yml"), "").expect("a file");
        let mut world = World { network, folder, wallet: Pubkey::default() };
        world.wallet = world.wallet("wallet").await;
        world
    }

    /// A new wallet with 10 SOL, and its keypair file.
    async fn wallet(&self, name: &str) -> Pubkey {
        self.wallet_with(name, 10_000_000_000).await
    }

    async fn wallet_with(&self, name: &str, lamports: u64) -> Pubkey {
        let keypair = Keypair::new();
        let bytes = serde_json::to_string(&keypair.to_bytes().to_vec()).expect("JSON");
        std::fs::write(self.path(name), bytes).expect("a file");
        self.fund(keypair.pubkey(), lamports).await;
        keypair.pubkey()
    }

    async fn fund(&self, wallet: Pubkey, lamports: u64) {
        self.network.fund(Grant { wallet, lamports, payment: 0, stake: 0 }).await.expect("funding");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the example with this network's mints, market 5, and `change`.
    fn file(&self, change: impl FnOnce(&mut toml::Table)) {
        let mut file: toml::Table = toml::from_str(EXAMPLE).expect("the example");
        file.insert("id".to_owned(), toml::Value::Integer(5));
        for (name, mint) in
            [("payment_mint", self.network.payment_mint()), ("stake_mint", self.network.stake_mint())]
        {
            file.insert(name.to_owned(), toml::Value::String(mint.to_string()));
        }
        change(&mut file);
        std::fs::write(self.path("market.toml"), file.to_string()).expect("a file");
    }

    fn args(&self, wallet: &str, flags: &[&str]) -> Args {
        let path = |name: &str| self.path(name).to_str().expect("a path").to_owned();
        let [file, keypair, config] = ["market.toml", wallet, "config.yml"].map(path);
        let args = ["deploy", &file, "-u", self.network.rpc_url(), "-k", &keypair, "-C", &config, "--yes"];
        Args::try_parse_from(args.iter().chain(flags)).expect("arguments")
    }

    async fn deploy_as(&self, wallet: &str, flags: &[&str]) -> Result<Report, Failure> {
        let (report, failure) = deploy(&self.args(wallet, flags)).await?;
        failure.map_or(Ok(report), Err)
    }

    async fn deploy(&self, flags: &[&str]) -> Report {
        self.deploy_as("wallet", flags).await.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// All accounts that a deployment can change: the market, its boards, and the wallet that pays fees.
    async fn accounts(&self) -> Vec<Option<(u64, Vec<u8>)>> {
        let market = address::market(MARKET);
        let boards = (0..4).map(|index| address::board(&market, index));
        let mut accounts = Vec::new();
        for address in [market, self.wallet].into_iter().chain(boards) {
            let rpc = self.network.rpc();
            let read = rpc.get_account_with_commitment(&address, rpc.commitment()).await.expect("an answer");
            accounts.push(read.value.map(|account| (account.lamports, account.data)));
        }
        accounts
    }

    /// Fee of the market's leases, in bps.
    async fn fee(&self) -> u16 {
        let market = Fetch::new(self.network.rpc()).market(address::market(MARKET)).await;
        market.expect("the market").account.params.fee_bps
    }

    /// Deploys twice; neither run may send anything.
    async fn deploys_nothing(&self, expected: &[(&str, State)]) {
        self.deploys_nothing_as("wallet", expected).await;
    }

    async fn deploys_nothing_as(&self, wallet: &str, expected: &[(&str, State)]) {
        for _ in 0..2 {
            let before = self.accounts().await;
            let report = self.deploy_as(wallet, &[]).await.unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!(states(&report), expected);
            assert!(report.outcome.transactions.is_empty(), "{report}");
            assert_eq!(self.accounts().await, before);
        }
    }
}

fn states(report: &Report) -> Vec<(&str, State)> {
    report.findings.iter().map(|finding| (finding.what.as_str(), finding.state)).collect()
}

fn set_fee(bps: i64) -> impl FnOnce(&mut toml::Table) {
    move |file| {
        let params = file.get_mut("params").and_then(toml::Value::as_table_mut).expect("a table");
        params.insert("fee_bps".to_owned(), toml::Value::Integer(bps));
    }
}

const PROGRAM: (&str, State) = ("program", State::Unchanged);
const MARKET_FOUND: (&str, State) = ("market", State::Unchanged);
const PARAMS: (&str, State) = ("parameters", State::Unchanged);
const BOARDS: (&str, State) = ("boards", State::Unchanged);

#[tokio::test(flavor = "multi_thread")]
async fn deploy_creates_a_market_once_and_changes_it_after_the_timelock() {
    let world = World::new(Some(program().expect("the program"))).await;
    world.file(|_| ());

    let before = world.accounts().await;
    let created = [
        PROGRAM,
        ("market", State::Created),
        ("parameters", State::Created),
        ("board 0", State::Created),
        ("board 1", State::Created),
    ];
    let dry = world.deploy(&["--dry-run"]).await;
    assert_eq!(states(&dry), created);
    assert!(dry.outcome.transactions.iter().all(|sent| sent.signature.is_none()), "{dry}");
    assert!(dry.to_string().contains("would be created"), "{dry}");
    assert_eq!(world.accounts().await, before, "a dry run changes nothing");

    let first = world.deploy(&[]).await;
    assert_eq!(states(&first), created);
    assert_eq!(first.outcome.transactions.len(), 3);
    world.deploys_nothing(&[PROGRAM, MARKET_FOUND, PARAMS, BOARDS]).await;

    // Another fee and a third board.
    world.file(|file| {
        set_fee(300)(file);
        file.insert("boards".to_owned(), toml::Value::Integer(3));
    });
    let before = world.accounts().await;
    let proposed = [PROGRAM, MARKET_FOUND, ("parameters", State::Proposed), ("board 2", State::Created)];
    let dry = world.deploy(&["--dry-run"]).await;
    assert_eq!(states(&dry), proposed);
    assert!(
        dry.outcome.transactions.iter().all(|sent| sent.compute_units.is_some()),
        "both can be simulated"
    );
    assert_eq!(world.accounts().await, before);
    assert_eq!(states(&world.deploy(&[]).await), proposed);
    world.deploys_nothing(&[PROGRAM, MARKET_FOUND, ("parameters", State::Waiting), BOARDS]).await;

    // Another fee, before the first one is applied.
    world.file(|file| {
        set_fee(310)(file);
        file.insert("boards".to_owned(), toml::Value::Integer(3));
    });
    let replaced = world.deploy(&[]).await;
    assert_eq!(states(&replaced), [PROGRAM, MARKET_FOUND, ("parameters", State::Proposed), BOARDS]);
    assert!(replaced.to_string().contains("instead of those proposed before"), "{replaced}");
    assert_eq!(world.fee().await, 250);
    let timelock = u64::from(*TIMELOCK_SECS.start());
    world.network.advance(Duration::from_secs(timelock - 600)).await.expect("almost two days later");
    world.deploys_nothing(&[PROGRAM, MARKET_FOUND, ("parameters", State::Waiting), BOARDS]).await;
    world.network.advance(Duration::from_secs(600)).await.expect("two days later");
    // Anybody who names the authority may apply the proposed parameters.
    world.wallet("somebody").await;
    let refused = world.deploy_as("somebody", &[]).await.expect_err("a refusal");
    assert_eq!((refused.code(), world.fee().await == 310), (3, false), "{refused}");
    let authority = world.wallet.to_string();
    let applied = world.deploy_as("somebody", &["--authority", &authority]).await.expect("it applies");
    assert_eq!(states(&applied), [PROGRAM, MARKET_FOUND, ("parameters", State::Updated), BOARDS]);
    assert_eq!(world.fee().await, 310);
    world.deploys_nothing(&[PROGRAM, MARKET_FOUND, PARAMS, BOARDS]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deploy_finishes_what_an_earlier_run_left_half_done() {
    let world = World::new(Some(program().expect("the program"))).await;
    world.file(|_| ());
    // Enough for a market and its vault, but not for a board.
    let rpc = world.network.rpc();
    let mut lamports = 2_000_000;
    for bytes in [8 + Market::INIT_SPACE, 165] {
        lamports += rpc.get_minimum_balance_for_rent_exemption(bytes).await.expect("an answer");
    }
    let poor = world.wallet_with("poor", lamports).await;
    let before = world.accounts().await;
    let failure = world.deploy_as("poor", &[]).await.expect_err("it would break off");
    assert!(failure.code() == 3 && failure.to_string().contains("fund it first"), "{failure}");
    assert_eq!(world.accounts().await, before);

    // The state after a run that broke off after its first transaction.
    world.file(|file| {
        file.insert("boards".to_owned(), toml::Value::Integer(0));
    });
    let first = world.deploy_as("poor", &[]).await.expect("the market");
    assert_eq!(first.outcome.transactions.len(), 1);
    world.file(|_| ());
    world.fund(poor, 1_000_000_000).await;
    let rest = world.deploy_as("poor", &[]).await.expect("it goes on");
    let created = [("board 0", State::Created), ("board 1", State::Created)];
    assert_eq!(states(&rest), [&[PROGRAM, MARKET_FOUND, PARAMS], &created[..]].concat());
    world.deploys_nothing_as("poor", &[PROGRAM, MARKET_FOUND, PARAMS, BOARDS]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deploy_fails_when_the_file_asks_for_what_cannot_change() {
    let world = World::new(Some(program().expect("the program"))).await;
    world.file(|_| ());
    world.deploy(&[]).await;
    let before = world.accounts().await;
    let refused = async |wallet: &str, expected: &str| {
        let failure = world.deploy_as(wallet, &[]).await.expect_err("a refusal");
        assert_eq!(failure.code(), 3, "{failure}");
        assert!(failure.to_string().contains(expected), "{failure}");
        assert_eq!(world.accounts().await, before);
    };

    world.wallet("somebody").await;
    world.file(set_fee(300));
    refused("somebody", &format!("its authority is {}", world.wallet)).await;
    world.file(|file| {
        file.insert("boards".to_owned(), toml::Value::Integer(3));
    });
    refused("somebody", &format!("its authority is {}", world.wallet)).await;

    let [payment, stake] = [world.network.payment_mint(), world.network.stake_mint()];
    world.file(|file| {
        file.insert("payment_mint".to_owned(), toml::Value::String(stake.to_string()));
        file.insert("stake_mint".to_owned(), toml::Value::String(payment.to_string()));
    });
    refused("wallet", &format!("payment_mint is {payment}, not {stake}; stake_mint is")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deploy_fails_when_the_program_is_not_the_committed_one() {
    let mut other = program().expect("the program");
    // It works, but differs from the committed program.
    other.bytes.push(1);
    let world = World::new(Some(other)).await;
    world.file(|_| ());
    let failure = world.deploy_as("wallet", &[]).await.expect_err("a refusal");
    assert_eq!(failure.code(), 3, "{failure}");
    let command = format!(
        "solana program deploy --url {}/ --program-id {} --upgrade-authority <KEYPAIR OF {}> ",
        world.network.rpc_url(),
        leasehold::ID,
        world.network.payer().pubkey()
    );
    assert!(failure.to_string().contains(&command), "{failure}");
    let deployed = world.deploy(&["--any-program"]).await;
    assert_eq!(deployed.outcome.transactions.len(), 3);

    let bare = World::new(None).await;
    bare.file(|_| ());
    let failure = bare.deploy_as("wallet", &["--any-program"]).await.expect_err("a refusal");
    assert!(failure.code() == 3 && failure.to_string().contains("is not on this cluster"), "{failure}");
}
