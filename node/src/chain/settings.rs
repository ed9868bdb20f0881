//! The section `[chain]` of the configuration file.

use crate::config::{ConfigError, read, signing_key, syntax};
use crate::leases::WatchSettings;
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_client::text;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

const HOUR: NonZeroU32 = NonZeroU32::new(3_600).unwrap();
const DAY: Duration = Duration::from_secs(86_400);
const POLL: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// The section `[chain]`.
#[derive(Clone, Debug)]
pub struct ChainSettings {
    /// Where leases are read from: needed by every node that deals with the chain.
    pub watch: WatchSettings,
    /// Appends to the supplier's log and pays for it; `None` is enough for a node that signs no receipts.
    pub operator: Option<SigningKey>,
    pub records: RecordSettings,
    /// Highest price of a compute unit, in micro-lamports.
    pub priority_fee: u64,
}

/// How receipts come to the supplier's log.
#[derive(Clone, Debug)]
pub struct RecordSettings {
    /// Database with the headers of the log, which proofs need.
    pub headers: PathBuf,
    /// Receipts are sealed into batches at each multiple of this time, by the wall clock.
    pub batch: Duration,
    /// Time between two redemptions of vouchers in one lease.
    pub redeem: Duration,
    /// Payment units for which a transaction is worth its fee: vouchers for less wait until the lease ends.
    pub redeem_least: u64,
    /// Time for which receipts are kept after the last moment at which they can be disputed.
    pub keep: Duration,
}

#[derive(Deserialize)]
struct File {
    chain: Option<Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    rpc: String,
    #[serde(with = "text::key")]
    supplier: Pubkey,
    operator: Option<PathBuf>,
    headers: Option<PathBuf>,
    batch_secs: Option<NonZeroU32>,
    redeem_secs: Option<NonZeroU32>,
    #[serde(default = "redeem_least")]
    redeem_least: u64,
    #[serde(default = "keep_days")]
    keep_days: u32,
    poll_secs: Option<NonZeroU32>,
    #[serde(default)]
    priority_fee: u64,
}

/// Reads the section; `None` if the file has none. Relative paths start at the file's folder.
///
/// # Errors
/// Any [`ConfigError`].
pub fn load(path: &Path) -> Result<Option<ChainSettings>, ConfigError> {
    let text = read(path)?;
    let file: File = toml::from_str(&text).map_err(|error| syntax(path, &error, &text))?;
    let Some(section) = file.chain else { return Ok(None) };
    let folder = path.parent().unwrap_or(Path::new(""));
    if !is_http(&section.rpc) {
        return Err(ConfigError::Rpc { path: path.to_owned() });
    }
    let secs = |secs: Option<NonZeroU32>, default: NonZeroU32| {
        Duration::from_secs(u64::from(secs.unwrap_or(default).get()))
    };
    Ok(Some(ChainSettings {
        watch: WatchSettings {
            rpc: section.rpc,
            supplier: section.supplier,
            poll: secs(section.poll_secs, POLL),
        },
        operator: section.operator.map(|operator| signing_key(&folder.join(operator))).transpose()?,
        records: RecordSettings {
            headers: folder.join(section.headers.unwrap_or_else(|| "log.db".into())),
            batch: secs(section.batch_secs, HOUR),
            redeem: secs(section.redeem_secs, HOUR),
            redeem_least: section.redeem_least,
            keep: DAY.saturating_mul(section.keep_days),
        },
        priority_fee: section.priority_fee,
    }))
}

/// A cent of a mint with six decimals, which is some times the fee.
fn redeem_least() -> u64 {
    10_000
}

fn keep_days() -> u32 {
    7
}

fn is_http(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPPLIER: &str = "11111111111111111111111111111112";

    fn loaded(chain: &str) -> Result<Option<ChainSettings>, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::from_bytes(&[4; 32]);
        let bytes = serde_json::to_string(&key.to_keypair_bytes().to_vec()).unwrap();
        std::fs::write(folder.path().join("operator.json"), bytes).unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, chain).unwrap();
        load(&path)
    }

    fn section(more: &str) -> String {
        format!(
            "[chain]\nrpc = \"http://127.0.0.1:8899\"\nsupplier = \"{SUPPLIER}\"\noperator = \"operator.json\"\n{more}"
        )
    }

    #[test]
    fn fields_that_are_left_out_have_defaults() {
        assert!(loaded("").unwrap().is_none());
        let settings = loaded(&section("")).unwrap().unwrap();
        assert_eq!(settings.watch.supplier, SUPPLIER.parse().unwrap());
        assert_eq!(settings.operator, Some(SigningKey::from_bytes(&[4; 32])));
        let secs = |settings: &ChainSettings| {
            [settings.records.batch, settings.records.redeem, settings.watch.poll].map(|span| span.as_secs())
        };
        assert_eq!(secs(&settings), [3_600, 3_600, 5]);
        assert_eq!((settings.records.redeem_least, settings.records.keep), (10_000, 7 * DAY));
        assert!(settings.records.headers.ends_with("log.db") && settings.records.headers.is_absolute());
        let other = loaded(&section("batch_secs = 60\nredeem_secs = 9\npoll_secs = 1\n")).unwrap().unwrap();
        assert_eq!(secs(&other), [60, 9, 1]);
        let kept = loaded(&section("redeem_least = 5\nkeep_days = 0\n")).unwrap().unwrap().records;
        assert_eq!((kept.redeem_least, kept.keep), (5, Duration::ZERO));
        let watching = section("").replace("operator = \"operator.json\"\n", "");
        assert_eq!(loaded(&watching).unwrap().unwrap().operator, None);
    }

    #[test]
    fn every_mistake_is_named() {
        let refusal = |text: &str| loaded(text).unwrap_err().to_string();
        assert!(refusal("[chain]\nrpc = \"http://n\"").contains("missing field `supplier`"));
        let rpc = refusal(&section("").replace("http://127.0.0.1:8899", "localhost"));
        assert!(rpc.contains("`rpc` in [chain] is not an http or https URL"), "{rpc}");
        assert!(refusal(&section("batch_secs = 0")).contains("batch_secs"));
        assert!(refusal(&section("sauce = 0")).contains("unknown field `sauce`"));
        assert!(refusal(&section("").replace("operator.json", "none.json")).contains("none.json"));
    }
}
