//! Parsing of the command line: exit codes in the help, and no URL in an error, since it may hold a key.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    process::exit,
};

use clap::{
    Parser,
    error::{ContextKind, ContextValue},
};

use leasehold_client::redact;

use crate::{failure::EXIT_CODES, output::forgiven, text::print_stderr};

/// Parses the command line. A wrong one ends the process with an error that hides URLs, which may hold a key.
pub fn parse<T: Parser>() -> T {
    let mut command = with_exit_codes(T::command());
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = parsed.and_then(|mut matches| T::from_arg_matches_mut(&mut matches));
    parsed.unwrap_or_else(|error| end(&without_urls(error.format(&mut command))))
}

/// Prints help or an error, and ends the process.
fn end(error: &clap::Error) -> ! {
    let printed = error.print().and_then(|()| io::stdout().flush());
    let code = match forgiven(printed) {
        Err(failure) if !error.use_stderr() => {
            print_stderr(format!("leasehold: {failure}"));
            failure.code().into()
        }
        _ => error.exit_code(),
    };
    exit(code)
}

/// Hides the URL that an error is about, unless it is a misspelt moniker; and the keys of URLs where no URL is expected.
pub fn without_urls(mut error: clap::Error) -> clap::Error {
    let url = ["--url", "--archive", "--node"];
    let is_url = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => url.iter().any(|url| arg.contains(url)),
        _ => false,
    };
    let is_plain = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => holds_no_key(value),
        _ => true,
    };
    if is_url && !is_plain {
        error.insert(ContextKind::InvalidValue, ContextValue::String("<URL>".to_owned()));
    }
    let hidden = |(kind, value): (ContextKind, &ContextValue)| match value {
        ContextValue::String(text) => Some((kind, redact::text(text))).filter(|(_, shown)| shown != text),
        _ => None,
    };
    for (kind, shown) in error.context().filter_map(hidden).collect::<Vec<_>>() {
        error.insert(kind, ContextValue::String(shown));
    }
    error
}

/// True if a wrong URL is a misspelt moniker, an address without a scheme, or empty, and so can be printed.
fn holds_no_key(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphabetic() || byte == b'-';
    let is_name = text.len() <= LONGEST_NAME && text.bytes().all(word);
    is_name || text.parse::<SocketAddr>().is_ok() || text.parse::<IpAddr>().is_ok()
}

/// Longest text that can be a moniker, in characters: keys are longer.
const LONGEST_NAME: usize = 14;

pub fn exit_codes() -> String {
    let codes: Vec<_> = EXIT_CODES.iter().map(|(code, meaning)| format!("{code} {meaning}")).collect();
    format!("Exit codes: {}.", codes.join("; "))
}

/// Adds the exit codes to the long help of every command, and to the short help where to find them.
pub fn with_exit_codes(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|below| {
        with_exit_codes(below).after_help("Exit codes: leasehold --help").after_long_help(exit_codes())
    })
}
