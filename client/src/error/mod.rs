//! Errors as sentences: the rule that was broken, and what to do.

mod advice;
mod anchor;
#[cfg(feature = "rpc")]
mod rpc;
#[cfg(test)]
mod tests;

use std::fmt;

use anchor_lang::prelude::Pubkey;
use anchor_spl::token_2022::spl_token_2022::error::TokenError;
use leasehold::{error::LeaseholdError, math::Overflow};
use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError;

pub use advice::{advice, every};
#[cfg(feature = "rpc")]
pub(crate) use rpc::reason;
#[cfg(feature = "rpc")]
pub use rpc::{failure, is_switched_off};

/// An error of the program's own functions when the client calls them: the same the program would return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Number of the error, as the program would return it.
    pub code: u32,
}

impl Refusal {
    pub fn error(&self) -> Option<LeaseholdError> {
        from_code(self.code)
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.error() {
            Some(error) => f.write_str(&sentence(error)),
            None => write!(f, "error {}", self.code),
        }
    }
}

impl From<LeaseholdError> for Refusal {
    fn from(error: LeaseholdError) -> Self {
        Refusal { code: error.into() }
    }
}

impl From<Overflow> for Refusal {
    fn from(_: Overflow) -> Self {
        LeaseholdError::MathOverflow.into()
    }
}

impl From<anchor_lang::error::Error> for Refusal {
    fn from(error: anchor_lang::error::Error) -> Self {
        use anchor_lang::error::Error::{AnchorError, ProgramError};
        match error {
            AnchorError(error) => Refusal { code: error.error_code_number },
            // The program's arithmetic returns no errors but its own.
            ProgramError(_) => LeaseholdError::MathOverflow.into(),
        }
    }
}

/// The program's error with a number.
pub fn from_code(code: u32) -> Option<LeaseholdError> {
    every().iter().copied().find(|error| u32::from(*error) == code)
}

/// An error of the program in one sentence: the rule that was broken, and what to do.
pub fn sentence(error: LeaseholdError) -> String {
    format!("{error}: {}", advice(error))
}

/// A failed instruction as the network reports it.
#[derive(Clone, Copy, Debug)]
pub struct ProgramFailure<'a> {
    /// Position in the transaction, from 0.
    pub instruction: usize,
    pub error: &'a InstructionError,
    /// Logs of the programs, oldest first; may be empty. They tell which program refused.
    pub logs: &'a [String],
}

/// The program whose rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Leasehold,
    /// The framework's account checks, before the program's own.
    Anchor,
    /// One of the two token programs.
    Token,
    AssociatedToken,
    System,
    /// The runtime, not a program.
    Runtime,
    Other,
}

/// Why an instruction was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Position in the transaction, from 0.
    pub instruction: usize,
    pub origin: Origin,
    /// Number of the error, if a program returned one.
    pub code: Option<u32>,
    /// Name of the error: `InsufficientStake`.
    pub name: String,
    /// Sentence with the problem and its remedy, without a full stop.
    pub sentence: String,
}

impl Explanation {
    /// The error of Leasehold's program, if it is one.
    pub fn leasehold(&self) -> Option<LeaseholdError> {
        (self.origin == Origin::Leasehold).then(|| from_code(self.code?)).flatten()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// Explains why an instruction was refused.
pub fn explain(failure: &ProgramFailure) -> Explanation {
    let (origin, code, name, sentence) = match failure.error {
        InstructionError::Custom(code) => {
            let (origin, name, sentence) = explain_code(*code, failure.logs);
            (origin, Some(*code), name, sentence)
        }
        error => {
            let name = format!("{error:?}");
            let name = name.split(['(', ' ']).next().unwrap_or_default().to_owned();
            (Origin::Runtime, None, name, runtime(error, failure.logs))
        }
    };
    Explanation { instruction: failure.instruction, origin, code, name, sentence }
}

/// Explains an error number that a program returned.
pub fn explain_code(code: u32, logs: &[String]) -> (Origin, String, String) {
    let program = refusal(logs).map(|(program, _)| program);
    if program.is_none_or(|program| program == leasehold::ID) {
        if let Some(error) = from_code(code) {
            return (Origin::Leasehold, error.name(), sentence(error));
        }
        if let Some(error) = anchor::from_code(code) {
            let account = culprit(logs).map(|account| format!("account `{account}`: ")).unwrap_or_default();
            let sentence = format!("{account}{error}: {}", anchor::advice(error));
            return (Origin::Anchor, error.name(), sentence);
        }
    }
    if program == Some(anchor_lang::system_program::ID) {
        return (Origin::System, format!("System{code}"), system(code).to_owned());
    }
    if program == Some(anchor_spl::associated_token::ID) {
        let sentence = "the associated token account belongs to another wallet: check the owner";
        return (Origin::AssociatedToken, format!("AssociatedToken{code}"), sentence.to_owned());
    }
    let is_token = program
        .is_none_or(|program| program == anchor_spl::token::ID || program == anchor_spl::token_2022::ID);
    match TokenError::try_from(code) {
        Ok(error) if is_token => (Origin::Token, format!("{error:?}"), token(&error)),
        _ => {
            let whose = program.map(|program| format!("program {program}")).unwrap_or("a program".to_owned());
            let sentence = format!("{whose} refused with error {code}: look it up in its documentation");
            (Origin::Other, format!("Custom{code}"), sentence)
        }
    }
}

/// Explains why a transaction was refused.
pub fn explain_transaction(error: &TransactionError, logs: &[String]) -> String {
    match error {
        TransactionError::InstructionError(index, error) => {
            explain(&ProgramFailure { instruction: usize::from(*index), error, logs }).to_string()
        }
        TransactionError::AccountNotFound => "the paying wallet has no SOL: fund it first".to_owned(),
        TransactionError::InsufficientFundsForFee => {
            "the paying wallet has too little SOL for the fee: fund it first".to_owned()
        }
        TransactionError::InsufficientFundsForRent { .. } => {
            "an account would be left with less SOL than its rent: fund the paying wallet first".to_owned()
        }
        TransactionError::BlockhashNotFound => {
            "the transaction is too old, or the RPC node is behind: send it again".to_owned()
        }
        TransactionError::AlreadyProcessed => "the transaction has taken effect already".to_owned(),
        TransactionError::ProgramAccountNotFound => {
            "the program is not deployed on this cluster: check the RPC address".to_owned()
        }
        error => format!("the network refused the transaction: {error}"),
    }
}

/// The program that failed first, which made its callers fail, and the reason.
fn refusal(logs: &[String]) -> Option<(Pubkey, &str)> {
    logs.iter().find_map(|line| {
        let (program, outcome) = line.strip_prefix("Program ")?.split_once(' ')?;
        Some((program.parse().ok()?, outcome.strip_prefix("failed: ")?))
    })
}

/// The account that Anchor refused.
fn culprit(logs: &[String]) -> Option<&str> {
    let line = logs.iter().rev().find_map(|line| line.split_once("AnchorError caused by account: "))?.1;
    line.split_once(". Error Code").map(|(account, _)| account)
}

fn token(error: &TokenError) -> String {
    let advice = match error {
        TokenError::InsufficientFunds => "put more tokens into the wallet's account",
        TokenError::AccountFrozen => "ask the mint's freeze authority to thaw it",
        TokenError::OwnerMismatch => "sign with the wallet that owns the token account",
        TokenError::MintMismatch => "use a token account of the market's mint",
        TokenError::UninitializedState => "create the token account first",
        _ => "check the token accounts",
    };
    format!("{error}: {advice}")
}

fn system(code: u32) -> &'static str {
    match code {
        0 => "the account to create exists already: leave out its creation",
        1 => "the paying wallet has too little SOL: fund it first",
        _ => "the system program refused to create or fund an account: check the addresses",
    }
}

/// Errors of the runtime that clients of Leasehold meet, with advice; others in the runtime's words.
fn runtime(error: &InstructionError, logs: &[String]) -> String {
    let advice = match error {
        InstructionError::MissingRequiredSignature => "sign with the account's wallet",
        InstructionError::ComputationalBudgetExceeded => "request more compute units",
        InstructionError::InsufficientFunds => "fund the paying wallet",
        InstructionError::MissingAccount => "pass every account of the instruction",
        InstructionError::InvalidAccountOwner | InstructionError::IncorrectProgramId => {
            "check the addresses and the cluster"
        }
        InstructionError::UninitializedAccount => "create the account first",
        _ => "see the transaction's logs",
    };
    let rule = error.to_string();
    // The virtual machine's reason tells more than that the program crashed.
    let detail = refusal(logs).map(|(_, reason)| reason).filter(|reason| !reason.eq_ignore_ascii_case(&rule));
    let detail = detail.map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("{}{detail}: {advice}", rule.trim_end_matches('.'))
}
