use reqwest::{Client, StatusCode, Url};

use super::{HttpError, ask, below, client, parse, refusal};
use crate::{record::Proof, redact};

/// Why an archive gave no proof.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the archive at {url} can't be reached ({error}): check the archive's URL")]
    Unreachable {
        /// Without the parts that may hold a key.
        url: String,
        error: String,
    },
    #[error(
        "the archive does not know receipt {id}: a receipt must be in the log within 12 rounds of its answer (2 h with \
         rounds of 10 minutes), so try again later, or ask another archive"
    )]
    Unknown { id: String },
    #[error("the archive does not have the log's {batches} batches yet: try again, or ask another archive")]
    Behind { batches: u64 },
    #[error("the archive refused with status {status} ({sentence}): ask another archive")]
    Refused { status: StatusCode, sentence: String },
    #[error("the archive's answer has more than 1 MiB: ask another archive")]
    TooLarge,
    #[error("the archive's answer is not a proof ({error}): ask another archive")]
    Malformed { error: String },
}

/// Client of an archive of receipts. Nobody needs to trust an archive: [`Proof::verify`] checks a proof against the
/// log's account.
#[derive(Clone, Debug)]
pub struct ArchiveClient {
    url: Url,
    client: Client,
}

impl ArchiveClient {
    /// A client for the archive at a base URL.
    ///
    /// # Errors
    /// [`ArchiveError::Unreachable`] if the HTTP client can't be made.
    pub fn new(url: Url) -> Result<Self, ArchiveError> {
        match client() {
            Ok(client) => Ok(ArchiveClient { url, client }),
            Err(error) => Err(failed(&url, error)),
        }
    }

    /// Proof that a receipt is in its log, as of that many batches of the log, or of all that the archive knows.
    ///
    /// # Errors
    /// Any [`ArchiveError`]; [`ArchiveError::Behind`] only if `batches` is given.
    pub async fn proof(&self, id: &[u8; 32], batches: Option<u64>) -> Result<Proof, ArchiveError> {
        let id = hex::encode(id);
        let mut url = below(&self.url, &["v1", "proofs", &id]);
        if let Some(batches) = batches {
            url.query_pairs_mut().append_pair("batches", &batches.to_string());
        }
        let answer = ask(self.client.get(url)).await;
        let (status, body) = answer.map_err(|error| failed(&self.url, error))?;
        match (status, batches) {
            (StatusCode::OK, _) => parse(&body).map_err(|error| ArchiveError::Malformed { error }),
            (StatusCode::NOT_FOUND, None) => Err(ArchiveError::Unknown { id }),
            (status, Some(batches)) if status.is_client_error() => Err(ArchiveError::Behind { batches }),
            (status, _) => Err(ArchiveError::Refused { status, sentence: refusal(&body) }),
        }
    }
}

fn failed(url: &Url, error: HttpError) -> ArchiveError {
    match error {
        HttpError::Unreachable(error) => ArchiveError::Unreachable { url: redact::url(url), error },
        HttpError::TooLarge => ArchiveError::TooLarge,
    }
}
