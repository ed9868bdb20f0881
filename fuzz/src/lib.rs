//! Fuzz targets: functions of arbitrary bytes that panic where the program breaks one of its rules.
//!
//! `cargo xtask fuzz` runs them under libFuzzer, which looks for bytes that reach new code. The bytes in `corpus/` are
//! tests as well: those that once broke a rule stay there.

mod decode;
mod input;
mod planted;
mod rules;
mod settlement;

pub use decode::INSTRUCTIONS;

/// A target.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

/// The targets, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "rules", run: rules::run },
    Target { name: "decode", run: decode::run },
    Target { name: "settlement", run: settlement::run },
    Target { name: "planted", run: planted::run },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
