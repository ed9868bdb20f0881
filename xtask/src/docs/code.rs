//! Excerpts of source files, so that the code in a guide is code that is compiled.

use anyhow::{Context, Result};

/// The lines of a Rust source between `// guide:begin NAME` and `// guide:end`, without their common indentation, as a
/// fenced block.
pub fn excerpt(source: &str, name: &str) -> Result<String> {
    let begin = format!("// guide:begin {name}");
    let mut lines = source.lines().skip_while(|line| line.trim() != begin);
    lines.next().with_context(|| format!("no line `{begin}`"))?;
    let lines: Vec<&str> = lines.take_while(|line| line.trim() != "// guide:end").collect();
    let indent =
        lines.iter().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len());
    let indent = indent.min().unwrap_or_default();
    let lines: Vec<&str> = lines.iter().map(|line| line.get(indent..).unwrap_or_default()).collect();
    Ok(format!("```rust\n{}\n```\n", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_has_the_lines_between_its_markers_without_their_indentation() {
        let source =
            "fn f() {\n    // guide:begin a\n    if x {\n        y();\n    }\n\n    // guide:end\n}\n";
        assert_eq!(excerpt(source, "a").unwrap(), "```rust\nif x {\n    y();\n}\n\n```\n");
        assert!(excerpt(source, "b").is_err());
    }
}
