//! Progress on standard error: bars at a terminal, else a line for each step.

use std::{borrow::Cow, io, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

/// The terminal or log. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    bars: MultiProgress,
}

/// The bar of a step. If the step fails, the bar stays as it is.
pub struct Bar {
    bar: ProgressBar,
    progress: Progress,
    name: Cow<'static, str>,
}

impl Progress {
    /// Begins a step of `total` parts.
    pub fn begin(&self, name: impl Into<Cow<'static, str>>, total: u64) -> Bar {
        let name = name.into();
        let bar = self.bars.add(ProgressBar::new(total));
        let template = "{prefix:32} {bar:30} {pos:>6}/{len:<6} {elapsed:>4} {msg}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(name.clone());
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar { bar, progress: self.clone(), name }
    }

    /// Prints a line above the bars.
    pub fn print_line(&self, line: &str) {
        if self.bars.is_hidden() {
            eprintln!("{line}");
        } else {
            // An error means that the terminal is gone.
            let _ = self.bars.println(line);
        }
    }
}

impl Bar {
    pub fn advance(&self) {
        self.bar.inc(1);
    }

    pub fn set(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Shows a message beside the bar.
    pub fn set_message(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Ends the step and prints its result.
    pub fn end(self, result: &str) {
        let secs = self.bar.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        self.progress.print_line(&format!("{:32} {result} ({secs:.1} s)", self.name));
    }
}

/// Prints log lines above the bars.
impl<'a> MakeWriter<'a> for Progress {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { progress: self.clone(), text: Vec::new() }
    }
}

/// A line of the log, printed when it is complete.
pub struct Line {
    progress: Progress,
    text: Vec<u8>,
}

impl io::Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.progress.print_line(String::from_utf8_lossy(&self.text).trim_end());
        }
    }
}
