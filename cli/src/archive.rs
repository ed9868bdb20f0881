//! An archive of receipts, which nobody needs to trust: what it says is checked against the chain.

use std::time::Duration;

use leasehold_client::record::Proof;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use url::Url;

const PATIENCE: Duration = Duration::from_secs(30);
/// Largest answer that is read, in bytes: a proof takes a few thousand.
const MAX_ANSWER: usize = 1 << 20;
/// Longest sentence of an archive that is repeated, in characters.
const MAX_SENTENCE: usize = 200;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the archive at {url} can't be reached ({error}): check --archive")]
    Unreachable { url: Url, error: String },
    #[error(
        "the archive knows no receipt {id}: it comes to the log within two hours of the answer, so try later, or \
         ask another archive"
    )]
    Unknown { id: String },
    #[error(
        "the archive has not caught up with the log of {batches} batches: try again, or ask another archive"
    )]
    Behind { batches: u64 },
    #[error("the archive refused with status {status} ({said}): ask another archive")]
    Refused { status: StatusCode, said: String },
    #[error("the archive's answer has more than 1 MiB: ask another archive")]
    TooLarge,
    #[error("the archive's answer is no proof ({error}): ask another archive")]
    Malformed { error: String },
}

/// What servers of Leasehold say where they refuse.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

pub struct Archive {
    url: Url,
    client: Client,
}

impl Archive {
    /// An archive by its base URL.
    pub fn new(url: Url) -> Result<Self, ArchiveError> {
        let client = Client::builder().timeout(PATIENCE).build();
        let client = client.map_err(|error| unreachable(&url, error))?;
        Ok(Archive { url, client })
    }

    /// The proof that a receipt is in its log, as of `batches` of that log, or of all that the archive knows.
    pub async fn proof(&self, id: &[u8; 32], batches: Option<u64>) -> Result<Proof, ArchiveError> {
        let id = hex::encode(id);
        let (status, body) = self.get(&["v1", "proofs", &id], batches).await?;
        match (status, batches) {
            (StatusCode::OK, _) => serde_json::from_slice(&body)
                .map_err(|error| ArchiveError::Malformed { error: printable(&error.to_string()) }),
            (StatusCode::NOT_FOUND, None) => Err(ArchiveError::Unknown { id }),
            (status, Some(batches)) if status.is_client_error() => Err(ArchiveError::Behind { batches }),
            (status, _) => {
                let said = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error);
                let said = printable(&said.unwrap_or_else(|_| "without a reason".to_owned()));
                Err(ArchiveError::Refused { status, said })
            }
        }
    }

    async fn get(&self, path: &[&str], batches: Option<u64>) -> Result<(StatusCode, Vec<u8>), ArchiveError> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if let Some(batches) = batches {
            url.query_pairs_mut().append_pair("batches", &batches.to_string());
        }
        let failed = |error| unreachable(&self.url, error);
        let mut response = self.client.get(url).send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err(ArchiveError::TooLarge);
            }
        }
        Ok((response.status(), body))
    }
}

fn unreachable(url: &Url, error: reqwest::Error) -> ArchiveError {
    let error = error.without_url();
    // The last cause says what happened: "Connection refused".
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    ArchiveError::Unreachable { url: url.clone(), error: printable(&cause.to_string()) }
}

/// A stranger's words without what would take hold of a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_SENTENCE).collect()
}
