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
use solana_pubkey::Pubkey;
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
    #[error("the keypair is \"{name}\", {what}: name a file with --keypair, as solana-keygen writes it")]
    Signer { name: String, what: &'static str },
    #[error("no home folder to look for a keypair in: name a file with --keypair")]
    NoHome,
}

/// The fields that matter here of the file that `solana config` writes. Others are ignored, and what is empty counts as left
/// out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct File {
    json_rpc_url: Option<String>,
    keypair_path: Option<String>,
    commitment: Option<String>,
}

impl File {
    /// Reads the named file, which must exist, or the one below the home folder, if it exists.
    pub fn read(named: Option<&Path>, home: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = named.map(Path::to_owned).or_else(|| Some(home?.join(CONFIG_FILE))) else {
            return Ok(File::default());
        };
        match std::fs::read_to_string(&path) {
            // Some editors put it at the beginning.
            Ok(text) => File::parse(text.trim_start_matches('\u{feff}'))
                .map_err(|error| ConfigError::Malformed { path, error }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(File::default()),
            Err(error) => Err(ConfigError::Unreadable { path, error }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(File::default());
        }
        // A file with nothing but comments is `null`.
        let file = serde_yaml::from_str::<Option<File>>(text).map_err(|error| mistake(&error.to_string()))?;
        Ok(file.unwrap_or_default())
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
        let given = |text: &Option<String>| {
            text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let url = match (&global.url, given(&file.json_rpc_url)) {
            (Some(url), _) => url.clone(),
            (None, url) => parse_url(url.as_deref().unwrap_or("mainnet-beta"))
                .map_err(|error| format!("json_rpc_url: {error}"))?,
        };
        let commitment = match (global.commitment, given(&file.commitment)) {
            (Some(commitment), _) => commitment,
            (None, Some(commitment)) => current(&commitment).parse().map_err(|_| {
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
        let path = keypair_file(path, std::env::home_dir().as_deref())?;
        Ok(Arc::new(keypair::read(&path)?))
    }
}

/// Today's name of a commitment level: files that old versions of Solana's tools wrote have others.
fn current(commitment: &str) -> &str {
    match commitment {
        "recent" => "processed",
        "single" | "singleGossip" => "confirmed",
        "root" | "max" => "finalized",
        current => current,
    }
}

/// The file of a keypair as Solana's tools name it: a path, which may begin with `~` or `file:`. A relative one is from the
/// current folder, as with them. Their other signers are refused.
fn keypair_file(named: &Path, home: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let Some(name) = named.to_str() else { return Ok(named.to_owned()) };
    let refuse = |what| Err(ConfigError::Signer { name: name.to_owned(), what });
    let scheme = name.split_once(':').map(|(scheme, _)| scheme);
    match (name, scheme) {
        ("ASK", _) | (_, Some("prompt")) => {
            refuse("a seed phrase to be asked for, which this program does not do")
        }
        ("-", _) | (_, Some("stdin")) => refuse("standard input, from which this program reads no keypair"),
        (_, Some("usb")) => refuse("a hardware wallet, which this program does not support"),
        (_, Some("pubkey" | "presigner")) => {
            refuse("a signer of offline signing, which this program does not support")
        }
        _ if name.parse::<Pubkey>().is_ok() => refuse("an address, which can't sign"),
        _ => {
            let path = name.strip_prefix("file://").or(name.strip_prefix("file:")).unwrap_or(name);
            match (path.strip_prefix('~').map(|rest| (rest, rest.strip_prefix('/'))), home) {
                (Some(("", _)), _) => refuse("a folder"),
                (Some((_, Some(below))), Some(home)) => Ok(home.join(below)),
                (Some((_, Some(_))), None) => Err(ConfigError::NoHome),
                _ => Ok(path.into()),
            }
        }
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
    fn files_are_read_as_people_have_them() {
        let mainnet = "https://api.mainnet-beta.solana.com/";
        let devnet = "https://api.devnet.solana.com/";
        for (file, url) in [
            ("# nothing but a comment\n", mainnet),
            ("---\n", mainnet),
            ("json_rpc_url: ''\nwebsocket_url: ''\nkeypair_path: ''\ncommitment: ''\n", mainnet),
            ("json_rpc_url: ~\nkeypair_path: ~\ncommitment: null\n", mainnet),
            ("json_rpc_url: devnet\nunknown: [1, {a: b}]\n", devnet),
            ("json_rpc_url: 'd'\r\ncommitment: confirmed\r\n", devnet),
            ("json_rpc_url: \" devnet \"\n", devnet),
        ] {
            let settings = resolve("", file).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(settings.url.as_str(), url, "{file}");
            assert_eq!(settings.commitment, CommitmentConfig::confirmed(), "{file}");
            assert_eq!(settings.keypair.unwrap(), Path::new("/home/a/.config/solana/id.json"), "{file}");
        }
        for (old, now) in [("recent", CommitmentConfig::processed()), ("max", CommitmentConfig::finalized())]
        {
            assert_eq!(resolve("", &format!("commitment: {old}")).unwrap().commitment, now);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yml");
        std::fs::write(&path, "\u{feff}json_rpc_url: devnet\n").unwrap();
        assert_eq!(File::read(Some(&path), None).unwrap().json_rpc_url.unwrap(), "devnet");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        for unreadable in [path.as_path(), dir.path()] {
            let error = File::read(Some(unreadable), None).unwrap_err().to_string();
            assert!(error.ends_with("check --config"), "{error}");
        }
    }

    #[test]
    fn a_keypairs_path_is_that_of_solanas_tools_and_other_signers_are_refused_in_a_sentence() {
        let home = Path::new("/home/a");
        let file = |name: &str| keypair_file(Path::new(name), Some(home));
        for (name, path) in [
            ("/a/id.json", "/a/id.json"),
            ("id.json", "id.json"),
            ("./my keys/id.json", "./my keys/id.json"),
            ("~/id.json", "/home/a/id.json"),
            ("file:~/id.json", "/home/a/id.json"),
            ("file:///a/id.json", "/a/id.json"),
            ("file:id.json", "id.json"),
        ] {
            assert_eq!(file(name).unwrap(), Path::new(path), "{name}");
        }
        for (name, what) in [
            ("usb://ledger", "a hardware wallet"),
            ("usb://trezor?key=0/1", "a hardware wallet"),
            ("ASK", "a seed phrase"),
            ("prompt:", "a seed phrase"),
            ("prompt://?full-path=m/44/501", "a seed phrase"),
            ("stdin:", "standard input"),
            ("-", "standard input"),
            ("11111111111111111111111111111112", "an address"),
            ("~", "a folder"),
        ] {
            let error = file(name).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("name a file with --keypair"), "{error}");
        }
        assert!(matches!(keypair_file(Path::new("~/id.json"), None), Err(ConfigError::NoHome)));
        // A command that signs nothing does not mind.
        let settings = resolve("", "keypair_path: usb://ledger\n").unwrap();
        assert!(matches!(settings.wallet(), Err(ConfigError::Signer { .. })));
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
        assert_eq!(File::read(None, Some(dir.path())).unwrap().json_rpc_url.unwrap(), "http://127.0.0.1:1");
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
