//! A local network on which the command line is tried, its clock and its only keeper in the test's hands.

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

/// When every story begins, so that rounds and times are the same in every run: 2030-01-01T00:00:00Z.
const BEGIN: i64 = 1_893_456_000;
/// Seconds of a round where a story doesn't say otherwise.
const ROUND_SECS: u32 = 600;
/// Name of the keeper that votes for a story.
pub const CLERK: &str = "clerk";
/// Where in a round a story goes on: transcripts must end within the same round.
const WITHIN: i64 = 5;

pub struct Stage {
    pub network: Network,
    pub market: MarketRef,
    round_secs: u32,
    /// Has the board's only seat.
    keeper: Arc<Keypair>,
    folder: tempfile::TempDir,
}

/// Somebody's keypair, the same in every run.
pub fn wallet(name: &str) -> Keypair {
    Keypair::new_from_array(Sha256::digest(name).into())
}

/// A binary that cargo has built beside this test: `cargo xtask test` builds all of the workspace.
pub fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("this test's path");
    let folder = test.parent().and_then(Path::parent).expect("the folder above `deps`");
    let binary = folder.join(name);
    assert!(binary.is_file(), "`cargo build --workspace` makes {}", binary.display());
    binary
}

async fn set_clock(network: &Network, time: i64) {
    let now = network.time().await.expect("the time");
    let by = u64::try_from(time - now).expect("a time to come");
    network.advance(Duration::from_secs(by)).await.expect("the clock");
}

impl Stage {
    /// A network with market 1, whose board 0 has one seat, and these people, who have tokens.
    pub async fn new(people: &[&str]) -> Self {
        Self::with_rounds(ROUND_SECS, people).await
    }

    /// The same with rounds of so many seconds.
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

    /// Gives somebody 100 SOL, 1,000 payment tokens and 100,000 stake tokens.
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

    /// Gives the keeper the seat.
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

    async fn data(&self) -> FetchedBoard {
        self.fetch().board(self.board().address).await.expect("the board")
    }

    pub async fn round(&self) -> u32 {
        round_at(self.round_secs, self.network.time().await.expect("the time"))
    }

    /// Lets time pass to so many rounds later, of which nobody votes on any.
    pub async fn pass(&self, rounds: u32) {
        let start = i64::from(self.round().await + rounds) * i64::from(self.round_secs);
        set_clock(&self.network, start + WITHIN).await;
    }

    /// Lets so many rounds go by, and votes that all machines of board 0 were up but these. Nobody votes on
    /// other boards.
    pub async fn vote(&self, rounds: u32, down: &[u16]) {
        for _ in 0..rounds {
            let ended = self.round().await;
            self.pass(1).await;
            let board = self.data().await;
            let header = board.view().expect("a board").header;
            let close = instruction::close_round(&self.board());
            if header.next_round < ended {
                self.send(std::slice::from_ref(&close)).await;
            }
            let bits = bitmap(header.slots, |slot| !down.contains(&slot));
            let key = self.keeper.pubkey();
            let vote = instruction::submit_round(&self.board(), key, 0, ended, [0; 32], bits);
            self.send(&[vote, close]).await;
        }
    }

    /// Closes the rounds of a board that nobody votes on, as far as that is possible now.
    pub async fn close_rounds(&self, board: &BoardRef) {
        self.send(&[instruction::close_round(board)]).await;
    }

    /// The command line as somebody uses it.
    pub fn env(&self, name: &str) -> [(&'static str, String); 4] {
        let home = self.folder.path().join(format!("home-{name}"));
        let config = home.join(".config/solana/cli");
        fs::create_dir_all(&config).expect("a folder");
        // Solana's own file, so that its reading is a part of every story.
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

    /// Plays a transcript: what it shows must be what the commands in it print, and how they end.
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
            cases.case(path).timeout(Duration::from_secs(60));
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
