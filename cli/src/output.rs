//! How results are printed.

use std::{
    fmt::Display,
    io::{self, Write},
};

use clap::ValueEnum;
use serde::Serialize;

use crate::{
    failure::Failure,
    text::{clean, escaped, tell},
};

/// Form of what a command prints on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Display,
    /// For programs, over several lines.
    Json,
    /// For programs, in one line.
    JsonCompact,
}

impl Format {
    /// A result in this form, with a line break at the end. What takes hold of a terminal is left out for people, and
    /// written as an escape for programs.
    pub fn render(self, result: &(impl Display + Serialize)) -> String {
        let json = match self {
            Format::Display => return clean(&format!("{result}\n")),
            Format::Json => serde_json::to_string_pretty(result),
            Format::JsonCompact => serde_json::to_string(result),
        };
        // Only maps with keys that are no text fail, and results have none.
        escaped(&json.unwrap_or_default()) + "\n"
    }

    /// Prints a result.
    pub fn print(self, result: &(impl Display + Serialize)) -> Result<(), Failure> {
        write(self.render(result).as_bytes())
    }

    /// Prints what came of something that took effect, and ends as that did. Where it can't be printed, it is told
    /// on standard error.
    pub fn end(self, result: &(impl Display + Serialize), failure: Option<Failure>) -> Result<(), Failure> {
        ended(self.print(result), failure, || tell(Format::Display.render(result).trim_end()))
    }
}

/// What failed comes before what could not be printed of it.
fn ended(
    printed: Result<(), Failure>,
    failure: Option<Failure>,
    instead: impl FnOnce(),
) -> Result<(), Failure> {
    match (printed, failure) {
        (Ok(()), failure) => failure.map_or(Ok(()), Err),
        (Err(unwritten), failure) => {
            instead();
            Err(failure.unwrap_or(unwritten))
        }
    }
}

/// Writes to standard output. A reader that has gone away is no error.
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    forgiven(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// What was written to standard output, which only a reader that has gone away may have cut short.
pub fn forgiven(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Serialize)]
    struct Sample {
        amount: &'static str,
    }

    impl Display for Sample {
        fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "Amount: {}", self.amount)
        }
    }

    #[test]
    fn only_a_reader_that_has_gone_is_forgiven() {
        assert!(forgiven(Err(io::ErrorKind::BrokenPipe.into())).is_ok() && forgiven(Ok(())).is_ok());
        let full = forgiven(Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert!(full.code() == 2 && full.to_string().contains("check where standard output goes"), "{full}");
    }

    #[test]
    fn what_took_effect_is_told_where_it_can_not_be_printed() {
        let full = || Err(Failure::Output(io::ErrorKind::StorageFull.into()));
        for (printed, failure, told, code) in [
            (Ok(()), None, 0, None),
            (Ok(()), Some(Failure::Declined), 0, Some(4)),
            (full(), None, 1, Some(2)),
            (full(), Some(Failure::Declined), 1, Some(4)),
        ] {
            let mut instead = 0;
            let end = ended(printed, failure, || instead += 1);
            assert_eq!((instead, end.err().map(|failure| failure.code())), (told, code));
        }
    }

    #[test]
    fn a_result_is_text_or_json_as_asked() {
        let sample = Sample { amount: "5" };
        assert_eq!(Format::Display.render(&sample), "Amount: 5\n");
        assert_eq!(Format::Json.render(&sample), "{\n  \"amount\": \"5\"\n}\n");
        assert_eq!(Format::JsonCompact.render(&sample), "{\"amount\":\"5\"}\n");
        let names: Vec<_> = Format::value_variants().iter().map(|v| v.to_possible_value().unwrap()).collect();
        let names: Vec<_> = names.iter().map(|name| name.get_name()).collect();
        assert_eq!(names, ["display", "json", "json-compact"]);
    }
}
