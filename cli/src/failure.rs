//! Why a command failed, and with which exit code.

use std::{fmt, io, path::PathBuf, process::ExitCode};

use leasehold_client::{
    account::DecodeError,
    error::Refusal,
    fetch::FetchError,
    http::{ArchiveError, NodeError},
    listing::ListingError,
    prove::ProveError,
    record::RecordError,
};
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use crate::{
    amount::{AmountError, Money},
    config::ConfigError,
};

/// What was to be proved is not.
const NOT_PROVED: u8 = 1;
/// Wrong use, or something could not be reached, read or written. As of clap.
const UNUSABLE: u8 = 2;
/// The program or the network refused, or would: nothing changed, or what did was taken back.
const REFUSED: u8 = 3;
/// Nobody agreed: nothing changed.
const NOT_AGREED: u8 = 4;
/// Something was sent, and not everything is known to have taken effect.
pub const UNCERTAIN: u8 = 5;
/// Ctrl-C, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Every exit code, and what it says.
pub const EXIT_CODES: [(u8, &str); 7] = [
    (0, "done, and what was to be proved is proved"),
    (NOT_PROVED, "not proved"),
    (UNUSABLE, "wrong use, or something could not be reached, read or written"),
    (
        REFUSED,
        "the program or the network refused, or would, and nothing changed, or what was opened is cancelled again",
    ),
    (NOT_AGREED, "nobody agreed to sign, and nothing changed"),
    (UNCERTAIN, "sent, and not everything is known to have taken effect"),
    (INTERRUPTED, "stopped by Ctrl-C before anything was sent"),
];

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("not proved: {0}")]
    NotProved(ProveError),
    #[error("{}: {error}: check the path", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("what is printed can't be written: {0}: check where standard output goes")]
    Output(io::Error),
    #[error("{} is no receipt: {error}", path.display())]
    NoReceipt { path: PathBuf, error: RecordError },
    #[error(
        "the receipt comes without its salt, and the hashes of request and response depend on it: pass --salt"
    )]
    NoSalt,
    #[error(transparent)]
    Archive(ArchiveError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("{0} (--url names the RPC node)")]
    Chain(#[from] FetchError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// A board that was read is none.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A market, board or lease that was named.
    #[error("there is no {what} on this cluster: check its number or address, and --url ({address})")]
    NotThere { what: String, address: Pubkey },
    /// What was given makes no sense together.
    #[error("{0}")]
    Input(String),
    /// The program's own rules, applied before anything is sent.
    #[error("{0}")]
    Rule(#[from] Refusal),
    /// The same, with the values that broke the rule.
    #[error("{refusal} ({values})")]
    RuleWith { refusal: Refusal, values: String },
    #[error(transparent)]
    Listing(#[from] ListingError),
    #[error("{0}")]
    Refused(String),
    #[error("not signed: nobody agreed")]
    Declined,
    #[error("not signed: there is no terminal to ask at, so pass --yes")]
    NoTerminal,
    /// A transaction was offered to the node and may or may not take effect, by one of these signed copies.
    #[error("{}", no_end(copies))]
    Unknown { copies: Vec<Signature> },
    /// Before anything was sent.
    #[error("stopped by Ctrl-C")]
    Interrupted,
    /// After something was.
    #[error("stopped: {done} of {of} transactions are known to have taken effect{}", on_their_way(offered))]
    Stopped { done: usize, of: usize, offered: Vec<Signature> },
    #[error("{done} of {of} transactions took effect, then: {error}{}", no_word(unknown))]
    Partial {
        done: usize,
        of: usize,
        error: Box<Failure>,
        /// Besides the one that `error` may name: were on their way as well, and may or may not take effect.
        unknown: Vec<Signature>,
    },
    /// Everything that had taken effect was taken back.
    #[error(
        "{error}. What was opened before is cancelled again, which costs {cost} at most: the rest, and the rent, \
         come back by `leasehold lease settle {tied}`, then `leasehold lease claim {tied}` and \
         `leasehold lease close {tied}`"
    )]
    Undone { error: Box<Failure>, cost: Money, tied: Tied },
    #[error("{error}. {}", not_undone(open, unknown, tied))]
    NotUndone { error: Box<Failure>, open: Vec<Pubkey>, unknown: Vec<Pubkey>, tied: Tied },
}

/// By which flags the leases of a cluster are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tied {
    pub market: Pubkey,
    pub cluster: u64,
}

impl fmt::Display for Tied {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "--market {} --cluster {}", self.market, self.cluster)
    }
}

/// Which leases of a cluster are or may be open, and what to do about them.
fn not_undone(open: &[Pubkey], unknown: &[Pubkey], tied: &Tied) -> String {
    let tell = |leases: &[Pubkey], what: &str| {
        let names: Vec<_> = leases.iter().map(Pubkey::to_string).collect();
        (!leases.is_empty()).then(|| format!("{what}: {}", names.join(", ")))
    };
    let parts = [tell(open, "Still open"), tell(unknown, "Open or not, the RPC node does not tell")];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let advice = format!(
        "look by `leasehold lease list {tied}` and cancel each of these by `leasehold lease cancel ADDRESS`"
    );
    format!("{}: {advice}", parts.join(". "))
}

/// Of which transaction nothing is known.
fn no_end(copies: &[Signature]) -> String {
    match copies {
        [signature] => format!(
            "no word about transaction {signature} from the RPC node: look it up by `solana confirm` before \
             trying again"
        ),
        copies => {
            format!("no word from the RPC node about a transaction that was signed anew: {}", look_up(copies))
        }
    }
}

/// Which transactions nothing is known of, as the end of a text.
fn no_word(unknown: &[Signature]) -> String {
    if unknown.is_empty() {
        return String::new();
    }
    format!(". No word about these either: {}", look_up(unknown))
}

/// Which transactions were on their way, as the end of a text.
fn on_their_way(offered: &[Signature]) -> String {
    if offered.is_empty() {
        return String::new();
    }
    format!(". Offered to the RPC node, and may still: {}", look_up(offered))
}

fn look_up(signatures: &[Signature]) -> String {
    let names: Vec<_> = signatures.iter().map(Signature::to_string).collect();
    format!("{}: look each up by `solana confirm` before trying again", names.join(", "))
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        Failure::NotProved(error.into())
    }
}

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::Archive(error) => error.into(),
            ProveError::Fetch(error) => error.into(),
            error => Failure::NotProved(error),
        }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Unknown { .. } => Failure::NotProved(error.into()),
            error => Failure::Archive(error),
        }
    }
}

impl Failure {
    /// A rule of the program, and the values that break it.
    pub fn rule(refusal: impl Into<Refusal>, values: impl Into<String>) -> Self {
        Failure::RuleWith { refusal: refusal.into(), values: values.into() }
    }

    /// Which rule of the program refused.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Failure::Rule(refusal) | Failure::RuleWith { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }

    pub fn code(&self) -> u8 {
        match self {
            Failure::NotProved(_) => NOT_PROVED,
            Failure::Rule(_)
            | Failure::RuleWith { .. }
            | Failure::Listing(_)
            | Failure::Refused(_)
            | Failure::Undone { .. } => REFUSED,
            Failure::Node(NodeError::Refused { .. }) => REFUSED,
            Failure::Node(NodeError::Unacknowledged(_)) => UNCERTAIN,
            Failure::Declined | Failure::NoTerminal => NOT_AGREED,
            Failure::Unknown { .. }
            | Failure::Stopped { .. }
            | Failure::Partial { .. }
            | Failure::NotUndone { .. } => UNCERTAIN,
            Failure::Interrupted => INTERRUPTED,
            _ => UNUSABLE,
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
pub mod tests;
