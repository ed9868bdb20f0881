//! What an inference server says and sends in its answer, and the tokens to bill for it.
//!
//! Servers leave the usage out, send it with every event, or send anything in its place. A number that is no count is
//! taken for none; what is left is an estimate from the text.

use super::Kind;
use super::request::Asked;
use super::tokens::{Count, Source, of_bytes};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Bytes of the longest tokens that make up a whole answer: words of scripts with three bytes for each character, spaces.
const LONG_TOKEN: usize = 16;

/// Fields with text that no model wrote.
const NAMES: [&str; 8] = ["id", "type", "role", "index", "object", "status", "call_id", "format"];

/// What an answer has had so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Largest counts that the server gave.
    tokens_in: Option<u32>,
    tokens_out: Option<u32>,
    /// Events with content, each of which is a token or more.
    events: u32,
    /// Bytes of text.
    text: usize,
    /// True if the server's counts came after all that it said. Those before are of a part: what was said until then, or
    /// one of several answers.
    is_total: bool,
    /// True if the server said that it failed.
    failed: bool,
}

/// What one event of a stream means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// True if it has the usage and nothing else.
    pub is_usage_alone: bool,
    /// True if the answer ends with it.
    pub is_last: bool,
}

/// An answer, or an event of one. Everything else in it is skipped without being decoded.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<&'a RawValue>,
    /// Of a response.
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    /// Of an event of a response.
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow, default)]
    prompt_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    completion_tokens: Option<&'a RawValue>,
    /// The same, of a response.
    #[serde(borrow, default)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    total_tokens: Option<&'a RawValue>,
}

/// Probabilities of other tokens are left out.
#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Value,
    #[serde(default)]
    delta: Value,
    #[serde(default)]
    text: Value,
}

impl Choice {
    fn text_bytes(&self) -> usize {
        [&self.message, &self.delta, &self.text].into_iter().map(strings).sum()
    }
}

impl Tally {
    /// Of an answer in one piece. `readable`: it came without an encoding.
    pub fn of_whole(kind: Kind, body: &[u8], readable: bool) -> Self {
        let mut tally = Self::default();
        let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let parsed = readable.then(|| serde_json::from_slice::<Body>(text).ok()).flatten();
        match parsed {
            Some(parsed) => tally.add(&parsed),
            None => tally.text = body.len(),
        }
        tally.is_total = true;
        if kind == Kind::Embeddings {
            // Its text is numbers.
            (tally.tokens_out, tally.text) = (Some(0), 0);
        }
        tally
    }

    /// Of the bytes of an answer that was not whole.
    pub fn of_part(bytes: usize) -> Self {
        Self { text: bytes, ..Self::default() }
    }

    /// Adds the data of an event.
    pub fn event(&mut self, data: &str) -> Event {
        let Ok(parsed) = serde_json::from_str::<Body>(data) else {
            self.said(data.len());
            return Event::default();
        };
        self.add(&parsed);
        let kind = parsed.kind.and_then(|kind| serde_json::from_str::<String>(kind.get()).ok());
        let kind = kind.unwrap_or_default();
        if kind.starts_with("response.") && kind.ends_with(".delta") {
            self.said(parsed.delta.map_or(0, |delta| strings(&value(delta))));
        }
        let has_choices = parsed.choices.is_some_and(|choices| !is_empty(choices));
        let is_usage_alone =
            parsed.usage.is_some() && !has_choices && parsed.error.is_none() && kind.is_empty();
        let is_last =
            matches!(kind.as_str(), "response.completed" | "response.incomplete" | "response.failed");
        Event { is_usage_alone, is_last }
    }

    /// Adds bytes of a stream that are no event.
    pub fn bytes(&mut self, bytes: usize) {
        self.text = self.text.saturating_add(bytes);
    }

    fn add(&mut self, body: &Body) {
        let events = self.events;
        self.failed |= body.error.is_some();
        let choices =
            body.choices.map(|choices| (choices, serde_json::from_str::<Vec<Choice>>(choices.get())));
        match choices {
            Some((_, Ok(choices))) => choices.iter().for_each(|choice| self.said(choice.text_bytes())),
            Some((unreadable, Err(_))) => self.said(unreadable.get().len()),
            None => {}
        }
        if let Some(response) = body.response.and_then(|text| serde_json::from_str::<Body>(text.get()).ok()) {
            // Its output was in the events before.
            self.add(&Body { output: None, response: None, ..response });
        }
        self.said(body.output.map_or(0, |output| strings(&value(output))));
        if let Some(usage) = body.usage.and_then(|usage| serde_json::from_str::<Usage>(usage.get()).ok()) {
            let input = number(usage.prompt_tokens.or(usage.input_tokens));
            let output = number(usage.completion_tokens.or(usage.output_tokens));
            let total = number(usage.total_tokens);
            self.tokens_in = self.tokens_in.max(input);
            let rest = total.zip(input).map(|(total, input)| total.saturating_sub(input));
            self.tokens_out = self.tokens_out.max(output.or(rest));
            self.is_total = self.events == events;
        }
    }

    fn said(&mut self, bytes: usize) {
        if bytes > 0 {
            self.events = self.events.saturating_add(1);
            self.text = self.text.saturating_add(bytes);
            self.is_total = false;
        }
    }

    /// Tokens of the answer so far, if the server did not count them.
    pub fn estimate(&self) -> u32 {
        self.events.max(of_bytes(self.text))
    }

    /// Tokens that the answer certainly has by now.
    pub fn least_out(&self) -> u32 {
        let of_text = u32::try_from(self.text / LONG_TOKEN).unwrap_or(u32::MAX);
        self.events.max(of_text).max(self.tokens_out.unwrap_or(0))
    }

    /// The tokens to bill; `None` if the server failed before it said anything.
    pub fn count(&self, asked: &Asked) -> Option<Count> {
        if self.failed && self.text == 0 && self.tokens_out.is_none_or(|tokens| tokens == 0) {
            return None;
        }
        let estimate = self.estimate();
        // Servers that don't count say zero.
        let tokens_in = self.tokens_in.filter(|tokens| *tokens > 0);
        let tokens_in =
            tokens_in.filter(|tokens| self.is_total || asked.texts == 1 || *tokens >= asked.guess);
        let tokens_out = self.tokens_out.filter(|tokens| *tokens > 0 || estimate == 0);
        let tokens_out = tokens_out.filter(|tokens| self.is_total || *tokens >= self.events);
        let source = if tokens_in.and(tokens_out).is_some() { Source::Usage } else { Source::Estimate };
        let count = Count {
            tokens_in: tokens_in.unwrap_or(asked.guess),
            tokens_out: tokens_out.unwrap_or(estimate),
            source,
        };
        Some(asked.bound.map_or(count, |bound| count.within(&bound)))
    }
}

/// A count of tokens: digits alone, and no more than a receipt can hold.
fn number(text: Option<&RawValue>) -> Option<u32> {
    text.and_then(|text| text.get().parse().ok())
}

/// A value; `Null` if it is nested too deeply.
fn value(text: &RawValue) -> Value {
    serde_json::from_str(text.get()).unwrap_or_default()
}

fn is_empty(array: &RawValue) -> bool {
    array.get().trim_start_matches('[').trim_start().starts_with(']')
}

/// Bytes of text in a message: content, reasoning, refusals, names and arguments of tools, sounds in base64.
fn strings(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(strings).sum(),
        Value::Object(fields) => {
            let texts =
                fields.iter().filter(|(name, _)| !NAMES.contains(&name.as_str()) && *name != "logprobs");
            texts.map(|(_, value)| strings(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
