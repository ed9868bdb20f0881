//! The configuration file: machines, their keys, and how receipts are kept.

use crate::machines::{Machine, Serving};
use crate::mistake::mistake;
use crate::receipts::ProxySettings;
use crate::receipts::settings::{Section, Settings, SettingsError};
use leasehold::constants::MAX_SLOTS;
use leasehold_client::keypair::KeypairError;
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_daemon::secrets;
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path} ({source}): check the path and who may read it")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not a valid configuration: {mistake}")]
    Syntax { path: PathBuf, mistake: String },
    #[error(
        "{path}: the machine in slot {slot} has no {field}: add it to the machine, or at the top for all machines"
    )]
    Missing { path: PathBuf, slot: u32, field: &'static str },
    #[error(
        "{path}: the machine in slot {slot} needs either `keypair` (a file) or `seed` (64 hexadecimal digits)"
    )]
    Key { path: PathBuf, slot: u32 },
    #[error("{path}: slot {slot} is out of range (0 to {})", MAX_SLOTS.saturating_sub(1))]
    Slot { path: PathBuf, slot: u32 },
    #[error(
        "{path}: the proxy's machine is {place}, and {found}: correct `slot` and `board` in [receipts], or the [[machine]]"
    )]
    ProxyMachine { path: PathBuf, place: String, found: &'static str },
    #[error("{path}: round_secs must be at least 1")]
    RoundSecs { path: PathBuf },
    #[error(transparent)]
    Keypair(#[from] KeypairError),
    // The URL may hold a key.
    #[error(
        "{path}: `rpc` in [chain] is not an http or https URL: give one such as https://api.devnet.solana.com"
    )]
    Rpc { path: PathBuf },
    #[error("{path}: {source}")]
    Receipts { path: PathBuf, source: SettingsError },
    #[error("{path} has no [receipts], which --upstream needs: add it, with the database of the receipts")]
    NoReceipts { path: PathBuf },
}

/// A configuration file, but for its sections `[chain]` and `[access]`.
#[derive(Clone, Debug)]
pub struct Config {
    pub serving: Serving,
    /// Set if the node signs receipts.
    pub receipts: Option<Settings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, deserialize_with = "address")]
    program: Option<Pubkey>,
    #[serde(default, deserialize_with = "address")]
    market: Option<Pubkey>,
    #[serde(default, deserialize_with = "address")]
    board: Option<Pubkey>,
    round_secs: Option<u32>,
    #[serde(default, deserialize_with = "addresses")]
    keepers: Option<Vec<Pubkey>>,
    #[serde(default, rename = "machine")]
    machines: Vec<Entry>,
    receipts: Option<Section>,
    /// Read by module `chain`.
    #[serde(default, rename = "chain")]
    _chain: IgnoredAny,
    /// Read by module `tenancy`.
    #[serde(default, rename = "access")]
    _access: IgnoredAny,
}

/// A machine; fields that are left out are those at the top of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default, deserialize_with = "address")]
    program: Option<Pubkey>,
    #[serde(default, deserialize_with = "address")]
    market: Option<Pubkey>,
    #[serde(default, deserialize_with = "address")]
    board: Option<Pubkey>,
    round_secs: Option<u32>,
    slot: u32,
    generation: u32,
    keypair: Option<PathBuf>,
    seed: Option<String>,
}

/// Reads a configuration file and the keypair files that it names; relative paths start at its folder.
///
/// # Errors
/// Any [`ConfigError`].
pub fn load(path: &Path) -> Result<Serving, ConfigError> {
    load_config(path, None).map(|config| config.serving)
}

/// Like [`load`], with the section `[receipts]`. `upstream` overrides the URL of the inference server.
///
/// # Errors
/// Any [`ConfigError`].
pub fn load_config(path: &Path, upstream: Option<&str>) -> Result<Config, ConfigError> {
    let text = read(path)?;
    let file: File = toml::from_str(&text).map_err(|error| syntax(path, &error, &text))?;
    if file.machines.iter().any(|entry| entry.seed.is_some()) {
        secrets::warn_if_exposed(path);
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let machines = file.machines.iter().map(|entry| machine(path, folder, &file, entry));
    let machines = machines.collect::<Result<Vec<_>, _>>()?;
    if upstream.is_some() && file.receipts.is_none() {
        return Err(ConfigError::NoReceipts { path: path.to_owned() });
    }
    let receipts = file.receipts.map(|section| Settings::resolve(section, folder, upstream)).transpose();
    let receipts = receipts.map_err(|source| ConfigError::Receipts { path: path.to_owned(), source })?;
    if let Some(proxy) = receipts.as_ref().and_then(|settings| settings.proxy.as_ref()) {
        has_machine(path, proxy, &machines)?;
    }
    Ok(Config { serving: Serving { machines, keepers: file.keepers }, receipts })
}

pub(crate) fn syntax(path: &Path, error: &toml::de::Error, text: &str) -> ConfigError {
    ConfigError::Syntax { path: path.to_owned(), mistake: mistake(error, text) }
}

/// Refuses a proxy whose machine is not one of these. Without any machine all of them are still to be added.
fn has_machine(path: &Path, proxy: &ProxySettings, machines: &[Machine]) -> Result<(), ConfigError> {
    let fits = machines.iter().filter(|machine| {
        proxy.slot.is_none_or(|slot| machine.slot == slot)
            && proxy.board.is_none_or(|board| machine.board == board)
    });
    let found = match fits.count() {
        0 if !machines.is_empty() => "the file has no such machine",
        0 | 1 => return Ok(()),
        _ => "the file has several such machines",
    };
    let place = match (proxy.slot, proxy.board) {
        (Some(slot), Some(board)) => format!("in slot {slot} of board {board}"),
        (Some(slot), None) => format!("in slot {slot}"),
        (None, Some(board)) => format!("on board {board}"),
        (None, None) => "not named".to_owned(),
    };
    Err(ConfigError::ProxyMachine { path: path.to_owned(), place, found })
}

fn machine(path: &Path, folder: &Path, file: &File, entry: &Entry) -> Result<Machine, ConfigError> {
    let slot = entry.slot;
    let missing = |field| ConfigError::Missing { path: path.to_owned(), slot, field };
    let key = match (&entry.keypair, &entry.seed) {
        (Some(keypair), None) => signing_key(&folder.join(keypair))?,
        (None, Some(seed)) => {
            let mut bytes = [0; 32];
            hex::decode_to_slice(seed, &mut bytes)
                .map_err(|_| ConfigError::Key { path: path.to_owned(), slot })?;
            SigningKey::from_bytes(&bytes)
        }
        _ => return Err(ConfigError::Key { path: path.to_owned(), slot }),
    };
    if usize::try_from(slot).is_ok_and(|slot| slot >= MAX_SLOTS) {
        return Err(ConfigError::Slot { path: path.to_owned(), slot });
    }
    let round_secs = entry.round_secs.or(file.round_secs);
    if round_secs == Some(0) {
        return Err(ConfigError::RoundSecs { path: path.to_owned() });
    }
    Ok(Machine {
        program: entry.program.or(file.program).ok_or_else(|| missing("program"))?,
        market: entry.market.or(file.market).ok_or_else(|| missing("market"))?,
        board: entry.board.or(file.board).ok_or_else(|| missing("board"))?,
        slot,
        generation: entry.generation,
        round_secs,
        key,
    })
}

/// Reads a keypair file.
///
/// # Errors
/// [`ConfigError::Keypair`].
pub(crate) fn signing_key(path: &Path) -> Result<SigningKey, ConfigError> {
    Ok(SigningKey::from_bytes(secrets::read_keypair(path)?.secret_bytes()))
}

pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Pubkey>, D::Error> {
    parse_address(&String::deserialize(deserializer)?).map(Some)
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Pubkey>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| parse_address(text)).collect::<Result<_, _>>().map(Some)
}

fn parse_address<E: Error>(text: &str) -> Result<Pubkey, E> {
    text.parse().map_err(|_| E::custom(format!("`{text}` is not an address in base58")))
}
