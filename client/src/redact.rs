//! URLs in text for people and logs, without the parts that may hold a key.

use reqwest::Url;

/// A URL without the parts that may hold a key: RPC providers put keys in user names, paths and queries.
pub fn url(url: &Url) -> String {
    let plain = matches!(url.path(), "/" | "")
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

/// Shortest part of a URL that is taken for a key, in bytes: others are words such as "rpc" and "v2".
const SHORTEST_KEY: usize = 6;

/// Parts of one URL that may be keys, as they are written and decoded.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    pub fn of(url: &Url) -> Self {
        let query = url.query().into_iter().flat_map(|query| query.split('&'));
        let values = query.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let path = url.path().split('/').chain(url.fragment());
        let written = path.chain(values).chain([url.username()]).chain(url.password());
        let both = written.flat_map(|part| [part.to_owned(), decoded(part)]);
        let mut parts: Vec<_> = both.filter(|part| part.len() >= SHORTEST_KEY).collect();
        // The longest first: one may be a part of another.
        parts.sort_unstable_by_key(|part| std::cmp::Reverse(part.len()));
        Secrets(parts)
    }

    /// A text with every URL in it as by [`url`], and without these parts, which may stand alone.
    pub fn hide(&self, shown: &str) -> String {
        self.0.iter().fold(text(shown), |shown, part| shown.replace(part.as_str(), "<...>"))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

/// A text with every URL in it as by [`url`].
pub fn text(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, found)) = next_url(rest) {
        shown.push_str(before);
        let (found, after) = found.split_at(length(found));
        let plain = found.trim_end_matches([':', '.']);
        match Url::parse(plain) {
            Ok(parsed) if url(&parsed) == parsed.as_str() => shown.push_str(found),
            Ok(parsed) => {
                shown.push_str(&url(&parsed));
                shown.push_str(found.get(plain.len()..).unwrap_or_default());
            }
            // It may hold a key.
            Err(_) => shown.push_str("<URL>"),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// A part of a URL without its percent-encoding.
fn decoded(part: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(part.len()), part.as_bytes());
    while let [first, after @ ..] = rest {
        let encoded = after.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        match encoded {
            Some(byte) => {
                bytes.extend(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text before the next URL of any scheme, and the text from its scheme on.
fn next_url(text: &str) -> Option<(&str, &str)> {
    let (before, _) = text.split_at(text.find("://")?);
    let of_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let scheme = before.bytes().rev().take_while(of_scheme).count();
    Some(text.split_at(before.len().saturating_sub(scheme)))
}

/// Bytes of the URL that a text begins with.
fn length(text: &str) -> usize {
    let ends = |character: char| {
        character.is_whitespace() || character.is_control() || "\"'`<>()[]{},;\\".contains(character)
    };
    // An address of IPv6 stands in brackets.
    let host = text.find("://").map_or(0, |place| place.saturating_add(3));
    let bracketed = text.get(host..).is_some_and(|host| host.starts_with('['));
    let from = if bracketed { text.find(']').map_or(host, |end| end.saturating_add(1)) } else { host };
    text.get(from..).and_then(|text| text.find(ends)).map_or(text.len(), |end| from.saturating_add(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_url_that_may_be_keys_are_hidden_where_they_stand_alone() {
        let url = Url::parse(
            "https://us%65r-1:p%40ssword@a.example/v2/k3y-in-path/?api-key=k3y-in-query&x=y#fragment",
        );
        let secrets = Secrets::of(&url.unwrap());
        for (given, expected) in [
            ("invalid api-key k3y-in-query", "invalid api-key <...>"),
            ("no such path /v2/k3y-in-path/", "no such path /v2/<...>/"),
            ("user-1 (us%65r-1) with p@ssword", "<...> (<...>) with <...>"),
            ("see https://b.example/k3y-in-path", "see https://b.example/<...>"),
            ("method x is not available: y", "method x is not available: y"),
        ] {
            assert_eq!(secrets.hide(given), expected);
        }
        assert_eq!(format!("{secrets:?}"), "Secrets");
    }

    #[test]
    fn keys_in_urls_are_not_repeated() {
        for (given, expected) in [
            ("for url (https://a.example/v2/key?x=1)", "for url (https://a.example/<...>)"),
            ("see https://user:pw@a.example:8443: no", "see https://a.example:8443/<...>: no"),
            (
                "http://127.0.0.1:8899/ and http://[::1]:8899/key.",
                "http://127.0.0.1:8899/ and http://[::1]:8899/<...>.",
            ),
            ("the node at http://127.0.0.1:1: check", "the node at http://127.0.0.1:1: check"),
            ("http://", "<URL>"),
            ("https://a.example/#key", "https://a.example/<...>"),
            (
                "wss://a.example/key and htps://a.example/key",
                "wss://a.example/<...> and htps://a.example/<...>",
            ),
            ("{\"url\":\"postgres://u:key@db/name\"}", "{\"url\":\"postgres://db/<...>\"}"),
            ("\\\"https://a.example/key\\\"", "\\\"https://a.example/<...>\\\""),
            ("rpc=https://a.example?api-key=key,x", "rpc=https://a.example/<...>,x"),
            ("none", "none"),
            ("://key", "<URL>"),
            ("\u{e9}://key/\u{e9} \u{e9}", "\u{e9}<URL> \u{e9}"),
        ] {
            assert_eq!(text(given), expected);
        }
    }
}
