//! The keeper's loop: poll, plan, act.

mod answers;
mod look;
mod work;

pub use work::Report;

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use leasehold_client::{
    probe::SigningKey,
    sender::{AnySigner, Sender},
};
use leasehold_daemon::{
    backoff::Backoffs,
    metrics::{MetricsError, Page, Server},
    tasks::{TaskEnded, Tasks},
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signer::Signer;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tracing::{Instrument, info, warn};

use crate::{
    evidence::Evidence,
    memory::{Chore, Memory},
    metrics::{Metrics, Outcome},
    planner::{Advice, Policy},
    prober::Prober,
    settings::{EvidenceSettings, Settings},
    snapshot::{ReadError, Reader},
    state::{State, StateError},
    tasks::Tools,
    twin::Votes,
};
use work::Work;

/// Shortest time between two polls.
const MIN_PAUSE: Duration = Duration::from_millis(250);
/// How long a keeper that stops waits for the transactions under way.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time for probing with `--once`.
const PROBE_ONCE: Duration = Duration::from_secs(60);

/// Why a keeper does not run. Failures while it runs are logged and retried.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{key} is the market's authority: give the keeper a key of its own with --keypair")]
    MarketAuthority { key: Pubkey },
    #[error("cannot save evidence in {folder} ({source}): check --evidence and who may write there")]
    Evidence { folder: PathBuf, source: io::Error },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    TaskEnded(#[from] TaskEnded),
    #[error(
        "another process votes with the key {key}: board {board} has a vote on round {round} that this process did not \
         send. It stops, since two of them would only get in each other's way: stop the other one as well, and start one again"
    )]
    Twin { key: Pubkey, board: u32, round: u32 },
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error("{failed} of {steps} steps failed: see the log")]
    Steps { failed: usize, steps: usize },
}

/// One keeper.
pub struct Keeper {
    me: Pubkey,
    policy: Policy,
    poll: Duration,
    reader: Reader,
    memory: Memory,
    tools: Tools,
    /// Keeps answers until they are voted on, or for longer.
    evidence: Option<Evidence>,
    /// Locked while the keeper lives.
    state: Option<State>,
    votes: Votes,
    metrics: Arc<Metrics>,
    metrics_server: Option<Server>,
    reports: Option<mpsc::UnboundedSender<Report>>,
    failures: Backoffs<Operation>,
    /// Advice that was logged.
    advised: HashSet<Advice>,
    /// Seats at the last poll, by board.
    seats: HashMap<Pubkey, u8>,
    /// Seats that anybody held at the last poll, by board.
    held: HashMap<Pubkey, u32>,
    /// Machines that answered with another key in the last round of their board: board and slot.
    other_keys: HashSet<(Pubkey, u32)>,
    /// Length of the market's rounds; 0 before the first poll.
    round_secs: u32,
    /// `None` if the chain can be read.
    unread: Option<look::Unread>,
}

/// An operation that may fail repeatedly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Evidence,
    /// Probing a board.
    Probe(Pubkey),
    Chore(Chore),
}

impl Keeper {
    /// A keeper with its own keypair. Opens the folders for state and evidence and the port for metrics; sends no RPC request
    /// yet.
    ///
    /// # Errors
    /// [`KeeperError::State`], [`KeeperError::Evidence`] and [`KeeperError::Metrics`].
    pub fn new(settings: Settings, keypair: Keypair, rpc: Arc<RpcClient>) -> Result<Self, KeeperError> {
        let me = keypair.pubkey();
        let state = settings.state.map(|folder| State::open(&folder, &me)).transpose()?;
        let kept = state.as_ref().map(|state| EvidenceSettings { folder: state.answers(), secs: 0 });
        let evidence = settings.evidence.or(kept).map(|evidence| {
            Evidence::new(evidence.folder.clone(), evidence.secs)
                .map_err(|source| KeeperError::Evidence { folder: evidence.folder, source })
        });
        let (metrics, page) = (Arc::<Metrics>::default(), Page::default());
        page.add(metrics.clone());
        let metrics_server = settings.metrics.map(|address| Server::bind(address, page)).transpose()?;
        let prober = Prober::new(SigningKey::from_bytes(keypair.secret_bytes()), settings.prober);
        let signer: Arc<AnySigner> = Arc::new(keypair);
        let sender = Sender::with_options(Arc::clone(&rpc), signer, settings.sender);
        Ok(Self {
            me,
            policy: Policy {
                take_seat: settings.take_seat,
                bond: settings.bond,
                crank: settings.crank,
                claim_fees: settings.claim_fees,
                ..Policy::default()
            },
            poll: settings.poll,
            reader: Reader::new(rpc, me, settings.market, settings.boards, settings.crank),
            memory: Memory::default(),
            tools: Tools { me, sender, prober },
            evidence: evidence.transpose()?,
            state,
            votes: Votes::default(),
            metrics,
            metrics_server,
            reports: None,
            failures: Backoffs::default(),
            advised: HashSet::new(),
            seats: HashMap::new(),
            held: HashMap::new(),
            other_keys: HashSet::new(),
            round_secs: 0,
            unread: None,
        })
    }

    /// The keeper's wallet.
    pub fn address(&self) -> Pubkey {
        self.me
    }

    /// Address of the metrics; `None` if they are not served.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_server.as_ref().map(Server::local_addr)
    }

    /// Counters of the keeper.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Receives every step from now on as it ends. A later call ends the channel of an earlier one.
    pub fn reports(&mut self) -> mpsc::UnboundedReceiver<Report> {
        let (reports, receiver) = mpsc::unbounded_channel();
        self.reports = Some(reports);
        receiver
    }

    /// Runs until `shutdown` is ready, then waits for the transactions under way.
    ///
    /// # Errors
    /// [`KeeperError::Read`] if the first answer of the RPC node says that there is no such market, or if the node is of
    /// another cluster; [`KeeperError::MarketAuthority`] and [`KeeperError::Twin`].
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), KeeperError> {
        let span = tracing::info_span!("keeper", key = %Short(self.me));
        self.run_loop(shutdown).instrument(span).await
    }

    /// Polls, plans and acts once, without waiting for its turn.
    ///
    /// # Errors
    /// Those of [`Keeper::run`], and if the chain can't be read or a step failed.
    pub async fn once(mut self) -> Result<(), KeeperError> {
        // Answers that are not saved would be lost with this process.
        self.policy.probe = self.evidence.is_some();
        self.policy.probe_for = PROBE_ONCE;
        self.policy.turn = Duration::ZERO;
        let span = tracing::info_span!("keeper", key = %Short(self.me));
        self.run_once().instrument(span).await
    }

    async fn run_once(&mut self) -> Result<(), KeeperError> {
        let snapshot = self.reader.read_all().await?;
        let plan = self.plan(&snapshot).await?;
        let mut work = Work::default();
        let (steps, mut failed) = (plan.actions.len(), 0usize);
        self.begin(plan.actions, &mut work);
        self.tools.prober.hearing().expect_every(self.poll);
        while work.len() > 0 {
            tokio::select! {
                biased;
                Some((id, finished)) = work.next() => {
                    let outcome = self.end(id, finished, &mut work).await;
                    failed += usize::from(outcome == Outcome::Failed);
                }
                // Shows that this host is not cut off, and what time it is.
                () = sleep(self.poll) => match self.reader.read().await {
                    Ok(_) => self.note_read(),
                    Err(error) => drop(self.note_unread(&error)),
                },
            }
        }
        if failed > 0 { Err(KeeperError::Steps { failed, steps }) } else { Ok(()) }
    }

    async fn run_loop(&mut self, shutdown: impl Future<Output = ()>) -> Result<(), KeeperError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut work = Work::default();
        let (_metrics_stop, metrics) = self.serve_metrics();
        let mut ended = std::pin::pin!(metrics.ended());
        let (mut known, mut end) = (false, Ok(()));
        loop {
            let polled = tokio::select! {
                biased;
                () = &mut shutdown => break,
                polled = self.reader.read() => polled,
            };
            if let Err(replaced) = self.state.as_ref().map_or(Ok(()), State::check) {
                end = Err(replaced.into());
                break;
            }
            let wait = match polled {
                Ok(snapshot) => {
                    known = true;
                    self.note_read();
                    let plan = match self.plan(&snapshot).await {
                        Ok(plan) => plan,
                        Err(error) => {
                            end = Err(error);
                            break;
                        }
                    };
                    let wait = self.wait(&snapshot, &plan);
                    self.begin(plan.actions, &mut work);
                    wait
                }
                Err(error) if error.is_final(known) => {
                    end = Err(error.into());
                    break;
                }
                Err(error) => self.note_unread(&error),
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                ended = &mut ended => {
                    end = Err(ended.into());
                    break;
                }
                Some((id, finished)) = work.next() => {
                    self.end(id, finished, &mut work).await;
                    // Others may have ended as well.
                    while let Some((id, finished)) = work.try_next() {
                        self.end(id, finished, &mut work).await;
                    }
                }
                // The slots of other boards may arrive meanwhile.
                () = async { self.reader.arrived().await; sleep(MIN_PAUSE).await } => {}
                () = sleep(wait) => {}
            }
        }
        work.stop_probes().await;
        info!("stopping: waiting for {} transactions", work.len());
        let last = async {
            while let Some((id, finished)) = work.next().await {
                self.end(id, finished, &mut work).await;
            }
        };
        if timeout(SHUTDOWN_TIMEOUT, last).await.is_err() {
            warn!("stopping before the last transactions are confirmed");
        }
        end
    }

    /// Serves metrics until what it returns is dropped.
    fn serve_metrics(&mut self) -> (watch::Sender<bool>, Tasks) {
        let (stop, stopped) = watch::channel(false);
        let mut server = Tasks::new(stopped);
        if let Some(metrics) = self.metrics_server.take() {
            server.spawn("metrics page", metrics.run());
        }
        (stop, server)
    }
}

/// The first characters of an address, to tell keepers of one process apart.
struct Short(Pubkey);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}", self.0.to_string())
    }
}
