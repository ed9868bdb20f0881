//! The section `[receipts]` of the configuration file.

mod proxy;

pub use proxy::{Patience, ProxySettings, Secret, UnknownFields};

use crate::leases::{Leases, RunningLease};
use leasehold::constants::MAX_SOURCE;
use leasehold_client::probe::Pubkey;
use leasehold_client::text;
use leasehold_daemon::http::Limits;
use leasehold_daemon::secrets::warn_if_exposed;
use proxy::{
    count, default_answer_mib, default_answer_secs, default_connect_secs, default_head_secs,
    default_idle_secs, default_memory_mib, default_request_mib, default_requests, default_template_tokens,
    mib, secs,
};
use reqwest::Url;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Default TCP address of the API.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8471);

/// Default token limit of an answer whose request sets no limit.
pub const DEFAULT_MAX_TOKENS: NonZeroU32 = NonZeroU32::new(1_024).unwrap();

/// The largest token limit: servers with smaller numbers would take a larger one for none.
pub(crate) const MOST_TOKENS: u64 = i32::MAX as u64;

/// Default of `exposure_per_spender`, in exposure limits.
pub const LEASES_PER_SPENDER: u64 = 8;

/// Why the section is refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read {path} ({source}): check the path and who may read it")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a valid list of leases: {source}")]
    Leases { path: PathBuf, source: serde_json::Error },
    #[error(
        "`{field}` is \"{url}\", which is not an http or https URL without a query or fragment: correct {field}"
    )]
    Url { field: &'static str, url: String },
    #[error("`{field}` is {value}: {advice}")]
    Value { field: &'static str, value: String, advice: String },
    #[error("{path} has slot {slot} of a board twice: remove one of the two")]
    SameSlot { path: PathBuf, slot: u16 },
    #[error("{path} has a lease of slot {slot} that never runs, since {reason}")]
    Lease { path: PathBuf, slot: u16, reason: String },
    #[error("`source` has {0} bytes, and the log takes {MAX_SOURCE} at most: use a shorter URL")]
    LongSource(usize),
    #[error("model `{0}` is given twice: remove one of them")]
    SameModel(String),
    #[error("the proxy needs at least one [[receipts.model]]: add each model with name and manifest")]
    NoModel,
    #[error("{0} has no API key in its first line: write the inference server's key there, without spaces")]
    Key(PathBuf),
}

/// The section as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    database: PathBuf,
    #[serde(default = "default_listen")]
    listen: SocketAddr,
    public: Option<SocketAddr>,
    source: String,
    #[serde(default)]
    exposure_limit: u64,
    exposure_per_spender: Option<u64>,
    leases: Option<PathBuf>,
    upstream: Option<String>,
    upstream_key: Option<PathBuf>,
    #[serde(default)]
    unknown_fields: UnknownFields,
    media_tokens: Option<NonZeroU32>,
    #[serde(default = "default_template_tokens")]
    template_tokens: u32,
    #[serde(default = "default_request_mib")]
    request_mib: NonZeroU32,
    #[serde(default = "default_answer_mib")]
    answer_mib: NonZeroU32,
    #[serde(default = "default_memory_mib")]
    memory_mib: NonZeroU32,
    #[serde(default = "default_requests")]
    requests: NonZeroU32,
    #[serde(default = "default_connect_secs")]
    connect_secs: NonZeroU32,
    #[serde(default = "default_head_secs")]
    head_secs: NonZeroU32,
    #[serde(default = "default_idle_secs")]
    idle_secs: NonZeroU32,
    #[serde(default = "default_answer_secs")]
    answer_secs: NonZeroU32,
    slot: Option<u32>,
    #[serde(default, deserialize_with = "board")]
    board: Option<Pubkey>,
    #[serde(default = "one")]
    gpus: NonZeroU32,
    #[serde(default = "default_max_tokens")]
    max_tokens: NonZeroU32,
    #[serde(default)]
    price_in: u64,
    #[serde(default)]
    price_out: u64,
    #[serde(default, rename = "model")]
    models: Vec<ModelEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelEntry {
    name: String,
    manifest: PathBuf,
    price_in: Option<u64>,
    price_out: Option<u64>,
}

/// How receipts are signed and stored.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SQLite database.
    pub database: PathBuf,
    /// Address on which the inference server reports its answers. A loopback address: each report gets a signature.
    pub listen: SocketAddr,
    /// Address on which everybody finds receipts and batches, hands in vouchers and reaches the proxy.
    pub public: Option<SocketAddr>,
    /// Public base URL of `public`, without a slash at its end.
    pub source: String,
    /// The most payment units that a metered lease may use before its buyer signs for them.
    pub exposure_limit: u64,
    /// The most that all metered leases of one spender may use in an hour before anybody signs for it.
    pub exposure_per_spender: u64,
    /// File with the leases; `None` if they are read from the chain.
    pub leases: Option<PathBuf>,
    /// Models by the names in requests.
    pub models: HashMap<String, Arc<Model>>,
    pub proxy: Option<ProxySettings>,
}

impl Section {
    /// Refuses bounds that contradict each other: requests that seem to be allowed would never be served.
    fn check_bounds(&self) -> Result<(), SettingsError> {
        if u64::from(self.max_tokens.get()) > MOST_TOKENS {
            let advice = format!("give at most {MOST_TOKENS}");
            return Err(wrong("max_tokens", self.max_tokens.to_string(), advice));
        }
        let most = Limits::default().body_bytes_each >> 20;
        if mib(self.request_mib) >> 20 > most {
            let advice = format!("one address may send {most} MiB at a time: give at most that");
            return Err(wrong("request_mib", self.request_mib.to_string(), advice));
        }
        for (field, bound) in [("request_mib", self.request_mib), ("answer_mib", self.answer_mib)] {
            if mib(bound).saturating_mul(2) > mib(self.memory_mib) {
                let advice = format!(
                    "one caller may have half of it, and `{field}` is {bound}: give at least twice that, or a smaller \
                     `{field}`"
                );
                return Err(wrong("memory_mib", self.memory_mib.to_string(), advice));
            }
        }
        Ok(())
    }
}

fn wrong(field: &'static str, value: String, advice: impl Into<String>) -> SettingsError {
    SettingsError::Value { field, value, advice: advice.into() }
}

/// A model of the inference server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// sha256 of the manifest file.
    pub id: [u8; 32],
    /// Payment units for a million tokens of requests, and of answers.
    pub price_in: u64,
    pub price_out: u64,
}

impl Settings {
    /// Reads the files that the section names; relative paths start at `folder`. `upstream` overrides the section's.
    pub(crate) fn resolve(
        section: Section,
        folder: &Path,
        upstream: Option<&str>,
    ) -> Result<Self, SettingsError> {
        let source = url("source", &section.source)?;
        if !source.username().is_empty() || source.password().is_some() {
            let value = "a URL with a name or password".to_owned();
            return Err(wrong("source", value, "everybody reads it in the log: leave them out"));
        }
        let source = source.as_str().trim_end_matches('/').to_owned();
        if source.len() > MAX_SOURCE {
            return Err(SettingsError::LongSource(source.len()));
        }
        let mut models = HashMap::new();
        for entry in &section.models {
            let manifest = read(&folder.join(&entry.manifest))?;
            let model = Model {
                id: Sha256::digest(manifest).into(),
                price_in: entry.price_in.unwrap_or(section.price_in),
                price_out: entry.price_out.unwrap_or(section.price_out),
            };
            if models.insert(entry.name.clone(), Arc::new(model)).is_some() {
                return Err(SettingsError::SameModel(entry.name.clone()));
            }
        }
        let upstream =
            upstream.or(section.upstream.as_deref()).map(|text| url("upstream", text)).transpose()?;
        if let Some(url) = upstream.as_ref().filter(|url| url.path().trim_end_matches('/').ends_with("/v1")) {
            return Err(wrong(
                "upstream",
                format!("{:?}", url.as_str()),
                "leave out /v1, which the proxy adds",
            ));
        }
        if upstream.is_some() && models.is_empty() {
            return Err(SettingsError::NoModel);
        }
        if upstream.is_some() {
            section.check_bounds()?;
        }
        let upstream_key =
            section.upstream_key.as_ref().map(|path| secret(&folder.join(path))).transpose()?;
        Ok(Self {
            database: folder.join(section.database),
            listen: section.listen,
            public: section.public,
            source,
            exposure_limit: section.exposure_limit,
            exposure_per_spender: section
                .exposure_per_spender
                .unwrap_or(section.exposure_limit.saturating_mul(LEASES_PER_SPENDER)),
            leases: section.leases.map(|path| folder.join(path)),
            models,
            proxy: upstream.map(|upstream| ProxySettings {
                upstream,
                slot: section.slot,
                board: section.board,
                gpus: section.gpus.get(),
                max_tokens: section.max_tokens,
                upstream_key,
                unknown_fields: section.unknown_fields,
                media_tokens: section.media_tokens,
                template_tokens: section.template_tokens,
                request_bytes: mib(section.request_mib),
                answer_bytes: mib(section.answer_mib),
                memory: mib(section.memory_mib),
                requests: count(section.requests),
                patience: Patience {
                    connect: secs(section.connect_secs),
                    head: secs(section.head_secs),
                    idle: secs(section.idle_secs),
                    whole: secs(section.answer_secs),
                },
            }),
        })
    }

    /// Finds a model by name; without a name, the only one.
    pub(crate) fn model(&self, name: Option<&str>) -> Option<Arc<Model>> {
        match name {
            Some(name) => self.models.get(name).cloned(),
            None if self.models.len() == 1 => self.models.values().next().cloned(),
            None => None,
        }
    }
}

/// A machine and its lease, in a file of leases.
#[derive(Deserialize)]
struct LeaseEntry {
    #[serde(with = "text::key")]
    board: Pubkey,
    slot: u16,
    lease: Option<RunningLease>,
}

/// Reads a file of leases: a JSON array of `{"board", "slot", "lease": {...} or null}`, the lease with the fields of
/// [`RunningLease`]. For hosts without access to an RPC node, where another program writes the file.
///
/// # Errors
/// [`SettingsError::Read`], [`SettingsError::Leases`], [`SettingsError::Lease`] or [`SettingsError::SameSlot`].
pub fn read_leases(path: &Path) -> Result<Leases, SettingsError> {
    let entries: Vec<LeaseEntry> = serde_json::from_slice(&read(path)?)
        .map_err(|source| SettingsError::Leases { path: path.to_owned(), source })?;
    let mut machines = HashMap::new();
    for LeaseEntry { board, slot, lease } in entries {
        lease.as_ref().map_or(Ok(()), check_rounds).map_err(|reason| SettingsError::Lease {
            path: path.to_owned(),
            slot,
            reason,
        })?;
        if machines.insert((board, slot), lease).is_some() {
            return Err(SettingsError::SameSlot { path: path.to_owned(), slot });
        }
    }
    Ok(Leases { machines, ..Leases::default() })
}

/// Refuses what would count as no lease.
fn check_rounds(lease: &RunningLease) -> Result<(), String> {
    let RunningLease { begins, from, until, round_secs, .. } = *lease;
    match () {
        () if round_secs == 0 => Err("`round_secs` is 0: give the length of the board's rounds".to_owned()),
        () if from < begins => {
            Err(format!("`from` is {from}, before `begins` ({begins}): correct one of them"))
        }
        () if until <= from => {
            Err(format!("`until` is {until}, not after `from` ({from}): correct one of them"))
        }
        () => Ok(()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SettingsError> {
    fs::read(path).map_err(|source| SettingsError::Read { path: path.to_owned(), source })
}

fn url(field: &'static str, text: &str) -> Result<Url, SettingsError> {
    let parsed = text.parse::<Url>().ok();
    let parsed = parsed.filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
    });
    parsed.ok_or_else(|| SettingsError::Url { field, url: text.to_owned() })
}

fn board<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Pubkey>, D::Error> {
    text::key::deserialize(deserializer).map(Some)
}

fn default_listen() -> SocketAddr {
    DEFAULT_LISTEN
}

fn default_max_tokens() -> NonZeroU32 {
    DEFAULT_MAX_TOKENS
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// A key in the first line of a file.
fn secret(path: &Path) -> Result<Secret, SettingsError> {
    let text = String::from_utf8(read(path)?).unwrap_or_default();
    let key = text.lines().next().unwrap_or_default().trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SettingsError::Key(path.to_owned()));
    }
    warn_if_exposed(path);
    Ok(Secret::new(key.to_owned()))
}
