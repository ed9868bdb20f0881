//! What every command understands.

use std::path::PathBuf;

use clap::{
    Args, Parser, Subcommand, ValueHint,
    error::{ContextKind, ContextValue},
};
use solana_commitment_config::CommitmentConfig;
use url::Url;

use crate::{
    commands::{
        board::BoardCommand, completion::CompletionArgs, keeper::KeeperCommand, lease::LeaseCommand,
        log::LogCommand, machine::MachineCommand, man::ManArgs, market::MarketCommand, offers::OffersArgs,
        quote::WishArgs, receipt::ReceiptCommand, supplier::SupplierCommand,
    },
    failure::EXIT_CODES,
    output::Format,
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
    /// Commitment of what is read, and to be waited for by what is sent: processed, confirmed or finalized
    /// [default: confirmed]
    #[arg(long, global = true, value_name = "LEVEL")]
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
    T::try_parse().unwrap_or_else(|error| without_urls(error).exit())
}

fn without_urls(mut error: clap::Error) -> clap::Error {
    let url = ["--url", "--archive", "--node"];
    let is_url = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => url.iter().any(|url| arg.contains(url)),
        _ => false,
    };
    if is_url {
        error.insert(ContextKind::InvalidValue, ContextValue::String("<URL>".to_owned()));
    }
    error
}

/// What the help ends with.
fn after_help() -> String {
    let codes: Vec<_> = EXIT_CODES.iter().map(|(code, meaning)| format!("{code} {meaning}")).collect();
    format!(
        "Exit codes: {}.\n\nSettings are taken from flags, then from the environment, then from the file of \
         `solana config`, then defaults.",
        codes.join("; ")
    )
}

/// Reads a URL, or a name of a cluster as Solana's tools have it.
pub fn parse_url(text: &str) -> Result<Url, String> {
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
