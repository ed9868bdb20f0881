//! `cargo xtask docs`: the parts of the documents that are made from something else.
//!
//! A generated part stands between `<!-- docs:begin KIND ... -->` and `<!-- docs:end -->`. Beside these parts the task
//! writes `docs/terminal.svg`, the README's picture of the terminal.

mod code;
mod crates;
mod figures;
mod interface;
mod picture;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{economics, root};

#[derive(clap::Args)]
pub struct Arguments {
    /// Change nothing; fail if a generated part is not up to date
    #[arg(long)]
    check: bool,
}

const BEGIN: &str = "<!-- docs:begin ";
const END: &str = "<!-- docs:end -->";
const PICTURE: &str = "docs/terminal.svg";

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut made = Vec::new();
    for path in documents()? {
        let before = read(&path)?;
        let after = regenerate(&before, &part).with_context(|| path.display().to_string())?;
        made.push((path, after));
    }
    made.push((PICTURE.into(), picture::draw(&read(Path::new(picture::TRANSCRIPT))?)?));

    let stale =
        |(path, text): &&(PathBuf, String)| fs::read_to_string(root().join(path)).ok().as_ref() != Some(text);
    let stale: Vec<_> = made.iter().filter(stale).collect();
    let names = stale.iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>().join(", ");
    if stale.is_empty() {
        println!("the generated parts of the documents are up to date");
    } else if arguments.check {
        bail!("{names}: not up to date; run `cargo xtask docs` and commit the result");
    } else {
        for (path, text) in &stale {
            fs::write(root().join(path), text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        println!("written: {names}");
    }
    Ok(())
}

/// Makes one part, from the words of its begin marker.
fn part(words: &[&str]) -> Result<String> {
    match words {
        ["crates"] => crates::diagram(),
        ["figures"] => {
            figures::table(&read(Path::new("docs/bench.json"))?, &read(Path::new("docs/bench.md"))?)
        }
        ["instructions"] => interface::instructions(&interface::read()?),
        ["events"] => Ok(interface::events(&interface::read()?)),
        ["errors"] => Ok(interface::errors(&interface::read()?)),
        ["economics", name] => economics::page::part(name).with_context(|| format!("economics {name}")),
        ["code", path, name] => {
            code::excerpt(&read(Path::new(path))?, name).with_context(|| (*path).to_owned())
        }
        _ => bail!("unknown generated part {words:?}"),
    }
}

/// The README and every document below docs/ that has a generated part, by path from the root.
fn documents() -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("README.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md")
                && read(&path)?.contains(BEGIN)
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {}", path.display()))
}

/// Replaces the text between each pair of markers by the result of `make` for the words of the first marker.
fn regenerate(text: &str, make: &dyn Fn(&[&str]) -> Result<String>) -> Result<String> {
    let mut parts = text.split(BEGIN);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (words, rest) = part.split_once(" -->\n").context("a begin marker has no end of line")?;
        let (_, rest) = rest.split_once(END).with_context(|| format!("`{words}` has no end marker"))?;
        let made = make(&words.split(' ').collect::<Vec<_>>())?;
        result += &format!("{BEGIN}{words} -->\n{made}{END}{rest}");
    }
    Ok(result)
}

/// A number with a comma between thousands.
pub fn grouped(number: u64) -> String {
    if number < 1_000 {
        number.to_string()
    } else {
        format!("{},{:03}", grouped(number / 1_000), number % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_markers_is_replaced() {
        let text = "a\n<!-- docs:begin x y -->\nold\n<!-- docs:end -->\nb\n<!-- docs:begin z -->\n<!-- docs:end -->\n";
        let made = regenerate(text, &|words| Ok(format!("{}\n", words.join("+")))).unwrap();
        assert_eq!(
            made,
            "a\n<!-- docs:begin x y -->\nx+y\n<!-- docs:end -->\nb\n<!-- docs:begin z -->\nz\n<!-- docs:end -->\n"
        );
        assert_eq!(regenerate(&made, &|words| Ok(format!("{}\n", words.join("+")))).unwrap(), made);
    }

    #[test]
    fn a_part_without_an_end_is_refused() {
        let error = regenerate("<!-- docs:begin x -->\nold\n", &|_| Ok(String::new())).unwrap_err();
        assert_eq!(error.to_string(), "`x` has no end marker");
    }

    #[test]
    fn an_unknown_part_is_refused() {
        assert!(part(&["weather"]).is_err());
    }

    /// `cargo xtask docs --check`, so that `cargo xtask test` finds stale documents as well.
    #[test]
    fn generated_parts_are_up_to_date() {
        run(&Arguments { check: true }).unwrap();
    }
}
