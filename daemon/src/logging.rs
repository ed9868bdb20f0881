//! Log lines go to standard error, filtered.

use tracing_subscriber::EnvFilter;

/// The text is not a log filter.
#[derive(Debug, thiserror::Error)]
#[error(
    "--log {0} is not a filter: give error, warn, info, debug or trace, or one such as leasehold_client=debug"
)]
pub struct FilterError(String);

/// Parses a filter: a level, or levels by module as [`EnvFilter`] takes them.
///
/// # Errors
/// [`FilterError`].
pub fn filter(text: &str) -> Result<EnvFilter, FilterError> {
    EnvFilter::try_new(text).map_err(|_| FilterError(text.to_owned()))
}

/// Begins to log. Call it once, before anything else.
pub fn init(filter: EnvFilter) {
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
