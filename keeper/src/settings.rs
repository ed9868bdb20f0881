//! Flags, each with an environment variable; checked before anything runs.

use std::{
    collections::BTreeSet, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration,
};

use clap::Parser;
use leasehold::constants::DISPUTE_SECS;
use leasehold_client::{
    address,
    keypair::KeypairError,
    sender::{Price, SenderOptions},
};
use leasehold_daemon::{
    logging::{self, FilterError, LogFormat},
    metrics::{MetricsError, check_loopback},
    secrets::read_keypair,
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::{prober::ProberConfig, state::default_folder};

/// Default of --evidence-hours: the dispute window.
const EVIDENCE_HOURS: u32 = DISPUTE_SECS / 3_600;

/// Probes the machines of a market's boards, votes on their uptime, closes rounds, settles leases, enforces demands and burns
/// what is to be burned.
///
/// SIGTERM and SIGINT stop the keeper after the transactions under way; SIGHUP does nothing. Every flag can be given as an
/// environment variable instead.
#[derive(Clone, Debug, Parser)]
#[command(name = "leasehold-keeper", version)]
pub struct Args {
    /// URL of an RPC node.
    #[arg(long, value_name = "URL", env = "LEASEHOLD_KEEPER_RPC", hide_env_values = true)]
    #[arg(default_value = "http://127.0.0.1:8899")]
    pub rpc: String,
    /// The keeper's own keypair file, as solana-keygen writes it; never that of a market's authority.
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_KEEPER_KEYPAIR")]
    pub keypair: Option<PathBuf>,
    /// The market, by number or by address.
    #[arg(long, value_name = "NUMBER|ADDRESS", env = "LEASEHOLD_KEEPER_MARKET")]
    pub market: Option<String>,
    /// Work on this board only; may be given several times [default: all]
    #[arg(long = "board", value_name = "NUMBER", env = "LEASEHOLD_KEEPER_BOARDS", value_delimiter = ',')]
    pub boards: Vec<String>,
    /// Take a vacant seat of every board that has one.
    #[arg(long, env = "LEASEHOLD_KEEPER_TAKE_SEAT")]
    pub take_seat: bool,
    /// With --take-seat: open the keeper's account and bond stake from the wallet's associated token account.
    #[arg(long, env = "LEASEHOLD_KEEPER_BOND")]
    pub bond: bool,
    /// Close rounds, settle leases and the like on boards where the keeper has no seat, too.
    #[arg(long, env = "LEASEHOLD_KEEPER_CRANK")]
    pub crank: bool,
    /// Claim a seat's fees once they reach this many base units of the payment mint [default: never]
    #[arg(long, value_name = "AMOUNT", env = "LEASEHOLD_KEEPER_CLAIM_FEES")]
    pub claim_fees: Option<String>,
    /// Folder for what must survive a restart: a lock, and the answers that are not voted on yet [default:
    /// ~/.local/state/leasehold/keeper, or where $STATE_DIRECTORY and $XDG_STATE_HOME say]
    #[arg(long, value_name = "FOLDER", env = "LEASEHOLD_KEEPER_STATE")]
    pub state: Option<PathBuf>,
    /// Save the signed answers behind the votes in this folder as well, so that they can be shown later [default: in --state,
    /// until they are voted on]
    #[arg(long, value_name = "FOLDER", env = "LEASEHOLD_KEEPER_EVIDENCE")]
    pub evidence: Option<PathBuf>,
    /// Hours for which answers are kept in --evidence; two rounds at least.
    #[arg(long, value_name = "N", env = "LEASEHOLD_KEEPER_EVIDENCE_HOURS", default_value_t = EVIDENCE_HOURS.to_string())]
    pub evidence_hours: String,
    /// Probe machines with private and loopback addresses too: for test networks.
    #[arg(long, env = "LEASEHOLD_KEEPER_ALLOW_PRIVATE")]
    pub allow_private: bool,
    /// Challenges under way at a time, for each board.
    #[arg(long, value_name = "N", env = "LEASEHOLD_KEEPER_MAX_IN_FLIGHT", default_value = "2048")]
    pub max_in_flight: String,
    /// Longest time between two polls of the chain, in seconds; boards with short rounds are polled more often.
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_KEEPER_POLL", default_value = "5")]
    pub poll: String,
    /// Highest price of a compute unit, in micro-lamports; the keeper pays what others paid lately, up to this.
    #[arg(long, value_name = "MICROLAMPORTS", env = "LEASEHOLD_KEEPER_PRIORITY_FEE", default_value = "0")]
    pub priority_fee: String,
    /// Loopback address on which Prometheus finds /metrics [default: none]
    #[arg(long, value_name = "IP:PORT", env = "LEASEHOLD_KEEPER_METRICS")]
    pub metrics: Option<String>,
    /// Poll, plan and act once, then exit, with code 1 if a step failed. To vote, run it both during a round and after it.
    #[arg(long, env = "LEASEHOLD_KEEPER_ONCE")]
    pub once: bool,
    /// Log level: error, warn, info, debug or trace; or a filter such as leasehold_keeper=debug.
    #[arg(long, value_name = "FILTER", env = "LEASEHOLD_KEEPER_LOG", default_value = "info")]
    pub log: String,
    /// Form of log lines: text, or JSON with one object a line.
    #[arg(long, value_name = "FORMAT", env = "LEASEHOLD_KEEPER_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// Settings of a keeper.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address of the market.
    pub market: Pubkey,
    /// Numbers of the boards to work on; `None`: all.
    pub boards: Option<BTreeSet<u32>>,
    /// Take a vacant seat of every board that has one.
    pub take_seat: bool,
    /// For a seat, open the keeper's account and bond stake from the wallet.
    pub bond: bool,
    /// Close rounds, settle leases and the like on boards where the keeper has no seat, too.
    pub crank: bool,
    /// Claim a seat's fees once they reach this many payment units; `None`: never.
    pub claim_fees: Option<u64>,
    /// Folder for what must survive a restart; `None`: in memory.
    pub state: Option<PathBuf>,
    /// `None`: answers are kept in `state`, until they are voted on.
    pub evidence: Option<EvidenceSettings>,
    pub prober: ProberConfig,
    /// Longest time between two polls of the chain.
    pub poll: Duration,
    /// How transactions are sent.
    pub sender: SenderOptions,
    /// Loopback address of the metrics page; `None`: no metrics.
    pub metrics: Option<SocketAddr>,
}

impl Settings {
    /// A keeper of a market that votes on boards where it holds a seat.
    pub fn new(market: Pubkey) -> Self {
        Self {
            market,
            boards: None,
            take_seat: false,
            bond: false,
            crank: false,
            claim_fees: None,
            state: None,
            evidence: None,
            prober: ProberConfig::default(),
            poll: Duration::from_secs(5),
            sender: SenderOptions::default(),
            metrics: None,
        }
    }
}

/// Where signed answers are saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceSettings {
    pub folder: PathBuf,
    /// Seconds for which the answers of a round are kept; two rounds at least.
    pub secs: u32,
}

/// The checked command line.
#[derive(Debug)]
pub struct Config {
    pub settings: Settings,
    pub rpc: Url,
    pub keypair: Keypair,
    pub once: bool,
}

/// Why a command line is refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("--keypair is missing: give the file with this keeper's own keypair, as solana-keygen writes it")]
    NoKeypair,
    #[error("--keypair: {0}")]
    Keypair(#[from] KeypairError),
    #[error("--market is missing: give the market's number or address")]
    NoMarket,
    #[error("--market {0} is neither the number nor the address of a market")]
    Market(String),
    // Without the value, which may hold a key.
    #[error("--rpc is not an http or https URL: give one such as https://api.devnet.solana.com")]
    Rpc,
    #[error(
        "there is no folder for what must survive a restart, since neither $HOME nor $STATE_DIRECTORY is set: give one with --state"
    )]
    NoState,
    #[error("--board {0} is not a board's number: boards are numbered from 0")]
    Board(String),
    #[error("--bond bonds stake for a seat: give it together with --take-seat")]
    BondWithoutSeat,
    #[error("--{flag} {value} is not {wanted}")]
    Number { flag: &'static str, value: String, wanted: &'static str },
    #[error("--metrics {0} is not an address and a port, such as 127.0.0.1:9464")]
    Metrics(String),
    #[error(transparent)]
    MetricsPublic(#[from] MetricsError),
}

impl Config {
    /// Checks the command line and reads the keypair.
    ///
    /// # Errors
    /// Any [`SettingsError`].
    pub fn new(args: &Args) -> Result<Self, SettingsError> {
        let settings = args.settings()?;
        let path = args.keypair.as_deref().ok_or(SettingsError::NoKeypair)?;
        Ok(Self { settings, rpc: url(&args.rpc)?, keypair: read_keypair(path)?, once: args.once })
    }
}

impl Args {
    /// The log filter.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn filter(&self) -> Result<EnvFilter, FilterError> {
        logging::filter(&self.log)
    }

    fn settings(&self) -> Result<Settings, SettingsError> {
        let market = self.market.as_deref().ok_or(SettingsError::NoMarket)?;
        if self.bond && !self.take_seat {
            return Err(SettingsError::BondWithoutSeat);
        }
        let hours =
            number("evidence-hours", &self.evidence_hours, 1..=8_784, "a number of hours from 1 to 8784")?;
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
            state: Some(self.state.clone().or_else(default_folder).ok_or(SettingsError::NoState)?),
            evidence: self.evidence.clone().map(|folder| EvidenceSettings { folder, secs: hours * 3_600 }),
            prober: ProberConfig {
                max_in_flight: in_flight,
                allow_private: self.allow_private,
                ..ProberConfig::default()
            },
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
    // No address is as short as a number.
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
    Ok(check_loopback(address)?)
}

fn url(text: &str) -> Result<Url, SettingsError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or(SettingsError::Rpc)
}
