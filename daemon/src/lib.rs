//! Code shared by the daemons (keeper, node and archive): log set-up, signals, key files, HTTP servers, UDP sockets,
//! the metrics page, backoff.

pub mod backoff;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod secrets;
pub mod signals;
mod time;
pub mod udp;

pub use time::{unix_ms, unix_secs};

use std::fmt::Display;
use std::process::ExitCode;

/// Exit code of a program that ended so. Prints an error as one line, `PROGRAM: SENTENCE`.
pub fn exit_code<E: Display>(program: &str, end: Result<(), E>) -> ExitCode {
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With its causes, if it is one of `anyhow`.
            eprintln!("{program}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
