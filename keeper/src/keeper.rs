//! The circle: look, plan, act.

mod answers;
mod work;

pub use work::Report;

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use leasehold_client::{
    probe::SigningKey,
    sender::{AnySigner, Sender},
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
    metrics::{self, Metrics, Outcome},
    planner::{Advice, Plan, Policy, plan},
    prober::Prober,
    settings::Settings,
    snapshot::{ReadError, Reader, Snapshot},
    tasks::Tools,
    troubles::{Troubles, pause},
};
use work::Work;

/// Shortest time between two looks.
const BREATH: Duration = Duration::from_millis(250);
/// Looks in each round at least.
const LOOKS: u32 = 20;
/// How long a keeper that stops waits for its last transactions.
const FAREWELL: Duration = Duration::from_secs(30);
/// The longest that a keeper which runs once probes.
const PROBE_ONCE: Duration = Duration::from_secs(60);

/// Why a keeper does not run. What goes wrong while it runs is logged and tried again.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{key} is the market's authority: give the keeper a key of its own with --keypair")]
    MarketAuthority { key: Pubkey },
    #[error("cannot keep evidence in {folder} ({source}): check --evidence and who may write there")]
    Evidence { folder: PathBuf, source: io::Error },
    #[error("cannot serve metrics on {address} ({source}): choose another --metrics")]
    Metrics { address: SocketAddr, source: io::Error },
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
    listener: Option<TcpListener>,
    reports: Option<mpsc::UnboundedSender<Report>>,
    troubles: Troubles<Trouble>,
    advised: HashSet<Advice>,
    /// Seats at the last look, by board.
    seats: HashMap<Pubkey, u8>,
}

/// What can go wrong again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Trouble {
    Look,
    Evidence,
    /// Of a board's machines.
    Hearing(Pubkey),
    Chore(Chore),
}

impl Keeper {
    /// A keeper with its own keypair. Opens the folder for evidence and the port for metrics, and asks the
    /// RPC node nothing yet.
    ///
    /// # Errors
    /// [`KeeperError::Evidence`] and [`KeeperError::Metrics`].
    pub fn new(settings: Settings, keypair: Keypair, rpc: Arc<RpcClient>) -> Result<Self, KeeperError> {
        let me = keypair.pubkey();
        let evidence = settings.evidence.map(|evidence| {
            Evidence::new(evidence.folder.clone(), evidence.rounds)
                .map_err(|source| KeeperError::Evidence { folder: evidence.folder, source })
        });
        let listener = settings
            .metrics
            .map(|address| listen(address).map_err(|source| KeeperError::Metrics { address, source }));
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
            metrics: Arc::default(),
            listener: listener.transpose()?,
            reports: None,
            troubles: Troubles::default(),
            advised: HashSet::new(),
            seats: HashMap::new(),
        })
    }

    /// The keeper's wallet.
    pub fn address(&self) -> Pubkey {
        self.me
    }

    /// Where metrics are served, if they are.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// What the keeper counts. It goes on counting while the keeper runs.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Every step from now on, as it ends. The last call counts.
    pub fn reports(&mut self) -> mpsc::UnboundedReceiver<Report> {
        let (reports, receiver) = mpsc::unbounded_channel();
        self.reports = Some(reports);
        receiver
    }

    /// Works until `shutdown` is there, then waits for the transactions under way.
    ///
    /// # Errors
    /// [`KeeperError::Read`] where the first answer of the RPC node says that there is no such market, and
    /// [`KeeperError::MarketAuthority`].
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), KeeperError> {
        let span = tracing::info_span!("keeper", key = %Short(self.me));
        self.go_round(shutdown).instrument(span).await
    }

    /// Looks, plans and acts once, without waiting for anybody's turn.
    ///
    /// # Errors
    /// As [`Keeper::run`], and where the chain can't be read or a step failed.
    pub async fn once(mut self) -> Result<(), KeeperError> {
        // Answers that are not kept would be lost with this process.
        self.policy.probe = self.evidence.is_some();
        self.policy.probe_for = PROBE_ONCE;
        self.policy.turn = Duration::ZERO;
        let span = tracing::info_span!("keeper", key = %Short(self.me));
        self.go_once().instrument(span).await
    }

    async fn go_once(&mut self) -> Result<(), KeeperError> {
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

    async fn go_round(&mut self, shutdown: impl Future<Output = ()>) -> Result<(), KeeperError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut work = Work::default();
        let _metrics = self.serve_metrics();
        let mut known = false;
        loop {
            let look = tokio::select! {
                biased;
                () = &mut shutdown => break,
                look = self.reader.read() => look,
            };
            let wait = match look {
                Ok(snapshot) => {
                    known = true;
                    self.troubles.clear(&Trouble::Look);
                    let plan = self.plan(&snapshot).await?;
                    let wait = self.wait(&snapshot, &plan);
                    self.begin(plan.actions, &mut work);
                    wait
                }
                // A market that was there once is there, whatever a node says that lags behind.
                Err(error @ (ReadError::NoMarket(_) | ReadError::Decode { .. })) if !known => {
                    return Err(error.into());
                }
                Err(error) => {
                    self.metrics.look_failed();
                    pause(self.troubles.note(Trouble::Look, &error))
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some((id, finished)) = work.next() => {
                    self.end(id, finished, &mut work).await;
                    // Others may have ended with it.
                    while let Some((id, finished)) = work.try_next() {
                        self.end(id, finished, &mut work).await;
                    }
                }
                () = sleep(wait) => {}
            }
        }
        work.stop_probes().await;
        info!("stopping after {} transactions under way", work.len());
        let last = async {
            while let Some((id, finished)) = work.next().await {
                self.end(id, finished, &mut work).await;
            }
        };
        if timeout(FAREWELL, last).await.is_err() {
            warn!("stopping without word of the last transactions");
        }
        Ok(())
    }

    /// Plans from a snapshot, and tells what the operator should know of it.
    async fn plan(&mut self, snapshot: &Snapshot) -> Result<Plan, KeeperError> {
        if snapshot.authority == self.me {
            return Err(KeeperError::MarketAuthority { key: self.me });
        }
        self.greet(snapshot).await;
        self.metrics.looked(self.seats.len(), snapshot.lamports, snapshot.now_ms);
        self.memory.observe(snapshot, &self.policy);
        let memory = &self.memory;
        self.troubles.retain(|trouble| match trouble {
            Trouble::Chore(chore) => memory.knows(chore),
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

    /// How long until the next look.
    fn wait(&self, snapshot: &Snapshot, plan: &Plan) -> Duration {
        let rounds = snapshot
            .boards
            .iter()
            .filter(|board| self.policy.crank || self.seats.contains_key(&board.board.address));
        let shortest = rounds.map(|board| board.header.round_secs).min();
        let poll = shortest.map_or(self.poll, |secs| self.poll.min(Duration::from_secs(secs.into()) / LOOKS));
        let now_ms = self.reader.now_ms().unwrap_or(snapshot.now_ms);
        let foreseen =
            plan.wake_ms.map(|wake| Duration::from_millis(wake.saturating_sub(now_ms).max(0).unsigned_abs()));
        foreseen.map_or(poll, |foreseen| poll.min(foreseen)).max(BREATH)
    }

    /// Serves metrics until the returned set is dropped.
    fn serve_metrics(&mut self) -> JoinSet<()> {
        let mut server = JoinSet::new();
        match self.listener.take().map(tokio::net::TcpListener::from_std) {
            Some(Ok(listener)) => drop(server.spawn(metrics::serve(listener, Arc::clone(&self.metrics)))),
            Some(Err(error)) => warn!("no metrics are served: {error}"),
            None => {}
        }
        server
    }
}

/// The metrics' port, for the runtime to take over.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The first characters of an address, which tell keepers of one process apart.
struct Short(Pubkey);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}", self.0.to_string())
    }
}
