//! Formats of standard output.

use std::fmt::Display;

use clap::ValueEnum;
use serde::Serialize;

use crate::text::{clean, escaped};

/// Format of standard output.
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
    /// Renders a result with a line break at the end. Control characters are removed for people and escaped for
    /// programs.
    pub fn render(self, result: &(impl Display + Serialize)) -> String {
        let json = match self {
            Format::Display => return clean(&format!("{result}\n")),
            Format::Json => serde_json::to_string_pretty(result),
            Format::JsonCompact => serde_json::to_string(result),
        };
        // Only maps whose keys are not strings fail, and results have none.
        escaped(&json.unwrap_or_default()) + "\n"
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
