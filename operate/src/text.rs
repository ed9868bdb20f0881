//! Sanitises untrusted text: errors of RPC nodes, logs of programs, answers of servers, files.
//!
//! Standard error goes through [`shown`], which removes control characters and keys in URLs. Standard output goes
//! through [`clean`], or as JSON through [`escaped`], which keep URLs: results never contain the RPC node's URL.

mod mistake;

use std::io::{self, Write};

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use url::Url;

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
    let text = clean(text);
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text.as_str());
    let start = |text: &str| ["http://", "https://"].iter().filter_map(|scheme| text.find(scheme)).min();
    while let Some(place) = start(rest) {
        let (before, found) = rest.split_at(place);
        let ends = |character: char| character.is_whitespace() || "\"'`<>()[]{},;".contains(character);
        // An address of IPv6 stands in brackets.
        let bracketed = ["http://[", "https://["].iter().any(|start| found.starts_with(start));
        let from = found.find(']').filter(|_| bracketed).map_or(0, |place| place.saturating_add(1));
        let end = found
            .get(from..)
            .and_then(|text| text.find(ends))
            .map_or(found.len(), |end| from.saturating_add(end));
        let (text, after) = found.split_at(end);
        shown.push_str(before);
        let plain = text.trim_end_matches([':', '.']);
        match Url::parse(plain) {
            Ok(parsed) if url(&parsed) == parsed.as_str() => shown.push_str(text),
            Ok(parsed) => {
                shown.push_str(&url(&parsed));
                shown.push_str(text.get(plain.len()..).unwrap_or_default());
            }
            // It may hold a key.
            Err(_) => shown.push_str("<URL>"),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// A URL without the parts that may hold a key: RPC providers put keys in user names, paths and queries.
pub fn url(url: &Url) -> String {
    let plain = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    match url.host_str() {
        _ if plain => url.to_string(),
        Some(host) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}/<...>", url.scheme())
        }
        None => "<URL>".to_owned(),
    }
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

    #[test]
    fn keys_in_urls_are_not_repeated() {
        for (text, expected) in [
            ("for url (https://a.example/v2/key?x=1)", "for url (https://a.example/<...>)"),
            ("see https://user:pw@a.example:8443: no", "see https://a.example:8443/<...>: no"),
            (
                "http://127.0.0.1:8899/ and http://[::1]:8899/key.",
                "http://127.0.0.1:8899/ and http://[::1]:8899/<...>.",
            ),
            ("the node at http://127.0.0.1:1: check", "the node at http://127.0.0.1:1: check"),
            ("http://", "<URL>"),
            ("https://a.example/#key", "https://a.example/<...>"),
            ("none", "none"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }
}
