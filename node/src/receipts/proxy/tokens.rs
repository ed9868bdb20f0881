//! Tokens of requests and answers in OpenAI's form, and their cost.

use super::Kind;
use crate::receipts::refusal::Refusal;
use crate::receipts::settings::Model;
use serde_json::{Map, Value, json};
use std::num::NonZeroU32;

/// Bytes of text per token, for an estimate if the inference server does not count.
const BYTES_PER_TOKEN: usize = 4;
/// Prices are per so many tokens.
const MILLION: u128 = 1_000_000;

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub tokens_in: u32,
    pub tokens_out: u32,
    /// True if the inference server counted them; else they are an estimate from the text.
    pub exact: bool,
}

impl Count {
    /// Tokens in `usage` of an answer.
    pub fn of_usage(body: &Value) -> Option<Self> {
        let usage = body.get("usage")?;
        let field = |name| usage.get(name).and_then(Value::as_u64).map(small);
        let tokens_in = field("prompt_tokens")?;
        Some(Self { tokens_in, tokens_out: field("completion_tokens").unwrap_or(0), exact: true })
    }

    /// An estimate from the length of request and answer, in bytes.
    pub fn guess(request: usize, answer: usize) -> Self {
        let tokens = |bytes: usize| u32::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX);
        Self { tokens_in: tokens(request), tokens_out: tokens(answer), exact: false }
    }

    /// How tokens were counted, as the proxy's header says it.
    pub fn source(&self) -> &'static str {
        if self.exact { "usage" } else { "estimate" }
    }

    /// Payment units to hold: rounded up, and at least 1.
    pub fn price_at_most(&self, model: &Model) -> u64 {
        u64::try_from(self.parts(model).div_ceil(MILLION)).unwrap_or(u64::MAX).max(1)
    }

    /// Price in millionths of payment units.
    pub fn parts(&self, model: &Model) -> u128 {
        let part = |tokens: u32, price: u64| u128::from(tokens) * u128::from(price);
        part(self.tokens_in, model.price_in).saturating_add(part(self.tokens_out, model.price_out))
    }
}

fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The most tokens that a request of that length in bytes may take. If it has no token limit, `unnamed` is written into
/// it, so that the inference server keeps to it.
///
/// A token has at least one byte of text. Pictures that a request names by URL are not counted.
pub fn bound(request: &mut Value, length: usize, kind: Kind, unnamed: NonZeroU32) -> Result<Count, Refusal> {
    let fields =
        request.as_object_mut().ok_or_else(|| Refusal::malformed("the request is no JSON object"))?;
    let tokens_in = u32::try_from(length).unwrap_or(u32::MAX);
    if kind == Kind::Embeddings {
        return Ok(Count { tokens_in, tokens_out: 0, exact: false });
    }
    let limits = [number(fields, "max_tokens")?, number(fields, "max_completion_tokens")?];
    let each = match limits.into_iter().flatten().max() {
        Some(limit) => limit,
        None => {
            fields.insert("max_tokens".into(), unnamed.get().into());
            unnamed.get().into()
        }
    };
    let answers = number(fields, "n")?.max(number(fields, "best_of")?).unwrap_or(1);
    let prompts = match fields.get("prompt") {
        // Numbers are the tokens of one prompt.
        Some(Value::Array(prompts)) if !prompts.iter().all(Value::is_number) => prompts.len(),
        _ => 1,
    };
    let prompts = u64::try_from(prompts).unwrap_or(u64::MAX);
    let tokens_out = small(each.saturating_mul(answers).saturating_mul(prompts));
    Ok(Count { tokens_in, tokens_out, exact: false })
}

/// A field with a positive number. Other values, which servers might take for a number or for "no limit", are refused.
fn number(fields: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refusal> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) if number > 0 => Ok(Some(number)),
            _ => Err(Refusal::malformed(format!("`{name}` must be a whole number, 1 or more"))),
        },
    }
}

/// Bytes of text in the choices of a whole answer.
pub fn answer_text(body: &Value) -> usize {
    let text = |choice: &Value| {
        let content = choice.get("message").map_or(choice.get("text"), |message| message.get("content"));
        content.and_then(Value::as_str).map_or(0, str::len)
    };
    choices(body).iter().map(text).sum()
}

/// Tokens in one chunk of a stream. Servers send one or a few at a time; here each choice with content counts as one.
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

/// True if a chunk has the usage and nothing else.
pub fn is_usage_alone(chunk: &Value) -> bool {
    chunk.get("usage").is_some_and(Value::is_object) && choices(chunk).is_empty()
}

fn choices(body: &Value) -> &[Value] {
    body.get("choices").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Asks for the usage at the end of a streamed answer. Returns true if the client did not ask for it.
pub fn ask_for_usage(request: &mut Value) -> bool {
    let Some(fields) = request.as_object_mut() else { return false };
    if fields.get("stream").and_then(Value::as_bool) != Some(true) {
        return false;
    }
    let options = fields.entry("stream_options").or_insert(Value::Null);
    if options.is_null() {
        *options = json!({});
    }
    // The inference server refuses anything but an object.
    let Some(options) = options.as_object_mut() else { return false };
    options.insert("include_usage".into(), true.into()) != Some(true.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: Model = Model { id: [0; 32], price_in: 150_000, price_out: 600_000 };

    #[test]
    fn a_price_is_exact() {
        let count = |tokens_in, tokens_out| Count { tokens_in, tokens_out, exact: true };
        assert_eq!(count(1_000_000, 1_000_000).parts(&MODEL), 750_000 * MILLION);
        assert_eq!(count(1, 1).parts(&MODEL), 750_000);
        let dear = Model { price_in: u64::MAX, price_out: u64::MAX, ..MODEL };
        assert_eq!(count(u32::MAX, u32::MAX).parts(&dear), 2 * u128::from(u32::MAX) * u128::from(u64::MAX));
    }

    #[test]
    fn a_hold_is_rounded_up_and_at_least_1() {
        let count = |tokens_in, tokens_out| Count { tokens_in, tokens_out, exact: true };
        assert_eq!(count(6, 1).price_at_most(&MODEL), 2);
        assert_eq!(count(1_000_000, 1_000_000).price_at_most(&MODEL), 750_000);
        assert_eq!(count(1, 0).price_at_most(&MODEL), 1);
        assert_eq!(count(0, 0).price_at_most(&MODEL), 1);
    }

    #[test]
    fn the_bound_covers_all_answers_of_a_request() {
        let out = |mut request: Value| {
            let before = request.clone();
            let bound = bound(&mut request, 100, Kind::Text, NonZeroU32::new(50).unwrap()).unwrap();
            assert_eq!((bound.tokens_in, request), (100, before));
            bound.tokens_out
        };
        assert_eq!(out(json!({"max_tokens": 7})), 7);
        assert_eq!(out(json!({"max_tokens": 70, "max_completion_tokens": 1})), 70);
        assert_eq!(out(json!({"max_tokens": 1, "max_completion_tokens": 70})), 70);
        assert_eq!(out(json!({"max_tokens": 7, "n": 3})), 21);
        assert_eq!(out(json!({"max_tokens": 7, "n": 3, "best_of": 5})), 35);
        assert_eq!(out(json!({"max_tokens": 7, "n": null, "prompt": ["a", "b"], "best_of": 2})), 28);
        assert_eq!(out(json!({"max_tokens": 7, "prompt": [[1, 2], [3], [4]]})), 21);
        assert_eq!(out(json!({"max_tokens": 7, "prompt": [1, 2, 3]})), 7);
        assert_eq!(out(json!({"max_tokens": 7, "prompt": []})), 7);
        assert_eq!(out(json!({"max_tokens": u64::MAX, "n": u64::MAX})), u32::MAX);
    }

    #[test]
    fn a_missing_limit_is_written() {
        let unnamed = NonZeroU32::new(50).unwrap();
        let mut request = json!({"n": 2, "max_completion_tokens": null});
        assert_eq!(bound(&mut request, 9, Kind::Text, unnamed).unwrap().tokens_out, 100);
        assert_eq!(request, json!({"n": 2, "max_completion_tokens": null, "max_tokens": 50}));
        let mut embedding = json!({"input": "Hi"});
        assert_eq!(bound(&mut embedding, 9, Kind::Embeddings, unnamed).unwrap().tokens_out, 0);
        assert_eq!(embedding, json!({"input": "Hi"}));
    }

    #[test]
    fn values_that_may_mean_no_limit_are_refused() {
        for limit in [json!(0), json!(-1), json!(1e6), json!("100"), json!([])] {
            for name in ["max_tokens", "max_completion_tokens", "n", "best_of"] {
                let mut request = json!({ name: limit });
                let refused = bound(&mut request, 9, Kind::Text, NonZeroU32::MIN).unwrap_err();
                assert!(refused.to_string().contains(name), "{refused}");
            }
        }
        assert!(bound(&mut json!([]), 9, Kind::Text, NonZeroU32::MIN).is_err());
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
    fn chunks_with_content_are_counted() {
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
