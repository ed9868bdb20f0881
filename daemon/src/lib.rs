//! Code shared by the daemons (keeper, node and archive): log set-up, signals, key files, HTTP servers, UDP sockets,
//! the metrics page, backoff, background tasks, files that are
//! held.

pub mod backoff;
mod exposition;
pub mod files;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod secrets;
pub mod signals;
pub mod tasks;
mod time;
pub mod udp;

pub use time::{unix_ms, unix_secs};

use clap::Parser;
use leasehold_client::redact;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// Parses the command line. A wrong one ends the process with an error that repeats no key of a URL.
pub fn parse<T: Parser>() -> T {
    T::try_parse().unwrap_or_else(|error| {
        let text = error.render().to_string();
        let _ = match error.use_stderr() {
            true => write!(io::stderr(), "{}", redact::text(&text)),
            // Help has URLs of its own.
            false => write!(io::stdout(), "{text}"),
        };
        std::process::exit(error.exit_code())
    })
}

/// Prints a line on standard output. Nothing that happens to whoever reads it ends a daemon.
pub fn print(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Exit code of a program that ended so. Says an error in one line, `PROGRAM: SENTENCE`, without keys of URLs; as an object
/// where log lines are those.
pub fn exit_code<E: AsRef<dyn Error>>(program: &str, end: Result<(), E>) -> ExitCode {
    let Err(error) = end else { return ExitCode::SUCCESS };
    let line = format!("{program}: {}", sentence(error.as_ref()));
    if logging::is_json() {
        tracing::error!("{line}");
    } else {
        let _ = writeln!(io::stderr(), "{}", redact::text(&line));
    }
    ExitCode::FAILURE
}

/// An error with its causes in one sentence. What it says of a cause itself is not said again.
pub fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !sentence.contains(&text) {
            sentence = format!("{sentence}: {text}");
        }
        cause = error.source();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot read x ({0}): check it")]
        Says(#[source] std::io::Error),
        #[error("cannot read x")]
        Silent(#[source] std::io::Error),
    }

    #[test]
    fn no_cause_is_said_twice() {
        let cause = || std::io::Error::other("it is gone");
        assert_eq!(sentence(&Outer::Says(cause())), "cannot read x (it is gone): check it");
        assert_eq!(sentence(&Outer::Silent(cause())), "cannot read x: it is gone");
    }
}
