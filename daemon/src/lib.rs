//! Code shared by the daemons (keeper, node and archive): log set-up, signals, key files, HTTP servers, UDP sockets,
//! the metrics page, backoff.

pub mod backoff;
mod exposition;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod secrets;
pub mod signals;
mod time;
pub mod udp;

pub use time::{unix_ms, unix_secs};

use clap::Parser;
use leasehold_client::redact;
use std::error::Error;
use std::process::ExitCode;

/// Parses the command line. A wrong one ends the process with an error that repeats no key of a URL.
pub fn parse<T: Parser>() -> T {
    T::try_parse().unwrap_or_else(|error| {
        let text = error.render().to_string();
        match error.use_stderr() {
            true => eprint!("{}", redact::text(&text)),
            // Help has URLs of its own.
            false => print!("{text}"),
        }
        std::process::exit(error.exit_code())
    })
}

/// Exit code of a program that ended so. Prints an error as one line, `PROGRAM: SENTENCE`, without keys of URLs.
pub fn exit_code<E: AsRef<dyn Error>>(program: &str, end: Result<(), E>) -> ExitCode {
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", redact::text(&format!("{program}: {}", sentence(error.as_ref()))));
            ExitCode::FAILURE
        }
    }
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
