//! Options of all commands, and parsers of their values.

use std::path::PathBuf;

use clap::{
    Args, ValueHint,
    builder::{PossibleValuesParser, TypedValueParser},
};
use solana_commitment_config::CommitmentConfig;
use solana_pubkey::Pubkey;
use url::Url;

use crate::format::Format;

/// Options of all commands.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file of Solana's tools [default: ~/.config/solana/cli/config.yml]
    #[arg(short = 'C', long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// RPC node: a URL, or localhost, devnet, testnet or mainnet-beta, or the first letter of one of these.
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
    /// Commitment level to read at, and to wait for after sending [default: confirmed]
    #[arg(long, global = true, value_name = "LEVEL", value_parser = commitments())]
    pub commitment: Option<CommitmentConfig>,
    /// Format of standard output.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "display")]
    pub output: Format,
    /// Priority fee: micro-lamports for each compute unit, on top of the fee for signatures.
    #[arg(long = "with-compute-unit-price", global = true, value_name = "MICRO_LAMPORTS")]
    pub compute_unit_price: Option<u64>,
    /// Sign and send without asking for confirmation.
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Simulate only: sign and send nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
}

/// Parses a commitment level, which shells complete.
fn commitments() -> impl TypedValueParser<Value = CommitmentConfig> {
    let levels = PossibleValuesParser::new(["processed", "confirmed", "finalized"]);
    levels.try_map(|level| level.parse::<CommitmentConfig>())
}

/// Parses the address of an account.
pub fn parse_address(text: &str) -> Result<Pubkey, &'static str> {
    text.parse().map_err(|_| "give an address: 32 bytes in base58")
}

/// Parses a URL, or the moniker of a cluster in Solana's tools.
pub fn parse_url(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("it is empty: give a URL, or unset LEASEHOLD_URL".to_owned());
    }
    let text = match text {
        "l" | "localhost" => "http://localhost:8899",
        "d" | "devnet" => "https://api.devnet.solana.com",
        "t" | "testnet" => "https://api.testnet.solana.com",
        "m" | "mainnet-beta" => "https://api.mainnet-beta.solana.com",
        text => text,
    };
    parse_http(text)
        .ok_or_else(|| "give an http or https URL, or localhost, devnet, testnet or mainnet-beta".to_owned())
}

/// Parses the URL of an HTTP server.
pub fn parse_http_url(text: &str) -> Result<Url, String> {
    parse_http(text).ok_or_else(|| "give an http or https URL".to_owned())
}

fn parse_http(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monikers_are_those_of_solanas_tools() {
        for (moniker, letter, url) in [
            ("localhost", "l", "http://localhost:8899/"),
            ("devnet", "d", "https://api.devnet.solana.com/"),
            ("testnet", "t", "https://api.testnet.solana.com/"),
            ("mainnet-beta", "m", "https://api.mainnet-beta.solana.com/"),
        ] {
            assert_eq!(parse_url(moniker).unwrap().as_str(), url);
            assert_eq!(parse_url(letter).unwrap().as_str(), url);
        }
        assert_eq!(parse_url("http://127.0.0.1:1").unwrap().port(), Some(1));
        for wrong in ["mainnet", "ftp://host", "http://", "127.0.0.1:8899"] {
            assert!(parse_url(wrong).unwrap_err().starts_with("give an http"), "{wrong}");
        }
    }
}
