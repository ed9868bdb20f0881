//! What the operator can set: flags, each with an environment variable, checked before anything runs.

use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    ops::RangeInclusive,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::Parser;
use leasehold_client::{
    address,
    sender::{Price, SenderOptions},
};
use solana_keypair::{Keypair, read_keypair};
use solana_pubkey::Pubkey;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::prober::ProberConfig;

/// Probes the machines of a market's boards, votes on their uptime, closes rounds and settles leases.
///
/// SIGTERM and SIGINT stop the keeper after the transactions under way. Every flag can be given as an
/// environment variable instead.
#[derive(Clone, Debug, Parser)]
#[command(name = "leasehold-keeper", version)]
pub struct Args {
    /// JSON-RPC of a node of the cluster.
    #[arg(long, value_name = "URL", env = "LEASEHOLD_KEEPER_RPC", default_value = "http://127.0.0.1:8899")]
    pub rpc: String,
    /// The keeper's own keypair, as solana-keygen writes it. Never that of a market's authority.
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_KEEPER_KEYPAIR")]
    pub keypair: Option<PathBuf>,
    /// The market, by number or by address.
    #[arg(long, value_name = "NUMBER|ADDRESS", env = "LEASEHOLD_KEEPER_MARKET")]
    pub market: Option<String>,
    /// Look at these boards only; may be given several times [default: all]
    #[arg(long = "board", value_name = "NUMBER", env = "LEASEHOLD_KEEPER_BOARDS", value_delimiter = ',')]
    pub boards: Vec<String>,
    /// Take a vacant seat of every board that has one.
    #[arg(long, env = "LEASEHOLD_KEEPER_TAKE_SEAT")]
    pub take_seat: bool,
    /// With --take-seat: open the keeper's account and bond what a seat takes out of the wallet's
    /// associated token account.
    #[arg(long, env = "LEASEHOLD_KEEPER_BOND")]
    pub bond: bool,
    /// Close rounds and settle leases also on boards where the keeper has no seat.
    #[arg(long, env = "LEASEHOLD_KEEPER_CRANK")]
    pub crank: bool,
    /// Claim a seat's fees as soon as they are that many base units of the payment mint [default: never]
    #[arg(long, value_name = "AMOUNT", env = "LEASEHOLD_KEEPER_CLAIM_FEES")]
    pub claim_fees: Option<String>,
    /// Keep the signed answers behind the votes in this folder, so that they can be shown later and a
    /// vote survives a restart [default: in memory, until they are voted on]
    #[arg(long, value_name = "FOLDER", env = "LEASEHOLD_KEEPER_EVIDENCE")]
    pub evidence: Option<PathBuf>,
    /// Rounds of each board whose answers are kept there.
    #[arg(long, value_name = "N", env = "LEASEHOLD_KEEPER_EVIDENCE_ROUNDS", default_value = "144")]
    pub evidence_rounds: String,
    /// Probe endpoints in private and loopback networks too: for test networks.
    #[arg(long, env = "LEASEHOLD_KEEPER_ALLOW_PRIVATE")]
    pub allow_private: bool,
    /// Challenges under way at a time, per board.
    #[arg(long, value_name = "N", env = "LEASEHOLD_KEEPER_MAX_IN_FLIGHT", default_value = "2048")]
    pub max_in_flight: String,
    /// Longest time between two looks at the chain, in seconds; short rounds are looked at more often.
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_KEEPER_POLL", default_value = "5")]
    pub poll: String,
    /// The most to pay for a compute unit, in micro-lamports: what others paid lately, up to this.
    #[arg(long, value_name = "MICROLAMPORTS", env = "LEASEHOLD_KEEPER_PRIORITY_FEE", default_value = "0")]
    pub priority_fee: String,
    /// Loopback address on which Prometheus finds /metrics [default: none]
    #[arg(long, value_name = "IP:PORT", env = "LEASEHOLD_KEEPER_METRICS")]
    pub metrics: Option<String>,
    /// Look, plan and act once, and exit: with 1 where a step failed. To vote, a keeper run like this needs
    /// --evidence, and to be run both during a round and after it.
    #[arg(long, env = "LEASEHOLD_KEEPER_ONCE")]
    pub once: bool,
    /// What to log: error, warn, info, debug or trace, or a filter such as leasehold_keeper=debug.
    #[arg(long, value_name = "FILTER", env = "LEASEHOLD_KEEPER_LOG", default_value = "info")]
    pub log: String,
}

/// What a [`Keeper`](crate::Keeper) goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address of the market.
    pub market: Pubkey,
    /// Boards to look at, by number; `None`: all.
    pub boards: Option<BTreeSet<u32>>,
    /// Take a vacant seat of every board that has one.
    pub take_seat: bool,
    /// For that, open the keeper's account and bond stake out of the wallet.
    pub bond: bool,
    /// Close rounds and settle leases also on boards where the keeper has no seat.
    pub crank: bool,
    /// Claim a seat's fees as soon as they are that many payment units.
    pub claim_fees: Option<u64>,
    pub evidence: Option<EvidenceSettings>,
    pub prober: ProberConfig,
    /// Longest time between two looks at the chain.
    pub poll: Duration,
    /// How transactions are sent.
    pub sender: SenderOptions,
    /// Loopback address for metrics.
    pub metrics: Option<SocketAddr>,
}

impl Settings {
    /// A keeper of that market that votes where it holds a seat.
    pub fn new(market: Pubkey) -> Self {
        Self {
            market,
            boards: None,
            take_seat: false,
            bond: false,
            crank: false,
            claim_fees: None,
            evidence: None,
            prober: ProberConfig::default(),
            poll: Duration::from_secs(5),
            sender: SenderOptions::default(),
            metrics: None,
        }
    }
}

/// Where signed answers are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceSettings {
    pub folder: PathBuf,
    /// Rounds of each board.
    pub rounds: usize,
}

/// All that the command line says, checked.
#[derive(Debug)]
pub struct Config {
    pub settings: Settings,
    pub rpc: Url,
    pub keypair: Keypair,
    pub once: bool,
}

/// Why the command line is refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("--keypair is missing: give the file with this keeper's own keypair, as solana-keygen writes it")]
    NoKeypair,
    #[error("cannot read the keypair {path} ({source}): check --keypair and who may read the file")]
    KeypairUnreadable { path: PathBuf, source: io::Error },
    #[error(
        "{path} is not a keypair: it should hold 64 numbers between brackets, as solana-keygen writes them"
    )]
    KeypairMalformed { path: PathBuf },
    #[error("--market is missing: give the market's number or address")]
    NoMarket,
    #[error("--market {0} is neither the number nor the address of a market")]
    Market(String),
    #[error("--rpc {0} is not an address to ask: give one such as https://api.devnet.solana.com")]
    Rpc(String),
    #[error("--board {0} is not a board's number: boards are numbered from 0")]
    Board(String),
    #[error("--bond bonds stake for a seat: give it together with --take-seat")]
    BondWithoutSeat,
    #[error("--{flag} {value} is not {wanted}")]
    Number { flag: &'static str, value: String, wanted: &'static str },
    #[error("--metrics {0} is not an address and a port, such as 127.0.0.1:9464")]
    Metrics(String),
    #[error(
        "--metrics {0} can be reached from outside: metrics are served on loopback only, such as 127.0.0.1:9464"
    )]
    MetricsPublic(SocketAddr),
    #[error(
        "--log {0} is not a filter: give error, warn, info, debug or trace, or one such as leasehold_keeper=debug"
    )]
    Log(String),
}

impl Config {
    /// Checks the command line and reads the keypair.
    ///
    /// # Errors
    /// Any [`SettingsError`].
    pub fn new(args: &Args) -> Result<Self, SettingsError> {
        let settings = args.settings()?;
        let path = args.keypair.as_deref().ok_or(SettingsError::NoKeypair)?;
        Ok(Self { settings, rpc: url(&args.rpc)?, keypair: keypair(path)?, once: args.once })
    }
}

impl Args {
    /// What to log.
    ///
    /// # Errors
    /// [`SettingsError::Log`].
    pub fn filter(&self) -> Result<EnvFilter, SettingsError> {
        EnvFilter::try_new(&self.log).map_err(|_| SettingsError::Log(self.log.clone()))
    }

    fn settings(&self) -> Result<Settings, SettingsError> {
        let market = self.market.as_deref().ok_or(SettingsError::NoMarket)?;
        if self.bond && !self.take_seat {
            return Err(SettingsError::BondWithoutSeat);
        }
        let rounds =
            number("evidence-rounds", &self.evidence_rounds, 2..=usize::MAX, "a number of rounds from 2 up")?;
        let in_flight =
            number("max-in-flight", &self.max_in_flight, 1..=1 << 20, "a number from 1 to 1048576")?;
        let poll = number("poll", &self.poll, 0.1..=3_600.0, "a number of seconds from 0.1 to 3600")?;
        let price =
            number("priority-fee", &self.priority_fee, 0..=u64::MAX, "a number of micro-lamports from 0 up")?;
        let fees = |amount: &String| {
            number("claim-fees", amount, 1..=u64::MAX, "an amount in base units of the payment mint")
        };
        Ok(Settings {
            market: parse_market(market)?,
            boards: boards(&self.boards)?,
            take_seat: self.take_seat,
            bond: self.bond,
            crank: self.crank,
            claim_fees: self.claim_fees.as_ref().map(fees).transpose()?,
            evidence: self.evidence.clone().map(|folder| EvidenceSettings { folder, rounds }),
            prober: ProberConfig { max_in_flight: in_flight, allow_private: self.allow_private },
            poll: Duration::from_secs_f64(poll),
            sender: SenderOptions {
                price: if price == 0 { Price::Fixed(0) } else { Price::Recent { at_most: price } },
                ..SenderOptions::default()
            },
            metrics: self.metrics.as_deref().map(metrics).transpose()?,
        })
    }
}

fn number<T: FromStr + PartialOrd>(
    flag: &'static str,
    value: &str,
    range: RangeInclusive<T>,
    wanted: &'static str,
) -> Result<T, SettingsError> {
    let refuse = || SettingsError::Number { flag, value: value.to_owned(), wanted };
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(refuse)
}

fn parse_market(text: &str) -> Result<Pubkey, SettingsError> {
    // No address is made of digits alone and as short as a number.
    let by_number = text.parse().map(address::market);
    by_number.or_else(|_| text.parse()).map_err(|_| SettingsError::Market(text.to_owned()))
}

fn boards(texts: &[String]) -> Result<Option<BTreeSet<u32>>, SettingsError> {
    let parse = |text: &String| text.parse().map_err(|_| SettingsError::Board(text.clone()));
    let boards: BTreeSet<u32> = texts.iter().map(parse).collect::<Result<_, _>>()?;
    Ok((!boards.is_empty()).then_some(boards))
}

fn metrics(text: &str) -> Result<SocketAddr, SettingsError> {
    let address: SocketAddr = text.parse().map_err(|_| SettingsError::Metrics(text.to_owned()))?;
    if address.ip().to_canonical().is_loopback() {
        Ok(address)
    } else {
        Err(SettingsError::MetricsPublic(address))
    }
}

fn url(text: &str) -> Result<Url, SettingsError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| SettingsError::Rpc(text.to_owned()))
}

fn keypair(path: &Path) -> Result<Keypair, SettingsError> {
    let unreadable = |source| SettingsError::KeypairUnreadable { path: path.to_owned(), source };
    let text = fs::read(path).map_err(unreadable)?;
    let keypair = read_keypair(&mut text.as_slice())
        .map_err(|_| SettingsError::KeypairMalformed { path: path.to_owned() })?;
    if fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(
            "others on this host can open {}, which holds a secret key: chmod 600 it",
            path.display()
        );
    }
    Ok(keypair)
}
