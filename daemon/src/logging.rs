//! Log lines go to standard error, filtered. None has a URL whose path, query or user name may hold a key.

use clap::ValueEnum;
use leasehold_client::redact;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tracing::error;
use tracing_subscriber::EnvFilter;

/// The text is not a log filter.
#[derive(Debug, thiserror::Error)]
#[error(
    "--log {0} is not a filter: give error, warn, info, debug or trace, or one such as leasehold_client=debug"
)]
pub struct FilterError(String);

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line for people; in colours on a terminal, unless NO_COLOR is set.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Parses a filter: a level, or levels by module as [`EnvFilter`] takes them.
///
/// # Errors
/// [`FilterError`].
pub fn filter(text: &str) -> Result<EnvFilter, FilterError> {
    EnvFilter::try_new(text).map_err(|_| FilterError(text.to_owned()))
}

/// True once log lines are JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// True if log lines are JSON.
pub(crate) fn is_json() -> bool {
    JSON.load(Relaxed)
}

/// Begins to log, panics included. Call it once, before anything else.
pub fn init(filter: EnvFilter, format: LogFormat) {
    JSON.store(format == LogFormat::Json, Relaxed);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Redacted(io::stderr()));
    // The library would print what it can't write, and panic if it can't print that.
    let lines = lines.log_internal_errors(false);
    match format {
        LogFormat::Text => lines.with_ansi(in_colour()).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(place, "panicked: {}", panic.payload_as_str().unwrap_or("no message"));
    }));
}

/// True if standard error is a terminal on which colours are wanted: see <https://no-color.org>.
fn in_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// Hides keys in URLs. A terminal or pipe that is gone is ignored.
struct Redacted<W>(W);

impl<W: Write> Write for Redacted<W> {
    /// A whole event at a time, as the formatter writes it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = redact::text(&String::from_utf8_lossy(bytes));
        let _ = self.0.write_all(text.as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_no_keys_and_a_writer_that_is_gone_is_no_error() {
        let mut written = Vec::new();
        Redacted(&mut written).write_all(b"rpc=https://a.example/v2/key failed\n").unwrap();
        assert_eq!(written, b"rpc=https://a.example/<...> failed\n");
        let mut full = [0u8; 4];
        Redacted(&mut full[..]).write_all(b"longer than that").unwrap();
    }
}
