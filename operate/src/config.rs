//! Settings of a run, from flags, then the environment, then the configuration file of Solana's tools, then defaults.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use leasehold_client::{
    keypair::{self, KeypairError},
    rpc::{CallTimeout, connect},
};
use serde::Deserialize;
use solana_commitment_config::CommitmentConfig;
use solana_keypair::Keypair;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use url::Url;

use crate::{
    flags::{Global, parse_url},
    format::Format,
    text::mistake,
};

/// Timeout of one request to the RPC node.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Below the home folder.
const CONFIG_FILE: &str = ".config/solana/cli/config.yml";
const KEYPAIR_FILE: &str = ".config/solana/id.json";

/// Why settings can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: {error}: check --config", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is not a configuration of Solana's tools ({error}): repair it by `solana config set`", path.display())]
    Malformed { path: PathBuf, error: String },
    #[error("{0}; name another one with --keypair, or write one with `solana-keygen new`")]
    Keypair(#[from] KeypairError),
    #[error("no home folder to look for a keypair in: name a file with --keypair")]
    NoHome,
}

/// The fields that matter here of the file that `solana config` writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct File {
    pub json_rpc_url: String,
    pub keypair_path: String,
    pub commitment: String,
}

impl File {
    /// Reads the named file, which must exist, or the one below the home folder, if it exists.
    pub fn read(named: Option<&Path>, home: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = named.map(Path::to_owned).or_else(|| Some(home?.join(CONFIG_FILE))) else {
            return Ok(File::default());
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => File::parse(&text).map_err(|error| ConfigError::Malformed { path, error }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(File::default()),
            Err(error) => Err(ConfigError::Unreadable { path, error }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(File::default());
        }
        serde_yaml::from_str(text).map_err(|error| mistake(&error.to_string()))
    }
}

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub url: Url,
    pub commitment: CommitmentConfig,
    pub output: Format,
    /// `None` if no file is named and there is no home folder.
    pub keypair: Option<PathBuf>,
    /// Micro-lamports a compute unit.
    pub price: u64,
    /// Sign without asking for confirmation.
    pub yes: bool,
    /// Sign and send nothing.
    pub dry_run: bool,
}

impl Settings {
    /// Settings of this run.
    pub fn load(global: &Global) -> Result<Self, ConfigError> {
        let home = std::env::home_dir();
        let file = File::read(global.config.as_deref(), home.as_deref())?;
        let path = global.config.clone().or_else(|| Some(home.as_deref()?.join(CONFIG_FILE)));
        Settings::resolve(global, &file, home.as_deref())
            .map_err(|error| ConfigError::Malformed { path: path.unwrap_or_default(), error })
    }

    /// Flags and environment come first, then the file, then defaults.
    fn resolve(global: &Global, file: &File, home: Option<&Path>) -> Result<Self, String> {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let url = match (&global.url, given(&file.json_rpc_url)) {
            (Some(url), _) => url.clone(),
            (None, url) => parse_url(url.as_deref().unwrap_or("mainnet-beta"))
                .map_err(|error| format!("json_rpc_url: {error}"))?,
        };
        let commitment = match (global.commitment, given(&file.commitment)) {
            (Some(commitment), _) => commitment,
            (None, Some(commitment)) => commitment.parse().map_err(|_| {
                mistake(&format!(
                    "commitment: unknown level {commitment:?}: give processed, confirmed or finalized"
                ))
            })?,
            (None, None) => CommitmentConfig::confirmed(),
        };
        let keypair = global
            .keypair
            .clone()
            .or_else(|| given(&file.keypair_path).map(PathBuf::from))
            .or_else(|| Some(home?.join(KEYPAIR_FILE)));
        let Global { output, compute_unit_price, yes, dry_run, .. } = *global;
        Ok(Settings {
            url,
            commitment,
            output,
            keypair,
            price: compute_unit_price.unwrap_or_default(),
            yes,
            dry_run,
        })
    }

    /// A connection to the RPC node.
    pub fn rpc(&self) -> RpcClient {
        connect(self.url.as_str(), CallTimeout::new(TIMEOUT), self.commitment)
    }

    /// The wallet that signs and pays.
    pub fn wallet(&self) -> Result<Arc<Keypair>, ConfigError> {
        let path = self.keypair.as_deref().ok_or(ConfigError::NoHome)?;
        Ok(Arc::new(keypair::read(path)?))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use solana_signer::Signer;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        global: Global,
    }

    const FILE: &str = "---\njson_rpc_url: http://127.0.0.1:1\nwebsocket_url: ''\nkeypair_path: /a/id.json\n\
                        address_labels:\n  '11111111111111111111111111111111': System\ncommitment: finalized\n";

    fn resolve(flags: &str, file: &str) -> Result<Settings, String> {
        let args = ["leasehold"].into_iter().chain(flags.split_whitespace());
        let cli = Cli::try_parse_from(args).unwrap();
        Settings::resolve(&cli.global, &File::parse(file)?, Some(Path::new("/home/a")))
    }

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let default = resolve("", "").unwrap();
        assert_eq!(default.url.as_str(), "https://api.mainnet-beta.solana.com/");
        assert_eq!(default.commitment, CommitmentConfig::confirmed());
        assert_eq!(default.keypair.unwrap(), Path::new("/home/a/.config/solana/id.json"));
        assert!(!default.yes && !default.dry_run && default.price == 0);

        let file = resolve("", FILE).unwrap();
        assert_eq!(file.url.as_str(), "http://127.0.0.1:1/");
        assert_eq!(file.commitment, CommitmentConfig::finalized());
        assert_eq!(file.keypair.unwrap(), Path::new("/a/id.json"));

        let flags = "-u d -k /b.json --commitment processed --with-compute-unit-price 7 -y --dry-run";
        let flags = resolve(flags, FILE).unwrap();
        assert_eq!(flags.url.as_str(), "https://api.devnet.solana.com/");
        assert_eq!(flags.commitment, CommitmentConfig::processed());
        assert_eq!(flags.keypair.unwrap(), Path::new("/b.json"));
        assert!(flags.yes && flags.dry_run && flags.price == 7);
    }

    #[test]
    fn the_file_names_clusters_as_flags_do_and_is_refused_where_it_is_broken() {
        let moniker = resolve("", "json_rpc_url: testnet").unwrap();
        assert_eq!(moniker.url.as_str(), "https://api.testnet.solana.com/");
        for (file, expected) in [
            ("json_rpc_url: nowhere", "json_rpc_url: give an http"),
            ("commitment: soon", "commitment: unknown level \"soon\""),
            ("[1, 2", ""),
        ] {
            let error = resolve("", file).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(resolve("-u l", "json_rpc_url: nowhere").is_ok(), "a flag covers it");
    }

    #[test]
    fn only_a_file_that_was_named_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(File::read(None, Some(dir.path())).unwrap(), File::default());
        let missing = File::read(Some(&dir.path().join("none")), None).unwrap_err();
        assert!(missing.to_string().ends_with("check --config"), "{missing}");
        let path = dir.path().join(CONFIG_FILE);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, FILE).unwrap();
        assert_eq!(File::read(None, Some(dir.path())).unwrap().json_rpc_url, "http://127.0.0.1:1");
        std::fs::write(&path, "[").unwrap();
        let broken = File::read(None, Some(dir.path())).unwrap_err();
        assert!(broken.to_string().contains("solana config set"), "{broken}");
    }

    #[test]
    fn keypairs_are_those_of_solana_keygen_and_never_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id.json");
        let keypair = Keypair::new();
        std::fs::write(&path, serde_json::to_string(&keypair.to_bytes().to_vec()).unwrap()).unwrap();
        let wallet = |path: &Path| resolve(&format!("--keypair {}", path.display()), "").unwrap().wallet();
        assert_eq!(wallet(&path).unwrap().pubkey(), keypair.pubkey());
        std::fs::write(&path, "[231, 232, 1000]").unwrap();
        let error = wallet(&path).unwrap_err().to_string();
        assert!(!error.contains("231") && error.contains("--keypair"), "{error}");
        assert!(error.contains("is not a keypair: it must hold 64 numbers"), "{error}");
        let mut halves = keypair.to_bytes();
        halves[32..].copy_from_slice(&Keypair::new().to_bytes()[32..]);
        std::fs::write(&path, serde_json::to_string(&halves.to_vec()).unwrap()).unwrap();
        let error = wallet(&path).unwrap_err().to_string();
        assert!(error.contains("not the public key of its first 32"), "{error}");
        assert!(wallet(&dir.path().join("none")).unwrap_err().to_string().contains("solana-keygen new"));
    }
}
