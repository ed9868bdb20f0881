//! Printing results on standard output.

use std::{
    fmt::Display,
    io::{self, Write},
};

use serde::Serialize;

use crate::{failure::Failure, format::Format, text::print_stderr};

impl Format {
    /// Prints a result.
    pub fn print(self, result: &(impl Display + Serialize)) -> Result<(), Failure> {
        write(self.render(result).as_bytes())
    }

    /// Prints the outcome of something that took effect, and returns its failure if there is one. If standard output
    /// can't be written, it is printed on standard error.
    pub fn end(self, result: &(impl Display + Serialize), failure: Option<Failure>) -> Result<(), Failure> {
        ended(self.print(result), failure, || print_stderr(Format::Display.render(result).trim_end()))
    }
}

/// A failure comes before an error of printing it.
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

/// Writes to standard output. A closed pipe is not an error.
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    forgiven(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// Result of writing to standard output, where a closed pipe is not an error.
pub fn forgiven(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_that_has_gone_is_forgiven() {
        assert!(forgiven(Err(io::ErrorKind::BrokenPipe.into())).is_ok() && forgiven(Ok(())).is_ok());
        let full = forgiven(Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert!(full.code() == 2 && full.to_string().contains("check where standard output goes"), "{full}");
    }

    #[test]
    fn an_outcome_that_cannot_be_printed_goes_to_standard_error() {
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
}
