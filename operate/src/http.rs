//! Asking servers that nobody needs to trust.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect::Policy};
use serde::Deserialize;
use url::Url;

use crate::text::line;

const PATIENCE: Duration = Duration::from_secs(30);
/// Largest answer that is read, in bytes: a proof takes a few thousand.
const MAX_ANSWER: usize = 1 << 20;
/// Longest sentence of a server that is repeated, in characters.
const MAX_SENTENCE: usize = 200;

/// Why there is no answer.
#[derive(Debug)]
pub enum HttpError {
    /// The last cause: "Connection refused".
    Unreachable(String),
    /// More than 1 MiB.
    TooLarge,
}

/// What servers of Leasehold say where they refuse.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Follows no redirects: whoever is asked is asked for nobody else.
pub fn client() -> Result<Client, HttpError> {
    Client::builder().timeout(PATIENCE).redirect(Policy::none()).build().map_err(unreachable)
}

/// A URL with a path behind it.
pub fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// Status and body of an answer.
pub async fn ask(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), HttpError> {
    read(request.send().await.map_err(unreachable)?).await
}

/// Status and body of an answer that has begun.
pub async fn read(mut response: Response) -> Result<(StatusCode, Vec<u8>), HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(HttpError::TooLarge);
        }
    }
    Ok((response.status(), body))
}

/// The sentence with which a server refused.
pub fn said(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.error);
    printable(&said.unwrap_or_else(|_| "without a reason".to_owned()))
}

/// A stranger's words without what would take hold of a terminal.
pub fn printable(text: &str) -> String {
    line(text).chars().take(MAX_SENTENCE).collect()
}

pub fn unreachable(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    HttpError::Unreachable(printable(&cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_cut_and_printable() {
        assert_eq!(said(b"{\"error\":\"\\u001b[31mno\"}"), "[31mno");
        assert_eq!(said(b"<html>"), "without a reason");
        assert_eq!(printable(&"a".repeat(300)).len(), MAX_SENTENCE);
    }

    #[test]
    fn paths_stand_behind_the_base() {
        let below = |base: &str| super::below(&base.parse().unwrap(), &["v1", "tabs"]).to_string();
        for base in ["http://a.example/x", "http://a.example/x/"] {
            assert_eq!(below(base), "http://a.example/x/v1/tabs");
        }
        assert_eq!(below("http://a.example"), "http://a.example/v1/tabs");
    }
}
