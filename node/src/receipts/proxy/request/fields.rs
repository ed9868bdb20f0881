//! Which fields pass a metered lease, and which values of them.
//!
//! The tables hold what vLLM, SGLang, llama.cpp's server, llama-cpp-python, TGI, Ollama, TensorRT-LLM and LiteLLM read and
//! what can't make an answer longer, or what is bounded here. Everything else is unknown: some of these servers take
//! `n_predict`, `n_cmpl`, `num_predict` or `MAX_TOKENS` for a limit of the caller's own, generate for `best_of` or
//! `use_beam_search`, add `documents`, templates, files or earlier answers to a prompt, and load adapters or call other
//! hosts for a request.

use super::super::Kind;

/// What is done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Passed as it came: it does not change how much is computed.
    Pass,
    /// `true`, `false` or `null`. Other servers take `1`, `"true"` or `"on"` for true.
    Bool,
    /// A whole number up to that, or `null`. Some servers take `-1` for everything, and texts for numbers.
    Int(u64),
    /// The most tokens of each answer.
    Limit,
    /// How many answers are computed.
    Answers,
    /// Not more than the limit.
    Least,
    /// That value or `null`.
    Only(&'static str),
    /// Left out: it is for logs and accounts of the inference server.
    Drop,
    /// A text or `null`.
    Text,
    Messages,
    Prompt,
    /// Texts to embed.
    Texts,
    /// Input of a response.
    Items,
    /// Tools that the caller runs; the inference server would run others.
    Tools,
    /// The same as they were before.
    Functions,
    TemplateOptions,
    StreamOptions,
}

use Rule::{
    Answers, Bool, Drop, Functions, Int, Items, Least, Limit, Messages, Only, Pass, Prompt, StreamOptions,
    TemplateOptions, Text, Texts, Tools,
};

/// The most probabilities that OpenAI's API returns for each token.
const LOGPROBS: u64 = 20;

/// How the next token is chosen. None of it makes an answer longer than its limit.
const SAMPLING: &[(&str, Rule)] = &[
    ("allowed_token_ids", Pass),
    ("bad_words", Pass),
    ("cache_prompt", Bool),
    ("frequency_penalty", Pass),
    ("grammar", Pass),
    ("guided_choice", Pass),
    ("guided_grammar", Pass),
    ("guided_json", Pass),
    ("guided_regex", Pass),
    ("ignore_eos", Bool),
    ("include_stop_str_in_output", Bool),
    ("logit_bias", Pass),
    ("min_p", Pass),
    ("min_tokens", Least),
    ("mirostat", Pass),
    ("mirostat_eta", Pass),
    ("mirostat_mode", Pass),
    ("mirostat_tau", Pass),
    ("presence_penalty", Pass),
    ("regex", Pass),
    ("repeat_last_n", Pass),
    ("repeat_penalty", Pass),
    ("repetition_penalty", Pass),
    ("response_format", Pass),
    ("seed", Pass),
    ("skip_special_tokens", Bool),
    ("spaces_between_special_tokens", Bool),
    ("stop", Pass),
    ("stop_token_ids", Pass),
    ("structured_outputs", Pass),
    ("temperature", Pass),
    ("top_k", Pass),
    ("top_p", Pass),
    ("typical_p", Pass),
    ("xtc_probability", Pass),
    ("xtc_threshold", Pass),
];

/// Of every kind.
const COMMON: &[(&str, Rule)] = &[
    ("metadata", Drop),
    ("model", Text),
    ("prompt_cache_key", Drop),
    ("prompt_cache_retention", Drop),
    ("safety_identifier", Drop),
    ("service_tier", Drop),
    ("user", Drop),
];

const CHAT: &[(&str, Rule)] = &[
    ("chat_template_kwargs", TemplateOptions),
    ("function_call", Pass),
    ("functions", Functions),
    ("include_reasoning", Bool),
    ("logprobs", Bool),
    ("max_completion_tokens", Limit),
    ("max_tokens", Limit),
    ("messages", Messages),
    ("n", Answers),
    ("parallel_tool_calls", Bool),
    ("reasoning_effort", Pass),
    ("store", Only("false")),
    ("stream", Bool),
    ("stream_options", StreamOptions),
    ("tool_choice", Pass),
    ("tools", Tools),
    ("top_logprobs", Int(LOGPROBS)),
    ("verbosity", Pass),
];

const COMPLETION: &[(&str, Rule)] = &[
    ("best_of", Answers),
    // The answer would hold the prompt, whose tokens nobody counts.
    ("echo", Only("false")),
    ("logprobs", Int(LOGPROBS)),
    ("max_completion_tokens", Limit),
    ("max_tokens", Limit),
    ("n", Answers),
    ("prompt", Prompt),
    ("stream", Bool),
    ("stream_options", StreamOptions),
    ("suffix", Pass),
];

const EMBEDDINGS: &[(&str, Rule)] =
    &[("dimensions", Int(65_536)), ("encoding_format", Pass), ("input", Texts)];

const RESPONSES: &[(&str, Rule)] = &[
    // An answer that nobody waits for, and inputs that are not in the request.
    ("background", Only("false")),
    ("conversation", Only("null")),
    ("include", Pass),
    ("input", Items),
    ("instructions", Text),
    ("max_output_tokens", Limit),
    ("max_tool_calls", Int(u64::MAX)),
    ("parallel_tool_calls", Bool),
    ("previous_response_id", Only("null")),
    ("prompt", Only("null")),
    ("reasoning", Pass),
    ("store", Only("false")),
    ("stream", Bool),
    ("stream_options", Drop),
    ("temperature", Pass),
    ("text", Pass),
    ("tool_choice", Pass),
    ("tools", Tools),
    ("top_logprobs", Int(LOGPROBS)),
    ("top_p", Pass),
    ("truncation", Pass),
];

/// The rule for a field; `None` if it is unknown.
pub(super) fn rule(kind: Kind, name: &str) -> Option<Rule> {
    let tables: &[&[(&str, Rule)]] = match kind {
        Kind::Chat => &[COMMON, CHAT, SAMPLING],
        Kind::Completion => &[COMMON, COMPLETION, SAMPLING],
        Kind::Embeddings => &[COMMON, EMBEDDINGS],
        Kind::Responses => &[COMMON, RESPONSES],
    };
    tables.iter().copied().flatten().find(|(field, _)| *field == name).map(|(_, rule)| *rule)
}

/// The names under which known servers look for the most tokens of an answer; the first is sent. `None` if an answer has
/// no tokens. TGI takes two of them for one field that is given twice, and some servers know only this one.
pub(super) fn limit_names(kind: Kind) -> Option<(&'static str, &'static [&'static str])> {
    match kind {
        Kind::Chat | Kind::Completion => Some(("max_tokens", &["max_completion_tokens"])),
        Kind::Responses => Some(("max_output_tokens", &[])),
        Kind::Embeddings => None,
    }
}

/// The field with what the request asks about.
pub(super) fn subject(kind: Kind) -> &'static str {
    match kind {
        Kind::Chat => "messages",
        Kind::Completion => "prompt",
        Kind::Embeddings | Kind::Responses => "input",
    }
}
