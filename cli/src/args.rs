//! What every command understands.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use url::Url;

use crate::{commands::receipt::ReceiptCommand, output::Format};

/// How long one question to the RPC node may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Leases GPU time, and checks what was computed.
#[derive(Parser)]
#[command(name = "leasehold", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, and what was to be proved is proved; 1 not proved; 2 wrong use, or \
                        something could not be reached or read."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of all commands.
#[derive(Args)]
pub struct Global {
    /// RPC node: a URL, or localhost, devnet, testnet or mainnet-beta, or the first letter of one.
    #[arg(short, long, global = true, env = "LEASEHOLD_URL", value_name = "URL_OR_MONIKER")]
    #[arg(default_value = "mainnet-beta", value_parser = parse_url)]
    pub url: Url,
    /// How settled state must be that is read: processed, confirmed or finalized.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "confirmed")]
    pub commitment: CommitmentConfig,
    /// Form of what is printed on standard output.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "display")]
    pub output: Format,
}

impl Global {
    /// A connection to the RPC node.
    pub fn rpc(&self) -> RpcClient {
        RpcClient::new_with_timeout_and_commitment(self.url.to_string(), PATIENCE, self.commitment)
    }
}

#[derive(Subcommand)]
pub enum Command {
    /// Receipts of inferences: which machine gave an answer, and what was paid for it.
    Receipt {
        #[command(subcommand)]
        command: ReceiptCommand,
    },
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
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::commands::receipt::ReceiptCommand;

    fn parse(args: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("leasehold").chain(args.split_whitespace()))
    }

    #[test]
    fn the_definition_of_arguments_is_sound() {
        Cli::command().debug_assert();
    }

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
        for wrong in ["", "mainnet", "ftp://host", "http://", "127.0.0.1:8899"] {
            assert!(parse_url(wrong).unwrap_err().starts_with("give an http"), "{wrong}");
        }
    }

    #[test]
    fn options_of_all_commands_stand_before_and_after_them() {
        let archive = "--archive http://a.example";
        for args in [
            format!("-u d --output json receipt verify file {archive}"),
            format!("receipt verify file {archive} --url devnet --output json"),
        ] {
            let cli = parse(&args).unwrap();
            assert_eq!(cli.global.url.as_str(), "https://api.devnet.solana.com/");
            assert_eq!(cli.global.output, Format::Json);
            assert_eq!(cli.global.commitment, CommitmentConfig::confirmed());
            let Command::Receipt { command: ReceiptCommand::Verify(args) } = cli.command else { panic!() };
            assert_eq!(args.file.to_str(), Some("file"));
        }
    }

    #[test]
    fn wrong_use_ends_with_2() {
        let id = "00".repeat(32);
        for args in [
            "receipt".to_owned(),
            "receipt verify".to_owned(),
            "receipt find 0011 --archive http://a.example".to_owned(),
            format!("receipt find {id} --archive a.example"),
            format!("receipt find {id} --archive http://a.example --output yaml"),
            format!("receipt find {id} --archive http://a.example --commitment soon"),
            format!("receipt find {id} --archive http://a.example -u nowhere"),
            format!("receipt verify {id} --archive http://a.example --salt 00"),
        ] {
            assert_eq!(parse(&args).err().map(|error| error.exit_code()), Some(2), "{args}");
        }
        let found = parse(&format!("receipt find {id} --archive http://a.example")).unwrap();
        let Command::Receipt { command: ReceiptCommand::Find(args) } = found.command else { panic!() };
        assert_eq!(args.id, crate::commands::receipt::Hash([0; 32]));
    }
}
