//! Output of a watch: a terminal that is drawn over, or a log.

use std::io::{self, Write};

use console::Term;

use super::{Frame, Size, Told, layout::fitted};
use leasehold_operate::format::Format;

/// Size of a terminal that does not report it.
const USUAL_SIZE: Size = Size { rows: 24, columns: 80 };

/// Output of polls.
pub(super) enum Screen {
    /// Drawn over the last one.
    Terminal {
        term: Term,
        /// Lines of the last one, and the size it was drawn for.
        drawn: usize,
        size: Option<Size>,
    },
    Log(Log),
}

impl Screen {
    pub(super) fn new(output: Format) -> Self {
        let term = Term::buffered_stdout();
        match output {
            Format::Display if term.is_term() => Screen::Terminal { term, drawn: 0, size: None },
            output => Screen::Log(Log { output, last: None }),
        }
    }

    pub(super) fn show<F: Frame>(&mut self, told: Told<F>) -> io::Result<()> {
        match (self, told) {
            (Screen::Terminal { term, drawn, size }, Told::Frame(frame)) => {
                let now = size_of(term);
                // Lines wrap differently after a resize, so the old frame can't be drawn over.
                if size.is_some_and(|size| size != now) {
                    term.clear_screen()?;
                } else {
                    term.clear_last_lines(*drawn)?;
                }
                let lines = fitted(&frame.draw(now), now);
                for line in &lines {
                    term.write_line(line)?;
                }
                (*drawn, *size) = (lines.len(), Some(now));
                term.flush()
            }
            (Screen::Terminal { drawn, .. }, Told::Failed(text)) => {
                // It stays, and the next frame is drawn below it.
                *drawn = 0;
                writeln!(io::stderr(), "{text}")
            }
            (Screen::Log(log), Told::Frame(frame)) => match log.next(frame) {
                Some(text) => io::stdout().lock().write_all(text.as_bytes()),
                None => Ok(()),
            },
            (Screen::Log(_), Told::Failed(text)) => writeln!(io::stderr(), "{text}"),
        }
    }
}

/// The size that a frame may have: the cursor stands in a row of its own below it.
fn size_of(term: &Term) -> Size {
    let size = term.size_checked().map(|(rows, columns)| (usize::from(rows), usize::from(columns)));
    let Size { rows, columns } =
        size.map_or(USUAL_SIZE, |(rows, columns)| Size { rows: rows.max(2), columns: columns.max(1) });
    Size { rows: rows.saturating_sub(1), columns }
}

/// Polls one after the other, without those that changed nothing.
pub(super) struct Log {
    output: Format,
    last: Option<String>,
}

impl Log {
    fn next<F: Frame>(&mut self, frame: &F) -> Option<String> {
        // Only maps whose keys are not strings fail, and frames have none.
        let facts = serde_json::to_string(frame.facts()).unwrap_or_default();
        if self.last.as_ref() == Some(&facts) {
            return None;
        }
        self.last = Some(facts);
        let json = match self.output {
            Format::Display => return Some(frame.line() + "\n"),
            Format::Json => serde_json::to_string_pretty(frame),
            Format::JsonCompact => serde_json::to_string(frame),
        };
        Some(json.unwrap_or_default() + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Count, *};

    #[test]
    fn a_log_has_a_line_for_each_change_but_not_for_the_time() {
        let told = |output| {
            let mut log = Log { output, last: None };
            let frames = [(1, 0), (1, 1), (2, 1), (2, 2), (1, 2)];
            frames.map(|(fact, clock)| log.next(&Count { fact, clock })).into_iter().flatten().collect()
        };
        let lines: Vec<String> = told(Format::Display);
        assert_eq!(lines, ["fact 1\n", "fact 2\n", "fact 1\n"]);
        let json: Vec<String> = told(Format::JsonCompact);
        assert_eq!(json[1], "{\"fact\":2,\"clock\":1}\n");
    }
}
