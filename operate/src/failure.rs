//! Failures of a command, with their exit codes.

use std::{fmt, io, path::PathBuf, process::ExitCode};

use leasehold_client::{
    account::DecodeError,
    error::Refusal,
    fetch::FetchError,
    http::{ArchiveError, NodeError},
    listing::ListingError,
    prove::ProveError,
    record::RecordError,
    search::SearchError,
};
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use crate::{
    amount::{AmountError, Money},
    config::ConfigError,
};

/// The receipt is not proved.
const NOT_PROVED: u8 = 1;
/// Wrong usage, or something could not be reached, read or written. clap uses the same code.
const UNUSABLE: u8 = 2;
/// The program or the network refused: nothing changed, or the opened leases are cancelled again.
const REFUSED: u8 = 3;
/// Not confirmed: nothing changed.
const NOT_CONFIRMED: u8 = 4;
/// Something was sent, and not all of it is known to have taken effect.
pub const UNCERTAIN: u8 = 5;
/// Something failed on leased machines.
const FAILED_THERE: u8 = 6;
/// Ctrl-C. Shells use the same code.
pub const INTERRUPTED: u8 = 130;

/// Every exit code with its meaning.
pub const EXIT_CODES: [(u8, &str); 8] = [
    (0, "success"),
    (NOT_PROVED, "the receipt is not proved"),
    (UNUSABLE, "wrong usage, or something could not be reached, read or written"),
    (
        REFUSED,
        "refused by the program or the network: nothing changed, or the opened leases are cancelled again",
    ),
    (NOT_CONFIRMED, "not confirmed: nothing changed"),
    (UNCERTAIN, "sent, and not all of it is known to have taken effect"),
    (FAILED_THERE, "a command failed on a leased machine"),
    (INTERRUPTED, "stopped by Ctrl-C before anything was sent"),
];

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("not proved: {0}")]
    NotProved(ProveError),
    #[error("{}: {error}: check the path", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("cannot write the output: {0}: check where standard output goes")]
    Output(io::Error),
    #[error("{} is not a receipt: {error}", path.display())]
    NoReceipt { path: PathBuf, error: RecordError },
    #[error("the receipt has no salt, which the hashes of request and response depend on: pass --salt")]
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
    /// An account that is not a board.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A market or board that does not exist.
    #[error("{what} ({address}) does not exist on this cluster: check its number or address, and --url")]
    NotThere { what: String, address: Pubkey },
    /// Arguments or files that can't be used.
    #[error("{0}")]
    Input(String),
    /// A rule of the program, applied before anything is sent.
    #[error("{0}")]
    Rule(#[from] Refusal),
    /// A request that no machines meet.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The same, with the values that broke the rule.
    #[error("{refusal} ({values})")]
    RuleWith { refusal: Refusal, values: String },
    #[error(transparent)]
    Listing(#[from] ListingError),
    #[error("{0}")]
    Refused(String),
    /// Of a command on leased machines.
    #[error("{0}")]
    OnMachine(String),
    #[error("aborted: not confirmed")]
    Declined,
    #[error("aborted: there is no terminal to ask for confirmation, so pass --yes")]
    NoTerminal,
    /// A transaction was offered to the RPC node and may or may not take effect, by one of these signed copies.
    #[error("{}", no_end(copies))]
    Unknown { copies: Vec<Signature> },
    /// Before anything was sent.
    #[error("stopped by Ctrl-C")]
    Interrupted,
    /// After something was sent.
    #[error("stopped: {done} of {of} transactions are known to have taken effect{}", on_their_way(offered))]
    Stopped { done: usize, of: usize, offered: Vec<Signature> },
    #[error("{done} of {of} transactions took effect, then: {error}{}", no_word(unknown))]
    Partial {
        done: usize,
        of: usize,
        error: Box<Failure>,
        /// More transactions in flight, besides the one that `error` may name: they may or may not take effect.
        unknown: Vec<Signature>,
    },
    /// Steps that had taken effect are undone.
    #[error(
        "{error}. The leases opened before are cancelled again, which costs {cost} at most: the rest and the rent \
         come back by `leasehold lease settle {flags}`, then `leasehold lease claim {flags}` and \
         `leasehold lease close {flags}`"
    )]
    Undone { error: Box<Failure>, cost: Money, flags: GroupFlags },
    #[error("{error}. {}", not_undone(open, unknown, flags))]
    NotUndone { error: Box<Failure>, open: Vec<Pubkey>, unknown: Vec<Pubkey>, flags: GroupFlags },
}

/// The flags by which the leases of a group are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupFlags {
    pub market: Pubkey,
    pub group: u64,
}

impl fmt::Display for GroupFlags {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "--market {} --group {}", self.market, self.group)
    }
}

/// Names the leases of a group that are or may be open, and says how to cancel them.
fn not_undone(open: &[Pubkey], unknown: &[Pubkey], flags: &GroupFlags) -> String {
    let list = |leases: &[Pubkey], what: &str| {
        let names: Vec<_> = leases.iter().map(Pubkey::to_string).collect();
        (!leases.is_empty()).then(|| format!("{what}: {}", names.join(", ")))
    };
    let parts = [list(open, "Still open"), list(unknown, "Unknown whether open")];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let advice = format!(
        "check with `leasehold lease list {flags}` and cancel each of these by `leasehold lease cancel ADDRESS`"
    );
    format!("{}: {advice}", parts.join(". "))
}

/// Names the transaction whose end is unknown.
fn no_end(copies: &[Signature]) -> String {
    match copies {
        [signature] => format!(
            "the RPC node did not report the end of transaction {signature}: look it up by `solana confirm` before \
             trying again"
        ),
        copies => {
            format!(
                "the RPC node did not report the end of a transaction that was signed again: {}",
                look_up(copies)
            )
        }
    }
}

/// Names more transactions whose end is unknown, as the end of a text.
fn no_word(unknown: &[Signature]) -> String {
    if unknown.is_empty() {
        return String::new();
    }
    format!(". The end of these is unknown too: {}", look_up(unknown))
}

/// Names the transactions in flight, as the end of a text.
fn on_their_way(offered: &[Signature]) -> String {
    if offered.is_empty() {
        return String::new();
    }
    format!(". These may still take effect: {}", look_up(offered))
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
    /// A rule of the program with the values that break it.
    pub fn rule(refusal: impl Into<Refusal>, values: impl Into<String>) -> Self {
        Failure::RuleWith { refusal: refusal.into(), values: values.into() }
    }

    /// The rule of the program that refused.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Failure::Rule(refusal) | Failure::RuleWith { refusal, .. } => Some(*refusal),
            Failure::Search(error) => error.refusal(),
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
            Failure::Search(error) if error.refusal().is_some() => REFUSED,
            Failure::Node(NodeError::Refused { .. }) => REFUSED,
            Failure::Node(NodeError::Unacknowledged(_)) => UNCERTAIN,
            Failure::Declined | Failure::NoTerminal => NOT_CONFIRMED,
            Failure::Unknown { .. }
            | Failure::Stopped { .. }
            | Failure::Partial { .. }
            | Failure::NotUndone { .. } => UNCERTAIN,
            Failure::OnMachine(_) => FAILED_THERE,
            Failure::Interrupted => INTERRUPTED,
            _ => UNUSABLE,
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests;
