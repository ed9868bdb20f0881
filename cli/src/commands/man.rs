//! `leasehold man`.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Command, ValueHint, builder::Resettable};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use serde::Serialize;

use leasehold_operate::{
    failure::{EXIT_CODES, Failure},
    format::Format,
    table::count,
    text::print_stderr,
};

#[derive(Args)]
pub struct ManArgs {
    /// Folder to write to; it is created if missing.
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

/// Pages that were written.
#[derive(Debug, Serialize)]
struct Written {
    dir: PathBuf,
    /// Names of the files in it.
    pages: Vec<String>,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Wrote {} to {}", count(self.pages.len(), "page"), self.dir.display())
    }
}

/// Writes the pages of `command` and of those below it.
pub fn run(args: &ManArgs, command: Command, output: Format) -> Result<(), Failure> {
    let dir = args.dir.clone();
    let failed = |error| Failure::File { path: dir.clone(), error };
    let pages = write(&args.dir, command).map_err(failed)?;
    let written = Written { dir, pages };
    // For people this is a message, not data: the pages are the data.
    if output == Format::Display {
        print_stderr(written.to_string());
        return Ok(());
    }
    output.print(&written)
}

/// Writes a page for every command; returns their files' names.
fn write(dir: &Path, command: Command) -> io::Result<Vec<String>> {
    fs::create_dir_all(dir)?;
    // The end of the help has a section of its own in the pages.
    let mut command = command.disable_help_subcommand(true).after_help(Resettable::Reset);
    command.build();
    write_with_below(&command, dir)
}

fn write_with_below(command: &Command, dir: &Path) -> io::Result<Vec<String>> {
    let source = format!("leasehold {}", command.get_version().unwrap_or_default());
    let man = Man::new(command.clone()).source(source);
    let name = man.get_filename();
    fs::write(dir.join(&name), page(&man, command)?)?;
    let mut pages = vec![name];
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages.extend(write_with_below(below, dir)?);
    }
    Ok(pages)
}

fn page(man: &Man, command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    description(command).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        roff.control("TP", []).text([bold(code.to_string())]).text([roman(meaning)]);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for argument in command.get_arguments() {
        let (Some(variable), Some(flag)) = (argument.get_env(), argument.get_long()) else { continue };
        let instead = format!("Used if --{flag} is not given.");
        let variable = bold(variable.to_string_lossy());
        roff.control("TP", []).text([variable]).text([roman(instead)]);
    }
    roff.to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// Description of a command. Examples of files keep their lines, which clap_mangen would join.
fn description(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    let text = command.get_long_about().or(command.get_about()).map(ToString::to_string);
    for paragraph in text.unwrap_or_default().split("\n\n") {
        let is_example = paragraph.lines().any(|line| line.contains(" = "));
        roff.control("PP", []);
        if is_example {
            roff.control("nf", []);
        }
        for line in paragraph.lines() {
            roff.text([roman(line)]);
        }
        if is_example {
            roff.control("fi", []);
        }
    }
    roff
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    /// A page's text, without the escapes that keep roff from taking hyphens for line breaks.
    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap().replace('\\', "")
    }

    fn check(command: &Command, dir: &Path, pages: &mut usize) {
        *pages += 1;
        let name = command.get_display_name().unwrap_or("leasehold");
        let page = read(dir, &format!("{name}.1"));
        assert!(page.contains(&format!(".TH {name} 1  \"leasehold ")), "{name}: {page}");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            if let Some(flag) = argument.get_long() {
                assert!(page.contains(&format!("--{flag}")), "{name} says nothing of --{flag}");
            }
        }
        for expected in [".SH \"EXIT STATUS\"", "fB4fR\nnot confirmed", "fBLEASEHOLD_URLfR\nUsed if --url"] {
            assert!(page.contains(expected), "{name} lacks {expected:?}: {page}");
        }
        for below in command.get_subcommands() {
            check(below, dir, pages);
        }
    }

    #[test]
    fn every_command_has_a_page_that_names_its_flags() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("man/man1");
        let written = write(&dir, Cli::command()).unwrap().len();
        let mut cli = Cli::command().disable_help_subcommand(true);
        cli.build();
        let mut pages = 0;
        check(&cli, &dir, &mut pages);
        assert_eq!((written, fs::read_dir(&dir).unwrap().count()), (pages, pages));
        assert!(read(&dir, "leasehold-lease-open.1").contains("--max-deposit"));
        let open = read(&dir, "leasehold-lease-open.1");
        let (_, options) = open.split_once(".SH OPTIONS").unwrap();
        let (own, global) = options.split_once(".SH \"GLOBAL OPTIONS\"").unwrap();
        assert!(own.contains("--gpus") && !own.contains("--keypair") && global.contains("--keypair"));
        let list = read(&dir, "leasehold-machine-list.1");
        assert!(list.contains(".PP\n.nf\n[[machine]]\nnode_key = "), "{list}");
        assert!(read(&dir, "leasehold-machine-detect.1").contains("fBLEASEHOLD_NVIDIA_SMIfR\nUsed if"));
    }

    #[test]
    fn a_folder_that_cannot_be_created_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = ManArgs { dir: file.path().join("below") };
        let failed = run(&args, Cli::command(), Format::Display).unwrap_err();
        assert!(failed.code() == 2 && failed.to_string().contains("check the path"), "{failed}");
    }
}
