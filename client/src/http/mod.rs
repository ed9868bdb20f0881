//! HTTP clients of servers that need not be trusted: nodes and archives. Answers are bounded in size, and sentences of a
//! server are bounded and made printable before they become part of an error.

mod archive;
mod node;

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect::Policy};
use serde::de::DeserializeOwned;

pub use self::{
    archive::{ArchiveClient, ArchiveError},
    node::{NodeClient, NodeError},
};
use crate::{redact, wire::ErrorBody};

const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is read, in bytes: a proof takes a few thousand.
const MAX_ANSWER: usize = 1 << 20;
/// Longest sentence of a server that is repeated, in characters.
const MAX_SENTENCE: usize = 200;

/// Why there is no answer.
#[derive(Debug)]
enum HttpError {
    /// The root cause: "Connection refused".
    Unreachable(String),
    /// More than 1 MiB.
    TooLarge,
}

/// A client that follows no redirects: a server answers for itself only.
fn client() -> Result<Client, HttpError> {
    Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build().map_err(unreachable)
}

/// The base URL with a path appended.
fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// Sends a request and reads status and body.
async fn ask(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), HttpError> {
    read(request.send().await.map_err(unreachable)?).await
}

/// Reads status and body of a response.
async fn read(mut response: Response) -> Result<(StatusCode, Vec<u8>), HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(HttpError::TooLarge);
        }
    }
    Ok((response.status(), body))
}

/// Parses a body, or says in printable text what is wrong with it.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| printable(&error.to_string()))
}

/// The sentence with which a server refused.
fn refusal(body: &[u8]) -> String {
    let sentence = serde_json::from_slice::<ErrorBody>(body).map(|body| body.error);
    printable(&sentence.unwrap_or_else(|_| "without a reason".to_owned()))
}

/// A server's text on one line, without characters that control a terminal or reorder text.
fn printable(text: &str) -> String {
    let reorders = |character| matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    text.chars()
        .filter(|character| !character.is_control() && !reorders(*character))
        .take(MAX_SENTENCE)
        .collect()
}

fn unreachable(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    HttpError::Unreachable(printable(&redact::text(&cause.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_sentence_is_cut_and_printable() {
        assert_eq!(refusal(b"{\"error\":\"\\u001b[31mno\\u202e\\n\"}"), "[31mno");
        assert_eq!(refusal(b"<html>"), "without a reason");
        assert_eq!(printable(&"a".repeat(300)).len(), MAX_SENTENCE);
    }

    #[test]
    fn paths_are_appended_to_the_base() {
        let below = |base: &str| super::below(&base.parse().unwrap(), &["v1", "tabs"]).to_string();
        for base in ["http://a.example/x", "http://a.example/x/"] {
            assert_eq!(below(base), "http://a.example/x/v1/tabs");
        }
        assert_eq!(below("http://a.example"), "http://a.example/v1/tabs");
    }
}
