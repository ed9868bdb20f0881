//! An archive of receipts, which nobody needs to trust: what it says is checked against the chain.

use leasehold_client::record::Proof;
use reqwest::{Client, StatusCode};
use url::Url;

use crate::http::{HttpError, ask, below, client, printable, said};

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

pub struct Archive {
    url: Url,
    client: Client,
}

impl Archive {
    /// An archive by its base URL.
    pub fn new(url: Url) -> Result<Self, ArchiveError> {
        match client() {
            Ok(client) => Ok(Archive { url, client }),
            Err(error) => Err(failed(url, error)),
        }
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
            (status, _) => Err(ArchiveError::Refused { status, said: said(&body) }),
        }
    }

    async fn get(&self, path: &[&str], batches: Option<u64>) -> Result<(StatusCode, Vec<u8>), ArchiveError> {
        let mut url = below(&self.url, path);
        if let Some(batches) = batches {
            url.query_pairs_mut().append_pair("batches", &batches.to_string());
        }
        ask(self.client.get(url)).await.map_err(|error| failed(self.url.clone(), error))
    }
}

fn failed(url: Url, error: HttpError) -> ArchiveError {
    match error {
        HttpError::Unreachable(error) => ArchiveError::Unreachable { url, error },
        HttpError::TooLarge => ArchiveError::TooLarge,
    }
}
