//! The README's picture of the terminal: commands and output of a guide's transcript, which the tests play, as SVG.

use std::fmt::Write;

use anyhow::{Context, Result};

/// The guide whose transcript is drawn.
pub const TRANSCRIPT: &str = "docs/guides/buyer.md";

/// The commands that are drawn, in this order.
const COMMANDS: [&str; 3] = [
    "leasehold offers",
    "leasehold quote --gpus 3 --for 10m",
    "leasehold lease open --gpus 3 --for 10m --yes",
];

/// Pixels of a character and of a line, and around the text.
const WIDTH: f64 = 7.8;
const HEIGHT: f64 = 18.0;
const MARGIN: f64 = 16.0;
/// Height of the bar with the window's buttons.
const BAR: f64 = 28.0;

pub fn draw(transcript: &str) -> Result<String> {
    let mut lines = Vec::new();
    for command in COMMANDS {
        let prompt = format!("$ {command}");
        let mut rest = transcript.lines().skip_while(|line| *line != prompt);
        lines.push(rest.next().with_context(|| format!("{TRANSCRIPT} has no line `{prompt}`"))?);
        lines.extend(rest.take_while(|line| !line.starts_with("$ ") && !line.starts_with("```")));
        if lines.last().is_some_and(|line| !line.is_empty()) {
            lines.push("");
        }
    }
    lines.pop();
    Ok(svg(&lines))
}

fn svg(lines: &[&str]) -> String {
    let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
    let width = 2.0 * MARGIN + longest as f64 * WIDTH;
    let height = BAR + 2.0 * MARGIN + lines.len() as f64 * HEIGHT;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"leasehold at a terminal\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#14171f\"/>\n\
         <g fill=\"#3a4152\"><circle cx=\"20\" cy=\"18\" r=\"5\"/><circle cx=\"38\" cy=\"18\" r=\"5\"/>\
         <circle cx=\"56\" cy=\"18\" r=\"5\"/></g>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" \
         font-size=\"13\" fill=\"#c8ccd8\" xml:space=\"preserve\">\n"
    );
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        let y = BAR + MARGIN + (index as f64 + 0.75) * HEIGHT;
        // The transcript has [..] for parts that differ from run to run.
        let line = escape(&line.replace("[..]", "…"));
        let (color, line) = match line.strip_prefix("$ ") {
            Some(command) => (
                " fill=\"#ffffff\" font-weight=\"600\"",
                format!("<tspan fill=\"#5fd38d\">$</tspan> {command}"),
            ),
            None => ("", line),
        };
        let _ = writeln!(text, "<text x=\"{MARGIN}\" y=\"{y:.1}\"{color}>{line}</text>");
    }
    text + "</g>\n</svg>\n"
}

fn escape(line: &str) -> String {
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_drawn_with_what_they_printed_and_nothing_else() {
        let block = |command: &str| format!("$ {command}\nprinted <by> {command}\n\n$ other\nhidden\n");
        let transcript = COMMANDS.map(block).concat();
        let svg = draw(&transcript).unwrap();
        for command in COMMANDS {
            assert!(svg.contains(&format!(">printed &lt;by&gt; {command}</text>")), "{svg}");
        }
        assert!(!svg.contains("hidden") && !svg.contains("other"));
        assert!(draw("$ leasehold offers\n").is_err());
    }

    #[test]
    fn what_differs_from_run_to_run_is_an_ellipsis() {
        assert!(svg(&["Signature: [..]"]).contains("Signature: …"));
    }
}
