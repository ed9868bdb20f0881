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
use std::fmt::Display;
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
pub fn exit_code<E: Display>(program: &str, end: Result<(), E>) -> ExitCode {
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With its causes, if it is one of `anyhow`.
            eprintln!("{}", redact::text(&format!("{program}: {error:#}")));
            ExitCode::FAILURE
        }
    }
}
