//! Tokens of requests and answers in OpenAI's form, and what they cost.

use crate::receipts::settings::Model;
use serde_json::{Value, json};

/// Bytes of text that make about one token, where the inference server doesn't say.
const BYTES_PER_TOKEN: usize = 4;
/// Tokens of an answer whose request names no limit, to hold credit for.
const USUAL_ANSWER: u64 = 1_024;
/// Prices are per so many tokens.
const MILLION: u128 = 1_000_000;

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub tokens_in: u32,
    pub tokens_out: u32,
    /// Whether the inference server counted them; else they are a guess from the text.
    pub exact: bool,
}

impl Count {
    /// What `usage` of an answer says.
    pub fn of_usage(body: &Value) -> Option<Self> {
        let usage = body.get("usage")?;
        let field = |name| usage.get(name).and_then(Value::as_u64).map(small);
        let tokens_in = field("prompt_tokens")?;
        Some(Self { tokens_in, tokens_out: field("completion_tokens").unwrap_or(0), exact: true })
    }

    /// A guess from the length of request and answer, in bytes.
    pub fn guess(request: usize, answer: usize) -> Self {
        let tokens = |bytes: usize| u32::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX);
        Self { tokens_in: tokens(request), tokens_out: tokens(answer), exact: false }
    }

    /// As receipts of the proxy call it.
    pub fn source(&self) -> &'static str {
        if self.exact { "usage" } else { "estimate" }
    }

    /// Payment units, rounded down: the buyer pays less than one unit too little for an answer.
    pub fn price(&self, model: &Model) -> u64 {
        let part = |tokens: u32, price: u64| u128::from(tokens) * u128::from(price);
        let sum = part(self.tokens_in, model.price_in).saturating_add(part(self.tokens_out, model.price_out));
        u64::try_from(sum / MILLION).unwrap_or(u64::MAX)
    }
}

fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What the request may cost about, to hold credit for while it is under way.
pub fn expected(request: &Value, length: usize) -> Count {
    let field = |name| request.get(name).and_then(Value::as_u64);
    let each = field("max_completion_tokens").or(field("max_tokens")).unwrap_or(USUAL_ANSWER);
    let tokens_out = small(each.saturating_mul(field("n").unwrap_or(1)));
    Count { tokens_out, ..Count::guess(length, 0) }
}

/// Bytes of text in the choices of a whole answer.
pub fn answer_text(body: &Value) -> usize {
    let text = |choice: &Value| {
        let content = choice.get("message").map_or(choice.get("text"), |message| message.get("content"));
        content.and_then(Value::as_str).map_or(0, str::len)
    };
    choices(body).iter().map(text).sum()
}

/// Tokens in one chunk of a stream: servers send one or a few at a time, here each choice that says
/// something counts as one.
pub fn chunk_tokens(chunk: &Value) -> u32 {
    let says = |value: &Value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        value => !value.is_null(),
    };
    let counts = |choice: &&Value| {
        let delta = choice.get("delta").and_then(Value::as_object);
        let in_delta =
            delta.is_some_and(|delta| delta.iter().any(|(name, value)| name != "role" && says(value)));
        in_delta || choice.get("text").is_some_and(says)
    };
    u32::try_from(choices(chunk).iter().filter(counts).count()).unwrap_or(u32::MAX)
}

/// Whether a chunk carries the usage and nothing else.
pub fn is_usage_alone(chunk: &Value) -> bool {
    chunk.get("usage").is_some_and(Value::is_object) && choices(chunk).is_empty()
}

fn choices(body: &Value) -> &[Value] {
    body.get("choices").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Has a streamed answer end with its usage. Returns whether the client did not ask for that itself.
pub fn ask_for_usage(request: &mut Value) -> bool {
    let Some(fields) = request.as_object_mut() else { return false };
    if fields.get("stream").and_then(Value::as_bool) != Some(true) {
        return false;
    }
    let options = fields.entry("stream_options").or_insert(Value::Null);
    if options.is_null() {
        *options = json!({});
    }
    // Something else than an object is the inference server's to refuse.
    let Some(options) = options.as_object_mut() else { return false };
    options.insert("include_usage".into(), true.into()) != Some(true.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: Model = Model { id: [0; 32], price_in: 150_000, price_out: 600_000 };

    #[test]
    fn a_price_is_rounded_down_once() {
        let count = |tokens_in, tokens_out| Count { tokens_in, tokens_out, exact: true };
        assert_eq!(count(1_000_000, 1_000_000).price(&MODEL), 750_000);
        assert_eq!(count(1, 1).price(&MODEL), 0);
        // 0.9 and 0.6, 1.5 together.
        assert_eq!(count(6, 1).price(&MODEL), 1);
        let dear = Model { price_in: u64::MAX, price_out: u64::MAX, ..MODEL };
        assert_eq!(count(u32::MAX, u32::MAX).price(&dear), u64::MAX);
    }

    #[test]
    fn usage_is_read_from_answers_of_every_kind() {
        let chat = json!({"usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}});
        assert_eq!(Count::of_usage(&chat), Some(Count { tokens_in: 7, tokens_out: 5, exact: true }));
        let embedding = json!({"usage": {"prompt_tokens": 7, "total_tokens": 7}});
        assert_eq!(Count::of_usage(&embedding), Some(Count { tokens_in: 7, tokens_out: 0, exact: true }));
        assert_eq!(Count::of_usage(&json!({"usage": null})), None);
        assert_eq!(Count::of_usage(&json!([])), None);
    }

    #[test]
    fn chunks_count_where_they_say_something() {
        assert_eq!(chunk_tokens(&json!({"choices": [{"delta": {"role": "assistant", "content": ""}}]})), 0);
        assert_eq!(
            chunk_tokens(&json!({"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]})),
            2
        );
        assert_eq!(chunk_tokens(&json!({"choices": [{"text": "a"}]})), 1);
        assert_eq!(chunk_tokens(&json!({"choices": [{"delta": {"tool_calls": [{}]}}]})), 1);
        assert_eq!(chunk_tokens(&json!({"choices": [{"delta": {}, "finish_reason": "stop"}]})), 0);
    }

    #[test]
    fn usage_is_asked_for_without_changing_what_the_client_asked() {
        let mut plain = json!({"stream": true, "temperature": 0.5});
        assert!(ask_for_usage(&mut plain));
        assert_eq!(
            plain,
            json!({"stream": true, "temperature": 0.5, "stream_options": {"include_usage": true}})
        );
        let mut asked = json!({"stream": true, "stream_options": {"include_usage": true, "other": 1}});
        let before = asked.clone();
        assert!(!ask_for_usage(&mut asked));
        assert_eq!(asked, before);
        let mut whole = json!({"stream": false});
        assert!(!ask_for_usage(&mut whole));
        assert_eq!(whole, json!({"stream": false}));
    }
}
