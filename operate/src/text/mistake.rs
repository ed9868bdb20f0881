//! Errors of files in plain words and without secrets: a keypair, or a node's configuration named by mistake, holds a
//! secret key.

use super::line;

/// Longest quotation of a file in an error, in characters: longer ones may be secrets.
const MAX_QUOTED: usize = 24;

/// Why a TOML file can't be read: line, field, error.
pub fn toml_mistake(error: &toml::de::Error, text: &str) -> String {
    let mistake = mistake(error.message());
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return mistake };
    let number = before.matches('\n').count().saturating_add(1);
    match field(before).filter(|field| !mistake.starts_with(field)) {
        Some(field) => format!("line {number}: {field}: {mistake}"),
        None => format!("line {number}: {mistake}"),
    }
}

/// Name of the field whose value begins after this text.
fn field(before: &str) -> Option<&str> {
    let name = before.trim_end_matches([' ', '\t']).strip_suffix('=')?.trim_end_matches([' ', '\t']);
    let name =
        name.rsplit(|character: char| character.is_whitespace() || "{,.".contains(character)).next()?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    (plain && (1..=MAX_QUOTED).contains(&name.len())).then_some(name)
}

/// A parser's error in plain words, without strings and without names that may be secrets.
pub fn mistake(message: &str) -> String {
    let message = line(message);
    // "invalid type: string "secret", expected u8": the kind is enough.
    let wrong = ["invalid type: ", "invalid value: "]
        .into_iter()
        .find_map(|wrong| message.split_once(wrong))
        .and_then(|(before, rest)| Some((before, rest.rsplit_once(", expected ")?)));
    let message = match wrong {
        Some((before, (found, expected))) => {
            // A position may follow.
            let place = expected.find(" at line ").unwrap_or(expected.len());
            let (expected, place) = expected.split_at(place);
            format!("{before}{} is not allowed here: {}{place}", kind(found), remedy(found, expected))
        }
        None => message,
    };
    unquoted(&unquoted(&message, '`'), '"')
}

/// A value of a file, unless it may be a secret.
pub fn quoted(value: &str) -> String {
    if value.chars().count() > MAX_QUOTED { "\"...\"".to_owned() } else { format!("{value:?}") }
}

/// Description of a value that was found: "integer `300`".
fn kind(found: &str) -> String {
    let kind = found.split(['"', '`']).next().unwrap_or_default().trim_end();
    match (kind, value(found)) {
        ("integer" | "floating point", Some(value)) => format!("the number {value}"),
        ("integer" | "floating point", None) => "a number".to_owned(),
        ("boolean", Some(value)) => value.to_owned(),
        ("string", _) => "a text".to_owned(),
        ("sequence", _) => "a list".to_owned(),
        ("map", _) => "a table".to_owned(),
        _ => format!("a value of kind {kind}"),
    }
}

/// The value, unless it is a string or long.
fn value(found: &str) -> Option<&str> {
    let (_, value) = found.trim_end_matches('`').split_once('`')?;
    (value.len() <= MAX_QUOTED).then_some(value)
}

/// Advice on the value to write instead.
fn remedy(found: &str, expected: &str) -> String {
    let most = match expected {
        "u8" => u8::MAX.into(),
        "u16" => u16::MAX.into(),
        "u32" => u32::MAX,
        "u64" | "usize" => return "give a whole number from 0 up, without quotation marks".to_owned(),
        "a string" => {
            let example = value(found).map(|value| format!(", for example \"{value}\"")).unwrap_or_default();
            return format!("give a text in quotation marks{example}");
        }
        "a boolean" => return "give true or false, without quotation marks".to_owned(),
        "a sequence" => return "give a list in brackets".to_owned(),
        expected if expected.starts_with("struct ") => return "give names with values".to_owned(),
        expected => return format!("give {expected}"),
    };
    let marks = if found.starts_with("string") { ", without quotation marks" } else { "" };
    format!("give a whole number from 0 to {most}{marks}")
}

/// Long quotations are left out.
fn unquoted(message: &str, quote: char) -> String {
    let parts = message.split(quote).enumerate().map(|(place, part)| {
        let secret = place % 2 == 1 && part.chars().count() > MAX_QUOTED;
        if secret { "..." } else { part }
    });
    parts.collect::<Vec<_>>().join(&quote.to_string())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    #[allow(dead_code)]
    struct File {
        number: u8,
        text: String,
        flag: bool,
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Part {
        bps: u16,
    }

    fn told(text: &str) -> String {
        toml_mistake(&toml::from_str::<File>(text).unwrap_err(), text)
    }

    #[test]
    fn a_mistake_in_a_file_is_reported_by_line_without_its_content() {
        let secret = "11223344556677889900aabbccddeeff";
        for text in [
            format!("\nseed = \"{secret}\""),
            format!("\nnumber = \"{secret}\""),
            format!("\n{secret} = 1"),
            format!("\nnumber = {secret}"),
            format!("\nnumber = \"{secret}"),
            format!("\n{secret}"),
        ] {
            let told = told(&text);
            assert!(told.starts_with("line 2: ") && !told.contains(secret), "{told}");
        }
        assert!(told("name = 1").starts_with("line 1: unknown field `name`, expected one of `number`"));
        let yaml = serde_yaml::from_str::<File>(secret).unwrap_err().to_string();
        assert!(yaml.contains(secret) && !super::mistake(&yaml).contains(secret), "{yaml}");
    }

    #[test]
    fn a_mistake_names_field_value_and_remedy() {
        for (text, expected) in [
            (
                "\nnumber = 300",
                "line 2: number: the number 300 is not allowed here: give a whole number from 0 to 255",
            ),
            (
                "text = 200",
                "line 1: text: the number 200 is not allowed here: give a text in quotation marks, for example \"200\"",
            ),
            (
                "flag = \"yes\"",
                "line 1: flag: a text is not allowed here: give true or false, without quotation marks",
            ),
            (
                "parts = [{ bps = \"5\" }]",
                "line 1: bps: a text is not allowed here: give a whole number from 0 to 65535, without quotation marks",
            ),
            ("parts = 1", "line 1: parts: the number 1 is not allowed here: give a list in brackets"),
        ] {
            assert_eq!(told(text), expected);
        }
        let yaml = serde_yaml::from_str::<File>("number: 300").unwrap_err().to_string();
        assert!(mistake(&yaml).contains("the number 300 is not allowed here: give a whole number"), "{yaml}");
    }
}
