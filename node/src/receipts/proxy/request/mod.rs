//! Reads a request as the inference server will, and bounds what it can cost.
//!
//! A metered lease passes known fields with values that all servers read alike; the rest is refused or left out. Under a
//! lease by the hour nothing is changed but the demand for the usage.

mod content;
mod fields;
mod json;

use super::Kind;
use super::tokens::{self, Count, Source};
use crate::receipts::refusal::Refusal;
use crate::receipts::settings::{MOST_TOKENS, ProxySettings, UnknownFields};
use axum::body::Bytes;
use content::{Contents, Media};
use fields::Rule;
use json::{Edit, Edits, Object};

/// The most answers to one prompt.
const ANSWERS: u64 = 128;
const LIMIT: u64 = MOST_TOKENS;
/// Tokens that mark begin and end of a text.
const MARKS: u32 = 2;
const OPTIONS: &str = "stream_options";

/// A request that may be sent.
#[derive(Debug)]
pub(super) struct Asked {
    body: Bytes,
    edits: Edits,
    /// Set if the usage of a stream is asked for on behalf of the node; without it, the caller asked for it.
    pub adds_usage: bool,
    /// The most tokens that the answer can have; `None` if a lease by the hour pays for it.
    pub bound: Option<Count>,
    /// Tokens of the request, by its length.
    pub guess: u32,
    /// Prompts, or texts to embed.
    pub texts: u32,
}

impl Asked {
    /// Reads a request under a metered lease.
    pub fn metered(kind: Kind, body: Bytes, own: &ProxySettings) -> Result<Self, Refusal> {
        let object = object(&body)?;
        let contents = Contents { allowed: own.media_tokens, media: Media::default() };
        let mut reader = Reader {
            kind,
            own,
            contents,
            edits: Edits::new(),
            limit: None,
            least: 0,
            answers: 1,
            texts: 1,
            written: 0,
        };
        for field in &object.fields {
            reader.field(&field.name, field.value)?;
        }
        if object.get(fields::subject(kind)).is_none_or(|subject| subject == "null") {
            return Err(Refusal::malformed(format!("the request has no `{}`", fields::subject(kind))));
        }
        let tokens_out = reader.limit(&object)?;
        let adds_usage = reader.usage(&object)?;
        if kind == Kind::Responses {
            // Nobody pays for what the inference server keeps.
            reader.set("store", "false");
        }
        let Reader { contents: Contents { media, .. }, edits, texts, written, .. } = reader;
        let media_tokens = own.media_tokens.map_or(0, |each| each.get().saturating_mul(media.parts));
        let text = body.len().saturating_sub(media.bytes);
        // A token has at least one byte of text.
        let bytes = u32::try_from(text.saturating_add(written)).unwrap_or(u32::MAX);
        let marks = own.template_tokens.saturating_add(texts.saturating_mul(MARKS));
        let tokens_in = bytes.saturating_add(marks).saturating_add(media_tokens);
        let bound = Some(Count { tokens_in, tokens_out, source: Source::Bounded });
        let guess = tokens::of_bytes(text).saturating_add(media_tokens);
        Ok(Self { edits, adds_usage, bound, guess, texts, body })
    }

    /// Reads a request under a lease by the hour.
    pub fn hourly(kind: Kind, body: Bytes) -> Result<Self, Refusal> {
        let object = object(&body)?;
        let mut edits = Edits::new();
        let streams = object.get("stream") == Some("true") && has_stream_options(kind);
        let adds_usage = match object.get(OPTIONS).unwrap_or("null") {
            _ if !streams => false,
            "null" => {
                edits.insert(OPTIONS.to_owned(), Edit::Set(USAGE.to_owned()));
                true
            }
            options => match Object::parse(options) {
                Ok(options) if options.get("include_usage") != Some("true") => {
                    let usage = Edits::from([("include_usage".to_owned(), Edit::Set("true".to_owned()))]);
                    edits.insert(OPTIONS.to_owned(), Edit::Set(options.write(&usage)));
                    true
                }
                _ => false,
            },
        };
        let guess = tokens::of_bytes(body.len());
        Ok(Self { edits, adds_usage, bound: None, guess, texts: 1, body })
    }

    /// Keeps no body any more: it was sent.
    pub fn forget(&mut self) {
        (self.body, self.edits) = (Bytes::new(), Edits::new());
    }

    /// The body as it is sent; `usage`: with the node's own demand for the usage of a stream.
    pub fn body(&self, usage: bool) -> Result<Bytes, Refusal> {
        let mut edits = self.edits.clone();
        if !usage && self.adds_usage {
            edits.insert(OPTIONS.to_owned(), Edit::Remove);
        }
        if edits.is_empty() {
            return Ok(self.body.clone());
        }
        Ok(object(&self.body)?.write(&edits).into())
    }
}

const USAGE: &str = r#"{"include_usage":true}"#;

/// True if a stream of that kind is asked for its usage.
fn has_stream_options(kind: Kind) -> bool {
    matches!(kind, Kind::Chat | Kind::Completion)
}

/// Name of the model in a request; `None` if it has none.
pub(super) fn model(body: &[u8]) -> Result<Option<String>, Refusal> {
    match object(body)?.get("model") {
        None | Some("null") => Ok(None),
        Some(name) => {
            json::string(name).map(Some).ok_or_else(|| Refusal::malformed("`model` must be a text"))
        }
    }
}

fn object(body: &[u8]) -> Result<Object<'_>, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::malformed("the request is not UTF-8"))?;
    content::object(text, "the request")
}

/// Reads one field after the other.
struct Reader<'a> {
    kind: Kind,
    own: &'a ProxySettings,
    contents: Contents,
    edits: Edits,
    /// What the caller gave as the limit of an answer.
    limit: Option<u64>,
    /// The least tokens that the caller wants.
    least: u64,
    answers: u64,
    /// Prompts, or texts to embed.
    texts: u32,
    /// Bytes by which chat templates may lengthen what they write anew.
    written: usize,
}

impl Reader<'_> {
    fn set(&mut self, name: &str, value: &str) {
        self.edits.insert(name.to_owned(), Edit::Set(value.to_owned()));
    }

    fn field(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let Some(rule) = fields::rule(self.kind, name) else { return self.unknown(name) };
        let is_null = value == "null";
        match rule {
            Rule::Pass | Rule::StreamOptions => Ok(()),
            Rule::Drop => {
                self.edits.insert(name.to_owned(), Edit::Remove);
                Ok(())
            }
            Rule::Bool if is_null || matches!(value, "true" | "false") => Ok(()),
            Rule::Bool => Err(Refusal::malformed(format!("`{name}` must be true or false"))),
            Rule::Int(most) => integer(name, value, 0, most).map(|_| ()),
            Rule::Least => {
                self.least = integer(name, value, 0, LIMIT)?.unwrap_or(0);
                Ok(())
            }
            Rule::Answers => {
                self.answers = self.answers.max(integer(name, value, 1, ANSWERS)?.unwrap_or(1));
                Ok(())
            }
            Rule::Limit => {
                let given = integer(name, value, 1, LIMIT)?;
                if let (Some(limit), Some(given)) = (self.limit, given)
                    && limit != given
                {
                    return Err(Refusal::malformed("two limits of an answer differ: give one of them"));
                }
                self.limit = given.or(self.limit);
                Ok(())
            }
            Rule::Only(right) if is_null || value == right => Ok(()),
            Rule::Only("null") => {
                Err(Refusal::malformed(format!("a metered lease takes no `{name}`: leave it out")))
            }
            Rule::Only(right) => {
                Err(Refusal::malformed(format!("under a metered lease `{name}` must be {right}")))
            }
            Rule::Messages => self.contents.messages(value),
            Rule::Items => self.contents.items(value),
            Rule::Prompt | Rule::Texts => {
                self.texts = content::texts(name, value)?;
                Ok(())
            }
            Rule::Text if is_null || value.starts_with('"') => Ok(()),
            Rule::Text => Err(Refusal::malformed(format!("`{name}` must be a text"))),
            Rule::Tools | Rule::Functions => {
                if rule == Rule::Tools {
                    content::tools(value)?;
                }
                self.written =
                    self.written.saturating_add(content::written(value).saturating_sub(value.len()));
                Ok(())
            }
            Rule::TemplateOptions => content::template_options(value),
        }
    }

    fn unknown(&mut self, name: &str) -> Result<(), Refusal> {
        match self.own.unknown_fields {
            UnknownFields::Refuse => Err(Refusal::malformed(format!(
                "a metered lease takes no field `{}`: leave it out",
                name.chars().take(64).collect::<String>()
            ))),
            UnknownFields::Drop => {
                self.edits.insert(name.to_owned(), Edit::Remove);
                Ok(())
            }
        }
    }

    /// Writes the limit under the one name that every server knows. Returns the most tokens of all answers.
    fn limit(&mut self, object: &Object) -> Result<u32, Refusal> {
        let Some((name, others)) = fields::limit_names(self.kind) else { return Ok(0) };
        let limit = self.limit.unwrap_or_else(|| self.own.max_tokens.get().into());
        if self.least > limit {
            return Err(Refusal::malformed(format!("`min_tokens` is more than the limit of {limit} tokens")));
        }
        let text = limit.to_string();
        if object.get(name) != Some(&text) {
            self.set(name, &text);
        }
        self.edits.extend(others.iter().map(|other| ((*other).to_owned(), Edit::Remove)));
        let all = limit.saturating_mul(self.answers).saturating_mul(self.texts.into());
        Ok(u32::try_from(all).unwrap_or(u32::MAX))
    }

    /// Asks for the usage of a stream. Returns true if the caller did not ask for it.
    fn usage(&mut self, object: &Object) -> Result<bool, Refusal> {
        let options = object.get(OPTIONS).filter(|options| *options != "null");
        if !has_stream_options(self.kind) {
            return Ok(false);
        }
        let given = options.map(|options| content::object(options, "`stream_options`")).transpose()?;
        for field in given.iter().flat_map(|given| &given.fields) {
            let known = ["continuous_usage_stats", "include_obfuscation", "include_usage"];
            if !known.contains(&field.name.as_str()) || !matches!(field.value, "true" | "false" | "null") {
                return Err(Refusal::malformed("`stream_options` may have `include_usage`, true or false"));
            }
        }
        if object.get("stream") != Some("true") {
            // Servers refuse options of what is no stream.
            return Ok(false);
        }
        let wanted = given.as_ref().and_then(|given| given.get("include_usage")) == Some("true");
        if !wanted {
            self.set(OPTIONS, USAGE);
        }
        Ok(!wanted)
    }
}

/// A whole number in digits, or `None` for `null`. Servers take other values for a number, or for no limit.
fn integer(name: &str, value: &str, least: u64, most: u64) -> Result<Option<u64>, Refusal> {
    if value == "null" {
        return Ok(None);
    }
    let number = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse::<u64>().ok()).flatten();
    number
        .filter(|number| (least..=most).contains(number))
        .map(Some)
        .ok_or_else(|| Refusal::malformed(format!("`{name}` must be a whole number from {least} to {most}")))
}
