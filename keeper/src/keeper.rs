//! The keeper's loop: poll, plan, act.

mod answers;
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
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signer::Signer;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{Instrument, info, warn};

use crate::{
    evidence::Evidence,
    memory::{Chore, Memory},
    metrics::{Metrics, Outcome},
    planner::{Advice, Plan, Policy, plan, shared_chores},
    prober::Prober,
    settings::Settings,
    snapshot::{ReadError, Reader, Snapshot},
    tasks::Tools,
};
use work::Work;

/// Shortest time between two polls.
const MIN_PAUSE: Duration = Duration::from_millis(250);
/// Polls in each round at least.
const POLLS_PER_ROUND: u32 = 20;
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
    evidence: Option<Evidence>,
    metrics: Arc<Metrics>,
    metrics_server: Option<Server>,
    reports: Option<mpsc::UnboundedSender<Report>>,
    failures: Backoffs<Operation>,
    /// Advice that was logged.
    advised: HashSet<Advice>,
    /// Seats at the last poll, by board.
    seats: HashMap<Pubkey, u8>,
    /// Length of the market's rounds; 0 before the first poll.
    round_secs: u32,
}

/// An operation that may fail repeatedly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Poll,
    Evidence,
    /// Probing a board.
    Probe(Pubkey),
    Chore(Chore),
}

impl Keeper {
    /// A keeper with its own keypair. Opens the evidence folder and the port for metrics; sends no RPC request yet.
    ///
    /// # Errors
    /// [`KeeperError::Evidence`] and [`KeeperError::Metrics`].
    pub fn new(settings: Settings, keypair: Keypair, rpc: Arc<RpcClient>) -> Result<Self, KeeperError> {
        let me = keypair.pubkey();
        let evidence = settings.evidence.map(|evidence| {
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
            metrics,
            metrics_server,
            reports: None,
            failures: Backoffs::default(),
            advised: HashSet::new(),
            seats: HashMap::new(),
            round_secs: 0,
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
    /// [`KeeperError::Read`] if the first answer of the RPC node says that there is no such market, and
    /// [`KeeperError::MarketAuthority`].
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
        let snapshot = self.reader.read().await?;
        let plan = self.plan(&snapshot).await?;
        let mut work = Work::default();
        let (steps, mut failed) = (plan.actions.len(), 0usize);
        self.begin(plan.actions, &mut work);
        while let Some((id, finished)) = work.next().await {
            let outcome = self.end(id, finished, &mut work).await;
            failed += usize::from(outcome == Outcome::Failed);
        }
        if failed > 0 { Err(KeeperError::Steps { failed, steps }) } else { Ok(()) }
    }

    async fn run_loop(&mut self, shutdown: impl Future<Output = ()>) -> Result<(), KeeperError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut work = Work::default();
        let _metrics = self.serve_metrics();
        let mut known = false;
        loop {
            let polled = tokio::select! {
                biased;
                () = &mut shutdown => break,
                polled = self.reader.read() => polled,
            };
            let wait = match polled {
                Ok(snapshot) => {
                    known = true;
                    self.failures.reset(&Operation::Poll);
                    let plan = self.plan(&snapshot).await?;
                    let wait = self.wait(&snapshot, &plan);
                    self.begin(plan.actions, &mut work);
                    wait
                }
                // Once the market was read, an RPC node that does not find it lags behind.
                Err(error @ (ReadError::NoMarket(_) | ReadError::Decode { .. })) if !known => {
                    return Err(error.into());
                }
                Err(error) => {
                    self.metrics.poll_failed();
                    self.failures.fail(Operation::Poll, &error)
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some((id, finished)) = work.next() => {
                    self.end(id, finished, &mut work).await;
                    // Others may have ended as well.
                    while let Some((id, finished)) = work.try_next() {
                        self.end(id, finished, &mut work).await;
                    }
                }
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
        Ok(())
    }

    /// Plans from a snapshot and logs advice for the operator.
    async fn plan(&mut self, snapshot: &Snapshot) -> Result<Plan, KeeperError> {
        if snapshot.authority == self.me {
            return Err(KeeperError::MarketAuthority { key: self.me });
        }
        self.round_secs = snapshot.round_secs;
        self.note_seats(snapshot).await;
        self.metrics.polled(self.seats.len(), snapshot.lamports, snapshot.now_ms);
        for board in &snapshot.boards {
            if let Some((index, seat)) = board.view().seat_of(&self.me) {
                self.metrics.pay().observe(&board.header, index, seat, &snapshot.params);
            }
        }
        self.memory.observe(snapshot.now_ms, shared_chores(snapshot, &self.policy));
        let memory = &self.memory;
        self.failures.retain(|operation| match operation {
            Operation::Chore(chore) => memory.knows(chore),
            _ => true,
        });
        let plan = plan(snapshot, &self.memory, &self.policy);
        for advice in &plan.advice {
            if !self.advised.contains(advice) {
                warn!("{advice}");
            }
        }
        self.advised = plan.advice.iter().cloned().collect();
        Ok(plan)
    }

    /// How long until the next poll.
    fn wait(&self, snapshot: &Snapshot, plan: &Plan) -> Duration {
        let rounds = snapshot
            .boards
            .iter()
            .filter(|board| self.policy.crank || self.seats.contains_key(&board.board.address));
        let shortest = rounds.map(|board| board.header.round_secs).min();
        let poll = shortest
            .map_or(self.poll, |secs| self.poll.min(Duration::from_secs(secs.into()) / POLLS_PER_ROUND));
        let now_ms = self.reader.now_ms().unwrap_or(snapshot.now_ms);
        let due =
            plan.wake_ms.map(|wake| Duration::from_millis(wake.saturating_sub(now_ms).max(0).unsigned_abs()));
        due.map_or(poll, |due| poll.min(due)).max(MIN_PAUSE)
    }

    /// Serves metrics until the returned set is dropped.
    fn serve_metrics(&mut self) -> JoinSet<()> {
        let mut server = JoinSet::new();
        if let Some(metrics) = self.metrics_server.take() {
            server.spawn(metrics.run());
        }
        server
    }
}

/// The first characters of an address, to tell keepers of one process apart.
struct Short(Pubkey);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}", self.0.to_string())
    }
}
