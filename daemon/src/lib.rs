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
pub fn exit_code<E: Display>(program: &str, end: Result<(), E>) -> ExitCode {
    let Err(error) = end else { return ExitCode::SUCCESS };
    let line = format!("{program}: {}", sentence(&error));
    if logging::is_json() {
        tracing::error!("{line}");
    } else {
        let _ = writeln!(io::stderr(), "{}", redact::text(&line));
    }
    ExitCode::FAILURE
}

/// An error with its causes, if it is one of `anyhow`, but for those that it names itself.
fn sentence(error: &impl Display) -> String {
    let (alone, whole) = (error.to_string(), format!("{error:#}"));
    let causes = whole.strip_prefix(&alone).and_then(|causes| causes.strip_prefix(": "));
    if causes.is_some_and(|causes| alone.contains(causes)) { alone } else { whole }
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use std::fmt::{Display, Formatter, Result};

    /// As an error of `anyhow` is shown.
    struct Chain(&'static str, &'static str);

    impl Display for Chain {
        fn fmt(&self, f: &mut Formatter) -> Result {
            f.write_str(self.0)?;
            if f.alternate() { write!(f, ": {}", self.1) } else { Ok(()) }
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        assert_eq!(sentence(&Chain("cannot write (disk full)", "disk full")), "cannot write (disk full)");
        assert_eq!(sentence(&Chain("cannot write", "disk full")), "cannot write: disk full");
        assert_eq!(sentence(&"cannot write"), "cannot write");
    }
}
