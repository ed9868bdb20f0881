//! What every command understands.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::exit,
};

use clap::{
    Args, Parser, Subcommand, ValueHint,
    builder::{PossibleValuesParser, TypedValueParser},
    error::{ContextKind, ContextValue},
};
use solana_commitment_config::CommitmentConfig;
use solana_pubkey::Pubkey;
use url::Url;

use crate::{
    commands::{
        board::BoardCommand, completion::CompletionArgs, keeper::KeeperCommand, lease::LeaseCommand,
        log::LogCommand, machine::MachineCommand, man::ManArgs, market::MarketCommand, offers::OffersArgs,
        quote::WishArgs, receipt::ReceiptCommand, supplier::SupplierCommand,
    },
    failure::EXIT_CODES,
    output::{Format, forgiven},
    text::tell,
};

/// Leases GPU time, and checks what was computed.
#[derive(Parser)]
#[command(name = "leasehold", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = after_help())]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of all commands.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file of Solana's tools [default: ~/.config/solana/cli/config.yml]
    #[arg(short = 'C', long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// RPC node: a URL, or localhost, devnet, testnet or mainnet-beta, or the first letter of one.
    #[arg(
        short,
        long,
        global = true,
        env = "LEASEHOLD_URL",
        hide_env_values = true,
        value_name = "URL_OR_MONIKER"
    )]
    #[arg(value_parser = parse_url, value_hint = ValueHint::Url)]
    pub url: Option<Url>,
    /// Keypair that signs and pays, as solana-keygen writes it [default: ~/.config/solana/id.json]
    #[arg(
        short,
        long,
        global = true,
        env = "LEASEHOLD_KEYPAIR",
        hide_env_values = true,
        value_name = "FILE"
    )]
    #[arg(value_hint = ValueHint::FilePath)]
    pub keypair: Option<PathBuf>,
    /// Commitment of what is read, and to be waited for by what is sent [default: confirmed]
    #[arg(long, global = true, value_name = "LEVEL", value_parser = commitments())]
    pub commitment: Option<CommitmentConfig>,
    /// Form of what is printed on standard output.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "display")]
    pub output: Format,
    /// Micro-lamports to pay for each compute unit, on top of the fee for signatures.
    #[arg(long = "with-compute-unit-price", global = true, value_name = "MICRO_LAMPORTS")]
    pub compute_unit_price: Option<u64>,
    /// Sign and send without a question.
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Simulate, and tell what would happen: nothing is signed or sent.
    #[arg(long, global = true)]
    pub dry_run: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// The address of the keypair that signs.
    Address,
    /// What is free on a market, machines that are alike in one line.
    Offers(OffersArgs),
    /// Exactly what `lease open` would take now: machines, total, what can come back.
    Quote(WishArgs),
    /// Leases: open, extend, repair, settle and claim them.
    Lease {
        #[command(subcommand)]
        command: LeaseCommand,
    },
    /// Suppliers: stake, earnings.
    Supplier {
        #[command(subcommand)]
        command: SupplierCommand,
    },
    /// Machines of a supplier: detect, list, reprice and retire them.
    Machine {
        #[command(subcommand)]
        command: MachineCommand,
    },
    /// Keepers: stake and seats.
    Keeper {
        #[command(subcommand)]
        command: KeeperCommand,
    },
    /// Boards of a market.
    Board {
        #[command(subcommand)]
        command: BoardCommand,
    },
    /// Markets: their rules, and what their authority may do.
    Market {
        #[command(subcommand)]
        command: MarketCommand,
    },
    /// Compute logs: where a supplier records what its machines computed.
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Receipts of inferences: which machine gave an answer, and what was paid for it.
    Receipt {
        #[command(subcommand)]
        command: ReceiptCommand,
    },
    /// Prints a script by which a shell completes commands, for bash by `source <(leasehold completion)`.
    Completion(CompletionArgs),
    /// Writes manual pages, one for each command.
    Man(ManArgs),
}

/// Reads the command line, or ends with what is wrong about it: without the URL that is, which may hold a key.
pub fn parse<T: Parser>() -> T {
    let mut command = with_exit_codes(T::command());
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = parsed.and_then(|mut matches| T::from_arg_matches_mut(&mut matches));
    parsed.unwrap_or_else(|error| end(&without_urls(error.format(&mut command))))
}

/// Prints help or what is wrong, and ends.
fn end(error: &clap::Error) -> ! {
    let printed = error.print().and_then(|()| io::stdout().flush());
    let code = match forgiven(printed) {
        Err(failure) if !error.use_stderr() => {
            tell(format!("leasehold: {failure}"));
            failure.code().into()
        }
        _ => error.exit_code(),
    };
    exit(code)
}

fn without_urls(mut error: clap::Error) -> clap::Error {
    let url = ["--url", "--archive", "--node"];
    let is_url = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => url.iter().any(|url| arg.contains(url)),
        _ => false,
    };
    let is_plain = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => holds_no_key(value),
        _ => true,
    };
    if is_url && !is_plain {
        error.insert(ContextKind::InvalidValue, ContextValue::String("<URL>".to_owned()));
    }
    error
}

/// Whether it is a misspelt name of a cluster, an address without a scheme or nothing, and so may be repeated.
fn holds_no_key(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphabetic() || byte == b'-';
    let is_name = text.len() <= LONGEST_NAME && text.bytes().all(word);
    is_name || text.parse::<SocketAddr>().is_ok() || text.parse::<IpAddr>().is_ok()
}

/// Longest text that may be the name of a cluster, in characters: keys are longer.
const LONGEST_NAME: usize = 14;

/// What the help ends with.
fn after_help() -> String {
    format!(
        "{}\n\nSettings are taken from flags, then from the environment, then from the file of \
         `solana config`, then defaults.",
        exit_codes()
    )
}

fn exit_codes() -> String {
    let codes: Vec<_> = EXIT_CODES.iter().map(|(code, meaning)| format!("{code} {meaning}")).collect();
    format!("Exit codes: {}.", codes.join("; "))
}

/// Has the help of every command end with its exit codes, and the short help with where they stand.
fn with_exit_codes(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|below| {
        with_exit_codes(below).after_help("Exit codes: leasehold --help").after_long_help(exit_codes())
    })
}

/// Reads a commitment, and has shells complete it.
fn commitments() -> impl TypedValueParser<Value = CommitmentConfig> {
    let levels = PossibleValuesParser::new(["processed", "confirmed", "finalized"]);
    levels.try_map(|level| level.parse::<CommitmentConfig>())
}

/// Reads the address of an account.
pub fn parse_address(text: &str) -> Result<Pubkey, &'static str> {
    text.parse().map_err(|_| "give an address: 32 bytes in base58")
}

/// Reads a URL, or a name of a cluster as Solana's tools have it.
pub fn parse_url(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("it is empty: give a URL, or unset the variable LEASEHOLD_URL".to_owned());
    }
    let text = match text {
        "l" | "localhost" => "http://localhost:8899",
        "d" | "devnet" => "https://api.devnet.solana.com",
        "t" | "testnet" => "https://api.testnet.solana.com",
        "m" | "mainnet-beta" => "https://api.mainnet-beta.solana.com",
        text => text,
    };
    parse_http(text).ok_or_else(|| {
        "give an http or https URL, or one of localhost, devnet, testnet and mainnet-beta".to_owned()
    })
}

/// Reads the URL of a server that speaks HTTP.
pub fn parse_http_url(text: &str) -> Result<Url, String> {
    parse_http(text).ok_or_else(|| "give an http or https URL".to_owned())
}

fn parse_http(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests;
