//! Texts, messages and media of a request: what the inference server will read of them, and how much that is.
//!
//! Servers infer the kind of a part from its keys, fetch URLs, and look up files and earlier answers. So each part names
//! its type, and nothing passes that is not in the request.

use super::json::{Object, each, string};
use crate::receipts::refusal::Refusal;
use std::num::NonZeroU32;

/// Pictures and sounds in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Media {
    pub parts: u32,
    /// Their bytes, which are no text.
    pub bytes: usize,
}

/// Reads contents. `allowed`: tokens that a picture or a sound counts for; `None` if none may pass.
#[derive(Debug)]
pub(super) struct Contents {
    pub allowed: Option<NonZeroU32>,
    pub media: Media,
}

const MESSAGE: &[&str] = &[
    "annotations",
    "content",
    "function_call",
    "id",
    "name",
    "phase",
    "reasoning",
    "reasoning_content",
    "refusal",
    "role",
    "status",
    "thinking",
    "tool_call_id",
    "tool_calls",
    "type",
];
/// Parts of text, and their fields besides `type`.
const TEXTS: &[&str] =
    &["input_text", "output_text", "reasoning_text", "refusal", "summary_text", "text", "thinking"];
const TEXT: &[&str] =
    &["annotations", "cache_control", "logprobs", "refusal", "signature", "text", "thinking", "type"];

/// Items of a response. Some servers look for the fields of a message in them, whatever their type is.
const CALL: &[&str] = &["arguments", "call_id", "id", "name", "namespace", "status", "type"];
const OUTPUT: &[&str] = &["call_id", "id", "output", "status", "type"];

impl Contents {
    /// `messages` of a chat.
    pub fn messages(&mut self, text: &str) -> Result<(), Refusal> {
        let read = each(text, |message| self.message(&object(message, "a message")?));
        read.map_err(|error| malformed("messages", &error))
    }

    fn message(&mut self, message: &Object) -> Result<(), Refusal> {
        only(message, MESSAGE, "a message")?;
        message.get("content").map_or(Ok(()), |content| self.content(content))
    }

    /// A text, or parts.
    fn content(&mut self, text: &str) -> Result<(), Refusal> {
        match text.as_bytes().first() {
            Some(b'"' | b'n') => Ok(()),
            Some(b'[') => each(text, |part| self.part(part)).map_err(|error| malformed("content", &error)),
            _ => Err(Refusal::malformed("`content` must be a text or an array of parts")),
        }
    }

    fn part(&mut self, text: &str) -> Result<(), Refusal> {
        if text.starts_with('"') {
            return Ok(());
        }
        let part = object(text, "a part of a message")?;
        match part.get("type").and_then(string).as_deref() {
            Some(kind) if TEXTS.contains(&kind) => only(&part, TEXT, "a part with text"),
            Some(kind @ ("image_url" | "input_image")) => {
                only(&part, &["detail", "image_url", "type"], "a picture")?;
                self.medium(part.get("image_url").map(url), kind)
            }
            Some(kind @ "audio_url") => {
                only(&part, &["audio_url", "type"], "a sound")?;
                self.medium(part.get(kind).map(url), kind)
            }
            Some(kind @ "input_audio") => {
                only(&part, &["input_audio", "type"], "a sound")?;
                let sound = object(part.get(kind).unwrap_or_default(), "`input_audio`")?;
                only(&sound, &["data", "format"], "`input_audio`")?;
                self.count(sound.get("data").map_or(0, str::len))
            }
            Some(kind) => Err(Refusal::malformed(format!("a metered lease takes no parts of type `{kind}`"))),
            None => Err(Refusal::malformed("each part of a message needs its `type`")),
        }
    }

    fn medium(&mut self, url: Option<Result<String, Refusal>>, kind: &str) -> Result<(), Refusal> {
        let url =
            url.ok_or_else(|| Refusal::malformed(format!("a part of type `{kind}` needs its URL")))??;
        if !url.starts_with("data:") {
            return Err(Refusal::malformed(
                "a metered lease takes no media by URL, since nobody counts what is fetched: send a data: URL",
            ));
        }
        self.count(url.len())
    }

    fn count(&mut self, bytes: usize) -> Result<(), Refusal> {
        if self.allowed.is_none() {
            return Err(Refusal::malformed("this node takes no pictures and sounds under a metered lease"));
        }
        self.media.parts = self.media.parts.saturating_add(1);
        self.media.bytes = self.media.bytes.saturating_add(bytes);
        Ok(())
    }

    /// `input` of a response: a text, or items.
    pub fn items(&mut self, text: &str) -> Result<(), Refusal> {
        match text.as_bytes().first() {
            Some(b'"') => Ok(()),
            _ => each(text, |item| self.item(item)).map_err(|error| malformed("input", &error)),
        }
    }

    fn item(&mut self, text: &str) -> Result<(), Refusal> {
        let item = object(text, "an item of `input`")?;
        let kind = item.get("type").map_or(Some("message".to_owned()), string);
        match kind.as_deref() {
            Some("message") => self.message(&item),
            Some("function_call") => only(&item, CALL, "a function call"),
            Some("reasoning") => {
                only(
                    &item,
                    &["content", "encrypted_content", "id", "status", "summary", "type"],
                    "reasoning",
                )?;
                item.get("content").map_or(Ok(()), |content| self.content(content))
            }
            Some("function_call_output") => {
                only(&item, OUTPUT, "a function's output")?;
                item.get("output").map_or(Ok(()), |output| self.content(output))
            }
            // Others name what the server has stored, or what it does elsewhere.
            _ => Err(Refusal::malformed(
                "a metered lease takes items of type message, function_call, function_call_output and reasoning",
            )),
        }
    }
}

/// The URL in a part: a text, or in an object.
fn url(text: &str) -> Result<String, Refusal> {
    let text = match text.starts_with('{') {
        true => {
            let object = object(text, "a URL")?;
            only(&object, &["detail", "format", "url"], "a URL")?;
            object.get("url").unwrap_or_default()
        }
        false => text,
    };
    string(text).ok_or_else(|| Refusal::malformed("a URL must be a text"))
}

/// Tools of a chat or a response: functions, which the caller runs.
pub(super) fn tools(text: &str) -> Result<(), Refusal> {
    if text == "null" {
        return Ok(());
    }
    let read = each(text, |tool| {
        let tool = object(tool, "a tool")?;
        match tool.get("type").and_then(string).as_deref() {
            Some("function") => Ok(()),
            _ => Err(Refusal::malformed("a metered lease takes tools of type `function` alone")),
        }
    });
    read.map_err(|error| malformed("tools", &error))
}

/// Tokens of a JSON text at most, as chat templates write it: with line breaks and four spaces for each level, of which a
/// token has up to sixteen, and with escapes for other characters than ASCII and for those of HTML.
pub(super) fn written(text: &str) -> usize {
    let (mut depth, mut in_string, mut escaped, mut tokens) = (0_usize, false, false, 0_usize);
    for byte in text.bytes() {
        let line = |depth: usize| depth.div_ceil(4).saturating_add(2);
        let more = match byte {
            b'<' | b'>' | b'&' | b'\'' => 6,
            0x80.. => 3,
            _ if in_string => 1,
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                line(depth)
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                line(depth)
            }
            b',' => line(depth),
            b':' => 2,
            byte if byte.is_ascii_whitespace() => 0,
            _ => 1,
        };
        tokens = tokens.saturating_add(more);
        match byte {
            b'"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && byte == b'\\' && !escaped;
    }
    tokens
}

/// The number of prompts, or of texts to embed: a text, texts, the tokens of one, or those of several.
pub(super) fn texts(name: &str, text: &str) -> Result<u32, Refusal> {
    let refused = || {
        Refusal::malformed(format!(
            "`{name}` must be a text, an array of texts, tokens, or an array of arrays of tokens"
        ))
    };
    if text.starts_with('"') {
        return Ok(1);
    }
    let mut kind = None;
    let mut count: u32 = 0;
    let read = each(text, |element| {
        let this = match element.as_bytes().first() {
            Some(b'"') => b'"',
            Some(b'[') => {
                let tokens = each(element, |token| if is_token(token) { Ok(()) } else { Err("no token") });
                tokens.map(|()| b'[').map_err(|_| refused())?
            }
            _ if is_token(element) => b'0',
            _ => return Err(refused()),
        };
        count = count.saturating_add(1);
        if *kind.get_or_insert(this) == this { Ok(()) } else { Err(refused()) }
    });
    read.map_err(|_| refused())?;
    match (kind, count) {
        (None, _) => Err(refused()),
        (Some(b'0'), _) => Ok(1),
        (Some(_), count) => Ok(count),
    }
}

fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Options of a chat template that don't lengthen the prompt.
pub(super) fn template_options(text: &str) -> Result<(), Refusal> {
    if text == "null" {
        return Ok(());
    }
    let options = object(text, "`chat_template_kwargs`")?;
    only(
        &options,
        &["clear_thinking", "enable_thinking", "preserve_thinking", "reasoning_effort", "thinking"],
        "`chat_template_kwargs`",
    )
}

pub(super) fn object<'a>(text: &'a str, what: &str) -> Result<Object<'a>, Refusal> {
    Object::parse(text)
        .map_err(|error| Refusal::malformed(format!("{what} is not a valid JSON object: {error}")))
}

/// Refuses an object with other fields. `null` is no value anywhere.
fn only(object: &Object, names: &[&str], what: &str) -> Result<(), Refusal> {
    let other =
        object.fields.iter().find(|field| !names.contains(&field.name.as_str()) && field.value != "null");
    match other {
        None => Ok(()),
        Some(other) => Err(Refusal::malformed(format!(
            "a metered lease takes no field `{}` in {what}: leave it out",
            other.name
        ))),
    }
}

fn malformed(name: &str, error: &serde_json::Error) -> Refusal {
    // Without the position, which is of a part of the request.
    let sentence = error.to_string();
    let sentence = sentence.split(" at line ").next().unwrap_or_default();
    Refusal::malformed(format!("`{name}`: {sentence}"))
}
