//! Prometheus' text format.

use std::fmt::{self, Display, Write};

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// Writes the two comments that stand before a metric's samples.
///
/// # Errors
/// The writer's.
pub fn write_head(f: &mut impl Write, name: &str, kind: Kind, help: &str) -> fmt::Result {
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    };
    write!(f, "# HELP {name} {help}\n# TYPE {name} {kind}\n")
}

/// Writes a metric with one sample and no labels.
///
/// # Errors
/// The writer's.
pub fn write_metric(
    f: &mut impl Write,
    name: &str,
    kind: Kind,
    help: &str,
    value: impl Display,
) -> fmt::Result {
    write_head(f, name, kind, help)?;
    writeln!(f, "{name} {value}")
}
