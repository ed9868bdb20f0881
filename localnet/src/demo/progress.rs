//! Progress on standard error: bars on a terminal, a line for each step elsewhere.

use std::{borrow::Cow, io, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

/// Where everything is shown. Clones share the terminal.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    bars: MultiProgress,
}

/// One step's bar. A step that fails leaves its bar as it stands.
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

    /// A line above the bars.
    pub fn say(&self, line: &str) {
        if self.bars.is_hidden() {
            eprintln!("{line}");
        } else {
            // An error says that the terminal is gone; there is nobody to tell.
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

    /// What happens at the moment.
    pub fn tell(&self, what: String) {
        self.bar.set_message(what);
    }

    /// Ends the step.
    pub fn end(self, result: &str) {
        let secs = self.bar.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        self.progress.say(&format!("{:32} {result} ({secs:.1} s)", self.name));
    }
}

/// Lets a log write above the bars, a whole line at a time.
impl<'a> MakeWriter<'a> for Progress {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { progress: self.clone(), text: Vec::new() }
    }
}

/// A line of the log, shown when it is complete.
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
            self.progress.say(String::from_utf8_lossy(&self.text).trim_end());
        }
    }
}
