//! Texts as ssh and shells read them.

use std::path::Path;

use leasehold_operate::failure::Failure;

/// A path in ssh's configuration, where it may be split, expanded and replaced by the environment.
pub fn path(path: &Path) -> Result<String, Failure> {
    let text = plain(path)?;
    if text.contains("${") {
        return Err(unusable(path, "${, which ssh replaces by the environment"));
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    Ok(format!("\"{escaped}\""))
}

/// The path as text in one line.
pub fn plain(path: &Path) -> Result<&str, Failure> {
    let text = path.to_str().ok_or_else(|| unusable(path, "characters that are not UTF-8"))?;
    match text.contains(char::is_control) {
        true => Err(unusable(path, "control characters")),
        false => Ok(text),
    }
}

fn unusable(path: &Path, what: &str) -> Failure {
    Failure::Input(format!("{} has {what}: choose another path, with --home or --identity", path.display()))
}

/// A word of a command for a POSIX shell.
pub fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A word of a command that ssh expands before a shell reads it.
pub fn expanded_word(text: &str) -> String {
    word(text).replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_whatever_it_holds() {
        let quoted = |text: &str| path(Path::new(text));
        assert_eq!(quoted("/a b/%d/\"c\"\\").unwrap(), "\"/a b/%%d/\\\"c\\\"\\\\\"");
        for wrong in ["/a\nHost x", "/${HOME}", "/a\u{7}"] {
            assert_eq!(quoted(wrong).unwrap_err().code(), 2, "{wrong:?}");
        }
        assert_eq!((word("it's"), expanded_word("%h")), ("'it'\\''s'".to_owned(), "'%%h'".to_owned()));
    }
}
