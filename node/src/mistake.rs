//! Mistakes in the configuration file as one line, without a secret: a line of the file may hold a machine's key.

use std::ops::Range;

/// Longest value that is repeated, in characters.
const MAX_VALUE: usize = 64;
/// Fields whose values are repeated nowhere.
const SECRET: [&str; 2] = ["seed", "rpc"];

/// Why the text of a file can't be read: line, field and value if there are any, and what is wrong.
pub(crate) fn mistake(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().replace(['\n', '\r'], " ");
    let Some(span) = error.span() else { return message };
    let number = text.get(..span.start).map_or(0, |before| before.matches('\n').count()).saturating_add(1);
    match field(text, &span) {
        Some(name) if SECRET.contains(&name) => {
            format!("line {number}: the value of `{name}` is not as it should be, see the example")
        }
        Some(name) => match text.get(span).filter(|value| is_short(value)) {
            Some(value) => format!("line {number}: `{name}` is {value}: {message}"),
            None => format!("line {number}: `{name}`: {message}"),
        },
        None => format!("line {number}: {message}"),
    }
}

fn is_short(value: &str) -> bool {
    !value.is_empty() && !value.contains('\n') && value.chars().count() <= MAX_VALUE
}

/// Name of the field on the line where the span begins, if that is in its value.
fn field<'a>(text: &'a str, span: &Range<usize>) -> Option<&'a str> {
    let line = text.get(..span.start)?.rsplit('\n').next()?;
    let (name, _) = line.split_once('=')?;
    let name = name.trim();
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    (is_plain && !name.is_empty()).then_some(name)
}
