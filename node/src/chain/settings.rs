//! The section `[chain]` of the configuration file.

use crate::config::{ConfigError, read, read_keypair};
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_client::wire::text;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

const HOUR: NonZeroU32 = NonZeroU32::new(3_600).unwrap();
const POLL: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// How a node deals with the chain.
#[derive(Clone, Debug)]
pub struct ChainSettings {
    /// JSON-RPC of a node of the cluster.
    pub rpc: String,
    /// Account of the machines' supplier.
    pub supplier: Pubkey,
    /// Appends to the supplier's log, and pays for it.
    pub operator: SigningKey,
    /// Where the headers of the log are kept, which proofs need.
    pub headers: PathBuf,
    /// Receipts are put in batches when a span of that length is over, by the wall clock.
    pub batch: Duration,
    /// Time between two vouchers that are redeemed in one lease.
    pub redeem: Duration,
    /// Time between two looks at the chain.
    pub poll: Duration,
    /// The most to pay for a compute unit, in micro-lamports.
    pub priority_fee: u64,
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
    operator: PathBuf,
    headers: Option<PathBuf>,
    batch_secs: Option<NonZeroU32>,
    redeem_secs: Option<NonZeroU32>,
    poll_secs: Option<NonZeroU32>,
    #[serde(default)]
    priority_fee: u64,
}

/// Reads the section, if there is one; relative paths start at the file's folder.
///
/// # Errors
/// Any [`ConfigError`].
pub fn load(path: &Path) -> Result<Option<ChainSettings>, ConfigError> {
    let syntax = |source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) };
    let file: File = toml::from_str(&read(path)?).map_err(syntax)?;
    let Some(section) = file.chain else { return Ok(None) };
    let folder = path.parent().unwrap_or(Path::new(""));
    if !is_http(&section.rpc) {
        let (field, wanted) = ("rpc", "a URL, such as https://api.devnet.solana.com");
        return Err(ConfigError::Chain { path: path.to_owned(), field, wanted });
    }
    let span = |secs: Option<NonZeroU32>, else_: NonZeroU32| {
        Duration::from_secs(u64::from(secs.unwrap_or(else_).get()))
    };
    Ok(Some(ChainSettings {
        rpc: section.rpc,
        supplier: section.supplier,
        operator: read_keypair(&folder.join(section.operator))?,
        headers: folder.join(section.headers.unwrap_or_else(|| "log.db".into())),
        batch: span(section.batch_secs, HOUR),
        redeem: span(section.redeem_secs, HOUR),
        poll: span(section.poll_secs, POLL),
        priority_fee: section.priority_fee,
    }))
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
    fn what_is_left_out_has_its_default() {
        assert!(loaded("").unwrap().is_none());
        let settings = loaded(&section("")).unwrap().unwrap();
        assert_eq!(settings.supplier, SUPPLIER.parse().unwrap());
        assert_eq!(settings.operator, SigningKey::from_bytes(&[4; 32]));
        let secs = |settings: &ChainSettings| {
            [settings.batch, settings.redeem, settings.poll].map(|span| span.as_secs())
        };
        assert_eq!(secs(&settings), [3_600, 3_600, 5]);
        assert!(settings.headers.ends_with("log.db") && settings.headers.is_absolute());
        let other = loaded(&section("batch_secs = 60\nredeem_secs = 9\npoll_secs = 1\n")).unwrap().unwrap();
        assert_eq!(secs(&other), [60, 9, 1]);
    }

    #[test]
    fn every_mistake_is_named() {
        let refusal = |text: &str| loaded(text).unwrap_err().to_string();
        assert!(refusal("[chain]\nrpc = \"http://n\"").contains("missing field `supplier`"));
        let rpc = refusal(&section("").replace("http://127.0.0.1:8899", "localhost"));
        assert!(rpc.contains("in [chain], `rpc` should be a URL"), "{rpc}");
        assert!(refusal(&section("batch_secs = 0")).contains("batch_secs"));
        assert!(refusal(&section("sauce = 0")).contains("unknown field `sauce`"));
        assert!(refusal(&section("").replace("operator.json", "none.json")).contains("none.json"));
    }
}
