//! How the proxy reaches its inference server, and what it lets through.

use super::{DEFAULT_MAX_TOKENS, one};
use leasehold_client::probe::Pubkey;
use reqwest::Url;
use serde::Deserialize;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::Instant;

/// The inference server behind the proxy.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Base URL of the inference server.
    pub upstream: Url,
    /// The machine that it runs on; `None` if there is only one.
    pub slot: Option<u32>,
    pub board: Option<Pubkey>,
    /// GPUs that work on each answer: compute units are milliseconds times this.
    pub gpus: u32,
    /// Token limit written into requests without a limit, under a metered lease.
    pub max_tokens: NonZeroU32,
    /// The inference server's own API key; `None` if it asks for none.
    pub upstream_key: Option<Secret>,
    /// What becomes of fields under a metered lease that the proxy does not know.
    pub unknown_fields: UnknownFields,
    /// Tokens that a picture or a sound counts for; `None` if a metered lease takes none.
    pub media_tokens: Option<NonZeroU32>,
    /// The most tokens that the inference server adds to a request, by its chat template.
    pub template_tokens: u32,
    /// Most bytes of a request, and of an answer in one piece.
    pub request_bytes: usize,
    pub answer_bytes: usize,
    /// Most bytes of requests and answers under way, and most requests. One caller may have half of either.
    pub memory: usize,
    pub requests: usize,
    pub patience: Patience,
}

/// How long the proxy waits for the inference server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the begin of an answer.
    pub head: Duration,
    /// Between two pieces of an answer, and for a caller that takes none.
    pub idle: Duration,
    /// For the whole answer.
    pub whole: Duration,
}

/// What becomes of unknown fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownFields {
    /// The request is refused.
    #[default]
    Refuse,
    /// They are left out.
    Drop,
}

/// A text that is in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Patience {
    /// When an answer that begins now must have ended.
    pub(crate) fn end(&self) -> Instant {
        Instant::now() + self.whole
    }
}

impl ProxySettings {
    /// The defaults, for an inference server at that URL.
    pub fn new(upstream: Url) -> Self {
        Self {
            upstream,
            slot: None,
            board: None,
            gpus: one().get(),
            max_tokens: DEFAULT_MAX_TOKENS,
            upstream_key: None,
            unknown_fields: UnknownFields::default(),
            media_tokens: None,
            template_tokens: default_template_tokens(),
            request_bytes: mib(default_request_mib()),
            answer_bytes: mib(default_answer_mib()),
            memory: mib(default_memory_mib()),
            requests: count(default_requests()),
            patience: Patience {
                connect: secs(default_connect_secs()),
                head: secs(default_head_secs()),
                idle: secs(default_idle_secs()),
                whole: secs(default_answer_secs()),
            },
        }
    }
}

/// More than the templates of common models add.
pub(super) fn default_template_tokens() -> u32 {
    256
}

macro_rules! defaults {
    ($($name:ident = $value:literal),* $(,)?) => {$(
        pub(super) fn $name() -> NonZeroU32 {
            const { NonZeroU32::new($value).unwrap() }
        }
    )*};
}

defaults! {
    default_request_mib = 32,
    default_answer_mib = 64,
    default_memory_mib = 512,
    default_requests = 256,
    default_connect_secs = 5,
    default_head_secs = 600,
    default_idle_secs = 120,
    default_answer_secs = 3_600,
}

pub(super) fn mib(mib: NonZeroU32) -> usize {
    count(mib).saturating_mul(1 << 20)
}

pub(super) fn count(count: NonZeroU32) -> usize {
    usize::try_from(count.get()).unwrap_or(usize::MAX)
}

pub(super) fn secs(secs: NonZeroU32) -> Duration {
    Duration::from_secs(secs.get().into())
}
