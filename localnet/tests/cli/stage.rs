//! A local network for the command line; the test controls its clock and its only keeper.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use leasehold_client::{
    BoardRef, MarketRef,
    fetch::{Fetch, FetchedBoard},
    instruction,
    rounds::{bitmap, round_at},
};
use leasehold_localnet::{Genesis, Grant, Network, Options, open_market, program};
use sha2::{Digest, Sha256};
use solana_instruction::Instruction;
use solana_keypair::{Keypair, write_keypair_file};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use trycmd::{TestCases, schema::Bin};

/// Start of every test, so that rounds and times are the same in every run: 2030-01-01T00:00:00Z.
const BEGIN: i64 = 1_893_456_000;
/// Default length of a round in seconds.
const ROUND_SECS: u32 = 600;
/// Name of the keeper that votes.
pub const CLERK: &str = "clerk";
/// Second of a round at which transcripts start; they must end within the same round.
const WITHIN: i64 = 5;

pub struct Stage {
    pub network: Network,
    pub market: MarketRef,
    round_secs: u32,
    /// Holds the first seat of board 0, and of others that it was given.
    keeper: Arc<Keypair>,
    folder: tempfile::TempDir,
}

/// Keypair of a person, the same in every run.
pub fn wallet(name: &str) -> Keypair {
    Keypair::new_from_array(Sha256::digest(name).into())
}

/// Path of a binary that cargo built beside this test; `cargo xtask test` builds the whole workspace.
pub fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("this test's path");
    let folder = test.parent().and_then(Path::parent).expect("the folder above `deps`");
    let binary = folder.join(name);
    assert!(binary.is_file(), "{} does not exist; run `cargo build --workspace`", binary.display());
    binary
}

async fn set_clock(network: &Network, time: i64) {
    let now = network.time().await.expect("the time");
    let by = u64::try_from(time - now)
        .expect("the clock cannot go back; did a transcript take longer than a round?");
    network.advance(Duration::from_secs(by)).await.expect("the clock");
}

impl Stage {
    /// A network with market 1, board 0 with one seat, and funded wallets for `people`.
    pub async fn new(people: &[&str]) -> Self {
        Self::with_rounds(ROUND_SECS, people).await
    }

    /// The same with rounds of `round_secs`.
    pub async fn with_rounds(round_secs: u32, people: &[&str]) -> Self {
        Self::with_genesis(Genesis::new(round_secs).committee(1, 1), people).await
    }

    /// The same with a market of the caller's choice. The clerk holds the first seat of its board 0.
    pub async fn with_genesis(genesis: Genesis, people: &[&str]) -> Self {
        let round_secs = genesis.rules.round_secs;
        let payer = Some(wallet("authority"));
        let options = Options { program: Some(program().expect("the program")), payer, ..Options::default() };
        let network = Network::start(options).await.expect("a network");
        set_clock(&network, BEGIN + WITHIN).await;
        let market = open_market(&network, genesis).await.expect("a market");
        let keeper = Arc::new(wallet(CLERK));
        let folder = tempfile::tempdir().expect("a folder");
        let stage = Self { network, market, round_secs, keeper, folder };
        for name in ["authority", CLERK] {
            stage.save(name);
        }
        for name in people.iter().copied() {
            stage.fund(name).await;
        }
        stage.keep().await;
        stage
    }

    /// Gives a person 100 SOL, 1,000 payment tokens and 100,000 stake tokens.
    async fn fund(&self, name: &str) {
        self.save(name);
        let (lamports, payment, stake) = (100_000_000_000, 1_000_000_000, 100_000_000_000_000);
        let grant = Grant { wallet: wallet(name).pubkey(), lamports, payment, stake };
        self.network.fund(grant).await.expect("funding");
    }

    fn save(&self, name: &str) {
        write_keypair_file(&wallet(name), self.keypair(name)).expect("a keypair file");
    }

    pub fn keypair(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.json"))
    }

    /// Registers the keeper and takes the seat.
    async fn keep(&self) {
        let key = self.keeper.pubkey();
        let stake = 5_000_000_000_000;
        let grant = Grant { wallet: key, lamports: 10_000_000_000, payment: 0, stake };
        self.network.fund(grant).await.expect("funding");
        let tokens = self.market.stake_account(&key);
        self.send(&[
            instruction::register_keeper(&self.market, key),
            instruction::deposit_bond(&self.market, key, tokens, stake),
            instruction::take_seat(&self.board(), key, 0),
        ])
        .await;
    }

    /// Has the keeper take the first seat of another board.
    pub async fn keep_on(&self, board: &BoardRef) {
        let (key, stake) = (self.keeper.pubkey(), 5_000_000_000_000);
        self.network.fund(Grant { wallet: key, lamports: 0, payment: 0, stake }).await.expect("funding");
        let tokens = self.market.stake_account(&key);
        self.send(&[
            instruction::deposit_bond(&self.market, key, tokens, stake),
            instruction::take_seat(board, key, 0),
        ])
        .await;
    }

    async fn send(&self, instructions: &[Instruction]) {
        let sender = self.network.sender().with_payer(self.keeper.clone());
        sender.send(instructions, &[]).await.expect("it takes effect");
    }

    pub fn board(&self) -> BoardRef {
        self.market.board(0)
    }

    pub fn fetch(&self) -> Fetch<'_> {
        Fetch::new(self.network.rpc())
    }

    pub async fn round(&self) -> u32 {
        // The rounds of board 0 begin with the Unix time.
        round_at(self.round_secs, 0, self.network.time().await.expect("the time"))
    }

    /// Skips `rounds` rounds without votes.
    pub async fn pass(&self, rounds: u32) {
        let start = i64::from(self.round().await + rounds) * i64::from(self.round_secs);
        set_clock(&self.network, start + WITHIN).await;
    }

    /// Skips `rounds` rounds, and votes on each that all machines were up, except those of board 0 in the slots `down`; on the
    /// boards where the keeper has a seat.
    pub async fn vote(&self, rounds: u32, down: &[u16]) {
        for _ in 0..rounds {
            self.pass(1).await;
            for board in self.fetch().boards(&self.market.address).await.expect("the boards") {
                self.vote_on(&board, down).await;
            }
        }
    }

    async fn vote_on(&self, fetched: &FetchedBoard, down: &[u16]) {
        let (board, view) =
            (fetched.board_ref(&self.market).expect("a board"), fetched.view().expect("a board"));
        let key = self.keeper.pubkey();
        let Some((seat, _)) = view.seat_of(&key) else { return };
        let now = self.network.time().await.expect("the time");
        let ended = view.header.round_at(now).expect("a round") - 1;
        let close = instruction::close_round(&board);
        if view.header.next_round < ended {
            self.send(std::slice::from_ref(&close)).await;
        }
        let bits = bitmap(view.header.slots, |slot| board.index != 0 || !down.contains(&slot));
        let vote = instruction::submit_round(&board, key, seat, ended, [0; 32], bits);
        self.send(&[vote, close]).await;
    }

    /// Closes the rounds of a board without votes.
    pub async fn close_rounds(&self, board: &BoardRef) {
        self.send(&[instruction::close_round(board)]).await;
    }

    /// Environment of the command line for a person.
    pub fn env(&self, name: &str) -> [(&'static str, String); 4] {
        let home = self.folder.path().join(format!("home-{name}"));
        let config = home.join(".config/solana/cli");
        fs::create_dir_all(&config).expect("a folder");
        // Solana's own configuration file, so that every test reads it.
        let file = format!(
            "---\njson_rpc_url: {}\nwebsocket_url: ''\nkeypair_path: {}\ncommitment: confirmed\n",
            self.network.rpc_url(),
            self.keypair(name).display()
        );
        fs::write(config.join("config.yml"), file).expect("a file");
        [
            ("HOME", home.display().to_string()),
            ("LEASEHOLD_MARKET", "1".to_owned()),
            ("NO_COLOR", "1".to_owned()),
            ("COLUMNS", "120".to_owned()),
        ]
    }

    /// Plays a transcript: output and exit codes of its commands must be as it shows.
    pub fn play(&self, transcript: &str, name: &str) {
        let transcripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/transcripts");
        let path = transcripts.join(transcript).with_extension("md");
        assert!(path.is_file(), "{} is missing", path.display());

        self.play_file(&path, name);
    }

    pub fn play_file(&self, path: &Path, name: &str) {
        // The network answers on other threads of this runtime.
        tokio::task::block_in_place(|| {
            let cases = TestCases::new();
            cases.case(path).timeout(Duration::from_secs(300));
            for name in ["leasehold", "deploy"] {
                cases.register_bin(name, Bin::Path(binary(name)));
            }
            cases.register_bin("export", Bin::Ignore);
            for (key, value) in self.env(name) {
                cases.env(key, value);
            }
            cases.run();
        });
    }

    pub fn address(&self, name: &str) -> Pubkey {
        wallet(name).pubkey()
    }
}
