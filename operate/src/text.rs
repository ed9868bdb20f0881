//! Sanitises untrusted text: errors of RPC nodes, logs of programs, answers of servers, files.
//!
//! Standard error goes through [`shown`], which removes control characters and keys in URLs. Standard output goes
//! through [`clean`], or as JSON through [`escaped`], which keep URLs: results never contain the RPC node's URL.

mod mistake;

use std::io::{self, Write};

use leasehold_client::redact;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

pub use leasehold_client::redact::url;

pub use self::mistake::{mistake, quoted, toml_mistake};

/// True if a character controls the terminal, changes the direction of text, or is invisible.
fn is_hidden(character: char) -> bool {
    // Invisible letters and marks: joiner, Hangul fillers, variation selectors.
    let blank = matches!(
        character,
        '\u{034f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}'
    );
    let category = character.general_category();
    blank
        || matches!(
            category,
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
}

/// Sanitises text of one line.
pub fn line(text: &str) -> String {
    text.chars().filter(|character| !is_hidden(*character)).collect()
}

/// Sanitises text of several lines.
pub fn clean(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !is_hidden(*character)).collect()
}

/// Escapes hidden characters in JSON, where only strings can have them.
pub fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || !is_hidden(character) {
            escaped.push(character);
        } else {
            let mut units = [0; 2];
            let units = character.encode_utf16(&mut units).iter();
            escaped.extend(units.map(|unit| format!("\\u{unit:04x}")));
        }
    }
    escaped
}

/// Sanitises a sentence for people, with URLs as by [`url`].
pub fn shown(text: &str) -> String {
    redact::text(&clean(text))
}

/// Prints a line on standard error, and ignores failures to write.
pub fn print_stderr(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "{}", shown(text.as_ref()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_hold_of_a_terminal_or_hides_is_left_out() {
        let hostile =
            "a\u{1b}[2J\u{9b}31m\tb\u{202e}c\u{2066}d\u{200b}e\u{feff}f\u{2028}g\u{3164}h\r\ni\u{7f}";
        assert_eq!(clean(hostile), "a[2J31mbcdefgh\ni");
        assert_eq!(line(hostile), "a[2J31mbcdefghi");
        for plain in ["RTX 4090", "Gr\u{f6}\u{df}e \u{2013} \u{4e2d}\u{6587}", "e\u{301}"] {
            assert_eq!(clean(plain), plain);
        }
    }

    #[test]
    fn json_says_the_same_without_them() {
        let text = "a\u{9b}b\u{202e}c\u{e0001}d";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let escaped = escaped(&json);
        assert!(escaped.contains("a\\u009bb\\u202ec\\udb40\\udc01d") && escaped.contains('\n'), "{escaped}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&escaped).unwrap(), [text]);
    }
}
